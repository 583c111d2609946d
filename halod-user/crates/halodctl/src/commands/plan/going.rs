//! `halodctl plan --drain NAME` and `--lose NAME`: the daemon tries it on a copy of its cluster.

use halod_control::{Going, PlanReport, PlannedMove, Request};

use crate::cli::Cli;
use crate::daemon::ask;
use crate::failure::Failure;
use crate::output::{Output, counted, or_dash, seconds, table};

pub async fn run(cli: &Cli, name: &str, how: Going, output: &mut Output) -> Result<(), Failure> {
    let request = Request::Plan {
        name: name.to_owned(),
        how,
    };
    let report: PlanReport = ask(cli, &request).await?;
    output.result(&report, |report| text(name, how, report))
}

fn text(name: &str, how: Going, report: &PlanReport) -> String {
    let moved: usize = report.moves.iter().map(|it| it.routes.len()).sum();
    let mut text = format!(
        "If {name} were {how} now: {} would move, {} stay.\n",
        counted(moved, "route"),
        report.routes as usize - moved
    );
    if !report.moves.is_empty() {
        let header = ["FROM", "TO", "COUNT", "ROUTES", "CONNECTIONS"];
        text += &table(&header, report.moves.iter().map(row));
    }
    if !report.ended.is_empty() {
        text += &format!(
            "\nThe connections that {name} keeps of routes {} would end with it.\n",
            report.ended
        );
    }
    text
}

fn row(it: &PlannedMove) -> [String; 5] {
    [
        or_dash(it.from.as_deref()),
        or_dash(it.to.as_deref()),
        it.routes.len().to_string(),
        it.routes.to_string(),
        match it.drain_ms {
            0 => "end".to_owned(),
            ms => format!("stay for {}", seconds(ms)),
        },
    ]
}
