// SPDX-License-Identifier: GPL-2.0
//! The connections that began while their route drains: a fixed-size, lock-free set.
//!
//! A flow is 8 bytes: 46 bits of a keyed hash, 15 of the route (from 0), 3 of the [`Tag`] that says
//! which node has it. The hash is keyed since clients choose what goes into it. It has two places
//! of [`PLACES`] cells each to be in; when neither has room the flow is not remembered, and the
//! caller sends it to the former node, where it stays until the drain ends.
//!
//! Anybody may read, add and purge at any time. Entries never change places, and only a purge
//! empties a cell, so that no entry that matters is ever out of a reader's sight. A flow that two
//! CPUs add at once, while others add or a purge is under way, may be there twice: readers and
//! writers alike go by the first, and whoever adds it again gives both the same tag.

// The newer hashers are not in core, and the algorithm is what is wanted here.
#[allow(deprecated)]
use core::hash::{Hasher, SipHasher};

use super::address::Address;

/// Cells of one place: a cache line.
pub const PLACES: usize = 8;
/// Fewest cells of a set: two places.
pub const CELLS_MIN: usize = 2 * PLACES;
/// How often a flow is tried to be remembered against others that are.
const ATTEMPTS: usize = 2 * PLACES;

/// An atomic cell. The kernel's own atomics stand behind it in the module.
pub trait Cell {
    /// Reads it, after what was written before the value was.
    fn load(&self) -> u64;
    /// Writes `new` if `old` is still there, and says whether it was. Whoever reads `new` also
    /// sees what was written before.
    fn replace(&self, old: u64, new: u64) -> bool;
}

/// Which of a route's nodes a remembered flow belongs to: 1 to 7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag(u8);

impl Tag {
    /// All there are.
    pub const ALL: [Tag; 7] = [Tag(1), Tag(2), Tag(3), Tag(4), Tag(5), Tag(6), Tag(7)];

    /// 0 to 6, the place in `ALL`.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0).wrapping_sub(1)
    }

    #[inline]
    fn of(entry: u64) -> Tag {
        Tag((entry & TAG) as u8)
    }
}

const TAG: u64 = 0b111;
const ROUTE_SHIFT: u32 = 3;
const ROUTE: u64 = 0x7fff << ROUTE_SHIFT;

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

// By hand, since a cell need not be copied for it.
impl<C> Clone for Flows<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Flows<'_, C> {}

impl<'a, C: Cell> Flows<'a, C> {
    /// A set of `cells`, all 0 at first, of which a power of two is used; `key` is random and
    /// stays with the cells.
    pub fn new(cells: &'a [C], key: (u64, u64)) -> Self {
        Flows { cells, key }
    }

    /// The flow between a client and a VIP. Source: SipHash-2-4 (Aumasson and Bernstein, 2012).
    pub fn flow(&self, client: (&Address, u16), vip: (&Address, u16), route: u16) -> Flow {
        let ([s0, s1], [d0, d1]) = (client.1.to_be_bytes(), vip.1.to_be_bytes());
        let ports = [s0, s1, d0, d1];
        let hash = match (client.0, vip.0) {
            (Address::V4(from), Address::V4(to)) => self.hash::<4, 12>(from, to, ports),
            (Address::V6(from), Address::V6(to)) => self.hash::<16, 36>(from, to, ports),
            // No packet is between two IP versions.
            _ => 0,
        };
        let places = self.places();
        let first = hash as usize & places.wrapping_sub(1);
        // Another place, whatever the hash: an odd number of steps away.
        let step = (hash >> 47) as usize | 1;
        Flow {
            entry: (hash & !(ROUTE | TAG)) | (u64::from(route) << ROUTE_SHIFT & ROUTE),
            first,
            second: first.wrapping_add(step) & places.wrapping_sub(1),
        }
    }

    /// The keyed hash of addresses and ports, `ALL` bytes; in one piece, since each write to the
    /// hasher has its price.
    #[inline(always)]
    fn hash<const N: usize, const ALL: usize>(
        &self,
        from: &[u8; N],
        to: &[u8; N],
        ports: [u8; 4],
    ) -> u64 {
        let mut bytes = [0; ALL];
        if let Some((place, rest)) = bytes.split_first_chunk_mut() {
            *place = *from;
            if let Some((place, rest)) = rest.split_first_chunk_mut() {
                *place = *to;
                if let Some(place) = rest.first_chunk_mut() {
                    *place = ports;
                }
            }
        }
        #[allow(deprecated)]
        let mut hasher = SipHasher::new_with_keys(self.key.0, self.key.1);
        hasher.write(&bytes);
        hasher.finish()
    }

