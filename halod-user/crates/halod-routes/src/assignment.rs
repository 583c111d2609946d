use crate::{Error, Move, RouteId, SlotId, SlotTable};

/// Which slot holds each route: the pure function of (routes, slots) that the routing algorithm
/// defines.
///
/// Adding a slot moves exactly floor(N / (M + 1)) routes, all of them to the new slot; removing
/// the last slot is the exact reverse. So each slot holds floor(N / M) or ceil(N / M) routes.
///
/// Memory: beside the table itself, every slot remembers the moves that made it, so that removal
/// costs only as many steps as there are routes to give back. That is N/2 + N/3 + ... + N/M
/// moves of 8 bytes, less than N · ln M: 4 MB for 65,536 routes and 2,048 slots, 5 kB for 24 routes
/// and 8 slots at the very most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    table: SlotTable,
    /// By slot - 1: (route, former slot) in the order in which the routes came when the slot was
    /// added.
    gained: Vec<Vec<(RouteId, SlotId)>>,
}

impl Assignment {
    /// An assignment of `routes` routes without any slot yet: no route is held.
    ///
    /// # Errors
    /// [`Error::Routes`] unless `routes` is in 1..=[`crate::MAX_ROUTES`].
    pub fn new(routes: u32) -> Result<Assignment, Error> {
        Ok(Assignment {
            table: SlotTable::new(routes)?,
            gained: Vec::new(),
        })
    }

    /// `assignment(routes, slots)`, built from nothing by adding the slots one by one.
    ///
    /// # Errors
    /// As [`Assignment::new`] and [`Assignment::add_slot`].
    pub fn of(routes: u32, slots: u32) -> Result<Assignment, Error> {
        let mut assignment = Assignment::new(routes)?;
        assignment.table.room_for(slots)?;
        for _ in 0..slots {
            assignment.add_slot()?;
        }
        Ok(assignment)
    }

    /// The table that it is.
    pub fn table(&self) -> &SlotTable {
        &self.table
    }

    /// The number of routes, N.
    pub fn routes(&self) -> u32 {
        self.table.routes()
    }

    /// The number of slots, M.
    pub fn slots(&self) -> u32 {
        self.table.slots()
    }

    /// The slot that holds a route; none if there is no such route, or no slot yet.
    pub fn slot_of(&self, route: RouteId) -> Option<SlotId> {
        self.table.slot_of(route)
    }

    /// The routes that a slot holds, ascending; none if there is no such slot.
    pub fn held_by(&self, slot: SlotId) -> impl ExactSizeIterator<Item = RouteId> {
        self.table.held_by(slot)
    }

    /// As [`SlotTable::add_slot`].
    ///
    /// # Errors
    /// [`Error::MoreSlotsThanRoutes`], [`Error::Slots`]: there is no room for another slot.
    pub fn add_slot(&mut self) -> Result<Vec<Move>, Error> {
        let moves = self.table.add_slot()?;
        let gained = moves.iter().map(|moved| (moved.route, moved.from));
        self.gained.push(gained.collect());
        Ok(moves)
    }

    /// Removes slot M: the exact reverse of adding it, which leaves `assignment(N, M - 1)`.
    /// Returns what moved back, in the reverse order of adding; nothing if M was the only slot,
    /// whose routes are then held by none.
    ///
    /// # Errors
    /// [`Error::NoSlot`] if there is none.
    pub fn remove_last_slot(&mut self) -> Result<Vec<Move>, Error> {
        let gained = self.gained.pop().ok_or(Error::NoSlot)?;
        Ok(self.table.undo_last(&gained))
    }
}
