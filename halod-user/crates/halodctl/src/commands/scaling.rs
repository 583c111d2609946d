//! `halodctl scaling`.

use halod_control::{Request, ScalingReport};

use crate::cli::Cli;
use crate::daemon::ask;
use crate::failure::Failure;
use crate::output::{Output, clean, seconds};

pub async fn run(cli: &Cli, output: &mut Output) -> Result<(), Failure> {
    let report: Option<ScalingReport> = ask(cli, &Request::Scaling).await?;
    output.result(&report, |report| match report {
        Some(report) => text(report),
        None => "Scaling is off: halod's configuration has no [scale].\n".to_owned(),
    })
}

fn text(report: &ScalingReport) -> String {
    let measure = match report.by.as_str() {
        "connections" => "Connections",
        _ => "Load",
    };
    let last = match (report.last_step_ms, &report.last_why) {
        (Some(ms), Some(why)) => format!("{} ago: {}", seconds(ms), clean(why)),
        _ => "none yet".to_owned(),
    };
    format!(
        "{}\n\n{measure:<14}{} in all; up above {} a node, down below {}\nLast step     {last}\n",
        clean(&report.why),
        report.total,
        report.up_at,
        report.down_at
    )
}
