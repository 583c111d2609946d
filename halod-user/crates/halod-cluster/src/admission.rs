use halod_proto::{Hello, NodeState};
use halod_routes::RouteSet;

use crate::node::Standing;
use crate::outcome::Outcome;
use crate::{Cluster, ConnId, Node, NodeId, Notice, endpoints};

impl Cluster {
    /// A connection's first message.
    pub(crate) fn hello(
        &mut self,
        conn: ConnId,
        hello: Hello,
        token: String,
        outcome: &mut Outcome,
    ) {
        if self.members.of_conn(conn).is_some() {
            return self.second_hello(conn, outcome);
        }
        if let Err(reason) = self.acceptable(&hello) {
            outcome.close.push((conn, reason));
            return;
        }
        let known = self.members.named(&hello.name).map(|n| (n.id, n.state));
        match known {
            Some((id, NodeState::Lost)) => self.return_of_lost(id, conn, hello, token, outcome),
            Some((id, _)) => self.resume(id, conn, hello, token, outcome),
            None => self.register(conn, hello, token, outcome),
        }
    }

    pub(crate) fn second_hello(&mut self, conn: ConnId, outcome: &mut Outcome) {
        let reason = "a second hello on one connection; a connection says hello once";
        self.offend(conn, reason.to_owned(), outcome);
    }

    /// Checks a hello against the cluster; the error is for the node.
    fn acceptable(&self, hello: &Hello) -> Result<(), String> {
        hello.check().map_err(|error| error.to_string())?;
        let name = &hello.name;
        let known = self.members.named(name);
        if let Some(node) = known
            && node.state != NodeState::Lost
            && hello.resume.as_ref() != Some(&node.token)
            && (node.connected() || !node.token.is_empty())
        {
            return Err(format!(
                "name in use: there is a node {name} already, and the resume token is not its"
            ));
        }
        let max = self.config.max_nodes;
        if known.is_none()
            && self.members.iter().len() >= max as usize
            && self.members.oldest_lost().is_none()
        {
            return Err(format!(
                "the cluster is full: it has {max} nodes, none of them lost; raise max_nodes or \
                 remove a node"
            ));
        }
        let others = self
            .members
            .iter()
            .filter(|node| node.state != NodeState::Lost && node.name != *name);
        endpoints::check(&self.config, hello, others)
    }

    /// A node that was away, or whose former connection is still open: nothing moves.
    fn resume(
        &mut self,
        id: NodeId,
        conn: ConnId,
        hello: Hello,
        token: String,
        outcome: &mut Outcome,
    ) {
        if let Some(former) = self.members.set_conn(id, Some(conn)) {
            let reason = format!("{} has connected anew, with its token", hello.name);
            outcome.close.push((former, reason));
        }
        self.heard(id, self.now);
        if self.node(id).is_some_and(|node| node.leaving) {
            self.stays(id, hello.healthy, outcome);
        }
        let Some(node) = self.members.get_mut(id) else {
            return;
        };
        let state = node.state;
        let was_healthy = node.healthy;
        if node.token.is_empty() {
            node.token = token;
            outcome.save = true;
        }
        if node.addresses != hello.addresses || node.ports != hello.ports {
            node.addresses = hello.addresses;
            node.ports = hello.ports;
            outcome.save = true;
            if state == NodeState::Active || self.drains.legs_of(id) > 0 {
                outcome.republish = true;
                let cause = format!("{} has another address or port", hello.name);
                outcome.causes.push(cause);
            }
        }
        outcome.settle = true;
        outcome.welcome = Some(id);
        let node = hello.name;
        outcome.notices.push(Notice::NodeBack { node, state });
        match (was_healthy, hello.healthy) {
            (true, false) => self.unhealthy(id, "as its hello says".to_owned(), outcome),
            (false, true) => self.healthy(id, outcome),
            _ => {}
        }
        self.release(id, outcome);
    }

    /// A node that left has come back before it was gone: it is admitted as if it joined.
    fn stays(&mut self, id: NodeId, healthy: bool, outcome: &mut Outcome) {
        self.members.set_state(id, NodeState::Reserve, self.now);
        if let Some(node) = self.members.get_mut(id) {
            node.leaving = false;
            node.healthy = healthy;
            let cause = format!("{} has come back instead of leaving", node.name);
            outcome.causes.push(cause);
        }
        outcome.save = true;
        self.admit(id, outcome);
    }

    /// A node that was lost. It keeps its number; its place is not kept.
    fn return_of_lost(
        &mut self,
        id: NodeId,
        conn: ConnId,
        hello: Hello,
        token: String,
        outcome: &mut Outcome,
    ) {
        self.members.set_conn(id, Some(conn));
        self.members.set_state(id, NodeState::Reserve, self.now);
        if let Some(node) = self.members.get_mut(id) {
            // The same agent as before may still have users on the routes that it had, and hears
            // where they are now; one that knows nothing of its past has none.
            if hello.resume.as_ref() != Some(&node.token) {
                node.told = RouteSet::new();
                node.keeps = RouteSet::new();
            }
            node.addresses = hello.addresses;
            node.ports = hello.ports;
            node.healthy = hello.healthy;
            node.parked = false;
            node.load = None;
            node.token = token;
        }
        self.hold_back(id, outcome);
        self.joined(id, outcome);
    }

    /// A node of a new name.
    fn register(&mut self, conn: ConnId, hello: Hello, token: String, outcome: &mut Outcome) {
        if self.members.iter().len() >= self.config.max_nodes as usize
            && let Some(oldest) = self.members.oldest_lost()
            && let Some(Node { name: node, .. }) = self.forget(oldest)
        {
            outcome.notices.push(Notice::NodeForgotten { node });
        }
        let id = self.members.free_id();
        let turn = self.members.next_turn();
        self.members.insert(Node {
            id,
            name: hello.name,
            addresses: hello.addresses,
            ports: hello.ports,
            state: NodeState::Reserve,
            slot: None,
            conn: Some(conn),
            healthy: hello.healthy,
            parked: false,
            leaving: false,
            losses: 0,
            held_until: None,
            hold_ms: 0,
            since: self.now,
            load: None,
            token,
            turn,
            deadline: None,
            look: None,
            excused: false,
            probe: None,
            heartbeat: None,
            told: RouteSet::new(),
            keeps: RouteSet::new(),
            standing: Standing::default(),
        });
        self.joined(id, outcome);
    }

    fn joined(&mut self, id: NodeId, outcome: &mut Outcome) {
        self.heard(id, self.now);
        outcome.joined = Some(id);
        outcome.welcome = Some(id);
        outcome.settle = true;
        outcome.save = true;
        self.admit(id, outcome);
    }

    /// Decides whether a reserve node that has just become eligible stays in reserve.
    ///
    /// A vacant slot and `active_min` are looked after for every event, by `settle`; here it is
    /// only asked whether the reserve is full without it.
    pub(crate) fn admit(&mut self, id: NodeId, outcome: &mut Outcome) {
        outcome.settle = true;
        let eligible = self.node(id).is_some_and(Node::eligible);
        let short = self.slots.filled() < self.config.active_min as usize;
        if !eligible || short {
            return;
        }
        let waiting = self
            .members
            .iter()
            .filter(|node| node.in_reserve() && node.id != id);
        if waiting.count() >= self.config.reserve as usize {
            // With as many slots as routes there is no work for it: it waits.
            let _ = self.add_slot(id, outcome);
        }
    }
}
