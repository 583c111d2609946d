//! Answers to the control socket.

use std::collections::{BTreeMap, HashMap};

use halod_cluster::{Node, NodeId, NodeState, RouteId, Select, Time};
use halod_control::{
    DrainRun, Failover, FormerReport, KernelReport, ListenerReport, NodeReport, Request,
    RouteReport, RouteRun, ScalingReport, StatusReport,
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
            Request::Scaling => Reply::ok(&self.scaling()),
            Request::Plan { name, how } => match self.plan(name, *how) {
                Ok(plan) => Reply::ok(&plan),
                Err(reason) => Reply::refused(&reason),
            },
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
                version: self.in_kernel.status.version.clone(),
                draining: self.in_kernel.status.draining,
                flows: self.in_kernel.status.flows,
                flow_slots: self.in_kernel.status.flow_slots,
                forward_full: self.in_kernel.forward_full.unwrap_or(0),
                reason: self.in_kernel.trouble().map(str::to_owned),
            },
            routes: cluster.routes(),
            routes_without_node: count(without.count()),
            draining_routes: count(cluster.drains().count()),
            slots: cluster.assignment().slots(),
            active: in_state(NodeState::Active),
            reserve: in_state(NodeState::Reserve),
            draining: in_state(NodeState::Draining),
            lost: in_state(NodeState::Lost),
            held_back: count(cluster.nodes().filter(|n| n.held_until.is_some()).count()),
            scaling: self.scaling().map(|scaling| scaling.why),
            uptime_ms: ms(self.origin.elapsed()),
            connections: count(self.peers.len()),
            handshakes: self.handshakes.count(),
            pid: std::process::id(),
            store: self.store.display().to_string(),
            store_error: self.store_error.clone(),
        }
    }

    fn nodes(&self) -> Vec<NodeReport> {
        let now = self.time(Instant::now());
        let mut keeps: HashMap<NodeId, Keeps> = HashMap::new();
        for (route, former) in self.cluster.drains().flat_map(|(route, formers)| {
            let kept = formers
                .iter()
                .filter(move |f| self.cluster.node_of(route) != Some(f.node));
            kept.map(move |former| (route, former))
        }) {
            let keeps = keeps.entry(former.node).or_default();
            keeps.routes.push(route);
            keeps.until = keeps.until.max(former.until);
        }
        let mut nodes: Vec<NodeReport> = self
            .cluster
            .nodes()
            .map(|node| self.node(node, keeps.remove(&node.id).unwrap_or_default(), now))
            .collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes
    }

    fn node(&self, node: &Node, keeps: Keeps, now: Time) -> NodeReport {
        let routes = node
            .slot
            .map(|slot| self.cluster.assignment().held_by(slot).collect());
        let draining: RouteSet = keeps.routes.into_iter().collect();
        NodeReport {
            name: node.name.to_string(),
            id: node.id.0,
            state: node.state,
            slot: node.slot,
            addresses: node.addresses.clone(),
            routes: routes.unwrap_or_default(),
            drain_left_ms: (!draining.is_empty()).then(|| keeps.until.since(now)),
            leaving: node.leaving,
            losses: node.losses,
            held_ms: node.held_until.map(|until| until.since(now)),
            why: why_not_at_work(node, &draining),
            draining,
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
            failover: match cluster.config().failover {
                halod_cluster::Failover::Replace => Failover::Replace,
                halod_cluster::Failover::Minimal => Failover::Minimal,
            },
            runs: held.into_iter().map(run).collect(),
            drains: self.drains(),
        }
    }

    /// Routes with the same former nodes and the same times together.
    fn drains(&self) -> Vec<DrainRun> {
        let now = self.time(Instant::now());
        let mut groups: BTreeMap<Vec<(NodeId, Time)>, Vec<RouteId>> = BTreeMap::new();
        for (route, formers) in self.cluster.drains() {
            let key = formers.iter().map(|f| (f.node, f.until)).collect();
            groups.entry(key).or_default().push(route);
        }
        let former = |(node, until): (NodeId, Time)| FormerReport {
            node: self.name(node),
            left_ms: until.since(now),
        };
        let run = |(formers, routes): (Vec<_>, Vec<RouteId>)| DrainRun {
            routes: routes.into_iter().collect(),
            formers: formers.into_iter().map(former).collect(),
        };
        groups.into_iter().map(run).collect()
    }

    /// A node's name, for people.
    pub(super) fn name(&self, id: NodeId) -> String {
        match self.cluster.node(id) {
            Some(node) => node.name.to_string(),
            None => format!("node {id}"),
        }
    }

    fn scaling(&self) -> Option<ScalingReport> {
        let report = self.cluster.scaling()?;
        let now = self.time(Instant::now());
        Some(ScalingReport {
            by: report.by.to_string(),
            total: report.total,
            up_at: report.up_at,
            down_at: report.down_at,
            why: report.why,
            last_step_ms: report.last_step.map(|at| now.since(at)),
            last_why: report.last_why,
        })
    }

    fn listeners(&self) -> Vec<ListenerReport> {
        let more = |select: Select| {
            let ports = select.ports(self.cluster.routes());
            u16::try_from(ports - 1).unwrap_or(u16::MAX)
        };
        let listeners = self.cluster.config().listeners.iter();
        listeners
            .map(|l| ListenerReport {
                name: l.name.clone(),
                address: l.address,
                protocol: l.protocol.to_string(),
                port: l.port,
                last_port: l.port.saturating_add(more(l.select)),
                node_port: l.node_port.unwrap_or(l.port),
                select: l.select,
                deliver: l.deliver,
            })
            .collect()
    }
}

/// The routes that a node has left and keeps connections of.
#[derive(Default)]
struct Keeps {
    routes: Vec<RouteId>,
    /// The latest end.
    until: Time,
}

/// Why a node is not put to work, in words; `keeps` are the routes that it keeps connections of.
fn why_not_at_work(node: &Node, keeps: &RouteSet) -> Option<String> {
    let why = match node.state {
        NodeState::Active | NodeState::Lost => return None,
        NodeState::Draining if node.leaving => "it leaves",
        NodeState::Draining if keeps.is_empty() => "drained: it may stop",
        NodeState::Draining => "an operator drains it",
        NodeState::Reserve if !node.connected() => "away: not connected",
        NodeState::Reserve if !node.healthy => "its application does not answer",
        NodeState::Reserve if node.held_until.is_some() => "held back: lost too often",
        NodeState::Reserve if node.parked => "an operator put it into reserve",
        NodeState::Reserve => "not needed now",
    };
    Some(why.to_owned())
}
