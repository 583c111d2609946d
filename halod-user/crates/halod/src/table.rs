//! The cluster's table in the kernel's terms.

use std::collections::{BTreeMap, HashSet};

use halod_cluster::{Cluster, FastPath, Former, ListenerInfo, NodeId, RouteId, Time, node_port};
use halod_netlink::{Drain, Listener, Node, Table};
use halod_proto::{Deliver, Protocol, Select};

/// The whole table that the cluster has decided on, with the time that drains have left at `now`.
/// The nodes that fill a slot are in it, and those that keep connections of draining routes.
pub fn table(cluster: &Cluster, now: Time) -> Table {
    let listeners = &cluster.config().listeners;
    let node_of = |route| cluster.node_of(route).map_or(0, |node| node.0);
    let drains: Vec<Drain> = cluster
        .drains()
        .filter_map(|(route, formers)| drain(route, cluster.node_of(route), formers, now))
        .collect();
    let keeping: HashSet<u32> = drains
        .iter()
        .flat_map(|drain| drain.formers.iter().map(|former| former.node))
        .collect();
    Table {
        generation: cluster.generation(),
        routes: (1..=cluster.routes()).map(node_of).collect(),
        listeners: listeners.iter().map(kernel_listener).collect(),
        nodes: cluster
            .nodes()
            .filter(|node| node.slot.is_some() || keeping.contains(&node.id.0))
            .map(|node| Node {
                id: node.id.0,
                name: node.name.to_string(),
                addresses: node.addresses.clone(),
                targets: targets(listeners, &node.ports),
            })
            .collect(),
        drains,
        select_key: Some(cluster.config().select_key.0),
        fast_path: match cluster.config().fast_path {
            FastPath::Off => halod_netlink::FastPath::Off,
            FastPath::Auto => halod_netlink::FastPath::Auto,
            FastPath::On => halod_netlink::FastPath::On,
        },
    }
}

/// A route's drain; none where no former node has time left.
fn drain(route: RouteId, node: Option<NodeId>, formers: &[Former], now: Time) -> Option<Drain> {
    let left = |until: Time| u32::try_from(until.since(now)).unwrap_or(u32::MAX);
    let others = formers.iter().filter(|former| Some(former.node) != node);
    let longest = others.map(|former| left(former.until)).max()?;
    let udp_left_ms = formers.first().map_or(0, |oldest| left(oldest.udp_until));
    let formers: Vec<halod_netlink::Former> = formers
        .iter()
        .map(|former| halod_netlink::Former {
            node: former.node.0,
            // The route's own node is among them for the sake of the others, as long as they are.
            left_ms: if Some(former.node) == node {
                longest
            } else {
                left(former.until)
            },
        })
        .filter(|former| former.left_ms > 0)
        .collect();
    (!formers.is_empty()).then_some(Drain {
        route,
        formers,
        udp_left_ms,
    })
}

fn kernel_listener(listener: &ListenerInfo) -> Listener {
    Listener {
        name: listener.name.clone(),
        address: listener.address,
        protocol: match listener.protocol {
            Protocol::Tcp => halod_netlink::Protocol::Tcp,
            Protocol::Udp => halod_netlink::Protocol::Udp,
        },
        port: listener.port,
        node_port: listener.node_port,
        select: match listener.select {
            Select::Port => halod_netlink::Select::Port,
            Select::Source => halod_netlink::Select::Source,
            Select::Flow => halod_netlink::Select::Flow,
        },
        deliver: match listener.deliver {
            Deliver::Nat => halod_netlink::Deliver::Nat,
            Deliver::Dsr => halod_netlink::Deliver::Dsr,
            Deliver::Ipip => halod_netlink::Deliver::Ipip,
        },
    }
}

/// The listeners, by index, for which a node has its own port.
fn targets(listeners: &[ListenerInfo], ports: &BTreeMap<String, u16>) -> Vec<(u32, u16)> {
    (0..)
        .zip(listeners)
        .map(|(index, listener)| (index, listener, node_port(listener, ports)))
        .filter(|(_, listener, port)| *port != listener.node_port.unwrap_or(listener.port))
        .map(|(index, _, port)| (index, port))
        .collect()
}

/// A node's own ports, by the name of the listener: the reverse of what a [`Table`] holds.
pub fn own_ports(table: &Table, node: &Node) -> BTreeMap<String, u16> {
    node.targets
        .iter()
        .filter_map(|&(index, port)| {
            let listener = table.listeners.get(usize::try_from(index).ok()?)?;
            Some((listener.name.clone(), port))
        })
        .collect()
}

/// Whether two tables have the same listeners in the same order, however they say it.
pub fn same_listeners(a: &Table, b: &Table) -> bool {
    let plain = |listeners: &[Listener]| -> Vec<Listener> {
        let explicit = |l: &Listener| Listener {
            node_port: Some(l.node_port.unwrap_or(l.port)),
            ..l.clone()
        };
        listeners.iter().map(explicit).collect()
    };
    plain(&a.listeners) == plain(&b.listeners)
}

/// Whether two tables send every route to the same node at the same addresses and own ports.
/// Drains may differ: they end by themselves.
pub fn same_nodes(a: &Table, b: &Table) -> bool {
    let plain = |table: &Table| -> BTreeMap<u32, _> {
        let node = |n: &Node| {
            let mut addresses = n.addresses.clone();
            addresses.sort_unstable();
            (n.id, (n.name.clone(), addresses, own_ports(table, n)))
        };
        // A node without routes makes no difference.
        let used: HashSet<u32> = table.routes.iter().copied().collect();
        let nodes = table.nodes.iter().filter(|n| used.contains(&n.id));
        nodes.map(node).collect()
    };
    a.routes == b.routes && plain(a) == plain(b)
}
