use halod_proto::NodeState;
use halod_routes::SlotId;

use crate::outcome::Outcome;
use crate::{Cluster, ConnId, LossCause, NodeId, Notice, ProbeId};

/// Between two probes of an absent node.
const PROBE_PAUSE_MS: u32 = 50;

impl Cluster {
    /// A connection is gone. Its node may come back for a while; whether its application still
    /// answers is asked meanwhile, if there is anything at stake.
    pub(crate) fn closed(&mut self, conn: ConnId, outcome: &mut Outcome) {
        let Some(id) = self.members.of_conn(conn) else {
            return;
        };
        self.members.set_conn(id, None);
        if self.node(id).is_some_and(|node| node.leaving) {
            self.lose(id, LossCause::Leaving, outcome);
            return;
        }
        let rejoin_ms = self.config.rejoin_ms;
        if rejoin_ms == 0 {
            self.lose(id, LossCause::Closed, outcome);
            return;
        }
        let deadline = self.now.after(rejoin_ms.into());
        self.members.set_deadline(id, Some(deadline));
        let Some(node) = self.members.get_mut(id) else {
            return;
        };
        node.excused = false;
        if node.state == NodeState::Active {
            outcome.probe = Some((id, 0));
        }
        let node = node.name.clone();
        outcome.notices.push(Notice::NodeAway { node, rejoin_ms });
    }

    /// The answer to a probe.
    pub(crate) fn probed(&mut self, probe: ProbeId, reachable: bool, outcome: &mut Outcome) {
        let asked = self.members.iter().find(|node| node.probe == Some(probe));
        let Some(id) = asked.map(|node| node.id) else {
            return;
        };
        let Some(node) = self.members.get_mut(id) else {
            return;
        };
        node.probe = None;
        if node.connected() || node.state != NodeState::Active {
            return;
        }
        if reachable {
            outcome.probe = Some((id, PROBE_PAUSE_MS));
        } else {
            self.lose(id, LossCause::Unreachable, outcome);
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, outcome: &mut Outcome) {
        self.expect_nodes(outcome);
        self.look_after_timers(outcome);
        self.scale(outcome);
    }

    /// Nodes that are due are lost: the connected ones were silent, the others did not come back.
    ///
    /// A tick that is late by more than a heartbeat says that HaloD itself stood still, and that
    /// what nodes said meanwhile is perhaps not read yet. Then they get one more interval, once.
    fn expect_nodes(&mut self, outcome: &mut Outcome) {
        let heartbeat_ms = self.config.heartbeat_ms.into();
        let late_ms = self.next_deadline().map_or(0, |due| self.now.since(due));
        let late = late_ms > heartbeat_ms;
        if late {
            outcome.notices.push(Notice::TickLate { late_ms });
        }
        for (_, id) in self.members.due(self.now) {
            let Some(node) = self.members.get_mut(id) else {
                continue;
            };
            if late && !node.excused {
                node.excused = true;
                let deadline = self.now.after(heartbeat_ms);
                self.members.set_deadline(id, Some(deadline));
            } else if let Some(conn) = self.members.set_conn(id, None) {
                let silence_ms = self.config.silence_ms();
                let reason = format!("nothing heard from the node for {silence_ms} ms");
                outcome.close.push((conn, reason));
                self.lose(id, LossCause::Silent, outcome);
            } else {
                self.lose(id, LossCause::Closed, outcome);
            }
        }
    }

    /// A node cannot be used any more. Its record stays.
    pub(crate) fn lose(&mut self, id: NodeId, cause: LossCause, outcome: &mut Outcome) {
        // An unhealthy node is still there, and waits until it is healthy. What it drains may well
        // live on.
        let state = if cause == LossCause::Unhealthy {
            NodeState::Reserve
        } else {
            NodeState::Lost
        };
        let slot = self.withdraw(id, state, outcome);
        self.count_loss(id, cause);
        if state == NodeState::Lost {
            self.gone(id, outcome);
        }
        if let Some(node) = self.node(id) {
            let node = node.name.clone();
            outcome.causes.push(format!("{node} is lost: {cause}"));
            outcome.notices.push(Notice::NodeLost { node, slot, cause });
        }
    }

    /// Takes a node out of its slot, if it fills one, which `settle` then fills.
    pub(crate) fn withdraw(
        &mut self,
        id: NodeId,
        state: NodeState,
        outcome: &mut Outcome,
    ) -> Option<SlotId> {
        outcome.settle = true;
        outcome.save = true;
        self.members.set_state(id, state, self.now);
        self.end_hold(id);
        let node = self.members.get_mut(id)?;
        node.parked = false;
        let slot = node.slot.take()?;
        self.slots.vacate(slot);
        outcome.vacated = true;
        Some(slot)
    }

    /// Nothing is expected of a node any more, and nothing led to it.
    pub(crate) fn gone(&mut self, id: NodeId, outcome: &mut Outcome) {
        self.members.set_deadline(id, None);
        if let Some(node) = self.members.get_mut(id) {
            node.leaving = false;
        }
        outcome.republish |= self.drains.drop_node(id);
    }
}
