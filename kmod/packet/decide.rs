// SPDX-License-Identifier: GPL-2.0
//! What a hook does with a packet, by the route table.

use super::address::Address;
use super::exit::Exit;
use super::parse::{Packet, Parsed};
use super::rewrite::Side;
use super::table::{Forward, View};

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
}

/// Decides about a packet.
#[inline]
pub fn decide(view: &View<'_>, hook: Hook, parsed: &Parsed) -> Decision {
    let packet = match parsed {
        Parsed::Packet(packet) => packet,
        Parsed::Other => return Decision::Exit(Exit::Pass),
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
    let (forward, reverse) = match hook {
        Hook::PreRouting => (Some(Exit::Forward), None),
        Hook::LocalOut => (Some(Exit::LocalOut), None),
        Hook::LocalIn => (None, Some(Exit::LocalIn)),
        Hook::PostRouting => (None, Some(Exit::Reverse)),
    };
    if let Some(exit) = forward {
        match view.forward(packet) {
            Forward::To { address, port } => {
                return Decision::Rewrite {
                    packet: *packet,
                    side: Side::Destination,
                    to: (address, port),
                    exit,
                }
            }
            Forward::Drop(exit) => return Decision::Exit(exit),
            Forward::NotOurs => {}
        }
    }
    match (view.reverse(packet), reverse) {
        (None, _) => Decision::Exit(Exit::Pass),
        (Some(_), None) => Decision::Untrack,
        (Some(to), Some(exit)) => Decision::Rewrite {
            packet: *packet,
            side: Side::Source,
            to,
            exit,
        },
    }
}
