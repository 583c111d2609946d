// SPDX-License-Identifier: GPL-2.0

//! Routes that the kernel has found for packets a moment ago, for others that go the same way.
//!
//! The kernel takes a packet's route from the packet where PRE_ROUTING has left one there
//! (`ip_rcv_finish_core`, `ip6_rcv_finish_core`), and goes on with it as if it had just found it:
//! TTL, MTU, all hooks, neighbour and policies are as ever. What is here was found by the kernel's
//! own lookup for the same addresses, device, mark and type of service. It is the kernel too that
//! says whether that still holds (`dst_check`): no route, device or address of this machine changes
//! without that. A route is looked up anew after a second all the same, for the few settings
//! that it does not notice (`rp_filter`, `ip_forward_use_pmtu`, `ip_forward_update_priority`), and for a
//! new address of this machine that IPv6 would rather send packets inside others from.
//!
//! Packets that have just arrived take the same routes, past the kernel's IP layers, where nothing
//! would be done to them there but what `ffi::way` does.
//!
//! C headers: `include/net/dst.h`, `include/net/route.h`, `include/net/ip6_route.h`

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use kernel::prelude::*;

use super::bindings;
use super::ingress::Softirq;
use super::netfilter::{Context, Family};
use super::rcu::ReadSide;
use super::skb::Skb;
use super::way::{Obstacle, Open, Way};
use crate::packet::{Address, Exit};

/// Lines of each CPU: 512 KiB, as many as there may be clients that say something at a time.
const LINES: usize = 4096;

/// The two bits of congestion control in the type of service.
const CONGESTION: u8 = 0b11;

/// An IPv6 address in the order of memory.
#[inline(always)]
fn halves(address: &[u8; 16]) -> [u64; 2] {
    let whole = u128::from_ne_bytes(*address);
    let (high, low) = ((whole >> 64) as u64, whole as u64);
    if cfg!(target_endian = "little") {
        [low, high]
    } else {
        [high, low]
    }
}

/// What a route depends on, while there are no rules for routing but the usual ones. Packed, or a
/// line would not fit into one of the processor's cache.
#[derive(Clone, Copy, Default)]
#[repr(C, packed(4))]
struct Key {
    /// Source and destination, as they are in the packet.
    addresses: [u64; 4],
    /// The device that the packet came in by; 0 in a line without a route; `TUNNEL`.
    device: u32,
    mark: u32,
    /// IPv4: type of service, without the two bits of congestion control. IPv6: nothing else. Of
    /// routes to neighbours more: see `to_neighbour`.
    service: u32,
}

/// No device has this number: in its place where it does not matter, for ways to a node from here.
const TUNNEL: u32 = u32::MAX;

/// A packet's way, as it will be.
#[derive(Clone, Copy)]
pub(crate) struct Trip {
    /// Two addresses of one IP version.
    pub(crate) source: Address,
    pub(crate) destination: Address,
    /// IPv4: the type of service.
    pub(crate) service: u8,
    /// The packet's length, without padding.
    pub(crate) len: usize,
}

impl Key {
    /// Of a packet whose IP header is in one piece.
    #[inline(always)]
    fn of(family: Family, skb: &Skb<'_>) -> Option<Self> {
        let mut key = Self {
            device: skb.device(),
            mark: skb.mark(),
            ..Self::default()
        };
        let mut addresses: &[u8] = match family {
            Family::V4 => {
                let header: &[u8; 20] = skb.head()?;
                key.service = u32::from(header[1] & !CONGESTION);
                &header[12..]
            }
            Family::V6 => {
                // Apart from all of IPv4.
                key.service = u32::MAX;
                &skb.head::<40>()?[8..]
            }
        };
        let mut words = [0; 4];
        for word in &mut words {
            let Some((bytes, rest)) = addresses.split_first_chunk() else {
                break;
            };
            (*word, addresses) = (u64::from_ne_bytes(*bytes), rest);
        }
        key.addresses = words;
        Some(key)
    }

