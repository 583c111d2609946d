use halod_proto::NodeState;
use halod_routes::{Error, SlotId};

use crate::outcome::Outcome;
use crate::{Cluster, Node, NodeId, Notice};

impl Cluster {
    /// Fills vacant slots, from the reserve as long as it lasts, else by the reverse process; then
    /// promotes reserve nodes up to `active_min`.
    pub(crate) fn settle(&mut self, outcome: &mut Outcome) {
        while let Some(slot) = self.slots.vacant() {
            let Some(id) = self.longest_waiting(outcome.kept_back, |_| true) else {
                break;
            };
            self.slots.fill(slot, id);
            self.placed(slot, id, outcome);
        }
        for (slot, id) in self.slots.close_gaps() {
            self.placed(slot, id, outcome);
        }
        while self.slots.filled() < self.config.active_min as usize {
            let waiting = self.longest_waiting(outcome.kept_back, |node| !node.parked);
            let added = waiting.map(|id| self.add_slot(id, outcome));
            if !matches!(added, Some(Ok(_))) {
                break;
            }
        }
        if self.slots.filled() == 0 {
            self.last_resort(outcome);
        }
        if outcome.vacated
            && let Some(slot) = self.slots.vacant()
        {
            outcome.notices.push(Notice::SlotVacant { slot });
        }
    }

    pub(crate) fn longest_waiting(
        &self,
        kept_back: Option<NodeId>,
        also: impl Fn(&Node) -> bool,
    ) -> Option<NodeId> {
        self.members
            .iter()
            .filter(|node| node.eligible() && Some(node.id) != kept_back && also(node))
            .min_by_key(|node| node.turn)
            .map(|node| node.id)
    }

    /// A node that is held back is better than none at all.
    fn last_resort(&mut self, outcome: &mut Outcome) {
        let held = self.members.iter().filter(|node| node.is_held());
        let Some(id) = held.min_by_key(|node| node.turn).map(|node| node.id) else {
            return;
        };
        match self.slots.vacant() {
            Some(slot) => {
                self.slots.fill(slot, id);
                self.placed(slot, id, outcome);
            }
            None => {
                // There is room for the first.
                let _ = self.add_slot(id, outcome);
            }
        }
    }

    /// Puts a node to work in a new slot.
    pub(crate) fn add_slot(&mut self, id: NodeId, outcome: &mut Outcome) -> Result<SlotId, Error> {
        let slot = self.slots.add(id)?;
        self.placed(slot, id, outcome);
        Ok(slot)
    }

    /// Writes down that a node fills a slot.
    fn placed(&mut self, slot: SlotId, id: NodeId, outcome: &mut Outcome) {
        if self
            .node(id)
            .is_some_and(|node| node.state != NodeState::Active)
        {
            self.members.set_state(id, NodeState::Active, self.now);
        }
        self.end_hold(id);
        if let Some(node) = self.members.get_mut(id) {
            node.slot = Some(slot);
            node.parked = false;
            let node = node.name.clone();
            outcome.notices.push(Notice::SlotFilled { slot, node });
        }
        outcome.settle = true;
        outcome.save = true;
    }
}
