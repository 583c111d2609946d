//! `halodctl kernel show`.

use std::collections::BTreeMap;

use halod_netlink::{Client, Listener, Node, Table};
use halod_routes::RouteSet;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Output, counted, or_dash, table};

/// What the kernel holds.
#[derive(Serialize)]
struct Report {
    /// The module's version.
    version: String,
    /// The table's version.
    generation: u64,
    /// Number of routes.
    routes: u32,
    listeners: Vec<Listener>,
    nodes: Vec<Node>,
    runs: Vec<Run>,
}

/// The routes of one node.
#[derive(Serialize)]
struct Run {
    /// Its id; none drops their packets.
    node: Option<u32>,
    routes: RouteSet,
}

pub async fn run(output: &mut Output) -> Result<(), Failure> {
    let mut kernel = Client::connect()?;
    let version = kernel.status().await?.version;
    let table = kernel.table().await?;
    output.result(&report(version, table), text)
}

fn report(version: String, table: Table) -> Report {
    let mut by_node: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (route, &node) in (1..).zip(&table.routes) {
        by_node.entry(node).or_default().push(route);
    }
    let runs = by_node.into_iter().map(|(node, routes)| Run {
        node: Some(node).filter(|&node| node != 0),
        routes: routes.into_iter().collect(),
    });
    Report {
        version,
        generation: table.generation,
        routes: table.routes.len() as u32,
        runs: runs.collect(),
        listeners: table.listeners,
        nodes: table.nodes,
    }
}

fn text(report: &Report) -> String {
    let head = format!(
        "Module {}, generation {}, {}\n",
        report.version,
        report.generation,
        counted(report.routes as usize, "route")
    );
    if report.routes == 0 {
        return head + "The table is empty.\n";
    }
    let listeners = report
        .listeners
        .iter()
        .zip(0u32..)
        .map(|(listener, index)| {
            [
                index.to_string(),
                listener.name.clone(),
                listener.address.to_string(),
                listener.protocol.to_string(),
                listener.port.to_string(),
                listener.node_port.unwrap_or(listener.port).to_string(),
            ]
        });
    let nodes = report.nodes.iter().map(|node| {
        let addresses: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
        let targets = node
            .targets
            .iter()
            .map(|(listener, port)| format!("{listener}:{port}"));
        let targets: Vec<String> = targets.collect();
        [
            node.id.to_string(),
            node.name.clone(),
            addresses.join(" "),
            targets.join(" "),
        ]
    });
    let runs = report.runs.iter().map(|run| {
        let name = report.nodes.iter().find(|node| Some(node.id) == run.node);
        [
            or_dash(run.node),
            or_dash(name.map(|node| node.name.as_str())),
            run.routes.len().to_string(),
            run.routes.to_string(),
        ]
    });
    [
        head,
        table(
            &[
                "LISTENER", "NAME", "ADDRESS", "PROTOCOL", "PORT", "ON NODES",
            ],
            listeners,
        ),
        table(&["NODE", "NAME", "ADDRESSES", "OTHER PORTS"], nodes),
        table(&["NODE", "NAME", "COUNT", "ROUTES"], runs),
    ]
    .join("\n")
}