    /// The same of a trip.
    #[inline(always)]
    fn of_trip(skb: &Skb<'_>, trip: &Trip) -> Self {
        let (mut addresses, mut kind) = ([0; 4], u32::MAX);
        match (&trip.source, &trip.destination) {
            (Address::V4(source), Address::V4(destination)) => {
                let source = u64::from(u32::from_ne_bytes(*source));
                let destination = u64::from(u32::from_ne_bytes(*destination));
                // In the order of memory, whichever that is.
                addresses[0] = if cfg!(target_endian = "little") {
                    source | destination << 32
                } else {
                    source << 32 | destination
                };
                kind = u32::from(trip.service & !CONGESTION);
            }
            (Address::V6(source), Address::V6(destination)) => {
                let ([a, b], [c, d]) = (halves(source), halves(destination));
                addresses = [a, b, c, d];
            }
            _ => {}
        }
        Self {
            addresses,
            device: skb.device(),
            mark: skb.mark(),
            service: kind,
        }
    }

    /// The same of the route to a neighbour that is not the packet's destination.
    #[inline(always)]
    fn to_neighbour(family: Family, skb: &Skb<'_>, node: &Address) -> Option<Self> {
        const NEIGHBOUR: u32 = 0x100;
        let mut key = Self::of(family, skb)?.towards(node);
        key.service ^= NEIGHBOUR;
        Some(key)
    }

    /// Of a packet that goes to a node inside another one, whatever its own addresses.
    #[inline(always)]
    fn to_tunnel(family: Family, skb: &Skb<'_>, node: &Address) -> Option<Self> {
        let service = match family {
            Family::V4 => u32::from(skb.head::<20>()?[1] & !CONGESTION),
            Family::V6 => u32::MAX,
        };
        let key = Self {
            device: TUNNEL,
            mark: skb.mark(),
            service,
            ..Self::default()
        };
        Some(key.towards(node))
    }

    /// The same, but to another destination.
    #[inline(always)]
    pub(super) fn towards(mut self, destination: &Address) -> Self {
        let mut addresses = self.addresses;
        let [source, _, to @ ..] = &mut addresses;
        match destination {
            Address::V4([a, b, c, d]) => {
                let [w, x, y, z, ..] = source.to_ne_bytes();
                *source = u64::from_ne_bytes([w, x, y, z, *a, *b, *c, *d]);
            }
            Address::V6(bytes) => *to = halves(bytes),
        }
        self.addresses = addresses;
        self
    }

    /// Its source and destination, in network byte order.
    fn ends(&self, family: Family) -> [*const c_void; 2] {
        let source: *const u8 = (&raw const self.addresses).cast();
        let size = match family {
            Family::V4 => 4,
            Family::V6 => 16,
        };
        [source.cast(), source.wrapping_add(size).cast()]
    }

    /// Whether both are the same, this one being of an IP version. Written out, since a comparison
    /// of arrays is a call.
    #[inline(always)]
    fn is(&self, family: Family, other: &Self) -> bool {
        let ([a, b, c, d], [e, f, g, h]) = (self.addresses, other.addresses);
        let numbers = (self.device ^ other.device)
            | (self.mark ^ other.mark)
            | (self.service ^ other.service);
        let first = (a ^ e) | u64::from(numbers);
        match family {
            // The service tells that the other is of the same version, and so has no more.
            Family::V4 => first == 0,
            Family::V6 => first | (b ^ f) | (c ^ g) | (d ^ h) == 0,
        }
    }

