//! `halodctl nodes`.

use std::time::Duration;

use halod_control::{NodeReport, Request};

use crate::cli::Cli;
use crate::daemon::ask;
use crate::failure::Failure;
use crate::output::{Output, or_dash, table};

const HEADER: [&str; 9] = [
    "NAME",
    "ID",
    "STATE",
    "FOR",
    "SLOT",
    "COUNT",
    "ROUTES",
    "ADDRESSES",
    "NOTE",
];

pub async fn run(cli: &Cli, output: &mut Output) -> Result<(), Failure> {
    let nodes: Vec<NodeReport> = ask(cli, &Request::Nodes).await?;
    output.result(&nodes, |nodes| {
        if nodes.is_empty() {
            return "No node has registered.\n".to_owned();
        }
        table(&HEADER, nodes.iter().map(row))
    })
}

fn row(node: &NodeReport) -> [String; 9] {
    let addresses: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
    let routes = Some(&node.routes).filter(|routes| !routes.is_empty());
    [
        node.name.clone(),
        node.id.to_string(),
        node.state.to_string(),
        humantime::format_duration(Duration::from_secs(node.since_ms / 1000)).to_string(),
        or_dash(node.slot),
        node.routes.len().to_string(),
        or_dash(routes),
        addresses.join(" "),
        note(node),
    ]
}

/// What is out of the ordinary, and the load.
fn note(node: &NodeReport) -> String {
    let mut notes = Vec::new();
    if !node.connected {
        notes.push("not connected".to_owned());
    }
    if !node.healthy {
        notes.push("unhealthy".to_owned());
    }
    if let Some(load) = &node.load {
        notes.push(format!("{} connections", load.connections));
        notes.extend(load.value.map(|value| format!("load {value}")));
    }
    notes.join(", ")
}
