// SPDX-License-Identifier: GPL-2.0

//! The fast path: what is done with a packet where it arrives, before the kernel's IP layers. Softirq.
//!
//! An ordinary packet of HaloD's is rewritten and sent on at once, along a route that the kernel has
//! found for its kind, if nothing else would be done to it on the long way round. Every other
//! packet goes that way, untouched: to the hooks of `hooks.rs`, which count it by its exit. Why it
//! does is counted here, by [`Detour`].

use crate::ffi::bindings as uapi;
use crate::ffi::ingress::{Arrival, Oddity, Softirq};
use crate::ffi::netfilter::Verdict;
use crate::ffi::route_key::Trip;
use crate::ffi::skb::Skb;
use crate::ffi::way::{Obstacle, Open};
use crate::hooks::family;
use crate::namespace::Namespace;
use crate::packet::{self, Address, Concern, Decision, Exit, Hook, Packet, Protocol, Side};
use crate::table::Table;

/// Which packets take the fast path.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum FastPath {
    /// None.
    #[default]
    Off,
    /// Those that would meet nobody else's hooks in the IP layers.
    Auto,
    /// Those that would meet some, too.
    On,
}

impl FastPath {
    /// Its number in netlink.
    pub(crate) fn number(self) -> u8 {
        let number = match self {
            Self::Off => uapi::halod_fast_path_HALOD_FAST_PATH_OFF,
            Self::Auto => uapi::halod_fast_path_HALOD_FAST_PATH_AUTO,
            Self::On => uapi::halod_fast_path_HALOD_FAST_PATH_ON,
        };
        number as u8
    }

    /// What a number stands for; the policy has let no other through.
    pub(crate) fn of_number(number: u8) -> Self {
        [Self::Auto, Self::On]
            .into_iter()
            .find(|one| one.number() == number)
            .unwrap_or_default()
    }
}

macro_rules! detours {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a packet did not take the fast path. docs/counters.md explains each.
        #[derive(Clone, Copy)]
        pub(crate) enum Detour {
            $($(#[$doc])* $variant,)*
        }

        impl Detour {
            /// How many there are.
            pub(crate) const COUNT: usize = [$($name,)*].len();
            /// Their names, in the order of their indexes.
            pub(crate) const NAMES: [&'static core::ffi::CStr; Self::COUNT] = [$($name,)*];
        }
    };
}

detours! {
    /// Other hooks in the IP layers would see it.
    Firewall = c"slow_firewall",
    /// IPsec policies, or no forwarding.
    Policy = c"slow_policy",
    /// Somebody else takes packets off its device.
    Device = c"slow_device",
    /// Something is attached to it.
    Frame = c"slow_frame",
    /// Not TCP or UDP without options, whole and sound.
    Packet = c"slow_packet",
    /// HaloD does not send it on.
    Exit = c"slow_exit",
    /// No route for which nothing else is to be done.
    Route = c"slow_route",
    /// Too big for the next link.
    TooBig = c"slow_too_big",
    /// The next machine's link address is not known.
    Neighbour = c"slow_neighbour",
    /// No memory for a private copy of its head.
    Memory = c"slow_memory",
}

impl From<Oddity> for Detour {
    fn from(oddity: Oddity) -> Self {
        match oddity {
            Oddity::Frame => Self::Frame,
            Oddity::Device => Self::Device,
            Oddity::Policy => Self::Policy,
            Oddity::Context => Self::Route,
        }
    }
}

impl From<Obstacle> for Detour {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::NoRoute => Self::Route,
            Obstacle::Ipsec => Self::Policy,
            Obstacle::TooBig => Self::TooBig,
            Obstacle::NoNeighbour => Self::Neighbour,
            Obstacle::NoMemory => Self::Memory,
        }
    }
}

/// The way of a packet of `len` bytes whose side is to be `to`: source of an answer, else destination.
#[inline(always)]
fn trip<const ANSWER: bool>(packet: &Packet, len: usize, service: u8, to: Address) -> Trip {
    Trip {
        source: packet.src,
        destination: if ANSWER { packet.dst } else { to },
        service,
        len,
    }
}

/// What the side of nearly all packets is to be, and their exit.
#[inline(always)]
fn usual<const ANSWER: bool>(table: &Table, packet: &Packet) -> Option<((Address, u16), Exit)> {
    if ANSWER {
        Some((packet::usual_vip(table, packet)?, Exit::Reverse))
    } else {
        Some((packet::usual_node(table, packet)?, Exit::Forward))
    }
}

/// The same of all that are rewritten.
#[inline(always)]
fn decided<const ANSWER: bool>(table: &Table, packet: &Packet) -> Option<((Address, u16), Exit)> {
    // What a node sends is rewritten where it leaves: that is now.
    let hook = if ANSWER {
        Hook::PostRouting
    } else {
        Hook::PreRouting
    };
    match packet::decide_packet(table, hook, packet) {
        Decision::Rewrite { to, exit, .. } => Some((to, exit)),
        _ => None,
    }
}

impl Namespace {
    /// A packet that has arrived by a device. Lets pass what can be told at once not to be ours.
    #[inline(always)]
    pub(crate) fn arrive<const V6: bool>(&self, arrival: Arrival<'_>, skb: Skb<'_>) -> Verdict {
        let Some(table) = self.table(arrival.read_side) else {
            return Verdict::Accept;
        };
        match Self::concern::<V6>(table, Hook::PreRouting, &skb) {
            Some(Concern::No) => Verdict::Accept,
            Some(Concern::Answer) => self.arrived::<V6, true>(table, arrival, skb),
            Some(Concern::Perhaps) | None => self.arrived::<V6, false>(table, arrival, skb),
        }
    }

