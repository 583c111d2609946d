use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{Error, MAX_ROUTES, MAX_SLOTS, RouteId, RouteSet, SlotId};

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

/// Which slot holds each route, however that came about.
///
/// Slots are 1..=M and each holds at least one route; where there is no slot, no route is held.
/// As long as each slot of a table holds floor(N / M) or ceil(N / M) routes, so does each slot
/// after any change here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotTable {
    /// The slot of each route, by route - 1; 0 while there is no slot at all.
    owner: Vec<SlotId>,
    /// The routes of each slot, ascending, by slot - 1.
    held: Vec<Vec<RouteId>>,
}

impl SlotTable {
    /// A table of `routes` routes without any slot yet.
    ///
    /// # Errors
    /// [`Error::Routes`] unless `routes` is in 1..=[`MAX_ROUTES`].
    pub fn new(routes: u32) -> Result<SlotTable, Error> {
        if !(1..=MAX_ROUTES).contains(&routes) {
            return Err(Error::Routes(routes));
        }
        Ok(SlotTable {
            owner: vec![0; routes as usize],
            held: Vec::new(),
        })
    }

    /// A table in which slot s holds `held[s - 1]`.
    ///
    /// # Errors
    /// Too many routes or slots, a slot without a route, a route in two slots or, where there are
    /// slots, in none.
    pub fn of(routes: u32, held: &[RouteSet]) -> Result<SlotTable, Error> {
        let mut table = SlotTable::new(routes)?;
        table.room_for(u32::try_from(held.len()).unwrap_or(u32::MAX))?;
        for (slot, set) in (1..).zip(held) {
            if set.is_empty() {
                return Err(Error::EmptySlot(slot));
            }
            for route in set.iter() {
                let index = (route as usize).checked_sub(1);
                match index.and_then(|index| table.owner.get_mut(index)) {
                    None => return Err(Error::NoSuchRoute { route, routes }),
                    Some(owner) if *owner != 0 => return Err(Error::HeldTwice(route)),
                    Some(owner) => *owner = slot,
                }
            }
            table.held.push(set.iter().collect());
        }
        let nobody = (1..).zip(&table.owner).find(|(_, owner)| **owner == 0);
        match nobody {
            Some((route, _)) if !held.is_empty() => Err(Error::HeldByNone(route)),
            _ => Ok(table),
        }
    }

    /// The number of routes, N.
    pub fn routes(&self) -> u32 {
        self.owner.len() as u32
    }

    /// The number of slots, M.
    pub fn slots(&self) -> u32 {
        self.held.len() as u32
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
            .and_then(|index| self.held.get(index))
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .copied()
    }

    /// Whether each slot holds floor(N / M) or ceil(N / M) routes.
    pub fn is_balanced(&self) -> bool {
        let least = self.owner.len().checked_div(self.held.len()).unwrap_or(0);
        let most = self.owner.len().div_ceil(self.held.len().max(1));
        let mut held = self.held.iter().map(Vec::len);
        held.all(|count| (least..=most).contains(&count))
    }

    /// Adds slot M + 1. Returns what moved to it, in the order of the algorithm; nothing for the
    /// first slot, which takes all routes from nobody.
    ///
    /// # Errors
    /// [`Error::MoreSlotsThanRoutes`], [`Error::Slots`]: there is no room for another slot.
    pub fn add_slot(&mut self) -> Result<Vec<Move>, Error> {
        let new = self.slots() + 1;
        self.room_for(new)?;
        if self.held.is_empty() {
            self.owner.fill(new);
            self.held.push((1..=self.routes()).collect());
            return Ok(Vec::new());
        }

        // Ids are descending already, and the sort is stable.
        let mut list: Vec<SlotId> = (1..new).rev().collect();
        list.sort_by_key(|&slot| Reverse(self.held[slot as usize - 1].len()));

        let quota = (self.routes() / new) as usize;
        let mut moves = Vec::with_capacity(quota);
        // In a balanced table no slot runs empty before the quota is full: it holds at least
        // floor(N / M) routes, and gives at most ceil(floor(N / (M + 1)) / M) of them.
        for &from in list.iter().cycle() {
            if moves.len() == quota {
                break;
            }
            if let Some(route) = self.held[from as usize - 1].pop() {
                self.owner[route as usize - 1] = new;
                moves.push(Move {
                    route,
                    from,
                    to: new,
                });
            }
        }
        let mut held: Vec<RouteId> = moves.iter().map(|moved| moved.route).collect();
        held.sort_unstable();
        self.held.push(held);
        Ok(moves)
    }

    /// Removes a slot, moving no route but its own: each, from the lowest on, goes to the slot with
    /// the fewest routes, the lowest of these. Then the highest slot takes the number that has
    /// become free. Returns what moved, with the numbers that the slots had before; nothing if it
    /// was the only slot, whose routes are then held by none.
    ///
    /// # Errors
    /// [`Error::NoSlot`] if there is no such slot.
    pub fn remove_slot(&mut self, slot: SlotId) -> Result<Vec<Move>, Error> {
        if slot == 0 || slot > self.slots() {
            return Err(Error::NoSlot);
        }
        let routes = std::mem::take(&mut self.held[slot as usize - 1]);
        let others = (1..).zip(&self.held).filter(|(other, _)| *other != slot);
        let mut fewest: BinaryHeap<Reverse<(usize, SlotId)>> = others
            .map(|(other, held)| Reverse((held.len(), other)))
            .collect();
        let mut moves = Vec::with_capacity(routes.len());
        for &route in &routes {
            let Some(mut least) = fewest.peek_mut() else {
                break;
            };
            let Reverse((count, to)) = &mut *least;
            *count += 1;
            moves.push(Move {
                route,
                from: slot,
                to: *to,
            });
        }
        for moved in &moves {
            self.owner[moved.route as usize - 1] = moved.to;
            self.held[moved.to as usize - 1].push(moved.route);
        }
        for held in &mut self.held {
            // Almost sorted.
            held.sort();
        }
        self.held.swap_remove(slot as usize - 1);
        match self.held.get(slot as usize - 1) {
            Some(renamed) => {
                for route in renamed {
                    self.owner[*route as usize - 1] = slot;
                }
            }
            None if self.held.is_empty() => self.owner.fill(0),
            None => {}
        }
        Ok(moves)
    }

    /// Takes the last slot away again, which `gained` these routes when it was added to just this
    /// table: the exact reverse. Returns what moved back.
    pub(crate) fn undo_last(&mut self, gained: &[(RouteId, SlotId)]) -> Vec<Move> {
        let last = self.slots();
        self.held.pop();
        if self.held.is_empty() {
            self.owner.fill(0);
            return Vec::new();
        }
        let give_back = |&(route, to): &(RouteId, SlotId)| {
            self.owner[route as usize - 1] = to;
            // Lost from the end, and back there in reverse order: it stays sorted.
            self.held[to as usize - 1].push(route);
            Move {
                route,
                from: last,
                to,
            }
        };
        gained.iter().rev().map(give_back).collect()
    }

    pub(crate) fn room_for(&self, slots: u32) -> Result<(), Error> {
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
