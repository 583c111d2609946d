//! `halodctl status`.

use std::fmt::Write;

use halod_control::{KernelReport, KernelState, Request, StatusReport};

use crate::cli::Cli;
use crate::daemon::ask;
use crate::failure::Failure;
use crate::output::{Output, clean, counted, seconds};

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
    if report.draining_routes > 0 {
        lines.push(("Drains", drains(report)));
    }
    if report.held_back > 0 {
        let nodes = counted(report.held_back as usize, "node");
        let text = format!("{nodes}, lost too often; see `halodctl nodes`");
        lines.push(("Held back", text));
    }
    if let Some(why) = &report.scaling {
        lines.push(("Scaling", why.clone()));
    }
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

fn drains(report: &StatusReport) -> String {
    let KernelReport {
        flows,
        flow_slots,
        forward_full,
        ..
    } = &report.kernel;
    let full = match forward_full {
        0 => String::new(),
        full => format!(", {full} found NO ROOM"),
    };
    let routes = counted(report.draining_routes as usize, "route");
    format!("{routes}, {flows} of {flow_slots} new connections remembered{full}")
}

fn daemon(report: &StatusReport) -> String {
    format!(
        "halod {}, process {}, up {}",
        report.version,
        report.pid,
        seconds(report.uptime_ms)
    )
}
