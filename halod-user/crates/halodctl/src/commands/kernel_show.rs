//! `halodctl kernel show`.

use std::collections::BTreeMap;

use halod_netlink::{Client, Former, Listener, Node, Status, Table};
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
    drains: Vec<Draining>,
    /// Connections of draining routes that are remembered, more or less.
    flows: u32,
    /// Room for such connections.
    flow_slots: u32,
}

/// The routes of one node.
#[derive(Serialize)]
struct Run {
    /// Its id; none drops their packets.
    node: Option<u32>,
    routes: RouteSet,
}

/// Routes that drain alike.
#[derive(Serialize)]
struct Draining {
    routes: RouteSet,
    /// Their former nodes from the oldest on, with the time left in whole seconds, begun ones too.
    formers: Vec<Former>,
    /// The same for UDP with the oldest of them.
    udp_left_ms: u32,
}

pub async fn run(output: &mut Output) -> Result<(), Failure> {
    let mut kernel = Client::connect()?;
    let status = kernel.status().await?;
    let table = kernel.table().await?;
    output.result(&report(status, table), text)
}

fn report(status: Status, table: Table) -> Report {
    let mut by_node: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (route, &node) in (1..).zip(&table.routes) {
        by_node.entry(node).or_default().push(route);
    }
    let runs = by_node.into_iter().map(|(node, routes)| Run {
        node: Some(node).filter(|&node| node != 0),
        routes: routes.into_iter().collect(),
    });
    Report {
        version: status.version,
        generation: table.generation,
        routes: table.routes.len() as u32,
        runs: runs.collect(),
        drains: drains(&table),
        flows: status.flows,
        flow_slots: status.flow_slots,
        listeners: table.listeners,
        nodes: table.nodes,
    }
}

/// The drains of a table, those of the same nodes and times together.
fn drains(table: &Table) -> Vec<Draining> {
    let whole_seconds = |ms: u32| ms.div_ceil(1000).saturating_mul(1000);
    let mut alike: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for drain in &table.drains {
        let formers = drain.formers.iter();
        let formers: Vec<(u32, u32)> = formers
            .map(|former| (former.node, whole_seconds(former.left_ms)))
            .collect();
        let key = (formers, whole_seconds(drain.udp_left_ms));
        alike.entry(key).or_default().push(drain.route);
    }
    let alike = alike.into_iter();
    alike
        .map(|((formers, udp_left_ms), routes)| Draining {
            routes: routes.into_iter().collect(),
            formers: formers
                .into_iter()
                .map(|(node, left_ms)| Former { node, left_ms })
                .collect(),
            udp_left_ms,
        })
        .collect()
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
                listener.select.to_string(),
                listener.deliver.to_string(),
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
    let name = |id: u32| {
        let node = report.nodes.iter().find(|node| node.id == id);
        node.map(|node| node.name.as_str())
    };
    let runs = report.runs.iter().map(|run| {
        [
            or_dash(run.node),
            or_dash(run.node.and_then(name)),
            run.routes.len().to_string(),
            run.routes.to_string(),
        ]
    });
    let drains = report.drains.iter().map(|drain| {
        let formers: Vec<String> = drain
            .formers
            .iter()
            .map(|former| {
                let name = name(former.node).map_or_else(|| former.node.to_string(), str::to_owned);
                format!("{name} {} s", former.left_ms / 1000)
            })
            .collect();
        [
            formers.join(", "),
            match drain.udp_left_ms {
                0 => or_dash(None::<u32>),
                left => format!("{} s", left / 1000),
            },
            drain.routes.len().to_string(),
            drain.routes.to_string(),
        ]
    });
    let mut parts = vec![
        head,
        table(
            &[
                "LISTENER", "NAME", "ADDRESS", "PROTOCOL", "PORT", "ON NODES", "ROUTE BY",
                "DELIVER",
            ],
            listeners,
        ),
        table(&["NODE", "NAME", "ADDRESSES", "OTHER PORTS"], nodes),
        table(&["NODE", "NAME", "COUNT", "ROUTES"], runs),
    ];
    if !report.drains.is_empty() {
        let header = ["DRAINING FROM, OLDEST FIRST", "UDP", "COUNT", "ROUTES"];
        parts.push(table(&header, drains));
        parts.push(format!(
            "{} of these routes remembered, room for {}\n",
            counted(report.flows as usize, "connection"),
            report.flow_slots
        ));
    }
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use halod_netlink::Drain;

    use super::*;

    #[test]
    fn routes_that_drain_alike_are_one_line() {
        let node = |id: u32| Node {
            id,
            name: format!("n{id}"),
            addresses: vec![[192, 0, 2, id as u8].into()],
            targets: Vec::new(),
        };
        let drain = |route, lefts: &[(u32, u32)], udp_left_ms| Drain {
            route,
            formers: lefts
                .iter()
                .map(|&(node, left_ms)| Former { node, left_ms })
                .collect(),
            udp_left_ms,
        };
        let table = Table {
            generation: 7,
            routes: vec![3, 3, 3, 0, 1],
            nodes: vec![node(1), node(2), node(3)],
            drains: vec![
                drain(1, &[(1, 41_990), (2, 60_000)], 0),
                drain(2, &[(1, 4)], 3),
                drain(3, &[(1, 42_000), (2, 59_996)], 0),
                drain(4, &[(1, 1_001)], 0),
            ],
            ..Table::default()
        };
        let status = Status {
            version: "0".into(),
            generation: 7,
            routes: 5,
            listeners: 0,
            nodes: 3,
            draining: 4,
            flows: 1,
            flow_slots: 64,
        };
        let report = report(status, table);
        let text = text(&report);
        let rows: Vec<String> = text
            .lines()
            .skip_while(|line| !line.starts_with("DRAINING"))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            rows,
            [
                "DRAINING FROM, OLDEST FIRST UDP COUNT ROUTES",
                "n1 1 s 1 s 1 2",
                "n1 2 s - 1 4",
                "n1 42 s, n2 60 s - 2 1,3",
                "",
                "1 connection of these routes remembered, room for 64",
            ]
        );
        let json = serde_json::to_value(&report).expect("JSON");
        let formers =
            serde_json::json!([{"node": 1, "left_ms": 42_000}, {"node": 2, "left_ms": 60_000}]);
        assert_eq!(json["drains"][2]["formers"], formers);
        assert_eq!(json["flow_slots"], 64);
    }
}