    /// The line of a CPU that it belongs in. The product's highest bits spread addresses one after
    /// another evenly, where these are numbers.
    #[inline(always)]
    fn line(&self, family: Family) -> usize {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        const SHIFT: u32 = u64::BITS - LINES.trailing_zeros();
        let [a, b, c, d] = self.addresses;
        let folded = match family {
            Family::V4 => u64::from((a as u32).swap_bytes()) ^ (a >> 32),
            Family::V6 => {
                let folded = a ^ b.swap_bytes() ^ c.rotate_left(32) ^ d.swap_bytes();
                // What differs must be in the lower half to reach all bits that are taken.
                folded ^ (folded >> 32)
            }
        };
        (folded.wrapping_mul(GOLDEN) >> SHIFT) as usize
    }
}

/// An address's bytes.
pub(super) fn octets(address: &Address) -> &[u8] {
    match address {
        Address::V4(bytes) => bytes,
        Address::V6(bytes) => bytes,
    }
}

/// The way out of a packet for which there is no way to its node.
pub(super) fn way(found: bindings::halod_way) -> Result<(), Exit> {
    match found {
        bindings::halod_way_HALOD_WAY_FOUND => Ok(()),
        bindings::halod_way_HALOD_WAY_FAR => Err(Exit::DropFarNode),
        bindings::halod_way_HALOD_WAY_SOURCE => Err(Exit::DropSource),
        bindings::halod_way_HALOD_WAY_EXPIRED => Err(Exit::DropExpired),
        bindings::halod_way_HALOD_WAY_TOO_BIG => Err(Exit::DropTooBig),
        bindings::halod_way_HALOD_WAY_MEMORY => Err(Exit::DropNotWritable),
        _ => Err(Exit::DropNoRoute),
    }
}

/// Nothing is known of the next machine.
const NOTHING: bindings::halod_next = bindings::halod_next {
    neighbour: ptr::null_mut(),
    news: 0,
    mtu: 0,
    reserve: 0,
    priority: 0,
};

/// A route that was found.
#[repr(C, align(64))]
struct Line {
    key: Key,
    cookie: u32,
    /// When it is to be looked up again, in ticks.
    until: u32,
    /// The machine would rather have the packet's sender use another way.
    redirect: bool,
    /// What keeps all packets from being sent along it at once.
    obstacle: Option<Obstacle>,
    route: *mut bindings::dst_entry,
    /// The next machine on the route.
    next: bindings::halod_next,
    /// Of a tunnel: this machine's address on the route.
    source: [u8; 16],
}

// The key and what says that the route is still good are in the first line of the processor's cache.
const _: () = assert!(size_of::<Line>() == 128 && core::mem::offset_of!(Line, next) == 64);

impl Line {
    const EMPTY: Self = Self {
        key: Key {
            addresses: [0; 4],
            device: 0,
            mark: 0,
            service: 0,
        },
        cookie: 0,
        until: 0,
        redirect: false,
        obstacle: None,
        route: ptr::null_mut(),
        next: NOTHING,
        source: [0; 16],
    };
}

/// The tick counter's lower half.
#[inline(always)]
fn now() -> u32 {
    // SAFETY: The counter is only read.
    unsafe { bindings::jiffies as u32 }
}

impl Line {
    /// Whether it is a packet's, and not to be looked up again yet.
    #[inline(always)]
    fn is_for(&self, family: Family, key: &Key, now: u32) -> bool {
        self.key.is(family, key) && (self.until.wrapping_sub(now) as i32) > 0
    }

    /// Whether it is a packet's, and still good.
    #[inline(always)]
    fn holds(&self, family: Family, key: &Key, now: u32) -> bool {
        if !self.is_for(family, key, now) {
            return false;
        }
        // SAFETY: A line with a packet's key holds a route, of the packet's IP version.
        unsafe {
            match family {
                Family::V4 => bindings::halod_route4_holds(self.route),
                Family::V6 => bindings::halod_route6_holds(self.route, self.cookie),
            }
        }
    }

