//! `halodctl status`.

use std::fmt::Write;
use std::time::Duration;

use halod_control::{KernelState, Request, StatusReport};

use crate::cli::Cli;
use crate::daemon::ask;
use crate::failure::Failure;
use crate::output::{Output, clean, counted};

pub async fn run(cli: &Cli, output: &mut Output) -> Result<(), Failure> {
    let report: StatusReport = ask(cli, &Request::Status).await?;
    output.result(&report, text)
}

fn text(report: &StatusReport) -> String {
    let mut lines = vec![
        ("Cluster", report.cluster.clone()),
        ("Generation", report.generation.to_string()),
        ("Routes", routes(report)),
        ("Nodes", nodes(report)),
        ("Kernel", kernel(report)),
        ("Connections", connections(report)),
        ("Store", report.store.clone()),
        ("Daemon", daemon(report)),
    ];
    if let Some(error) = &report.store_error {
        lines.push(("Store failed", error.clone()));
    }
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name:<14}{}", clean(value));
        text
    })
}

fn routes(report: &StatusReport) -> String {
    let slots = counted(report.slots as usize, "slot");
    match report.routes_without_node {
        0 => format!("{} in {slots}", report.routes),
        none => format!("{} in {slots}, {none} WITHOUT NODE", report.routes),
    }
}

fn nodes(report: &StatusReport) -> String {
    let StatusReport {
        active,
        reserve,
        draining,
        lost,
        ..
    } = report;
    format!("{active} active, {reserve} reserve, {draining} draining, {lost} lost")
}

fn kernel(report: &StatusReport) -> String {
    let kernel = &report.kernel;
    let state = match kernel.state {
        KernelState::InStep => "in step",
        KernelState::OutOfStep => "OUT OF STEP",
        KernelState::Failed => "FAILED",
    };
    let reason = kernel
        .reason
        .as_ref()
        .map_or(String::new(), |reason| format!(": {reason}"));
    format!(
        "{state}, generation {}, module {}{reason}",
        kernel.generation, kernel.version
    )
}

fn connections(report: &StatusReport) -> String {
    let nodes = counted(report.connections as usize, "node");
    format!("{nodes}, {} without hello yet", report.handshakes)
}

fn daemon(report: &StatusReport) -> String {
    let uptime = Duration::from_secs(report.uptime_ms / 1000);
    format!(
        "halod {}, process {}, up {}",
        report.version,
        report.pid,
        humantime::format_duration(uptime)
    )
}
