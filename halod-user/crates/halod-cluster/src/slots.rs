use halod_routes::{Assignment, Error, RouteId, SlotId};

use crate::NodeId;

/// The slots of the active cluster: which routes each holds, and which node fills it.
///
/// Between two events there is a vacant slot only where no node at all is active; it is slot 1
/// then, and the only one.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    assignment: Assignment,
    /// By slot - 1; as many as the assignment has slots.
    nodes: Vec<Option<NodeId>>,
}

impl Slots {
    /// `nodes` by slot - 1.
    pub(crate) fn new(routes: u32, nodes: Vec<Option<NodeId>>) -> Result<Slots, Error> {
        let slots = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        let assignment = Assignment::of(routes, slots)?;
        Ok(Slots { assignment, nodes })
    }

    pub(crate) fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    pub(crate) fn node(&self, slot: SlotId) -> Option<NodeId> {
        let index = (slot as usize).checked_sub(1)?;
        self.nodes.get(index).copied().flatten()
    }

    /// Every slot with its node, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SlotId, Option<NodeId>)> {
        (1..).zip(self.nodes.iter().copied())
    }

    /// How many slots have a node.
    pub(crate) fn filled(&self) -> usize {
        self.nodes.iter().flatten().count()
    }

    /// The lowest slot without a node.
    pub(crate) fn vacant(&self) -> Option<SlotId> {
        self.iter()
            .find(|(_, node)| node.is_none())
            .map(|(slot, _)| slot)
    }

    /// The node of every route, by route - 1.
    pub(crate) fn table(&self) -> Vec<Option<NodeId>> {
        (1..=self.assignment.routes())
            .map(|route| self.node_of(route))
            .collect()
    }

    fn node_of(&self, route: RouteId) -> Option<NodeId> {
        self.node(self.assignment.slot_of(route)?)
    }

    /// Takes the node out of a slot.
    pub(crate) fn vacate(&mut self, slot: SlotId) {
        self.set(slot, None);
    }

    /// Puts a node into a slot that is there.
    pub(crate) fn fill(&mut self, slot: SlotId, node: NodeId) {
        self.set(slot, Some(node));
    }

    fn set(&mut self, slot: SlotId, node: Option<NodeId>) {
        let index = (slot as usize).checked_sub(1);
        if let Some(entry) = index.and_then(|index| self.nodes.get_mut(index)) {
            *entry = node;
        }
    }

    /// Adds a slot for a node.
    pub(crate) fn add(&mut self, node: NodeId) -> Result<SlotId, Error> {
        self.assignment.add_slot()?;
        self.nodes.push(Some(node));
        Ok(self.assignment.slots())
    }

    /// Ends vacancies without a node from outside: as long as slot x is vacant, the node of the
    /// highest slot fills it, and the highest slot's routes go back by the reverse process. The
    /// only slot stays, vacant. Returns (slot, node) for each slot filled so.
    pub(crate) fn close_gaps(&mut self) -> Vec<(SlotId, NodeId)> {
        let mut filled = Vec::new();
        while self.nodes.len() > 1 {
            let Some(vacant) = self.vacant() else { break };
            if self.assignment.remove_last_slot().is_err() {
                break;
            }
            // Where the highest slot is itself the vacant one, it is gone now.
            if let Some(node) = self.nodes.pop().flatten() {
                self.fill(vacant, node);
                filled.push((vacant, node));
            }
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(nodes: &[u32]) -> Slots {
        let nodes = nodes
            .iter()
            .map(|&id| (id > 0).then_some(NodeId(id)))
            .collect();
        Slots::new(24, nodes).expect("at most 24 slots")
    }

    fn after_gaps(nodes: &[u32]) -> Vec<u32> {
        let mut slots = slots(nodes);
        slots.close_gaps();
        assert_eq!(slots.assignment().slots() as usize, slots.nodes.len());
        slots
            .iter()
            .map(|(_, node)| node.map_or(0, |id| id.0))
            .collect()
    }

    #[test]
    fn the_node_of_the_highest_slot_fills_the_lowest_gap() {
        assert_eq!(after_gaps(&[1, 2, 3, 4]), [1, 2, 3, 4]);
        assert_eq!(after_gaps(&[1, 0, 3, 4]), [1, 4, 3]);
        assert_eq!(after_gaps(&[0, 0, 3, 4]), [4, 3]);
        assert_eq!(after_gaps(&[1, 0, 3, 0]), [1, 3]);
        assert_eq!(after_gaps(&[1, 2, 3, 0]), [1, 2, 3]);
    }

    #[test]
    fn the_only_slot_stays() {
        assert_eq!(after_gaps(&[0]), [0]);
        assert_eq!(after_gaps(&[0, 0, 0]), [0]);
        assert_eq!(after_gaps(&[]), [] as [u32; 0]);
    }
}
