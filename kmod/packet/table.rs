// SPDX-License-Identifier: GPL-2.0
//! The route table as packets see it: lookups over borrowed slices.
//!
//! One index serves both directions. `buckets` is an open-addressed hash, at
//! most half full, of all addresses, VIPs and nodes alike; each leads to a
//! slice of `ranges` sorted by protocol and port, and each range to a listener.
//! A packet that is not HaloD's costs one probe.

use super::address::{Address, Protocol};
use super::deliver::Deliver;
use super::drain::{Drain, Former};
use super::exit::Exit;
use super::parse::Packet;
use super::select::{Select, SelectKey};

/// Most routes a table can have, as in the netlink spec.
pub const MAX_ROUTES: u32 = 32_768;
/// Most nodes a table can have.
pub const MAX_NODES: usize = 4_096;
/// Most listeners a table can have.
pub const MAX_LISTENERS: usize = 64;

/// An address, protocol and port range on which the routes are exposed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Listener {
    /// The VIP.
    pub address: Address,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Port of route 1, or of all routes.
    pub port: u16,
    /// The same on the nodes that have no [`Target`] for this listener.
    pub node_port: u16,
    /// What routes are told apart by.
    pub select: Select,
    /// How packets get to their node.
    pub deliver: Deliver,
}

impl Listener {
    /// Whether [`View::usual`] knows its range on an address of `owner`. What a node's ranges are needed
    /// for does not depend on the route.
    pub(super) fn is_usual(&self, owner: Owner) -> bool {
        owner == Owner::Node || (self.select == Select::Port && self.deliver == Deliver::Nat)
    }
}

/// A server behind HaloD.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Node {
    /// Its id, not 0.
    pub id: u32,
    /// Where IPv4 packets for it go.
    pub v4: Option<[u8; 4]>,
    /// Where IPv6 packets for it go.
    pub v6: Option<[u8; 16]>,
}

impl Node {
    /// Its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        let (v4, v6) = (self.v4.map(Address::V4), self.v6.map(Address::V6));
        v4.into_iter().chain(v6)
    }
}

/// A node's own port for a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Target {
    /// Index of the node in [`Input::nodes`].
    pub node: u32,
    /// Index of the listener in [`Input::listeners`].
    pub listener: u32,
    /// Port of route 1, or of all routes, on the node.
    pub port: u16,
}

/// A table as it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Number of routes, N.
    pub routes: u32,
    /// The listeners.
    pub listeners: &'a [Listener],
    /// The nodes.
    pub nodes: &'a [Node],
    /// The nodes' own ports.
    pub targets: &'a [Target],
    /// The id of each route's node, from route 1 on; 0 for none.
    pub route_nodes: &'a [u32],
    /// The former nodes of draining routes: sorted by route, those of one route from the oldest on.
    pub formers: &'a [Former],
    /// The key of [`Select::Source`] and [`Select::Flow`], which need one.
    pub select_key: Option<SelectKey>,
}

/// How many elements each slice of [`Storage`] has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Sizes {
    pub buckets: usize,
    pub filter: usize,
    pub ranges: usize,
    pub listeners: usize,
    pub nodes: usize,
    pub bases: usize,
    pub routes: usize,
    pub drains: usize,
    pub draining: usize,
    pub ids: usize,
}

/// Whose address a bucket holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Owner {
    #[default]
    Nobody,
    Listener,
    Node,
}

/// A place of the hash of addresses. Aligned so that its place is found by a shift.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(align(32))]
pub struct Bucket {
    pub(super) address: Address,
    pub(super) owner: Owner,
    /// Its ranges: where they start, and how many.
    pub(super) start: u32,
    pub(super) count: u32,
    /// Those of TCP, and those of UDP, that [`View::usual`] knows. Their first are without the protocol.
    pub(super) usual: [[Range; 2]; 2],
}

/// A listener's ports on an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub struct Range {
    /// Protocol and port of route 1, as [`key`] makes them.
    pub(super) first: u32,
    /// Number of ports, less one.
    pub(super) span: u16,
    /// Index of the listener.
    pub(super) listener: u16,
}

impl Range {
    /// None: of no protocol and port.
    pub(super) const NONE: Range = Range {
        first: u32::MAX,
        span: 0,
        listener: 0,
    };
}

/// Protocol and port as one number, by which ranges are sorted.
#[inline]
pub(super) fn key(protocol: Protocol, port: u16) -> u32 {
    let protocol = match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => 0x1_0000,
    };
    protocol | u32::from(port)
}