    /// Has the kernel find the packet's route, and keeps it where that may be. The packet, which
    /// had no route, has it then; and may have one where it is not kept.
    #[inline(never)]
    fn find(&mut self, family: Family, skb: &mut Skb<'_>, key: Key, now: u32) {
        let skb = skb.as_ptr();
        let v6 = family == Family::V6;
        let [source, destination] = key.ends(family);
        let mut cookie = 0;
        // SAFETY: The packet is one that has arrived, as the kernel's own caller has it, with its
        // whole IP header in one piece, or there would be no key. The addresses are the key's.
        let found =
            unsafe { bindings::halod_route_find(skb, v6, source, destination, &mut cookie) };
        if found.is_null() {
            return;
        }
        // SAFETY: The lookup has set it.
        let redirect = !v6 && unsafe { bindings::halod_skb_redirects(skb) };
        // SAFETY: The route was just found, for this packet.
        let obstacle = match unsafe { bindings::halod_route_is_quick(found, skb, v6, source) } {
            bindings::halod_quick_HALOD_QUICK if !redirect => None,
            bindings::halod_quick_HALOD_QUICK_BUT_FOR_IPSEC => Some(Obstacle::Ipsec),
            _ => Some(Obstacle::NoRoute),
        };
        self.hold(Self {
            redirect,
            obstacle,
            ..Self::fresh(key, cookie, now, found)
        });
    }

    /// A line with a route that was found `now`.
    fn fresh(key: Key, cookie: u32, now: u32, route: *mut bindings::dst_entry) -> Self {
        Self {
            key,
            cookie,
            until: now.wrapping_add(bindings::HALOD_SECOND),
            obstacle: Some(Obstacle::NoRoute),
            route,
            ..Self::EMPTY
        }
    }

    /// Takes another one's place.
    fn hold(&mut self, fresh: Self) {
        let former = core::mem::replace(self, fresh);
        // SAFETY: The line's reference was its own. It may be null.
        unsafe { bindings::dst_release(former.route) };
    }

    /// The same for a packet that is to be left without a route.
    #[inline(never)]
    fn search(&mut self, family: Family, skb: &mut Skb<'_>, key: Key, now: u32) {
        let raw = skb.as_ptr();
        // SAFETY: The packet has not reached the IP layers, whose part of it this clears.
        unsafe { bindings::halod_skb_forget_route(raw) };
        self.find(family, skb, key, now);
        // SAFETY: As above.
        unsafe { bindings::halod_skb_forget_route(raw) };
    }
}

/// A way to a node from here, for a packet.
///
/// # Invariants
///
/// Its route is good until the end of the hook: `release` is a reference to it, or it was in a line, and
/// routes are freed a grace period after the last reference to them.
pub(super) struct Tunnel<'a> {
    way: bindings::halod_tunnel,
    /// Null where a line has the reference.
    release: *mut bindings::dst_entry,
    _read_side: ReadSide<'a>,
}

impl Tunnel<'_> {
    pub(super) fn way(&self) -> &bindings::halod_tunnel {
        &self.way
    }
}

impl Drop for Tunnel<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the reference is its own. It may be null.
        unsafe { bindings::dst_release(self.release) };
    }
}

/// The routes of one network namespace.
///
/// # Invariants
///
/// There are `LINES` lines for each possible CPU. One that holds a route holds a reference to it.
/// Lines are touched by hooks on their own CPU in softirq only, and by `clear`. A packet that is given
/// to a device may come by LOCAL_OUT in another one before that returns: nothing of a line is read then.
pub(crate) struct Routes(KVVec<UnsafeCell<Line>>);

// SAFETY: By the type invariants no line is touched by two at once; references to routes may be
// let go of anywhere.
unsafe impl Send for Routes {}
// SAFETY: As above.
unsafe impl Sync for Routes {}

impl Routes {
    /// None yet. Process context.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Written once, at boot.
        let cpus = unsafe { bindings::nr_cpu_ids } as usize;
        let count = cpus.saturating_mul(LINES);
        let mut lines = KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..count {
            lines.push(UnsafeCell::new(Line::EMPTY), GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self(lines))
    }

