// SPDX-License-Identifier: GPL-2.0
//! What a hook does with a packet, by the route table.

use super::address::{Address, Protocol};
use super::deliver::Deliver;
use super::drain::Drain;
use super::exit::Exit;
use super::icmp::Translation;
use super::parse::{Packet, Parsed};
use super::rewrite::Side;
use super::source::Source;
use super::table::{Forward, Owner, Place};

/// Where in its way through the kernel the packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// Arrived from a device.
    PreRouting,
    /// About to be delivered to a socket of this machine.
    LocalIn,
    /// Sent by a socket of this machine.
    LocalOut,
    /// About to leave by a device.
    PostRouting,
}

/// What the hook is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Leave it alone, or drop it where `Exit::is_drop`.
    Exit(Exit),
    /// Leave its bytes alone now, but keep connection tracking off it: it will
    /// be rewritten as it leaves, or be delivered.
    Untrack,
    /// Rewrite one side of the packet, keep connection tracking off it, then `exit`.
    Rewrite {
        /// The side.
        side: Side,
        /// The side's new address and port.
        to: (Address, u16),
        /// The exit when that is done.
        exit: Exit,
    },
    /// Send the packet to a node without rewriting it, keep connection tracking off it, then `exit`.
    Deliver {
        /// The node's address.
        node: Address,
        /// How it gets there.
        deliver: Deliver,
        /// The exit when that is done.
        exit: Exit,
    },
    /// Hear an ICMP error about a packet in which this machine has sent another to a node; then
    /// `Exit::IcmpTunnel`.
    Learn {
        /// Offset of the ICMP header from the network header, in bytes.
        l4: u16,
    },
    /// Rewrite an ICMP error.
    Translate {
        /// What to do, with [`Translation::apply`].
        translation: Translation,
        /// The exit when that is done.
        exit: Exit,
    },
}

/// Decides about what was read; about ICMP errors [`decide_error`](super::decide_error) does.
#[inline(always)]
pub fn decide(table: &impl Source, hook: Hook, parsed: &Parsed) -> Decision {
    match parsed {
        Parsed::Packet(packet) => decide_packet(table, hook, packet),
        Parsed::Other | Parsed::Error(_) | Parsed::Outer { .. } => Decision::Exit(Exit::Pass),
        Parsed::Unreadable {
            dst,
            protocol,
            exit,
            ..
        } => match hook {
            Hook::PreRouting | Hook::LocalOut if table.view().exposes(dst, *protocol) => {
                Decision::Exit(*exit)
            }
            _ => Decision::Exit(Exit::Pass),
        },
    }
}

/// Decides about a packet.
#[inline(always)]
pub fn decide_packet(table: &impl Source, hook: Hook, packet: &Packet) -> Decision {
    let view = table.view();
    match hook {
        Hook::PreRouting | Hook::LocalOut => match view.exposed(packet) {
            Some(place) => forward(table, hook, place, packet),
            None if view.served(packet).is_some() => Decision::Untrack,
            None => Decision::Exit(Exit::Pass),
        },
        Hook::LocalIn | Hook::PostRouting => match view.served(packet) {
            Some(place) => reverse(table, hook, place, packet),
            None => Decision::Exit(Exit::Pass),
        },
    }
}

/// Where nearly all packets from clients to an address and port go: what [`decide_packet`] says of one
/// that is simply [`Exit::Forward`], in fewer instructions. None where that is to be asked: beyond
/// the first two listeners of an address and protocol with a port for each route, and where any route
/// drains. `hash` is the address's.
#[inline(always)]
pub fn usual_node(
    table: &impl Source,
    protocol: Protocol,
    to: (Address, u16),
    hash: usize,
) -> Option<(Address, u16)> {
    let place = Place::at_port(table.view().usual(Owner::Listener, protocol, to, hash)?);
    let node = table.view().node_at(place);
    table.view().rewritten(place, node, &to.0)
}

/// The same of packets from nodes, by where they are from: [`Exit::Reverse`].
#[inline(always)]
pub fn usual_vip(
    table: &impl Source,
    protocol: Protocol,
    from: (Address, u16),
    hash: usize,
) -> Option<(Address, u16)> {
    let place = Place::at_port(table.view().usual(Owner::Node, protocol, from, hash)?);
    table.view().vip_of(place)
}