    /// The tag of a flow that is remembered.
    pub fn find(&self, flow: &Flow) -> Option<Tag> {
        self.cells_of(flow)
            .map(Cell::load)
            .find(|entry| is(*entry, flow))
            .map(Tag::of)
    }

    /// Remembers a flow under `tag`, whatever its tag was; false where there is no room.
    ///
    /// Only empty cells are taken: an entry that means nothing to this packet's table may still
    /// mean something to a packet that another CPU looks at by the table before.
    pub fn remember(&self, flow: &Flow, tag: Tag) -> bool {
        let new = flow.entry | u64::from(tag.0);
        // Each attempt fails only because another CPU's has succeeded.
        for _ in 0..ATTEMPTS {
            match self.scan(flow) {
                Scan::Found(cell, entry) if entry == new || cell.replace(entry, new) => {
                    for copy in self.cells_of(flow) {
                        let entry = copy.load();
                        if is(entry, flow) && entry != new {
                            copy.replace(entry, new);
                        }
                    }
                    return true;
                }
                Scan::Found(..) => {}
                // Where this succeeds, the next scan finds it, or another's before it.
                Scan::Room(cell) => {
                    cell.replace(0, new);
                }
                Scan::Full => return false,
            }
        }
        self.find(flow).is_some()
    }

    /// Where a flow is, or else where it fits: in the emptier of its places, so that none is full
    /// long before the others.
    fn scan(&self, flow: &Flow) -> Scan<'a, C> {
        let mut best: (usize, Scan<'a, C>) = (0, Scan::Full);
        for place in [flow.first, flow.second] {
            let (mut room, mut first): (usize, _) = (0, None);
            for cell in self.cells_at(place) {
                match cell.load() {
                    0 => (room, first) = (room.wrapping_add(1), first.or(Some(cell))),
                    entry if is(entry, flow) => return Scan::Found(cell, entry),
                    _ => {}
                }
            }
            if let Some(cell) = first.filter(|_| room > best.0) {
                best = (room, Scan::Room(cell));
            }
        }
        best.1
    }

    /// Forgets every flow of which `live` does not say that it still matters. No packet may be left
    /// that is looked at by an older table, to which it would.
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
        let used = self.cells.iter().filter(|cell| cell.load() != 0);
        // `count` minds an overflow that cannot be.
        used.fold(0, |count: usize, _| count.wrapping_add(1))
    }

    /// Number of places: a power of two, or 0 where there are not two.
    #[inline]
    fn places(&self) -> usize {
        match self.cells.len() / PLACES {
            0 | 1 => 0,
            places => 1 << places.ilog2(),
        }
    }

    /// The cells of a place.
    #[inline]
    fn cells_at(&self, place: usize) -> &'a [C] {
        let start = place.wrapping_mul(PLACES);
        let cells = self.cells.get(start..start.wrapping_add(PLACES));
        cells.unwrap_or_default()
    }

    /// The cells in which a flow can be.
    #[inline]
    fn cells_of(&self, flow: &Flow) -> impl Iterator<Item = &'a C> {
        let (first, second) = (self.cells_at(flow.first), self.cells_at(flow.second));
        first.iter().chain(second)
    }
}

/// What is in a flow's places.
enum Scan<'a, C> {
    /// The flow, and its entry.
    Found(&'a C, u64),
    /// An empty cell.
    Room(&'a C),
    Full,
}

/// Whether an entry is a flow's, whatever its tag.
#[inline]
fn is(entry: u64, flow: &Flow) -> bool {
    // A flow's own entry has tag 0.
    (entry ^ flow.entry).wrapping_sub(1) < TAG
}

/// Whether an entry must stay.
#[inline]
fn matters(entry: u64, live: &impl Fn(u16, Tag) -> bool) -> bool {
    entry & TAG != 0 && live(((entry & ROUTE) >> ROUTE_SHIFT) as u16, Tag::of(entry))
}
