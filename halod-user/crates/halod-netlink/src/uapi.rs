// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
// Do not edit directly, generated from kmod/netlink/halod.yaml
// To regenerate run: scripts/netlink-gen KDIR

//! Numbers and names of the kernel family.

/// The family's name.
pub const FAMILY_NAME: &str = "halod";
/// The family's version.
pub const FAMILY_VERSION: u8 = 1;
/// Name of the multicast group table.
pub const MCGRP_TABLE: &str = "table";
/// Most routes a table can have.
pub const MAX_ROUTES: u32 = 32768;
/// Most nodes a table can have.
pub const MAX_NODES: u32 = 4096;
/// Most listeners a table can have.
pub const MAX_LISTENERS: u32 = 64;
/// Most routes that one run can describe.
pub const MAX_RUN: u32 = 8192;
/// Longest name of a node or listener, in bytes without the final NUL.
pub const NAME_MAX: u32 = 63;
/// Most former nodes that a draining route can have at a time.
pub const MAX_FORMERS: u32 = 3;

/// Commands.
pub mod cmd {
    /// The table's generation and size.
    pub const GET_STATUS: u8 = 1;
    /// The whole table: a message with generation and routes, then one a listener, one a node,
    /// the runs, and the drains. A commit between two messages of the dump sets NLM_F_DUMP_INTR;
    /// start again then.
    pub const GET_TABLE: u8 = 2;
    /// Replace the whole table, or refuse and change nothing. The reply holds the generation now
    /// in force.
    pub const COMMIT: u8 = 3;
    /// Empty the table: packets to the listeners' ports reach the local stack from then on.
    /// Refused with ESTALE where expected-generation is given and is not the one in force. The
    /// generation goes on rising.
    pub const FLUSH: u8 = 4;
    /// Every packet exit of this namespace, with its count.
    pub const GET_COUNTERS: u8 = 5;
    /// Sent to the group table after each commit and flush.
    pub const TABLE_CHANGED: u8 = 6;
    /// What became of this namespace's packets where they arrived, with their counts: those that
    /// took the fast path, and why others did not.
    pub const GET_FAST_PATH: u8 = 7;
    /// Every device of this namespace, and whether it has the fast path.
    pub const GET_DEVICES: u8 = 8;
}

/// What a listener's packets are told apart into routes by.
pub mod select {
    /// Each route has a port of its own.
    pub const PORT: u8 = 0;
    /// One port for all routes; the route is a keyed hash of the client's address.
    pub const SOURCE: u8 = 1;
    /// One port for all routes; the route is a keyed hash of the client's address and port.
    pub const FLOW: u8 = 2;
}

/// How a listener's packets get to their node.
pub mod deliver {
    /// Rewritten to the node's address and port; its answers come back by this machine, and are
    /// rewritten too.
    pub const NAT: u8 = 0;
    /// Unchanged, to the node's link address. The node has the VIP, and answers the client
    /// directly.
    pub const DSR: u8 = 1;
    /// Inside another packet of the same IP version, to a node on any network. The node has the
    /// VIP, and answers the client directly.
    pub const IPIP: u8 = 2;
}

/// Which packets are sent on where they arrive by a device, before the IP layers of the kernel, rather than by its forwarding.
pub mod fast_path {
    /// None.
    pub const OFF: u8 = 0;
    /// Ordinary ones, as long as no hooks of others in PRE_ROUTING, FORWARD or POST_ROUTING would
    /// see them.
    pub const AUTO: u8 = 1;
    /// Ordinary ones, also past such hooks: a firewall's rules there are not asked about them.
    pub const ON: u8 = 2;
}

/// Whether packets that arrive by a device can take the fast path.
pub mod device_state {
    /// They can.
    pub const FAST: u8 = 0;
    /// It is off, or the device has no hook for want of memory.
    pub const OFF: u8 = 1;
    /// They are this machine's own.
    pub const LOOPBACK: u8 = 2;
    /// The device is part of a bridge, bond or VRF.
    pub const ENSLAVED: u8 = 3;
    /// Somebody else takes packets off the device, as macvlan does.
    pub const TAKEN: u8 = 4;
    /// There are hooks of others, and the fast path is auto.
    pub const FIREWALL: u8 = 5;
    /// There are IPsec policies, or nothing is forwarded.
    pub const POLICY: u8 = 6;
}

