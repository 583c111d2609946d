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
use core::ptr;
use kernel::prelude::*;

use super::bindings;
use super::ingress::Softirq;
use super::netfilter::Family;
use super::pernet::Net;
use super::route_key::{Key, Trip};
use super::skb::Skb;
use super::way::{Obstacle, Open, Way};

/// Lines of each CPU: 512 KiB, as many as there may be clients that say something at a time.
pub(super) const LINES: usize = 4096;

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
pub(super) struct Line {
    key: Key,
    cookie: u32,
    /// When it is to be looked up again, in ticks.
    until: u32,
    /// The machine would rather have the packet's sender use another way.
    redirect: bool,
    /// What keeps all packets from being sent along it at once.
    obstacle: Option<Obstacle>,
    pub(super) route: *mut bindings::dst_entry,
    /// The next machine on the route.
    next: bindings::halod_next,
    /// Of a tunnel: this machine's address on the route.
    pub(super) source: [u8; 16],
}

// The key and what says that the route is still good are in the first line of the processor's cache.
const _: () = assert!(size_of::<Line>() == 128 && core::mem::offset_of!(Line, next) == 64);

impl Line {
    const EMPTY: Self = Self {
        key: Key::NONE,
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
pub(super) fn now() -> u32 {
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
    pub(super) fn holds(&self, family: Family, key: &Key, now: u32) -> bool {
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

    /// Has the kernel find the packet's route, and keeps it where that may be: whether it does. The
    /// packet, which had no route, has it then; and may have one where it is not kept.
    #[inline(never)]
    fn find(&mut self, family: Family, skb: &mut Skb<'_>, key: Key, now: u32) -> bool {
        let skb = skb.as_ptr();
        let v6 = family == Family::V6;
        let [source, destination] = key.ends(family);
        let mut cookie = 0;
        // SAFETY: The packet is one that has arrived, as the kernel's own caller has it, with its
        // whole IP header in one piece, or there would be no key. The addresses are the key's.
        let found =
            unsafe { bindings::halod_route_find(skb, v6, source, destination, &mut cookie) };
        if found.is_null() {
            return false;
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
        true
    }

    /// The way along the route that it holds, in the network namespace of all lines, in a softirq.
    ///
    /// # Safety
    ///
    /// It has a packet's key, and so a route, with a reference.
    #[inline(always)]
    unsafe fn way<'a>(&'a mut self, _softirq: Softirq<'a>, net: Net<'a>) -> Way<'a> {
        // SAFETY: By the function's contract. The route is freed a grace period after the last reference,
        // and a softirq is on the read side for as long as its hook runs.
        unsafe { Way::along(net, self.route, &mut self.next) }
    }

    /// A line with a route that was found `now`.
    pub(super) fn fresh(key: Key, cookie: u32, now: u32, route: *mut bindings::dst_entry) -> Self {
        Self {
            key,
            cookie,
            until: now.wrapping_add(bindings::HALOD_SECOND),
            obstacle: Some(Obstacle::NoRoute),
            route,
            ..Self::EMPTY
        }
    }

    /// The same for packets that leave from this machine's address `source`.
    pub(super) fn from(self, source: [u8; 16]) -> Self {
        Self { source, ..self }
    }

    /// Takes another one's place.
    pub(super) fn hold(&mut self, fresh: Self) {
        let former = core::mem::replace(self, fresh);
        // SAFETY: The line's reference was its own. It may be null.
        unsafe { bindings::dst_release(former.route) };
    }

    /// The same for a packet that is to be left without a route.
    #[inline(never)]
    fn search(&mut self, family: Family, skb: &mut Skb<'_>, key: Key, now: u32) -> bool {
        let raw = skb.as_ptr();
        // SAFETY: The packet has not reached the IP layers, whose part of it this clears.
        unsafe { bindings::halod_skb_forget_route(raw) };
        let kept = self.find(family, skb, key, now);
        // SAFETY: As above.
        unsafe { bindings::halod_skb_forget_route(raw) };
        kept
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

    /// Opens the way of a packet that has just arrived and has no route, where one is kept by which
    /// it can be sent as it is. None where there is none: see `open`.
    #[inline(always)]
    pub(crate) fn ready<'a>(
        &'a self,
        softirq: Softirq<'a>,
        net: Net<'a>,
        family: Family,
        skb: &'a mut Skb<'_>,
        trip: &Trip,
    ) -> Option<Open<'a>> {
        let key = Key::of_trip(skb, trip);
        // SAFETY: No other line is borrowed in this function.
        let line = unsafe { self.line_at(softirq, family, &key) }?;
        let good = match family {
            // Whether it still holds is seen as it is opened.
            Family::V4 => line.is_for(family, &key, now()),
            Family::V6 => line.holds(family, &key, now()),
        };
        if !good {
            return None;
        }
        // One that an obstacle keeps packets from knows no next machine, and is never ready.
        // SAFETY: It is the packet's line.
        unsafe { line.way(softirq, net) }.ready(family, skb, trip.len)
    }

    /// The same for any packet. The kernel finds the way where none is kept, and the packet is made fit
    /// for it; it has no route, before and after.
    pub(crate) fn open<'a>(
        &'a self,
        softirq: Softirq<'a>,
        net: Net<'a>,
        family: Family,
        skb: &'a mut Skb<'_>,
        trip: &Trip,
    ) -> Result<Open<'a>, Obstacle> {
        let (key, now) = (Key::of_trip(skb, trip), now());
        // SAFETY: No other line is borrowed in this function.
        let line = unsafe { self.line_at(softirq, family, &key) }.ok_or(Obstacle::NoRoute)?;
        // A route that holds no longer is not to be used because there is no other.
        if !line.holds(family, &key, now) && !line.search(family, skb, key, now) {
            return Err(Obstacle::NoRoute);
        }
        if let Some(obstacle) = line.obstacle {
            return Err(obstacle);
        }
        // SAFETY: It is the packet's line.
        unsafe { line.way(softirq, net) }.open(family, skb, &trip.destination, trip.len)
    }

    /// The line of a softirq's CPU in which a route is kept, or would be.
    ///
    /// # Safety
    ///
    /// The caller has no other line borrowed.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn line_at(&self, softirq: Softirq<'_>, family: Family, key: &Key) -> Option<&mut Line> {
        // SAFETY: By the function's contract.
        unsafe { self.line_of(softirq.cpu(), family, key) }
    }

    /// The line of this CPU in which a route is kept, or would be.
    ///
    /// # Safety
    ///
    /// The caller has no other line borrowed.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn line(&self, family: Family, key: &Key) -> Option<&mut Line> {
        // SAFETY: May be called anywhere; negative where this is no softirq.
        let cpu = usize::try_from(unsafe { bindings::halod_softirq_cpu() }).ok()?;
        // SAFETY: By the function's contract.
        unsafe { self.line_of(cpu, family, key) }
    }

    /// The same of the CPU with a number.
    ///
    /// # Safety
    ///
    /// This is a softirq on that CPU, and the caller has no other line borrowed.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn line_of(&self, cpu: usize, family: Family, key: &Key) -> Option<&mut Line> {
        let first = cpu.wrapping_mul(LINES);
        let line = self.0.get(first.wrapping_add(key.line(family)))?;
        // SAFETY: By the type invariants and the function's contract: no other softirq interrupts this one.
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
