// SPDX-License-Identifier: GPL-2.0
//! What a hook does with a packet, by the route table.

use super::address::{Address, Protocol};
use super::drain::Drain;
use super::exit::Exit;
use super::flows::{Cell, Flows};
use super::icmp::Translation;
use super::parse::{Packet, Parsed};
use super::rewrite::Side;
use super::table::{Forward, Place, View};

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
    /// Rewrite one side of it, keep connection tracking off it, then `exit`.
    Rewrite {
        /// The packet, for `rewrite`.
        packet: Packet,
        /// The side.
        side: Side,
        /// The side's new address and port.
        to: (Address, u16),
        /// The exit when that is done.
        exit: Exit,
    },
    /// The same for an ICMP error.
    Translate {
        /// What to do, with [`Translation::apply`].
        translation: Translation,
        /// The exit when that is done.
        exit: Exit,
    },
}

/// What is known of the connections of draining routes.
pub struct Draining<'a, C> {
    /// Those that began while their route drained; None where there is no memory of them.
    pub flows: Option<Flows<'a, C>>,
    /// The time, on the clock of the deadlines.
    pub now: u64,
}

/// Decides about a packet; about ICMP errors [`decide_error`](super::decide_error) does.
#[inline(always)]
pub fn decide<C: Cell>(
    view: &View<'_>,
    draining: &Draining<'_, C>,
    hook: Hook,
    parsed: &Parsed,
) -> Decision {
    let packet = match parsed {
        Parsed::Packet(packet) => packet,
        Parsed::Other | Parsed::Error(_) => return Decision::Exit(Exit::Pass),
        Parsed::Unreadable {
            dst,
            protocol,
            exit,
            ..
        } => {
            return match hook {
                Hook::PreRouting | Hook::LocalOut if view.exposes(dst, *protocol) => {
                    Decision::Exit(*exit)
                }
                _ => Decision::Exit(Exit::Pass),
            }
        }
    };
    match hook {
        Hook::PreRouting | Hook::LocalOut => match view.exposed(packet) {
            Some(place) => forward(view, draining, hook, place, packet),
            None if view.served(packet).is_some() => Decision::Untrack,
            None => Decision::Exit(Exit::Pass),
        },
        Hook::LocalIn | Hook::PostRouting => match view.served(packet) {
            Some(place) => reverse(view, draining, hook, place, packet),
            None => Decision::Exit(Exit::Pass),
        },
    }
}

/// From a client: to the route's node, or to the one that has the connection.
#[inline(always)]
fn forward<C: Cell>(
    view: &View<'_>,
    draining: &Draining<'_, C>,
    hook: Hook,
    place: Place,
    packet: &Packet,
) -> Decision {
    let current = view.node_at(place);
    let (node, exit) = match view.drain_of(place.route) {
        None => (current, Exit::Forward),
        Some(drain) => match packet.protocol {
            Protocol::Tcp => while_draining(draining, drain, current, place, packet),
            Protocol::Udp => existing(drain.udp_node(draining.now), current),
        },
    };
    match view.node_place(place, node) {
        Forward::To { address, port } => Decision::Rewrite {
            packet: *packet,
            side: Side::Destination,
            to: (address, port),
            exit: match hook {
                Hook::LocalOut => Exit::LocalOut,
                _ => exit,
            },
        },
        Forward::Drop(exit) => Decision::Exit(exit),
        Forward::NotOurs => Decision::Exit(Exit::Pass),
    }
}

/// The node (index + 1) of a TCP packet from a client to a draining route, whose own is `current`.
#[inline(never)]
fn while_draining<C: Cell>(
    draining: &Draining<'_, C>,
    drain: &Drain,
    current: u16,
    place: Place,
    packet: &Packet,
) -> (u16, Exit) {
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
fn reverse<C: Cell>(
    view: &View<'_>,
    draining: &Draining<'_, C>,
    hook: Hook,
    place: Place,
    packet: &Packet,
) -> Decision {
    let Some(vip) = view.vip_of(place) else {
        return Decision::Exit(Exit::Pass);
    };
    if let Some(drain) = view.drain_of(place.route) {
        // A copy, or every packet's would have to be in memory for this call.
        let view = *view;
        if is_stale(&view, draining, drain, place, &vip, packet) {
            return Decision::Exit(Exit::DropStale);
        }
    }
    Decision::Rewrite {
        packet: *packet,
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
fn is_stale<C: Cell>(
    view: &View<'_>,
    draining: &Draining<'_, C>,
    drain: &Drain,
    place: Place,
    vip: &(Address, u16),
    packet: &Packet,
) -> bool {
    let (Some(flows), Protocol::Tcp) = (&draining.flows, packet.protocol) else {
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
        .all(|node| view.node_place(place, *node) != source)
}