    /// The same of what may be ours, from a client, or to one. What is rare here is in functions of
    /// its own, which end it: so the rest needs little of the stack.
    #[inline(never)]
    fn arrived<const V6: bool, const ANSWER: bool>(
        &self,
        table: &Table,
        arrival: Arrival<'_>,
        mut skb: Skb<'_>,
    ) -> Verdict {
        let softirq = match arrival.plain(family(V6), &skb) {
            Ok(softirq) => softirq,
            Err(oddity) => return self.unfit::<V6>(skb, oddity.into()),
        };
        if table.request.fast_path == FastPath::Auto && !arrival.meets_nobody(family(V6), self) {
            return self.unfit::<V6>(skb, Detour::Firewall);
        }
        let Some((packet, len, service)) = Self::passable::<V6>(&skb) else {
            return self.detour(Detour::Packet);
        };
        let Some((to, exit)) = usual::<ANSWER>(table, &packet) else {
            return self.arrived_again::<V6, ANSWER, false>(table, softirq, skb);
        };
        let trip = trip::<ANSWER>(&packet, len, service, to.0);
        let next = (packet.protocol, to, exit);
        match self.send_on::<V6, ANSWER>(table, softirq, &mut skb, &trip, next) {
            Some(verdict) => verdict,
            None => self.arrived_again::<V6, ANSWER, true>(table, softirq, skb),
        }
    }

    /// Lets a packet go the long way for a reason that is only asked for of ordinary ones.
    #[inline(never)]
    fn unfit<const V6: bool>(&self, skb: Skb<'_>, detour: Detour) -> Verdict {
        match Self::passable::<V6>(&skb) {
            Some(_) => self.detour(detour),
            None => self.detour(Detour::Packet),
        }
    }

    /// The same of a `USUAL` packet for which no way is kept, and of one of which the table says more than
    /// where its route's node is. All is asked again, or others would have to keep the answers.
    #[inline(never)]
    fn arrived_again<const V6: bool, const ANSWER: bool, const USUAL: bool>(
        &self,
        table: &Table,
        softirq: Softirq<'_>,
        mut skb: Skb<'_>,
    ) -> Verdict {
        let Some((packet, len, service)) = Self::passable::<V6>(&skb) else {
            return self.detour(Detour::Packet);
        };
        let to = if USUAL {
            usual::<ANSWER>(table, &packet)
        } else {
            decided::<ANSWER>(table, &packet)
        };
        let Some((to, exit)) = to else {
            return self.detour(Detour::Exit);
        };
        let trip = trip::<ANSWER>(&packet, len, service, to.0);
        let next = (packet.protocol, to, exit);
        if !USUAL {
            let known = self.send_on::<V6, ANSWER>(table, softirq, &mut skb, &trip, next);
            if let Some(verdict) = known {
                return verdict;
            }
        }
        let routes = &table.routes_found;
        routes.search(softirq, family(V6), &mut skb, &trip);
        self.send_on::<V6, ANSWER>(table, softirq, &mut skb, &trip, next)
            .unwrap_or_else(|| self.detour(Detour::Route))
    }

    /// Sends a packet on along the way that is kept; None where there is none.
    #[inline(always)]
    fn send_on<const V6: bool, const ANSWER: bool>(
        &self,
        table: &Table,
        softirq: Softirq<'_>,
        skb: &mut Skb<'_>,
        trip: &Trip,
        (protocol, to, exit): (Protocol, (Address, u16), Exit),
    ) -> Option<Verdict> {
        let routes = &table.routes_found;
        Some(match routes.open(softirq, family(V6), skb, trip)? {
            Ok(open) => self.send::<V6, ANSWER>(open, protocol, to, exit),
            Err(obstacle) => self.hindered(obstacle),
        })
    }

    /// Rewrites a packet whose way is open, and sends it.
    #[inline(always)]
    fn send<const V6: bool, const ANSWER: bool>(
        &self,
        mut open: Open<'_>,
        protocol: Protocol,
        to: (Address, u16),
        exit: Exit,
    ) -> Verdict {
        let side = if ANSWER {
            Side::Source
        } else {
            Side::Destination
        };
        let csum = open.csum();
        let written = if V6 {
            open.head()
                .and_then(|head| packet::send_on_v6(head, protocol, side, to, csum))
        } else {
            open.head()
                .and_then(|head| packet::send_on_v4(head, protocol, side, to, csum))
        };
        // Cannot fail: the packet was read in the same way before.
        if written.is_none() {
            return self.detour(Detour::Packet);
        }
        open.send(family(V6), self.fast(), exit.index());
        Verdict::Stolen
    }

    /// Lets a packet go the long way, since it cannot be sent on.
    #[inline(never)]
    fn hindered(&self, obstacle: Obstacle) -> Verdict {
        self.detour(obstacle.into())
    }

    /// Lets a packet go the long way.
    #[inline(always)]
    fn detour(&self, detour: Detour) -> Verdict {
        self.count_detour(detour);
        Verdict::Accept
    }

    /// The packet, its length, and its type of service (IPv4) if it is an ordinary one that a router
    /// would send on.
    #[inline(always)]
    fn passable<const V6: bool>(skb: &Skb<'_>) -> Option<(Packet, usize, u8)> {
        let len = skb.len();
        if V6 {
            let head = skb.head()?;
            let packet = packet::ordinary_v6(head)?;
            Some((packet, packet::passable_v6(head, len)?, 0))
        } else {
            let head: &[u8; 40] = skb.head()?;
            let packet = packet::ordinary_v4(head)?;
            Some((packet, packet::passable_v4(head, len)?, head[1]))
        }
    }
}
