//! The routing algorithm once more, word by word and without any thought for speed: the oracle.

use std::collections::{BTreeMap, BTreeSet};

/// (route, from, to)
pub type Moved = (u32, u32, u32);

/// The routes of each slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    pub routes: u32,
    pub held: BTreeMap<u32, BTreeSet<u32>>,
}

impl Twin {
    pub fn new(routes: u32) -> Twin {
        Twin {
            routes,
            held: BTreeMap::new(),
        }
    }

    pub fn of(routes: u32, slots: u32) -> Twin {
        let mut twin = Twin::new(routes);
        for _ in 0..slots {
            twin.add();
        }
        twin
    }

    pub fn add(&mut self) -> Vec<Moved> {
        // 1. The new slot's id is M + 1, M being the largest id in use (0 if none).
        let m = self.held.keys().max().copied().unwrap_or(0);
        let new = m + 1;
        // 2. If there is no other slot, it gets all N routes.
        if self.held.is_empty() {
            self.held.insert(new, (1..=self.routes).collect());
            return Vec::new();
        }
        // 3. Sort the slots in use by number of routes held, then by id, both descending.
        let mut list: Vec<u32> = self.held.keys().copied().collect();
        list.sort_by(|a, b| {
            let count = |slot: &u32| self.held[slot].len();
            count(b).cmp(&count(a)).then(b.cmp(a))
        });
        // 4. Go down the list. From each slot, move its highest-numbered route to the new slot,
        //    until floor(N / (M + 1)) routes have moved.
        let mut moved = Vec::new();
        let mut place = 0;
        while (moved.len() as u32) < self.routes / (m + 1) {
            // 5. If the list ends before that, start again at its top (do not sort again).
            let from = list[place % list.len()];
            place += 1;
            let giver = self.held.get_mut(&from).expect("a slot in use");
            let route = giver.pop_last().expect("a slot has a route to give");
            self.held.entry(new).or_default().insert(route);
            // 6. Every moved route yields one message to the node that had it.
            moved.push((route, from, new));
        }
        moved
    }
}
