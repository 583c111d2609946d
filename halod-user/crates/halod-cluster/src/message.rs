use halod_proto::{NodeState, ToHalod};

use crate::outcome::Outcome;
use crate::{Cluster, ConnId, LossCause, NodeId, Notice, Time};

impl Cluster {
    /// A message of a connection after its hello, which came at `at`.
    pub(crate) fn message(
        &mut self,
        conn: ConnId,
        message: ToHalod,
        at: Time,
        outcome: &mut Outcome,
    ) {
        // Of a connection that the cluster has given up.
        let Some(id) = self.members.of_conn(conn) else {
            return;
        };
        self.heard(id, at);
        match message {
            ToHalod::Hello(_) => self.second_hello(conn, outcome),
            ToHalod::Heartbeat { seq, load } => {
                let Some(node) = self.members.heard_mut(id) else {
                    return;
                };
                match node.heartbeat {
                    Some(last) if seq <= last => {
                        let reason = format!(
                            "heartbeat {seq} after heartbeat {last}; seq rises by one with each"
                        );
                        self.offend(conn, reason, outcome);
                    }
                    _ => {
                        node.heartbeat = Some(seq);
                        node.load = load.or(node.load.take());
                    }
                }
            }
            ToHalod::Healthy => self.healthy(id, outcome),
            ToHalod::Unhealthy { reason } => self.unhealthy(id, reason, outcome),
            ToHalod::Drained { routes } => self.emptied(id, &routes, outcome),
            ToHalod::Leaving => self.leaves(id, outcome),
        }
    }

    /// Something of a connection came at `at`, which may be known already.
    pub(crate) fn spoke(&mut self, conn: ConnId, at: Time) {
        let id = self.members.of_conn(conn);
        let due = id.and_then(|id| self.node(id)?.deadline);
        if let Some(id) = id.filter(|_| due <= Some(at.after(self.config.silence_ms()))) {
            self.heard(id, at);
        }
    }

    /// A node has spoken: it may be silent for the full time from then on.
    pub(crate) fn heard(&mut self, id: NodeId, at: Time) {
        let deadline = at.after(self.config.silence_ms());
        self.members.set_deadline(id, Some(deadline));
        if let Some(node) = self.members.heard_mut(id) {
            node.excused = false;
        }
    }

    /// A node's application answers again: it is admitted as if it joined.
    pub(crate) fn healthy(&mut self, id: NodeId, outcome: &mut Outcome) {
        let Some(node) = self.members.get_mut(id).filter(|node| !node.healthy) else {
            return;
        };
        node.healthy = true;
        let (state, parked) = (node.state, node.parked);
        let node = node.name.clone();
        outcome.causes.push(format!("{node} is healthy"));
        outcome.notices.push(Notice::NodeHealthy { node });
        if state == NodeState::Draining {
            return;
        }
        outcome.settle = true;
        outcome.save = true;
        self.members.set_state(id, NodeState::Reserve, self.now);
        self.hold_back(id, outcome);
        if !parked {
            self.admit(id, outcome);
        }
    }

    /// A node's application does not answer: it gets no routes until it does.
    pub(crate) fn unhealthy(&mut self, id: NodeId, reason: String, outcome: &mut Outcome) {
        let Some(node) = self.members.get_mut(id).filter(|node| node.healthy) else {
            return;
        };
        node.healthy = false;
        let active = node.state == NodeState::Active;
        let node = node.name.clone();
        outcome.notices.push(Notice::NodeUnhealthy { node, reason });
        if active {
            self.lose(id, LossCause::Unhealthy, outcome);
        }
    }

    /// Ends a connection because of what came over it; its node, if it has one, is away then.
    pub(crate) fn offend(&mut self, conn: ConnId, reason: String, outcome: &mut Outcome) {
        outcome.close.push((conn, reason));
        self.closed(conn, outcome);
    }
}
