// SPDX-License-Identifier: GPL-2.0
//! The connections that began while their route drains: a fixed-size, lock-free set.
//!
//! A flow is 8 bytes: 47 bits of a keyed hash, 15 of the route (from 0), 2 of the [`Tag`] that says
//! which node has it. The hash is keyed since clients choose what goes into it. It has two places
//! of [`PLACES`] cells each to be in; when neither has room the flow is not remembered, and the
//! caller sends it to the former node, where it stays until the drain ends.
//!
//! Anybody may read, add and purge at any time. A flow that two CPUs add at once may be there
//! twice, with the same tag; readers and writers alike go by the first.

// The newer hashers are not in core, and the algorithm is what is wanted here.
#[allow(deprecated)]
use core::hash::{Hasher, SipHasher};

use super::address::Address;

/// Cells of one place: a cache line.
pub const PLACES: usize = 8;
/// Fewest cells of a set: two places.
pub const CELLS_MIN: usize = 2 * PLACES;

/// An atomic cell. The kernel's own atomics stand behind it in the module.
pub trait Cell {
    /// Reads it, after what was written before the value was.
    fn load(&self) -> u64;
    /// Writes `new` if `old` is still there, and says whether it was.
    fn replace(&self, old: u64, new: u64) -> bool;
}

/// Which of a route's nodes a remembered flow belongs to: 1, 2 or 3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag(u8);

impl Tag {
    /// All there are.
    pub const ALL: [Tag; 3] = [Tag(1), Tag(2), Tag(3)];

    /// The first of them.
    pub const FIRST: Tag = Tag(1);

    /// 0 to 2, the place in `ALL`.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0).wrapping_sub(1)
    }

    #[inline]
    fn of(entry: u64) -> Tag {
        Tag((entry & TAG) as u8)
    }
}

const TAG: u64 = 0b11;
const ROUTE: u64 = 0x7fff << 2;

/// A flow without its tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    entry: u64,
    first: usize,
    second: usize,
}

/// The set, as a view over its cells.
pub struct Flows<'a, C> {
    cells: &'a [C],
    key: (u64, u64),
}

impl<'a, C: Cell> Flows<'a, C> {
    /// A set of `cells`, all 0 at first, of which a power of two is used; `key` is random and
    /// stays with the cells.
    pub fn new(cells: &'a [C], key: (u64, u64)) -> Self {
        Flows { cells, key }
    }

    /// The flow between a client and a VIP. Source: SipHash-2-4 (Aumasson and Bernstein, 2012).
    pub fn flow(&self, client: (&Address, u16), vip: (&Address, u16), route: u16) -> Flow {
        #[allow(deprecated)]
        let mut hasher = SipHasher::new_with_keys(self.key.0, self.key.1);
        for (address, port) in [client, vip] {
            match address {
                Address::V4(bytes) => hasher.write(bytes),
                Address::V6(bytes) => hasher.write(bytes),
            }
            hasher.write_u16(port);
        }
        let hash = hasher.finish();
        let places = self.places();
        let first = hash as usize & places.wrapping_sub(1);
        // Another place, whatever the hash: an odd number of steps away.
        let step = (hash >> 47) as usize | 1;
        Flow {
            entry: (hash & !(ROUTE | TAG)) | u64::from(route) << 2 & ROUTE,
            first,
            second: first.wrapping_add(step) & places.wrapping_sub(1),
        }
    }

    /// The tag of a flow that is remembered.
    pub fn find(&self, flow: &Flow) -> Option<Tag> {
        self.cells_of(flow)
            .map(Cell::load)
            .find(|entry| is(*entry, flow))
            .map(Tag::of)
    }

    /// Remembers a flow under `tag`, whatever its tag was; false where there is no room. Entries
    /// of which `live` does not say that they still matter are overwritten.
    pub fn remember(&self, flow: &Flow, tag: Tag, live: impl Fn(u16, Tag) -> bool) -> bool {
        let new = flow.entry | u64::from(tag.0);
        // Each attempt fails only because another CPU's has succeeded.
        for _ in 0..PLACES {
            let found = self
                .cells_of(flow)
                .map(|cell| (cell, cell.load()))
                .find(|(_, entry)| is(*entry, flow));
            let place = found.or_else(|| {
                self.cells_of(flow)
                    .map(|cell| (cell, cell.load()))
                    .find(|(_, entry)| !matters(*entry, &live))
            });
            match place {
                Some((_, entry)) if entry == new => return true,
                Some((cell, entry)) if cell.replace(entry, new) => return true,
                Some(_) => {}
                None => return false,
            }
        }
        false
    }

    /// Forgets every flow of which `live` does not say that it still matters.
    pub fn purge(&self, live: impl Fn(u16, Tag) -> bool) {
        for cell in self.cells {
            let entry = cell.load();
            if entry != 0 && !matters(entry, &live) {
                // Where another CPU was faster, its flow is a new one.
                cell.replace(entry, 0);
            }
        }
    }

    /// How many flows are remembered, more or less.
    pub fn used(&self) -> usize {
        self.cells.iter().filter(|cell| cell.load() != 0).count()
    }

    /// Number of places: a power of two.
    #[inline]
    fn places(&self) -> usize {
        match self.cells.len() / PLACES {
            0 => 0,
            places => 1 << places.ilog2(),
        }
    }

    /// The cells in which a flow can be.
    #[inline]
    fn cells_of(&self, flow: &Flow) -> impl Iterator<Item = &'a C> {
        let place = |index: usize| {
            let start = index.wrapping_mul(PLACES);
            self.cells
                .get(start..start.wrapping_add(PLACES))
                .unwrap_or_default()
        };
        place(flow.first).iter().chain(place(flow.second))
    }
}

/// Whether an entry is a flow's, whatever its tag.
#[inline]
fn is(entry: u64, flow: &Flow) -> bool {
    entry & TAG != 0 && entry & !TAG == flow.entry
}

/// Whether an entry must stay.
#[inline]
fn matters(entry: u64, live: &impl Fn(u16, Tag) -> bool) -> bool {
    entry & TAG != 0 && live(((entry & ROUTE) >> 2) as u16, Tag::of(entry))
}
