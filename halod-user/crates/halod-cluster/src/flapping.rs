//! Nodes that are lost again and again are held back, for longer each time.

use std::collections::{BTreeMap, BTreeSet};

use halod_proto::NodeState;

use crate::outcome::Outcome;
use crate::{Cluster, LossCause, NodeId, Notice, Time};

/// At most one moment a node, found by what is due next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    of: BTreeMap<NodeId, Time>,
    due: BTreeSet<(Time, NodeId)>,
}

impl Timers {
    pub(crate) fn set(&mut self, id: NodeId, at: Option<Time>) {
        let former = match at {
            Some(at) => self.of.insert(id, at),
            None => self.of.remove(&id),
        };
        if let Some(former) = former {
            self.due.remove(&(former, id));
        }
        self.due.extend(at.map(|at| (at, id)));
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.due.first().map(|&(at, _)| at)
    }

    fn take_due(&mut self, now: Time) -> Vec<NodeId> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        let due: Vec<NodeId> = due.map(|&(_, id)| id).collect();
        due.iter().for_each(|id| self.set(*id, None));
        due
    }
}

impl Cluster {
    /// Remembers a loss. From the second in a row on, it has a price when the node is back.
    pub(crate) fn count_loss(&mut self, id: NodeId, cause: LossCause) {
        let (hold_ms, max_ms) = (self.config.hold_back_ms, self.config.hold_back_max_ms);
        let by_itself = matches!(cause, LossCause::Leaving | LossCause::Removed);
        let Some(node) = self.members.get_mut(id) else {
            return;
        };
        if by_itself || hold_ms == 0 {
            return;
        }
        node.losses = node.losses.saturating_add(1);
        node.hold_ms = match node.losses.checked_sub(2) {
            Some(doublings) => u64::from(hold_ms)
                .saturating_mul(1 << doublings.min(32))
                .min(max_ms.into()),
            None => 0,
        };
        self.timers.set(id, Some(self.now.after(max_ms.into())));
    }

    /// A node is back after a loss: it begins to be held back, where it is to be.
    pub(crate) fn hold_back(&mut self, id: NodeId, outcome: &mut Outcome) {
        let Some(node) = self.members.get_mut(id) else {
            return;
        };
        let held_ms = std::mem::take(&mut node.hold_ms);
        if held_ms == 0 {
            return;
        }
        let until = self.now.after(held_ms);
        node.held_until = Some(until);
        outcome.notices.push(Notice::NodeHeld {
            node: node.name.clone(),
            losses: node.losses,
            held_ms,
        });
        self.timers.set(id, Some(until));
    }

    /// Lets nodes go whose time is over, and forgets losses.
    pub(crate) fn look_after_timers(&mut self, outcome: &mut Outcome) {
        for id in self.timers.take_due(self.now) {
            let Some(node) = self.members.get_mut(id) else {
                continue;
            };
            if node.held_until.is_none() {
                node.losses = 0;
                node.hold_ms = 0;
                continue;
            }
            self.remember_losses(id);
            self.release(id, outcome);
        }
    }

    /// Admits a node whose time is over as if it joined; one that is away, when it is back.
    pub(crate) fn release(&mut self, id: NodeId, outcome: &mut Outcome) {
        let now = self.now;
        let over = |until: Option<Time>| until.is_some_and(|until| until <= now);
        let node = self.members.get_mut(id);
        let Some(node) = node.filter(|node| node.connected() && over(node.held_until)) else {
            return;
        };
        node.held_until = None;
        let node = node.name.clone();
        let cause = format!("{node} is held back no longer");
        outcome.causes.push(cause);
        outcome.notices.push(Notice::NodeReleased { node });
        outcome.save = true;
        self.members.set_state(id, NodeState::Reserve, self.now);
        self.admit(id, outcome);
    }

    /// A node is put to work, held back or not.
    pub(crate) fn end_hold(&mut self, id: NodeId) {
        let node = self.members.get_mut(id);
        if node.is_some_and(|node| node.held_until.take().is_some()) {
            self.remember_losses(id);
        }
    }

    /// The time in which a node was held back is none without a loss.
    fn remember_losses(&mut self, id: NodeId) {
        let forget = self.now.after(self.config.hold_back_max_ms.into());
        self.timers.set(id, Some(forget));
    }
}
