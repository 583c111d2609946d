// SPDX-License-Identifier: GPL-2.0
//! The route table as packets see it: lookups over borrowed slices.
//!
//! One index serves both directions. `buckets` is an open-addressed hash, at
//! most half full, of all addresses, VIPs and nodes alike; each leads to a
//! slice of `ranges` sorted by protocol and port, and each range to a listener.
//! A packet that is not HaloD's costs one probe.

use super::address::{Address, Protocol};
use super::exit::Exit;
use super::parse::Packet;

/// Most routes a table can have.
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
    /// Port of route 1.
    pub port: u16,
    /// Port of route 1 on the nodes that have no [`Target`] for this listener.
    pub node_port: u16,
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

/// A node's own port for a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Target {
    /// Index of the node in [`Input::nodes`].
    pub node: u32,
    /// Index of the listener in [`Input::listeners`].
    pub listener: u32,
    /// Port of route 1 on the node.
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
}

/// How many elements each slice of [`Storage`] has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Sizes {
    pub buckets: usize,
    pub ranges: usize,
    pub listeners: usize,
    pub nodes: usize,
    pub bases: usize,
    pub routes: usize,
    pub ids: usize,
}

/// A place of the hash of addresses. `count` 0: empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bucket {
    pub(super) address: Address,
    pub(super) vip: bool,
    pub(super) used: bool,
    pub(super) start: u32,
    pub(super) count: u32,
}

/// A range of ports of an address, and the listener that it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub struct Range {
    /// Protocol in bit 16, first port below.
    pub(super) first: u32,
    pub(super) last: u16,
    pub(super) listener: u16,
}

/// A node's addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Addresses {
    pub(super) v4: Option<[u8; 4]>,
    pub(super) v6: Option<[u8; 16]>,
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
    /// Port ranges, those of one address side by side.
    pub ranges: &'a mut [Range],
    /// The listeners.
    pub listeners: &'a mut [Listener],
    /// The nodes' addresses.
    pub nodes: &'a mut [Addresses],
    /// Each node's port of route 1 for each listener, those of one node side by side.
    pub bases: &'a mut [u16],
    /// Each route's node: index + 1, or 0 for none.
    pub routes: &'a mut [u16],
    /// Scratch.
    pub ids: &'a mut [Id],
}

/// A built table. Made of the slices of the [`Storage`] that `build` has filled.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct View<'a> {
    pub buckets: &'a [Bucket],
    pub ranges: &'a [Range],
    pub listeners: &'a [Listener],
    pub nodes: &'a [Addresses],
    pub bases: &'a [u16],
    pub routes: &'a [u16],
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
    };

    /// Where a packet from a client goes.
    #[inline]
    pub fn forward(&self, packet: &Packet) -> Forward {
        let _ = packet;
        Forward::NotOurs
    }

    /// The VIP and port that a packet from a node is really from. A function of
    /// the source address, protocol and source port alone.
    #[inline]
    pub fn reverse(&self, packet: &Packet) -> Option<(Address, u16)> {
        let _ = packet;
        None
    }

    /// Whether a listener has this address.
    #[inline]
    pub fn is_vip(&self, address: &Address) -> bool {
        let _ = address;
        false
    }

    /// Whether a node that can be reached by some listener has this address.
    #[inline]
    pub fn is_node(&self, address: &Address) -> bool {
        let _ = address;
        false
    }

    /// Whether a listener has this address and protocol, or any if None.
    #[inline]
    pub fn exposes(&self, address: &Address, protocol: Option<Protocol>) -> bool {
        let _ = protocol;
        self.is_vip(address)
    }
}