/// A node's addresses. Aligned so that its place is found by a shift.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(align(32))]
pub struct Addresses {
    pub(super) v4: Option<[u8; 4]>,
    pub(super) v6: Option<[u8; 16]>,
}

/// Where a node has a listener's routes: all that most packets need, in one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(align(8))]
pub struct Base {
    /// Its port of route 1, or of all routes; 0 where packets keep theirs, or the node has no address
    /// of the listener's IP version.
    pub(super) port: u16,
    /// The node's IPv4 address, if it has one.
    pub(super) v4: [u8; 4],
}

/// A node's id and index, for building only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub struct Id {
    pub(super) id: u32,
    pub(super) index: u32,
}

/// Where a table is built. `ids` may be freed after that.
pub struct Storage<'a> {
    /// The hash of addresses.
    pub buckets: &'a mut [Bucket],
    /// What tells most other addresses from those in the hash.
    pub filter: &'a mut [u8],
    /// Port ranges, those of one address side by side.
    pub ranges: &'a mut [Range],
    /// The listeners.
    pub listeners: &'a mut [Listener],
    /// The nodes' addresses.
    pub nodes: &'a mut [Addresses],
    /// Where each node has each listener, those of one node side by side.
    pub bases: &'a mut [Base],
    /// Each route's node: index + 1, or 0 for none.
    pub routes: &'a mut [u16],
    /// The routes that drain.
    pub drains: &'a mut [Drain],
    /// Each route's drain: index + 1, or 0 for none. Empty where no route drains.
    pub draining: &'a mut [u16],
    /// Scratch.
    pub ids: &'a mut [Id],
}

impl Storage<'_> {
    /// The sizes of its slices.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            buckets: self.buckets.len(),
            filter: self.filter.len(),
            ranges: self.ranges.len(),
            listeners: self.listeners.len(),
            nodes: self.nodes.len(),
            bases: self.bases.len(),
            routes: self.routes.len(),
            drains: self.drains.len(),
            draining: self.draining.len(),
            ids: self.ids.len(),
        }
    }
}

/// A built table. Made of the slices of the [`Storage`] that `build` has filled.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct View<'a> {
    pub buckets: &'a [Bucket],
    pub ranges: &'a [Range],
    pub listeners: &'a [Listener],
    pub nodes: &'a [Addresses],
    pub bases: &'a [Base],
    pub routes: &'a [u16],
    pub drains: &'a [Drain],
    pub draining: &'a [u16],
    pub select_key: &'a SelectKey,
}

/// A route on a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// The route, from 0.
    pub(super) route: u16,
    /// How far its port is from the listener's first: as far as the route, or 0.
    pub(super) offset: u16,
    /// The listener's index.
    pub(super) listener: u16,
}

impl Place {
    /// Of a port in a range, where the route is the port's.
    #[inline(always)]
    pub(super) fn at_port((range, offset): (&Range, u16)) -> Place {
        Place {
            route: offset,
            offset,
            listener: range.listener,
        }
    }
}

/// What [`View::forward`] says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forward {
    /// No listener's.
    NotOurs,
    /// For a node, at this address and port.
    To {
        /// The node's address.
        address: Address,
        /// The route's port there.
        port: u16,
    },
    /// For a node, as it is.
    As {
        /// The node's address.
        address: Address,
        /// How it gets there.
        deliver: Deliver,
    },
    /// A listener's, but with nowhere to go.
    Drop(Exit),
}

