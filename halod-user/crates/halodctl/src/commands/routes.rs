//! `halodctl routes`.

use halod_control::{DrainRun, Request, RouteReport};
use halod_routes::MAX_ROUTES;

use crate::cli::{Cli, When};
use crate::daemon::ask;
use crate::failure::Failure;
use crate::map;
use crate::output::{Output, counted, or_dash, seconds, table};

/// Most routes that are drawn unasked: 40 lines.
const MOST_DRAWN: u32 = 40 * map::ROUTES_A_LINE as u32;

pub async fn run(cli: &Cli, when: When, output: &mut Output) -> Result<(), Failure> {
    let report: RouteReport = ask(cli, &Request::Routes).await?;
    if report.routes > MAX_ROUTES {
        return Err(Failure::Failed(format!(
            "halod tells of {} routes; there are at most {MAX_ROUTES}",
            report.routes
        )));
    }
    let draw = match when {
        When::Auto => report.routes <= MOST_DRAWN,
        When::Always => true,
        When::Never => false,
    };
    output.result(&report, |report| text(report, draw))
}

fn text(report: &RouteReport, draw: bool) -> String {
    let mut text = format!(
        "Generation {}, {}\n\n",
        report.generation,
        counted(report.routes as usize, "route")
    );
    if draw {
        text += &map::draw(&slots(report));
        text += "\n";
    }
    let rows = report.runs.iter().map(|run| {
        let slot = run.slot.filter(|_| run.node.is_some());
        [
            map::sign(slot).to_string(),
            or_dash(run.slot),
            or_dash(run.node.as_deref()),
            run.routes.len().to_string(),
            run.routes.to_string(),
        ]
    });
    text += &table(&["MAP", "SLOT", "NODE", "COUNT", "ROUTES"], rows);
    if !report.drains.is_empty() {
        text += "\nConnections from before a move:\n";
        let rows = report.drains.iter().flat_map(drain);
        text += &table(&["KEPT BY", "FOR", "COUNT", "ROUTES"], rows);
    }
    text
}

/// One row a node that keeps connections.
fn drain(run: &DrainRun) -> impl Iterator<Item = [String; 4]> {
    run.formers.iter().map(|former| {
        [
            former.node.clone(),
            seconds(former.left_ms),
            run.routes.len().to_string(),
            run.routes.to_string(),
        ]
    })
}

/// The slot of each route that has a node.
fn slots(report: &RouteReport) -> Vec<Option<u32>> {
    let mut slots = vec![None; report.routes as usize];
    for run in report.runs.iter().filter(|run| run.node.is_some()) {
        for route in run.routes.iter() {
            if let Some(slot) = slots.get_mut((route as usize).wrapping_sub(1)) {
                *slot = run.slot;
            }
        }
    }
    slots
}
