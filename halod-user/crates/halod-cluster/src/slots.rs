use halod_routes::{Assignment, Error, RouteId, SlotId, SlotTable};

use crate::{Failover, NodeId};

/// The slots of the active cluster: which routes each holds, and which node fills it.
///
/// Between two events there is a vacant slot only where no node at all is active; it is slot 1
/// then, and the only one.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    layout: Layout,
    /// A table that was found at the start and is none of `layout`'s. It stays until the number of
    /// slots changes.
    found: Option<SlotTable>,
    /// By slot - 1; as many as the table has slots.
    nodes: Vec<Option<NodeId>>,
}

/// How slots come and go.
#[derive(Clone, Debug)]
enum Layout {
    Replace(Assignment),
    Minimal(SlotTable),
}

impl Layout {
    fn table(&self) -> &SlotTable {
        match self {
            Layout::Replace(assignment) => assignment.table(),
            Layout::Minimal(table) => table,
        }
    }
}

impl Slots {
    /// `nodes` by slot - 1, as many as `table` has slots.
    pub(crate) fn new(
        failover: Failover,
        table: SlotTable,
        nodes: Vec<Option<NodeId>>,
    ) -> Result<Slots, Error> {
        let assignment = Assignment::of(table.routes(), table.slots())?;
        let layout = match failover {
            Failover::Replace => Layout::Replace(assignment),
            Failover::Minimal if table.is_balanced() => Layout::Minimal(table.clone()),
            Failover::Minimal => Layout::Minimal(assignment.table().clone()),
        };
        let found = (*layout.table() != table).then_some(table);
        Ok(Slots {
            layout,
            found,
            nodes,
        })
    }

    pub(crate) fn assignment(&self) -> &SlotTable {
        self.found.as_ref().unwrap_or_else(|| self.layout.table())
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
        (1..=self.assignment().routes())
            .map(|route| self.node_of(route))
            .collect()
    }

    fn node_of(&self, route: RouteId) -> Option<NodeId> {
        self.node(self.assignment().slot_of(route)?)
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
        match &mut self.layout {
            Layout::Replace(assignment) => assignment.add_slot()?,
            Layout::Minimal(table) => table.add_slot()?,
        };
        self.found = None;
        self.nodes.push(Some(node));
        Ok(self.assignment().slots())
    }

    /// Ends vacancies without a node from outside, but for that of the only slot: as long as slot
    /// x is vacant, the node of the highest slot fills it. Its own routes go back by the reverse
    /// process, or, in minimal failover, they stay its own, and those of slot x go to all.
    /// Returns (slot, node) for each slot filled so.
    pub(crate) fn close_gaps(&mut self) -> Vec<(SlotId, NodeId)> {
        let mut filled = Vec::new();
        while self.nodes.len() > 1
            && let Some(vacant) = self.vacant()
            && self.remove(vacant).is_ok()
        {
            // Where the highest slot was itself the vacant one, there is nothing to fill.
            filled.extend(self.node(vacant).map(|node| (vacant, node)));
        }
        filled
    }

    /// Removes a slot; the node of the highest one has its number then.
    pub(crate) fn remove(&mut self, slot: SlotId) -> Result<(), Error> {
        match &mut self.layout {
            Layout::Replace(assignment) => assignment.remove_last_slot()?,
            Layout::Minimal(table) => table.remove_slot(slot)?,
        };
        self.found = None;
        self.nodes.swap_remove(slot as usize - 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(nodes: &[u32]) -> Slots {
        let nodes: Vec<Option<NodeId>> = nodes
            .iter()
            .map(|&id| (id > 0).then_some(NodeId(id)))
            .collect();
        let slots = u32::try_from(nodes.len()).expect("a few");
        let table = Assignment::of(24, slots).expect("at most 24 slots");
        Slots::new(Failover::Replace, table.table().clone(), nodes).expect("at most 24 slots")
    }

    fn after_gaps(nodes: &[u32]) -> Vec<u32> {
        let mut slots = slots(nodes);
        slots.close_gaps();
        assert_eq!(slots.assignment().slots() as usize, slots.nodes.len());
        assert_eq!(slots.found, None);
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
