//! `halodctl nodes`.

use halod_control::{NodeReport, Request};
use halod_routes::RouteSet;

use crate::cli::Cli;
use crate::daemon::ask;
use crate::failure::Failure;
use crate::output::{Output, or_dash, seconds, table};

const HEADER: [&str; 12] = [
    "NAME",
    "ID",
    "STATE",
    "FOR",
    "SLOT",
    "COUNT",
    "ROUTES",
    "KEEPS",
    "LEFT",
    "CONNECTIONS",
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

fn row(node: &NodeReport) -> [String; 12] {
    let addresses: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
    let some = |routes: &RouteSet| or_dash(Some(routes).filter(|routes| !routes.is_empty()));
    [
        node.name.clone(),
        node.id.to_string(),
        node.state.to_string(),
        seconds(node.since_ms),
        or_dash(node.slot),
        node.routes.len().to_string(),
        some(&node.routes),
        some(&node.draining),
        or_dash(node.drain_left_ms.map(seconds)),
        or_dash(node.load.as_ref().map(|load| load.connections)),
        addresses.join(" "),
        note(node),
    ]
}

/// What is out of the ordinary, and the load.
fn note(node: &NodeReport) -> String {
    let mut notes = Vec::new();
    match &node.why {
        Some(why) => notes.push(why.clone()),
        None => {
            let odd = [
                (!node.connected, "not connected"),
                (!node.healthy, "unhealthy"),
            ];
            notes.extend(
                odd.iter()
                    .filter(|(is, _)| *is)
                    .map(|(_, it)| it.to_string()),
            );
        }
    }
    if node.losses > 0 {
        notes.push(format!("lost {} lately", times(node.losses)));
    }
    let value = node.load.as_ref().and_then(|load| load.value);
    notes.extend(value.map(|value| format!("load {value}")));
    notes.join(", ")
}

fn times(number: u32) -> String {
    match number {
        1 => "once".to_owned(),
        more => format!("{more} times"),
    }
}
