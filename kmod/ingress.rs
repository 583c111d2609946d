// SPDX-License-Identifier: GPL-2.0

//! The fast path: what is done with a packet where it arrives, before the kernel's IP layers. Softirq.
//!
//! An ordinary packet of HaloD's is rewritten and sent on at once, along a route that the kernel has
//! found for its kind, if nothing else would be done to it on the long way round. Every other
//! packet goes that way, as it is but for padding: to the hooks of `hooks.rs`, which count it by its exit. Why it
//! does is counted here, by [`Detour`].

use crate::ffi::bindings as uapi;
use crate::ffi::ingress::{Oddity, Softirq};
use crate::ffi::netfilter::Verdict;
use crate::ffi::rcu::ReadSide;
use crate::ffi::route_key::Trip;
use crate::ffi::skb::Skb;
use crate::ffi::way::{Obstacle, Open};
use crate::hooks::family;
use crate::namespace::Namespace;
use crate::packet::{
    self, Address, Concern, Csum, Decision, Exit, Forward, Hook, Packet, Protocol, Side, Source,
};
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

/// The side of a packet that is rewritten.
const fn side(answer: bool) -> Side {
    if answer {
        Side::Source
    } else {
        Side::Destination
    }
}

/// The exit of one that nothing drains about.
const fn exit(answer: bool) -> Exit {
    if answer {
        Exit::Reverse
    } else {
        Exit::Forward
    }
}

/// Rewrites a packet whose way is open.
#[inline(always)]
fn write<const V6: bool, const ANSWER: bool>(
    open: &mut Open<'_>,
    protocol: Protocol,
    to: (Address, u16),
    csum: Csum,
) -> Option<()> {
    if V6 {
        packet::send_on_v6(open.head()?, protocol, side(ANSWER), to, csum)
    } else {
        packet::send_on_v4(open.head()?, protocol, side(ANSWER), to, csum)
    }
}