impl<'a> View<'a> {
    /// A table without listeners: nothing is HaloD's.
    pub const EMPTY: View<'static> = View {
        buckets: &[],
        ranges: &[],
        listeners: &[],
        nodes: &[],
        bases: &[],
        routes: &[],
        drains: &[],
        draining: &[],
        select_key: &SelectKey::NONE,
    };

    /// The route and listener that a packet from a client is for.
    #[inline(always)]
    pub(super) fn exposed(&self, packet: &Packet) -> Option<Place> {
        let found = self.lookup(&packet.dst, Owner::Listener, packet.protocol, packet.dport)?;
        Some(self.place(found, true, || (packet.src, packet.sport)))
    }

    /// The route and listener that a packet from a node is of. A function of the source address,
    /// protocol and source port alone, but for the route of a listener with one port.
    #[inline(always)]
    pub(super) fn served(&self, packet: &Packet) -> Option<Place> {
        let found = self.lookup(&packet.src, Owner::Node, packet.protocol, packet.sport)?;
        // Only for drains the route is asked.
        let draining = !self.draining.is_empty();
        Some(self.place(found, draining, || (packet.dst, packet.dport)))
    }

    /// The same as both of these, sooner, by the address and port that they look at, of the first two
    /// ranges that the address has of the protocol, while nothing drains. A listener's is one of these
    /// if each route has a port of its own, and packets are rewritten.
    #[inline(always)]
    pub(super) fn usual(
        &self,
        owner: Owner,
        protocol: Protocol,
        (address, port): (Address, u16),
        hash: usize,
    ) -> Option<(&'a Range, u16)> {
        let [tcp, udp] = &self.find_hashed(&address, hash, owner)?.usual;
        let [one, other] = match protocol {
            Protocol::Tcp => tcp,
            Protocol::Udp => udp,
        };
        match one.offset(port.into()) {
            Some(offset) => Some((one, offset)),
            None => Some((other, other.offset(port.into())?)),
        }
    }

    /// The place that a range and a port's offset in it are for a client; of one port the route only
    /// where it is `wanted`.
    #[inline(always)]
    fn place(
        &self,
        (range, offset): (&Range, u16),
        wanted: bool,
        client: impl Fn() -> (Address, u16),
    ) -> Place {
        let route = match range.span {
            0 if wanted => selected(
                self.listeners,
                self.select_key,
                self.routes.len(),
                range,
                client(),
            ),
            _ => offset,
        };
        Place {
            route,
            offset,
            listener: range.listener,
        }
    }

    /// Where a packet from a client goes while nothing drains.
    #[inline(always)]
    pub fn forward(&self, packet: &Packet) -> Forward {
        match self.exposed(packet) {
            Some(place) => self.node_place(place, self.node_at(place), &packet.dst),
            None => Forward::NotOurs,
        }
    }

    /// The VIP and port that a packet from a node is really from.
    #[inline(always)]
    pub fn reverse(&self, packet: &Packet) -> Option<(Address, u16)> {
        self.vip_of(self.served(packet)?)
    }

    /// The VIP and port of a route and listener.
    #[inline(always)]
    pub(super) fn vip_of(&self, place: Place) -> Option<(Address, u16)> {
        let listener = self.listeners.get(usize::from(place.listener))?;
        Some((listener.address, listener.port.wrapping_add(place.offset)))
    }

    /// How a listener's packets get to their node.
    pub(super) fn deliver_of(&self, place: Place) -> Deliver {
        let listener = self.listeners.get(usize::from(place.listener));
        listener.map_or(Deliver::Nat, |listener| listener.deliver)
    }

    /// How a route drains, if it does.
    #[inline(always)]
    pub fn drain_of(&self, route: u16) -> Option<&'a Drain> {
        let index = *self.draining.get(usize::from(route))?;
        self.drains.get(usize::from(index).checked_sub(1)?)
    }

    /// The node (index + 1, 0 for none) of a route.
    #[inline(always)]
    pub(super) fn node_at(&self, place: Place) -> u16 {
        let node = self.routes.get(usize::from(place.route));
        node.copied().unwrap_or(0)
    }

    /// Whether a listener has this address.
    #[inline(always)]
    pub fn is_vip(&self, address: &Address) -> bool {
        self.find(address, Owner::Listener).is_some()
    }

    /// Whether a node has this address.
    #[inline(always)]
    pub fn is_node(&self, address: &Address) -> bool {
        self.find(address, Owner::Node).is_some()
    }

    /// Whether packets are sent to this address inside others.
    pub(super) fn tunnels_to(&self, address: &Address) -> bool {
        let sends = |listener: &Listener| {
            listener.deliver == Deliver::Ipip && listener.address.same_family(address)
        };
        self.is_node(address) && self.listeners.iter().any(sends)
    }

    /// Whether a listener has this address and protocol, or any if None.
    #[inline(always)]
    pub fn exposes(&self, address: &Address, protocol: Option<Protocol>) -> bool {
        let Some(bucket) = self.find(address, Owner::Listener) else {
            return false;
        };
        let Some(protocol) = protocol else {
            return true;
        };
        let all = key(protocol, 0)..=key(protocol, u16::MAX);
        let ranges = self.ranges_of(bucket);
        ranges.iter().any(|range| all.contains(&range.first))
    }

    /// Index from 0 of the node of a route, from 1.
    pub fn node_of(&self, route: u32) -> Option<usize> {
        let route = usize::try_from(route.checked_sub(1)?).ok()?;
        usize::from(*self.routes.get(route)?).checked_sub(1)
    }

    /// The address and port of a route and listener, whose VIP is `vip`, on a node (index + 1, 0
    /// for none).
    #[inline(always)]
    pub(super) fn node_place(&self, place: Place, node: u16, vip: &Address) -> Forward {
        if let Some((address, port)) = self.rewritten(place, node, vip) {
            return Forward::To { address, port };
        }
        let index = usize::from(node).checked_sub(1);
        let Some(addresses) = index.and_then(|index| self.nodes.get(index)) else {
            return Forward::Drop(Exit::DropNoNode);
        };
        let address = match vip {
            Address::V4(_) => addresses.v4.map(Address::V4),
            Address::V6(_) => addresses.v6.map(Address::V6),
        };
        match address {
            Some(address) => Forward::As {
                address,
                deliver: self.deliver_of(place),
            },
            None => Forward::Drop(Exit::DropNoAddress),
        }
    }

    /// The same where packets are rewritten: all that most of them need.
    #[inline(always)]
    pub(super) fn rewritten(
        &self,
        place: Place,
        node: u16,
        vip: &Address,
    ) -> Option<(Address, u16)> {
        // None is beyond all others then. Else it cannot overflow: both were indexes of arrays of at most
        // 4,096 and 64.
        let node = usize::from(node).wrapping_sub(1);
        let base = node
            .wrapping_mul(self.listeners.len())
            .wrapping_add(usize::from(place.listener));
        let base = self.bases.get(base).filter(|base| base.port != 0)?;
        let address = match vip {
            Address::V4(_) => Address::V4(base.v4),
            Address::V6(_) => Address::V6(self.nodes.get(node)?.v6?),
        };
        Some((address, base.port.wrapping_add(place.offset)))
    }

    /// The range of a port of an address, and how far it is from that one's first.
    #[inline(always)]
    fn lookup(
        &self,
        address: &Address,
        owner: Owner,
        protocol: Protocol,
        port: u16,
    ) -> Option<(&'a Range, u16)> {
        among(
            self.ranges_of(self.find(address, owner)?),
            key(protocol, port),
        )
    }

    /// The bucket of an address, if `owner` has it.
    #[inline(always)]
    fn find(&self, address: &Address, owner: Owner) -> Option<&'a Bucket> {
        self.find_hashed(address, address.hash(), owner)
    }

    /// The same where its hash is at hand.
    #[inline(always)]
    fn find_hashed(&self, address: &Address, hash: usize, owner: Owner) -> Option<&'a Bucket> {
        let mask = self.buckets.len().wrapping_sub(1);
        let mut at = hash;
        // Ends at an empty bucket, since at least half of them are.
        for _ in 0..self.buckets.len() {
            let bucket = self.buckets.get(at & mask)?;
            if bucket.owner == owner && bucket.address == *address {
                return Some(bucket);
            }
            if bucket.owner == Owner::Nobody {
                return None;
            }
            at = at.wrapping_add(1);
        }
        None
    }

    /// The ranges of a bucket.
    #[inline(always)]
    fn ranges_of(&self, bucket: &Bucket) -> &'a [Range] {
        let start = bucket.start as usize;
        let end = start.saturating_add(bucket.count as usize);
        self.ranges.get(start..end).unwrap_or(&[])
    }
}

