use std::cmp::Reverse;

use crate::{Error, MAX_ROUTES, MAX_SLOTS, RouteId, SlotId};

/// A route changes its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Move {
    /// The route that moves.
    pub route: RouteId,
    /// The slot that held it.
    pub from: SlotId,
    /// The slot that holds it now.
    pub to: SlotId,
}

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
    /// The slot of each route, by route - 1; 0 while there is no slot at all.
    owner: Vec<SlotId>,
    /// By slot - 1.
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    /// The routes held, ascending. Only ever loses from its end, and gets back there in the
    /// reverse order, so it stays sorted without any search.
    held: Vec<RouteId>,
    /// (route, former slot) in the order in which the routes came when the slot was added.
    gained: Vec<(RouteId, SlotId)>,
}

impl Assignment {
    /// An assignment of `routes` routes without any slot yet: no route is held.
    ///
    /// # Errors
    /// [`Error::Routes`] unless `routes` is in 1..=[`MAX_ROUTES`].
    pub fn new(routes: u32) -> Result<Assignment, Error> {
        if !(1..=MAX_ROUTES).contains(&routes) {
            return Err(Error::Routes(routes));
        }
        Ok(Assignment {
            owner: vec![0; routes as usize],
            slots: Vec::new(),
        })
    }

    /// `assignment(routes, slots)`, built from nothing by adding the slots one by one.
    ///
    /// # Errors
    /// As [`Assignment::new`] and [`Assignment::add_slot`].
    pub fn of(routes: u32, slots: u32) -> Result<Assignment, Error> {
        let mut assignment = Assignment::new(routes)?;
        assignment.room_for(slots)?;
        for _ in 0..slots {
            assignment.add_slot()?;
        }
        Ok(assignment)
    }

    /// The number of routes, N.
    pub fn routes(&self) -> u32 {
        self.owner.len() as u32
    }

    /// The number of slots, M.
    pub fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The slot that holds a route; none if there is no such route, or no slot yet.
    pub fn slot_of(&self, route: RouteId) -> Option<SlotId> {
        let index = (route as usize).checked_sub(1)?;
        self.owner.get(index).copied().filter(|&slot| slot != 0)
    }

    /// The routes that a slot holds, ascending; none if there is no such slot.
    pub fn held_by(&self, slot: SlotId) -> impl ExactSizeIterator<Item = RouteId> {
        (slot as usize)
            .checked_sub(1)
            .and_then(|index| self.slots.get(index))
            .map_or(&[][..], |slot| &slot.held)
            .iter()
            .copied()
    }

    /// Adds slot M + 1. Returns what moved to it, in the order of the algorithm; nothing for the
    /// first slot, which takes all routes from nobody.
    ///
    /// # Errors
    /// [`Error::MoreSlotsThanRoutes`], [`Error::Slots`]: there is no room for another slot.
    pub fn add_slot(&mut self) -> Result<Vec<Move>, Error> {
        let new = self.slots() + 1;
        self.room_for(new)?;
        if self.slots.is_empty() {
            self.owner.fill(new);
            self.slots.push(Slot {
                held: (1..=self.routes()).collect(),
                gained: Vec::new(),
            });
            return Ok(Vec::new());
        }

        // Ids are descending already, and the sort is stable.
        let mut list: Vec<SlotId> = (1..new).rev().collect();
        list.sort_by_key(|&slot| Reverse(self.slots[slot as usize - 1].held.len()));

        let quota = (self.routes() / new) as usize;
        let mut gained = Vec::with_capacity(quota);
        // No slot runs empty before the quota is full: it holds at least floor(N / M) routes, and
        // gives at most ceil(floor(N / (M + 1)) / M) of them.
        for &from in list.iter().cycle() {
            if gained.len() == quota {
                break;
            }
            if let Some(route) = self.slots[from as usize - 1].held.pop() {
                self.owner[route as usize - 1] = new;
                gained.push((route, from));
            }
        }

        let mut held: Vec<RouteId> = gained.iter().map(|&(route, _)| route).collect();
        held.sort_unstable();
        let moves = gained
            .iter()
            .map(|&(route, from)| Move {
                route,
                from,
                to: new,
            })
            .collect();
        self.slots.push(Slot { held, gained });
        Ok(moves)
    }

    /// Removes slot M: the exact reverse of adding it, which leaves `assignment(N, M - 1)`.
    /// Returns what moved back, in the reverse order of adding; nothing if M was the only slot,
    /// whose routes are then held by none.
    ///
    /// # Errors
    /// [`Error::NoSlot`] if there is none.
    pub fn remove_last_slot(&mut self) -> Result<Vec<Move>, Error> {
        let last = self.slots();
        let Some(slot) = self.slots.pop() else {
            return Err(Error::NoSlot);
        };
        if self.slots.is_empty() {
            self.owner.fill(0);
            return Ok(Vec::new());
        }
        let give_back = |&(route, to): &(RouteId, SlotId)| {
            self.owner[route as usize - 1] = to;
            self.slots[to as usize - 1].held.push(route);
            Move {
                route,
                from: last,
                to,
            }
        };
        Ok(slot.gained.iter().rev().map(give_back).collect())
    }

    fn room_for(&self, slots: u32) -> Result<(), Error> {
        let routes = self.routes();
        if slots > routes {
            return Err(Error::MoreSlotsThanRoutes { slots, routes });
        }
        if slots > MAX_SLOTS {
            return Err(Error::Slots(slots));
        }
        Ok(())
    }
}