    /// Gives a packet in PRE_ROUTING its route, if it has none and its way is the ordinary one.
    /// Where it gets none the kernel does as it would without us.
    #[inline(always)]
    pub(crate) fn give(&self, family: Family, skb: &mut Skb<'_>) {
        if skb.has_route() {
            return;
        }
        let Some(key) = Key::of(family, skb) else {
            return;
        };
        // SAFETY: No other line is borrowed in this function.
        let Some(line) = (unsafe { self.line(family, &key) }) else {
            return;
        };
        let now = now();
        if !line.holds(family, &key, now) {
            line.find(family, skb, key, now);
            return;
        }
        // SAFETY: Hooks run under RCU; the line's reference outlives this read side, since
        // routes are freed a grace period after the last one (`dst_release`).
        unsafe { bindings::halod_skb_set_route(skb.as_ptr(), line.route, line.redirect) };
    }

    /// Gives a packet in PRE_ROUTING the route to its neighbour `node`, whatever its destination.
    #[inline(never)]
    pub(crate) fn give_neighbour(
        &self,
        family: Family,
        skb: &mut Skb<'_>,
        node: &Address,
    ) -> Result<(), Exit> {
        let v6 = family == Family::V6;
        let key = Key::to_neighbour(family, skb, node);
        // SAFETY: No other line is borrowed in this function.
        let line = key.and_then(|key| Some((key, unsafe { self.line(family, &key) }?)));
        let now = now();
        if let Some((key, line)) = &line {
            if line.holds(family, key, now) {
                // SAFETY: As in `give`.
                unsafe { bindings::halod_skb_set_neighbour(skb.as_ptr(), v6, line.route) };
                return Ok(());
            }
        }
        let (mut keep, mut cookie) = (ptr::null_mut(), 0);
        // SAFETY: The packet is one in PRE_ROUTING, and the address of its IP version.
        way(unsafe {
            let node = octets(node).as_ptr().cast();
            bindings::halod_neighbour_find(skb.as_ptr(), v6, node, &mut keep, &mut cookie)
        })?;
        if keep.is_null() {
            return Ok(());
        }
        match line {
            Some((key, line)) => line.hold(Line::fresh(key, cookie, now, keep)),
            // SAFETY: The reference was its own.
            None => unsafe { bindings::dst_release(keep) },
        }
        Ok(())
    }