/// What the side of a packet is to be that is rewritten, and its exit.
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
    pub(crate) fn arrive<const V6: bool>(&self, read_side: ReadSide<'_>, skb: Skb<'_>) -> Verdict {
        let Some(table) = self.table(read_side) else {
            return Verdict::Accept;
        };
        match Self::concern::<V6>(table, Hook::PreRouting, &skb) {
            Some(Concern::No) => Verdict::Accept,
            Some(Concern::Answer) => {
                let hash = Self::hash::<V6>(&skb, Side::Source);
                self.arrived::<V6, true>(table, read_side, skb, hash)
            }
            Some(Concern::Perhaps) | None => {
                let hash = Self::hash::<V6>(&skb, Side::Destination);
                self.arrived::<V6, false>(table, read_side, skb, hash)
            }
        }
    }

    /// The same of what may be ours, from a client, or to one. `hash` is of the address by which it is. What
    /// is rare from here on is in functions of its own, which end it: so the rest needs little of the stack.
    #[inline(never)]
    fn arrived<const V6: bool, const ANSWER: bool>(
        &self,
        table: &Table,
        read_side: ReadSide<'_>,
        skb: Skb<'_>,
        hash: usize,
    ) -> Verdict {
        let softirq = match Softirq::of(read_side, self.home.net(), family(V6), &skb) {
            Ok(softirq) => softirq,
            Err(oddity) => return self.unfit::<V6>(skb, oddity.into()),
        };
        if self.meets_others::<V6>(table, read_side) {
            return self.unfit::<V6>(skb, Detour::Firewall);
        }
        // Once for each: nothing after this asks which it is.
        match Self::unpadded::<V6>(&skb) {
            Some(Protocol::Tcp) => {
                self.arrived_of::<V6, ANSWER>(table, read_side, softirq, skb, Protocol::Tcp, hash)
            }
            Some(Protocol::Udp) => {
                self.arrived_of::<V6, ANSWER>(table, read_side, softirq, skb, Protocol::Udp, hash)
            }
            None => self.arrived_padded::<V6, ANSWER>(table, read_side, skb, hash),
        }
    }

    /// The protocol of an ordinary packet behind which there is nothing.
    #[inline(always)]
    fn unpadded<const V6: bool>(skb: &Skb<'_>) -> Option<Protocol> {
        if V6 {
            let head = skb.head()?;
            (packet::length_v6(head) == skb.len()).then(|| packet::protocol_v6(head))?
        } else {
            let head = skb.head()?;
            (packet::length_v4(head) == skb.len()).then(|| packet::protocol_v4(head))?
        }
    }

    /// One that is not so: as a rule there is the padding of a link's shortest frame behind it.
    #[inline(never)]
    fn arrived_padded<const V6: bool, const ANSWER: bool>(
        &self,
        table: &Table,
        read_side: ReadSide<'_>,
        mut skb: Skb<'_>,
        hash: usize,
    ) -> Verdict {
        match Self::passable::<V6>(&skb) {
            Some((_, len, _)) if len < skb.len() => {
                if skb.trim(len) {
                    self.arrived::<V6, ANSWER>(table, read_side, skb, hash)
                } else {
                    self.detour(Detour::Memory)
                }
            }
            _ => self.detour(Detour::Packet),
        }
    }

    /// Of a protocol, with nothing behind it: for one of the first listeners of its address, or from the
    /// first ports of its node.
    #[inline(always)]
    fn arrived_of<const V6: bool, const ANSWER: bool>(
        &self,
        table: &Table,
        read_side: ReadSide<'_>,
        softirq: Softirq<'_>,
        skb: Skb<'_>,
        protocol: Protocol,
        hash: usize,
    ) -> Verdict {
        let end = Self::end::<V6>(&skb, side(ANSWER));
        let to = end.and_then(|end| {
            if ANSWER {
                packet::usual_vip(table, protocol, end, hash)
            } else {
                packet::usual_node(table, protocol, end, hash)
            }
        });
        let Some(to) = to else {
            return self.arrived_elsewhere::<V6, ANSWER>(table, read_side, softirq, skb);
        };
        self.send_to::<V6, ANSWER>(table, read_side, softirq, skb, protocol, to)
    }

    /// The same for any listener, or from any port.
    #[inline(never)]
    fn arrived_elsewhere<const V6: bool, const ANSWER: bool>(
        &self,
        table: &Table,
        read_side: ReadSide<'_>,
        softirq: Softirq<'_>,
        skb: Skb<'_>,
    ) -> Verdict {
        if !table.drains().is_empty() {
            return self.arrived_draining::<V6, ANSWER>(table, softirq, skb);
        }
        let Some((packet, ..)) = Self::passable::<V6>(&skb) else {
            return self.detour(Detour::Packet);
        };
        let to = if ANSWER {
            table.view().reverse(&packet)
        } else {
            match table.view().forward(&packet) {
                Forward::To { address, port } => Some((address, port)),
                _ => None,
            }
        };
        let Some(to) = to else {
            return self.detour(Detour::Exit);
        };
        self.send_to::<V6, ANSWER>(table, read_side, softirq, skb, packet.protocol, to)
    }

    /// Whether others' hooks keep packets from the fast path. Where a table has it off, ours are there for
    /// a moment all the same, before the next one or after the last: that is like `auto`.
    #[inline(always)]
    fn meets_others<const V6: bool>(&self, table: &Table, read_side: ReadSide<'_>) -> bool {
        let net = self.home.net();
        table.request.fast_path != FastPath::On && !net.meets_nobody(read_side, family(V6), self)
    }

    /// Lets a packet go the long way for a reason that is only counted of ordinary ones.
    #[inline(never)]
    fn unfit<const V6: bool>(&self, skb: Skb<'_>, detour: Detour) -> Verdict {
        match Self::passable::<V6>(&skb) {
            Some(_) => self.detour(detour),
            None => self.detour(Detour::Packet),
        }
    }

    /// Sends on an ordinary packet whose side is to be `to`.
    #[inline(always)]
    fn send_to<const V6: bool, const ANSWER: bool>(
        &self,
        table: &Table,
        read_side: ReadSide<'_>,
        softirq: Softirq<'_>,
        mut skb: Skb<'_>,
        protocol: Protocol,
        to: (Address, u16),
    ) -> Verdict {
        match self.send_along::<V6, ANSWER>(table, softirq, &mut skb, protocol, to) {
            Some(verdict) => verdict,
            None => self.arrived_unready::<V6, ANSWER>(read_side, softirq, skb, to.0.bits(), to.1),
        }
    }

    /// The same along a way that is kept, if that is open to the packet as it is.
    #[inline(always)]
    fn send_along<const V6: bool, const ANSWER: bool>(
        &self,
        table: &Table,
        softirq: Softirq<'_>,
        skb: &mut Skb<'_>,
        protocol: Protocol,
        to: (Address, u16),
    ) -> Option<Verdict> {
        let source = Self::end::<V6>(skb, Side::Source)?.0;
        let destination = Self::end::<V6>(skb, Side::Destination)?.0;
        let trip = Trip {
            source,
            destination: if ANSWER { destination } else { to.0 },
            service: if V6 { 0 } else { skb.head::<40>()?[1] },
            len: skb.len(),
        };
        let mut open =
            table
                .routes_found
                .ready(softirq, self.home.net(), family(V6), skb, &trip)?;
        let sound = if V6 {
            packet::is_sound_v6(open.head()?)
        } else {
            packet::is_sound_v4(open.head()?)
        };
        sound.then(|| self.send::<V6, ANSWER>(open, protocol, to, exit(ANSWER)))
    }

    /// The hash of a packet's address; any number where that is not in one piece.
    #[inline(always)]
    fn hash<const V6: bool>(skb: &Skb<'_>, side: Side) -> usize {
        let address = if V6 {
            skb.head().map(|header| packet::address_v6(header, side))
        } else {
            skb.head().map(|header| packet::address_v4(header, side))
        };
        address.map_or(0, |address| address.hash())
    }

    /// The address and port of an end of an ordinary packet.
    #[inline(always)]
    fn end<const V6: bool>(skb: &Skb<'_>, side: Side) -> Option<(Address, u16)> {
        if V6 {
            packet::end_v6(skb.head()?, side)
        } else {
            packet::end_v4(skb.head()?, side)
        }
    }

    /// A packet whose side's new address and port are known, and to which more must be done than to write
    /// them: its way is to be found, its head to be made its own, or many were put together in it.
    /// They are numbers, for a reference would have had them in memory before.
    #[inline(never)]
    fn arrived_unready<const V6: bool, const ANSWER: bool>(
        &self,
        read_side: ReadSide<'_>,
        softirq: Softirq<'_>,
        skb: Skb<'_>,
        address: u128,
        port: u16,
    ) -> Verdict {
        let Some(table) = self.table(read_side) else {
            return Verdict::Accept;
        };
        match Self::passable::<V6>(&skb) {
            Some(read) => {
                let to = (Address::of_bits(V6, address), port);
                self.send_any::<V6, ANSWER>(table, softirq, skb, read, (to, exit(ANSWER)))
            }
            None => self.detour(Detour::Packet),
        }
    }

    /// Any packet while something drains.
    #[inline(never)]
    fn arrived_draining<const V6: bool, const ANSWER: bool>(
        &self,
        table: &Table,
        softirq: Softirq<'_>,
        skb: Skb<'_>,
    ) -> Verdict {
        let Some(read) = Self::passable::<V6>(&skb) else {
            return self.detour(Detour::Packet);
        };
        match decided::<ANSWER>(table, &read.0) {
            Some(next) => self.send_any::<V6, ANSWER>(table, softirq, skb, read, next),
            None => self.detour(Detour::Exit),
        }
    }

    /// Sends a packet that `passable` has read on, whatever must be done for that.
    #[inline(always)]
    fn send_any<const V6: bool, const ANSWER: bool>(
        &self,
        table: &Table,
        softirq: Softirq<'_>,
        mut skb: Skb<'_>,
        (packet, len, service): (Packet, usize, u8),
        (to, exit): ((Address, u16), Exit),
    ) -> Verdict {
        if skb.has_socket() {
            return self.detour(Detour::Frame);
        }
        let trip = Trip {
            source: packet.src,
            destination: if ANSWER { packet.dst } else { to.0 },
            service,
            len,
        };
        let (routes, net) = (&table.routes_found, self.home.net());
        match routes.open(softirq, net, family(V6), &mut skb, &trip) {
            Ok(open) => self.send::<V6, ANSWER>(open, packet.protocol, to, exit),
            Err(obstacle) => self.detour(obstacle.into()),
        }
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
        // Each is written out, so that the usual one does not ask later.
        let written = match open.csum() {
            Csum::Full => write::<V6, ANSWER>(&mut open, protocol, to, Csum::Full),
            Csum::Partial => write::<V6, ANSWER>(&mut open, protocol, to, Csum::Partial),
        };
        // Cannot fail: the packet was read in the same way before.
        if written.is_none() {
            return self.detour(Detour::Packet);
        }
        open.send(family(V6), self.fast(), exit.index());
        Verdict::Stolen
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