/// The range of sorted ones that a [`key`] is in, and how far it is from that one's first.
#[inline(always)]
fn among(ranges: &[Range], key: u32) -> Option<(&Range, u16)> {
    // A handful is found sooner by going through it.
    let range = if ranges.len() <= 8 {
        ranges.iter().find(|range| range.offset(key).is_some())?
    } else {
        let after = ranges.partition_point(|range| range.first <= key);
        ranges.get(after.checked_sub(1)?)?
    };
    Some((range, range.offset(key)?))
}

/// The route (from 0) of a client at a range of one port. A function of its own, and no method, so
/// that what has a port for each route does not pay for it.
#[inline(never)]
fn selected(
    listeners: &[Listener],
    key: &SelectKey,
    routes: usize,
    range: &Range,
    (address, port): (Address, u16),
) -> u16 {
    let listener = listeners.get(usize::from(range.listener));
    let select = listener.map_or(Select::Port, |listener| listener.select);
    key.route(select, &address, port, routes)
}

impl Range {
    /// How far a [`key`] is from the first, if it is within the range.
    #[inline(always)]
    pub(super) fn offset(&self, key: u32) -> Option<u16> {
        let offset = key.wrapping_sub(self.first);
        // What passes the comparison fits.
        (offset <= u32::from(self.span)).then_some(offset as u16)
    }
}
