// SPDX-License-Identifier: GPL-2.0

//! The fast path: what is done with a packet where it arrives, before the kernel's IP layers. Softirq.
//!
//! An ordinary packet of HaloD's is rewritten and sent on at once, along a route that the kernel has
//! found for its kind, if nothing else would be done to it on the long way round. Every other
//! packet goes that way, untouched: to the hooks of `hooks.rs`, which count it by its exit. Why it
//! does is counted here, by [`Detour`].

use crate::ffi::bindings as uapi;
use crate::ffi::ingress::{Arrival, Oddity};
use crate::ffi::netfilter::Verdict;
use crate::ffi::skb::Skb;
use crate::ffi::way::{Obstacle, Open};
use crate::hooks::family;
use crate::namespace::Namespace;
use crate::packet::{self, Address, Concern, Decision, Exit, Hook, Packet, Side};
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
        }
    }
}

impl From<Obstacle> for Detour {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::TooBig => Self::TooBig,
            Obstacle::NoNeighbour => Self::Neighbour,
            Obstacle::NoMemory => Self::Memory,
        }
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

    /// The same of what may be ours, from a client, or to one.
    #[inline(never)]
    fn arrived<const V6: bool, const ANSWER: bool>(
        &self,
        table: &Table,
        arrival: Arrival<'_>,
        mut skb: Skb<'_>,
    ) -> Verdict {
        match Self::ready::<V6, ANSWER>(table, arrival, &mut skb) {
            Ok((way, exit)) => {
                self.count_fast(exit);
                way.send(family(V6), skb);
                Verdict::Stolen
            }
            Err(detour) => {
                self.count_detour(detour);
                Verdict::Accept
            }
        }
    }

    /// Makes a packet ready to be sent on: rewritten, and the way that it goes. Where it is not to
    /// be, it is as it came.
    #[inline(always)]
    fn ready<'a, const V6: bool, const ANSWER: bool>(
        table: &Table,
        arrival: Arrival<'a>,
        skb: &mut Skb<'_>,
    ) -> Result<(Open<'a>, Exit), Detour> {
        let family = family(V6);
        let (packet, len) = Self::passable::<V6>(skb).ok_or(Detour::Packet)?;
        if skb.is_shared() {
            return Err(Detour::Frame);
        }
        if let Some(oddity) = arrival.oddity(family, skb) {
            return Err(oddity.into());
        }
        if table.request.fast_path == FastPath::Auto && !arrival.meets_nobody(family) {
            return Err(Detour::Firewall);
        }
        // What a node sends is rewritten where it leaves: that is now.
        let hook = if ANSWER {
            Hook::PostRouting
        } else {
            Hook::PreRouting
        };
        let Decision::Rewrite { to, exit, .. } = packet::decide_packet(table, hook, &packet) else {
            return Err(Detour::Exit);
        };
        let (side, other, destination) = if ANSWER {
            (Side::Source, None, &packet.dst)
        } else {
            (Side::Destination, Some(&to.0), &to.0)
        };
        let way = table
            .routes_found
            .way(arrival.read_side, family, skb, other)
            .ok_or(Detour::Route)?;
        let open = way.open(family, skb, destination, len)?;
        let written = if V6 {
            Self::write::<60>(skb, &packet, side, to, packet::age_v6)
        } else {
            Self::write::<40>(skb, &packet, side, to, packet::age_v4)
        };
        written.map(|()| (open, exit)).ok_or(Detour::Memory)
    }

    /// The packet, and its length, if it is an ordinary one that a router would send on.
    #[inline(always)]
    fn passable<const V6: bool>(skb: &Skb<'_>) -> Option<(Packet, usize)> {
        let len = skb.len();
        if V6 {
            let head = skb.head()?;
            Some((packet::ordinary_v6(head)?, packet::passable_v6(head, len)?))
        } else {
            let head = skb.head()?;
            Some((packet::ordinary_v4(head)?, packet::passable_v4(head, len)?))
        }
    }

    /// Rewrites a packet and takes one off its time to live.
    #[inline(always)]
    fn write<const N: usize>(
        skb: &mut Skb<'_>,
        packet: &Packet,
        side: Side,
        to: (Address, u16),
        age: impl FnOnce(&mut [u8; N]),
    ) -> Option<()> {
        let csum = skb.csum();
        let head = skb.writable_head::<N>()?;
        // A checksum over the whole packet does not go on with it.
        let _ = packet::rewrite(head, packet, side, to, csum)?;
        age(head);
        Some(())
    }
}
