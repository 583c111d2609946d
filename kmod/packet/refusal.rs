// SPDX-License-Identifier: GPL-2.0
//! Why a table is not accepted, in words that fit a netlink extack.

use core::fmt;

use super::address::{Address, Protocol};
use super::drain::FORMERS_MAX;
use super::table::{MAX_LISTENERS, MAX_NODES, MAX_ROUTES};

/// Longest text of a [`Refusal`], in bytes: what the kernel's formatted extack
/// (NETLINK_MAX_FMTMSG_LEN) holds besides its NUL.
pub const TEXT_MAX: usize = 79;

/// What is wrong with a table. Listeners and targets are named by their index
/// from 0, nodes by their id, routes from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The number of routes is out of bounds.
    Routes(u32),
    /// Another number of route nodes than of routes.
    RouteNodes {
        /// Nodes given.
        given: usize,
        /// Routes.
        routes: u32,
    },
    /// Too many listeners.
    Listeners(usize),
    /// Too many nodes.
    Nodes(usize),
    /// A listener's address is not a routable unicast one.
    ListenerAddress(usize, Address),
    /// A listener's port range is not within 1..=65535.
    ListenerPorts {
        /// The listener.
        listener: usize,
        /// Port of route 1.
        first: u16,
        /// Port of the last route, were it a port.
        last: u32,
    },
    /// A listener's port range on the nodes is not within 1..=65535.
    NodePorts {
        /// The listener.
        listener: usize,
        /// Port of route 1.
        first: u16,
        /// Port of the last route, were it a port.
        last: u32,
    },
    /// A listener has one port for all routes, and there is no key to tell them apart by.
    SelectKey(usize),
    /// A listener sends packets to nodes as they are, and yet to another port.
    DeliverPort(usize, u16),
    /// The same of a node's own port.
    TargetDeliver(u32, u32),
    /// Two listeners claim the same port.
    ListenersOverlap(usize, usize),
    /// A node's id is 0, which means none.
    NodeZero,
    /// Two nodes have the same id.
    NodeTwice(u32),
    /// A node has no address.
    NodeNoAddress(u32),
    /// A node's address is not a routable unicast one.
    NodeAddress(u32, Address),
    /// A node's address is a listener's.
    NodeIsVip(u32, Address),
    /// A target is of a node that is not there.
    TargetNode(usize, u32),
    /// A target is of a listener that is not there.
    TargetListener(u32, u32),
    /// A node has two targets for one listener.
    TargetTwice(u32, u32),
    /// A target's port range is not within 1..=65535.
    TargetPorts {
        /// The node.
        node: u32,
        /// The listener.
        listener: u32,
        /// Port of route 1.
        first: u16,
        /// Port of the last route, were it a port.
        last: u32,
    },
    /// A route's node is not there.
    RouteNode {
        /// The route.
        route: u32,
        /// The node.
        node: u32,
    },
    /// A draining route is not there, or not in ascending order.
    DrainRoute(u32),
    /// A draining route has too many former nodes.
    DrainDepth(u32),
    /// A draining route's former node is not there.
    DrainNode {
        /// The route.
        route: u32,
        /// The former node.
        node: u32,
    },
    /// Replies from a port of a node could be for either of two listeners.
    ListenersAmbiguous {
        /// The node.
        node: u32,
        /// The listeners.
        listeners: (u16, u16),
        /// The protocol.
        protocol: Protocol,
        /// The first such port.
        port: u16,
    },
    /// Replies from a port of an address that two nodes share could be for
    /// either of two routes or listeners.
    NodesAmbiguous {
        /// The nodes.
        nodes: (u32, u32),
        /// The protocol.
        protocol: Protocol,
        /// The first such port.
        port: u16,
    },
    /// The storage is not of the sizes that `sizes` gives for this input.
    Storage,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Refusal::*;
        match *self {
            Routes(routes) => write!(f, "{routes} routes, must be 1 to {MAX_ROUTES}"),
            RouteNodes { given, routes } => write!(f, "nodes of {given} routes given, of {routes}"),
            Listeners(count) => write!(f, "{count} listeners, at most {MAX_LISTENERS}"),
            Nodes(count) => write!(f, "{count} nodes, at most {MAX_NODES}"),
            ListenerAddress(listener, address) => {
                write!(f, "listener {listener}: {address} is no routable address")
            }
            ListenerPorts {
                listener,
                first,
                last,
            } => {
                write!(f, "listener {listener}: ")?;
                ports(f, first, last)
            }
            NodePorts {
                listener,
                first,
                last,
            } => {
                write!(f, "listener {listener}: node ")?;
                ports(f, first, last)
            }
            SelectKey(listener) => {
                write!(
                    f,
                    "listener {listener}: one port for all routes needs a select-key"
                )
            }
            DeliverPort(listener, port) => {
                write!(
                    f,
                    "listener {listener}: node-port {port}, but packets keep their port"
                )
            }
            TargetDeliver(node, listener) => {
                write!(
                    f,
                    "node {node}, listener {listener}: packets keep their port"
                )
            }
            ListenersOverlap(one, other) => write!(f, "listeners {one} and {other} overlap"),
            NodeZero => write!(f, "node 0: ids start from 1"),
            NodeTwice(id) => write!(f, "node {id}: given twice"),
            NodeNoAddress(id) => write!(f, "node {id}: has no address"),
            NodeAddress(id, address) => {
                write!(f, "node {id}: {address} is no routable address")
            }
            NodeIsVip(id, address) => write!(f, "node {id}: {address} is a listener's"),
            TargetNode(target, node) => {
                write!(f, "target {target}: node {node} is not in the table")
            }
            TargetListener(node, listener) => {
                write!(f, "node {node}: target of unknown listener {listener}")
            }
            TargetTwice(node, listener) => {
                write!(f, "node {node}: two targets for listener {listener}")
            }
            TargetPorts {
                node,
                listener,
                first,
                last,
            } => {
                write!(f, "node {node}, listener {listener}: ")?;
                ports(f, first, last)
            }
            RouteNode { route, node } => write!(f, "node {node}: unknown (route {route})"),
            DrainRoute(route) => write!(f, "drain of route {route}: unknown or out of order"),
            DrainDepth(route) => {
                write!(f, "route {route}: more than {FORMERS_MAX} former nodes")
            }
            DrainNode { route, node } => {
                write!(f, "node {node}: unknown (former node of route {route})")
            }
            ListenersAmbiguous {
                node,
                listeners: (one, other),
                protocol,
                port,
            } => {
                let protocol = protocol.name();
                write!(f, "node {node}: listeners {one} and {other} ")?;
                write!(f, "share {protocol} port {port}: replies ambiguous")
            }
            NodesAmbiguous {
                nodes: (one, other),
                protocol,
                port,
            } => {
                let protocol = protocol.name();
                write!(f, "nodes {one} and {other} ")?;
                write!(
                    f,
                    "share address, {protocol} port {port}: replies ambiguous"
                )
            }
            Storage => write!(f, "storage of a wrong size"),
        }
    }
}

fn ports(f: &mut fmt::Formatter<'_>, first: u16, last: u32) -> fmt::Result {
    match first {
        0 => write!(f, "port 0, must be at least 1"),
        _ => write!(f, "ports {first}-{last} exceed 65535"),
    }
}
