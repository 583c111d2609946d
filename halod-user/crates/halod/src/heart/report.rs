//! Answers to the control socket.

use std::collections::BTreeMap;

use halod_cluster::{Node, NodeState, Time};
use halod_control::{
    KernelReport, ListenerReport, NodeReport, Request, RouteReport, RouteRun, StatusReport,
};
use halod_routes::RouteSet;
use tokio::time::Instant;

use super::{Heart, Reply, ms};

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl<K> Heart<K> {
    /// The answer to a request that changes nothing.
    pub(super) fn report(&self, request: &Request) -> Reply {
        match request {
            Request::Status => Reply::ok(&self.status()),
            Request::Nodes => Reply::ok(&self.nodes()),
            Request::Routes => Reply::ok(&self.routes()),
            Request::Listeners => Reply::ok(&self.listeners()),
            Request::Watch => self.watch(),
            other => Reply::refused(&format!("not a question: {other:?}")),
        }
    }

    fn status(&self) -> StatusReport {
        let cluster = &self.cluster;
        let in_state = |state| count(cluster.nodes().filter(|n| n.state == state).count());
        let without = (1..=cluster.routes()).filter(|r| cluster.node_of(*r).is_none());
        StatusReport {
            cluster: cluster.config().cluster.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: cluster.generation(),
            kernel: KernelReport {
                state: self.in_kernel.state,
                generation: self.in_kernel.generation,
                version: self.in_kernel.version.clone(),
                reason: self.in_kernel.trouble().map(str::to_owned),
            },
            routes: cluster.routes(),
            routes_without_node: count(without.count()),
            slots: cluster.assignment().slots(),
            active: in_state(NodeState::Active),
            reserve: in_state(NodeState::Reserve),
            draining: in_state(NodeState::Draining),
            lost: in_state(NodeState::Lost),
            uptime_ms: ms(self.origin.elapsed()),
            connections: count(self.peers.len()),
            handshakes: self.handshakes.count(),
            pid: std::process::id(),
            store: self.store.display().to_string(),
            store_error: self.store_error.clone(),
        }
    }

    fn nodes(&self) -> Vec<NodeReport> {
        let now = Time(ms(Instant::now().saturating_duration_since(self.origin)));
        let mut nodes: Vec<NodeReport> = self
            .cluster
            .nodes()
            .map(|node| self.node(node, now))
            .collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes
    }

    fn node(&self, node: &Node, now: Time) -> NodeReport {
        let routes = node
            .slot
            .map(|slot| self.cluster.assignment().held_by(slot).collect());
        NodeReport {
            name: node.name.to_string(),
            id: node.id.0,
            state: node.state,
            slot: node.slot,
            addresses: node.addresses.clone(),
            routes: routes.unwrap_or_default(),
            connected: node.connected(),
            healthy: node.healthy,
            since_ms: now.since(node.since),
            load: node.load.clone(),
            peer: node
                .conn
                .and_then(|c| self.peers.get(c))
                .map(|p| p.address.to_string()),
        }
    }

    fn routes(&self) -> RouteReport {
        let cluster = &self.cluster;
        // By slot; routes without a node come last. A slot has one node, or none.
        let mut held: BTreeMap<(bool, Option<u32>), Vec<u32>> = BTreeMap::new();
        for route in 1..=cluster.routes() {
            let slot = cluster.assignment().slot_of(route);
            let vacant = cluster.node_of(route).is_none();
            held.entry((vacant, slot)).or_default().push(route);
        }
        let name = |slot| Some(cluster.node(cluster.slot_node(slot)?)?.name.to_string());
        let run = |((_, slot), routes): ((bool, Option<u32>), Vec<u32>)| {
            let node = slot.and_then(name);
            let routes: RouteSet = routes.into_iter().collect();
            RouteRun { routes, node, slot }
        };
        RouteReport {
            generation: cluster.generation(),
            routes: cluster.routes(),
            runs: held.into_iter().map(run).collect(),
        }
    }

    fn listeners(&self) -> Vec<ListenerReport> {
        let last = u16::try_from(self.cluster.routes() - 1).unwrap_or(u16::MAX);
        let listeners = self.cluster.config().listeners.iter();
        listeners
            .map(|l| ListenerReport {
                name: l.name.clone(),
                address: l.address,
                protocol: l.protocol.to_string(),
                port: l.port,
                last_port: l.port.saturating_add(last),
                node_port: l.node_port.unwrap_or(l.port),
            })
            .collect()
    }
}