/// From a client: to the route's node, or to the one that has the connection.
#[inline(always)]
fn forward(table: &impl Source, hook: Hook, place: Place, packet: &Packet) -> Decision {
    let view = table.view();
    let current = view.node_at(place);
    let (node, exit) = match view.drain_of(place.route) {
        None => (current, Exit::Forward),
        // A copy, or every packet would have to be in memory for this call.
        Some(drain) => while_draining(table, drain, current, place, &{ *packet }),
    };
    match view.node_place(place, node, &packet.dst) {
        Forward::To { address, port } => Decision::Rewrite {
            side: Side::Destination,
            to: (address, port),
            exit: match hook {
                Hook::LocalOut => Exit::LocalOut,
                _ => exit,
            },
        },
        // It would be from the node's own address.
        Forward::As { .. } if hook == Hook::LocalOut && view.is_vip(&packet.src) => {
            Decision::Exit(Exit::DropOwnVip)
        }
        Forward::As { address, deliver } => Decision::Deliver {
            node: address,
            deliver,
            exit: match hook {
                Hook::LocalOut => Exit::LocalOut,
                _ => exit,
            },
        },
        Forward::Drop(exit) => Decision::Exit(exit),
        Forward::NotOurs => Decision::Exit(Exit::Pass),
    }
}

/// The node (index + 1) of a packet from a client to a draining route, whose own is `current`.
#[inline(never)]
fn while_draining(
    table: &impl Source,
    drain: &Drain,
    current: u16,
    place: Place,
    packet: &Packet,
) -> (u16, Exit) {
    let draining = table.draining();
    if packet.protocol == Protocol::Udp {
        return existing(drain.udp_node(draining.now), current);
    }
    let flow = draining.flows.as_ref().map(|flows| {
        let client = (&packet.src, packet.sport);
        let vip = (&packet.dst, packet.dport);
        (flows, flows.flow(client, vip, place.route))
    });
    if packet.opening {
        let Some(tag) = drain.current() else {
            // Nobody's: not to be remembered either.
            return (current, Exit::Forward);
        };
        let remembered = flow.is_some_and(|(flows, flow)| flows.remember(&flow, tag));
        return match drain.node_of(None, draining.now) {
            // Forgotten, it must be where its next packet will be sent.
            Some(oldest) if !remembered => (oldest, Exit::ForwardFull),
            _ => (current, Exit::Forward),
        };
    }
    let tag = flow.and_then(|(flows, flow)| flows.find(&flow));
    existing(drain.node_of(tag, draining.now), current)
}

/// Where a packet that opens nothing goes: to a node that may still have it, or else to `current`.
#[inline]
fn existing(node: Option<u16>, current: u16) -> (u16, Exit) {
    match node {
        Some(node) if node != current => (node, Exit::ForwardFormer),
        _ => (current, Exit::Forward),
    }
}

/// From a node: as from the VIP, unless another node has the connection by now.
#[inline(always)]
fn reverse(table: &impl Source, hook: Hook, place: Place, packet: &Packet) -> Decision {
    let view = table.view();
    let Some(vip) = view.vip_of(place) else {
        return Decision::Exit(Exit::Pass);
    };
    if let Some(drain) = view.drain_of(place.route) {
        if is_stale(table, drain, place, &{ *packet }) {
            return Decision::Exit(Exit::DropStale);
        }
    }
    Decision::Rewrite {
        side: Side::Source,
        to: vip,
        exit: match hook {
            Hook::LocalIn => Exit::LocalIn,
            _ => Exit::Reverse,
        },
    }
}

/// Whether a packet from a node is about a connection that was opened again with another node: a
/// SYN-ACK sent again by the former one would be taken for the other's.
#[inline(never)]
fn is_stale(table: &impl Source, drain: &Drain, place: Place, packet: &Packet) -> bool {
    let (view, draining) = (table.view(), table.draining());
    let (Some(flows), Protocol::Tcp) = (&draining.flows, packet.protocol) else {
        return false;
    };
    let Some(vip) = view.vip_of(place) else {
        return false;
    };
    let flow = flows.flow((&packet.dst, packet.dport), (&vip.0, vip.1), place.route);
    let tag = flows.find(&flow);
    let Some(owner) = tag.and_then(|tag| drain.owner(tag)) else {
        return false;
    };
    // After a deadline both may speak: the former to end it, the other to say it knows nothing.
    let heir = drain
        .node_of(tag, draining.now)
        .unwrap_or_else(|| view.node_at(place));
    let source = Forward::To {
        address: packet.src,
        port: packet.sport,
    };
    [owner, heir]
        .iter()
        .all(|node| view.node_place(place, *node, &vip.0) != source)
}