/// Attributes of a status.
pub mod status {
    /// The module's version.
    pub const VERSION: u16 = 1;
    /// Number of the table's version; 0 before the first commit.
    pub const GENERATION: u16 = 2;
    /// Number of routes, N; 0 where the table is empty.
    pub const ROUTES: u16 = 3;
    /// Number of listeners in the table.
    pub const LISTENERS: u16 = 4;
    /// Number of nodes in the table.
    pub const NODES: u16 = 5;
    /// Number of routes that drain.
    pub const DRAINING: u16 = 6;
    /// Connections remembered of draining routes, more or less.
    pub const FLOWS: u16 = 7;
    /// Room for such connections; 0 while nothing drains. When it is used up, new connections of
    /// draining routes go to the oldest former node, and are counted as forward_full.
    pub const FLOW_SLOTS: u16 = 8;
}

/// Attributes of a listener.
pub mod listener {
    /// The operator's name of it, unique neither by need nor by check.
    pub const NAME: u16 = 1;
    /// The VIP, 4 bytes (IPv4) or 16 bytes (IPv6), network byte order.
    pub const ADDRESS: u16 = 2;
    /// IP protocol number, 6 (TCP) or 17 (UDP).
    pub const PROTOCOL: u16 = 3;
    /// Port of route 1, host byte order. Route r is exposed on port + r - 1, or on the port
    /// itself where select is not port.
    pub const PORT: u16 = 4;
    /// Port of route 1 on every node that does not say otherwise, host byte order. Where absent
    /// it is the same as port.
    pub const NODE_PORT: u16 = 5;
    /// Where absent it is port; the others need the table's select-key.
    pub const SELECT: u16 = 6;
    /// Where absent it is nat. With the others packets keep their ports, so node-port and the
    /// nodes' targets cannot differ from port.
    pub const DELIVER: u16 = 7;
}

/// Attributes of a node.
pub mod node {
    /// The node's number, unique in the table. 0 means no node.
    pub const ID: u16 = 1;
    /// The node's name.
    pub const NAME: u16 = 2;
    /// Where packets for the node go: at most one IPv4 (4 bytes) and one IPv6 address (16 bytes),
    /// network byte order.
    pub const ADDRESS: u16 = 3;
    /// Where this node's port of route 1 differs from the listener's.
    pub const TARGET: u16 = 4;
}

/// Attributes of a target.
pub mod target {
    /// Index of the listener in the table, from 0.
    pub const LISTENER: u16 = 1;
    /// Port of route 1 on this node, host byte order.
    pub const PORT: u16 = 2;
}

/// The nodes of consecutive routes.
pub mod run {
    /// The first route described, from 1.
    pub const FIRST: u16 = 1;
    /// Node ids of the routes first, first + 1, and so on; 0 for a route that has no node, whose
    /// packets are dropped.
    pub const NODES: u16 = 2;
}

/// A route whose former nodes keep the TCP connections they have. Where the route has no node, they do all the same, and new ones are dropped.
pub mod drain {
    /// The route.
    pub const ROUTE: u16 = 1;
    /// Ids of the former nodes, from the oldest on, at most max-formers.
    pub const NODE: u16 = 2;
    /// For each of them the time it has left, in milliseconds. Connections that it still has then
    /// go to the route's node, which resets them.
    pub const LEFT: u16 = 3;
    /// How long, in milliseconds, UDP packets of the route stay with the oldest former node. 0 or
    /// absent: they go to the route's node at once.
    pub const UDP_LEFT: u16 = 4;
}

/// Attributes of a table.
pub mod table {
    /// The generation that the sender believes to be in force. Where it is another, the commit is
    /// refused with ESTALE and nothing changes.
    pub const EXPECTED_GENERATION: u16 = 1;
    /// In a commit, the generation that the new table gets: greater than the expected one; where
    /// absent, the expected one + 1.
    pub const GENERATION: u16 = 2;
    /// Number of routes, N.
    pub const ROUTES: u16 = 3;
    /// The listener.
    pub const LISTENER: u16 = 4;
    /// The node.
    pub const NODE: u16 = 5;
    /// Together the runs of a commit describe every route exactly once.
    pub const RUN: u16 = 6;
    /// The routes that drain, in ascending order, each once.
    pub const DRAIN: u16 = 7;
    /// The key by which listeners with one port for all routes tell them apart. Another one sends
    /// nearly every connection to another node.
    pub const SELECT_KEY: u16 = 8;
    /// Where absent it is off.
    pub const FAST_PATH: u16 = 9;
}

/// Attributes of a counter.
pub mod counter {
    /// The packet's exit, one of the names in docs/counters.md.
    pub const NAME: u16 = 1;
    /// Packets that left by it since the namespace was made, all CPUs.
    pub const PACKETS: u16 = 2;
}

/// Attributes of a device.
pub mod device {
    /// The index.
    pub const INDEX: u16 = 1;
    /// The name.
    pub const NAME: u16 = 2;
    /// The ipv4.
    pub const IPV4: u16 = 3;
    /// The ipv6.
    pub const IPV6: u16 = 4;
}