    /// The way of a packet in PRE_ROUTING or LOCAL_OUT to its node, from here.
    #[inline(never)]
    pub(super) fn tunnel<'a>(
        &'a self,
        family: Family,
        context: Context<'a>,
        skb: &mut Skb<'_>,
        node: &Address,
    ) -> Result<Tunnel<'a>, Exit> {
        let key = Key::to_tunnel(family, skb, node);
        // SAFETY: No other line is borrowed in this function.
        let line = key.and_then(|key| Some((key, unsafe { self.line(family, &key) }?)));
        let now = now();
        if let Some((key, line)) = &line {
            if line.holds(family, key, now) {
                return Ok(Tunnel {
                    way: bindings::halod_tunnel {
                        route: line.route,
                        source: line.source,
                    },
                    release: ptr::null_mut(),
                    _read_side: context.read_side,
                });
            }
        }
        let mut to = bindings::halod_tunnel {
            route: ptr::null_mut(),
            source: [0; 16],
        };
        let (mut keep, mut cookie) = (false, 0);
        // SAFETY: Both come from one call in PRE_ROUTING or LOCAL_OUT, with the IP header in one
        // piece, and the address is of its IP version.
        way(unsafe {
            bindings::halod_tunnel_find(
                context.state.net,
                skb.as_ptr(),
                family == Family::V6,
                octets(node).as_ptr().cast(),
                &mut to,
                &mut keep,
                &mut cookie,
            )
        })?;
        let release = match line {
            Some((key, line)) if keep => {
                line.hold(Line {
                    source: to.source,
                    ..Line::fresh(key, cookie, now, to.route)
                });
                ptr::null_mut()
            }
            _ => to.route,
        };
        Ok(Tunnel {
            way: to,
            release,
            _read_side: context.read_side,
        })
    }

    /// Opens the way of a packet that has just arrived and has no route, where one is kept by which
    /// packets can be sent at once. None where there is none: see `search`.
    #[inline(always)]
    pub(crate) fn open<'a>(
        &'a self,
        softirq: Softirq<'a>,
        family: Family,
        skb: &'a mut Skb<'_>,
        trip: &Trip,
    ) -> Option<Result<Open<'a>, Obstacle>> {
        let key = Key::of_trip(skb, trip);
        // SAFETY: No other line is borrowed in this function.
        let line = unsafe { self.line_at(softirq, family, &key) }?;
        let now = now();
        let good = match family {
            // Whether it still holds is seen as it is opened.
            Family::V4 => line.is_for(family, &key, now),
            Family::V6 => line.holds(family, &key, now),
        };
        if !good {
            return None;
        }
        if let Some(obstacle) = line.obstacle {
            return Some(Err(obstacle));
        }
        // SAFETY: The line holds a reference to the route, which is freed a grace period after
        // the last one. Lines are of one network namespace.
        let way = unsafe {
            Way::along(
                softirq.read_side(),
                softirq.net(),
                line.route,
                &mut line.next,
            )
        };
        way.open(family, skb, &trip.destination, trip.len)
    }

    /// Has the kernel find the way of a packet that has just arrived, and keeps it if that may be. The
    /// packet has no route, before and after.
    pub(crate) fn search(
        &self,
        softirq: Softirq<'_>,
        family: Family,
        skb: &mut Skb<'_>,
        trip: &Trip,
    ) {
        let key = Key::of_trip(skb, trip);
        // SAFETY: No other line is borrowed in this function.
        if let Some(line) = unsafe { self.line_at(softirq, family, &key) } {
            line.search(family, skb, key, now());
        }
    }

    /// The line of a softirq's CPU in which a route is kept, or would be.
    ///
    /// # Safety
    ///
    /// The caller has no other line borrowed.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn line_at(&self, softirq: Softirq<'_>, family: Family, key: &Key) -> Option<&mut Line> {
        let first = softirq.cpu().wrapping_mul(LINES);
        let line = self.0.get(first.wrapping_add(key.line(family)))?;
        // SAFETY: By the type invariants and the function's contract: this is a softirq, which no
        // other interrupts.
        Some(unsafe { &mut *line.get() })
    }

    /// The line of this CPU in which a route is kept, or would be.
    ///
    /// # Safety
    ///
    /// The caller has no other line borrowed.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn line(&self, family: Family, key: &Key) -> Option<&mut Line> {
        // SAFETY: May be called anywhere; negative where this is no softirq.
        let cpu = usize::try_from(unsafe { bindings::halod_softirq_cpu() }).ok()?;
        let line = self
            .0
            .get(cpu.wrapping_mul(LINES).wrapping_add(key.line(family)))?;
        // SAFETY: By the type invariants and the function's contract: this is a softirq, which no
        // other interrupts.
        Some(unsafe { &mut *line.get() })
    }

    /// Forgets all of them. Process context.
    ///
    /// # Safety
    ///
    /// No hook runs any more.
    pub(super) unsafe fn clear(&self) {
        for line in &self.0 {
            // SAFETY: By the function's contract nobody else looks at it.
            let line = unsafe { core::mem::replace(&mut *line.get(), Line::EMPTY) };
            // SAFETY: The line's reference was its own. It may be null.
            unsafe { bindings::dst_release(line.route) };
        }
    }
}

impl Drop for Routes {
    fn drop(&mut self) {
        // SAFETY: Whoever could use it holds a reference.
        unsafe { self.clear() };
    }
}
