// SPDX-License-Identifier: GPL-2.0

//! Sending a packet along a route at once, as the kernel's forwarding would.
//!
//! C headers: `include/net/neighbour.h`, `include/net/dst.h`

use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;

use super::bindings;
use super::netfilter::Family;
use super::percpu::PerCpuCounters;
use super::pernet::Net;
use super::rcu::ReadSide;
use super::skb::{field, Skb};
use crate::packet::{Address, Csum};

const OPEN: bindings::halod_open = bindings::halod_open_HALOD_OPEN;
const TOO_BIG: bindings::halod_open = bindings::halod_open_HALOD_OPEN_TOO_BIG;
const NO_MEMORY: bindings::halod_open = bindings::halod_open_HALOD_OPEN_NO_MEMORY;

/// As long as this lives, what is known of neighbours is forgotten before they are. No hook runs
/// without it.
pub(crate) struct NeighboursWatched(());

impl NeighboursWatched {
    /// Process context.
    pub(crate) fn begin() -> Result<Self> {
        // SAFETY: Called once, as the module is loaded; `drop` undoes it.
        to_result(unsafe { bindings::halod_neighbours_watch() })?;
        Ok(Self(()))
    }
}

impl Drop for NeighboursWatched {
    fn drop(&mut self) {
        // SAFETY: `begin` has done its part.
        unsafe { bindings::halod_neighbours_forget() };
    }
}

/// A route that packets can be sent along without a look at anything but themselves, the link and
/// the neighbour.
///
/// # Invariants
///
/// `route` is valid for `'a`, and one that `halod_route_is_quick` has said yes to. `next` is what is
/// known of its next machine, and nobody else's for `'a`. Both are of the network namespace `net`.
pub(crate) struct Way<'a> {
    route: NonNull<bindings::dst_entry>,
    next: &'a mut bindings::halod_next,
    net: Net<'a>,
}

/// What keeps a packet from being sent along a route at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// There is no such route.
    NoRoute,
    /// There are IPsec policies.
    Ipsec,
    /// It is longer than the link or the route allows.
    TooBig,
    /// The next machine's link address is not known.
    NoNeighbour,
    /// There is no memory for a private copy of its head.
    NoMemory,
}

/// A way that is open to one packet, now.
///
/// # Invariants
///
/// `route` and what `next` knows are valid for `'a`. The packet, a valid one that nobody else has, is
/// ready for them: what is in one piece of it may be written.
pub(crate) struct Open<'a> {
    skb: NonNull<bindings::sk_buff>,
    route: NonNull<bindings::dst_entry>,
    next: &'a bindings::halod_next,
    net: Net<'a>,
    /// The next machine answers.
    ready: bool,
    _borrowed: PhantomData<(ReadSide<'a>, &'a mut bindings::sk_buff)>,
}

impl<'a> Way<'a> {
    /// # Safety
    ///
    /// `route` is not null and, throughout `'a`, as the type's invariants say; so are the others.
    #[inline(always)]
    pub(super) unsafe fn along(
        net: Net<'a>,
        route: *mut bindings::dst_entry,
        next: &'a mut bindings::halod_next,
    ) -> Self {
        Self {
            // INVARIANT: By the function's contract.
            // SAFETY: As above.
            route: unsafe { NonNull::new_unchecked(route) },
            next,
            net,
        }
    }

    /// Opens it to a packet of `len` bytes to which nothing need be done for that. None where
    /// something need be, or the route no longer holds, which is seen of IPv4 only: see `open`.
    #[inline(always)]
    pub(super) fn ready(
        self,
        family: Family,
        skb: &'a mut Skb<'_>,
        len: usize,
    ) -> Option<Open<'a>> {
        let ready = self.is_ready(family, skb, len) && (family == Family::V6 || self.holds4());
        ready.then(|| self.opened(skb, true))
    }

    /// Opens it to a packet of `len` bytes and its padding, to `destination`. That the route holds was just
    /// seen, and is not asked again. The packet's head is private then, has room for the link's header, and
    /// its padding is off.
    #[inline(always)]
    pub(super) fn open(
        self,
        family: Family,
        skb: &'a mut Skb<'_>,
        destination: &Address,
        len: usize,
    ) -> Result<Open<'a>, Obstacle> {
        if self.is_ready(family, skb, len) {
            return Ok(self.opened(skb, true));
        }
        let (raw, route) = (skb.as_ptr(), self.route.as_ptr());
        let bytes = u32::try_from(len).unwrap_or(u32::MAX);
        // SAFETY: By the type invariants of both, and under RCU, where neighbours stay.
        let open = unsafe {
            match destination {
                Address::V4(to) => {
                    let to = u32::from_ne_bytes(*to);
                    bindings::halod_way_open4(raw, route, self.next, to, bytes)
                }
                Address::V6(to) => {
                    bindings::halod_way_open6(raw, route, self.next, to.as_ptr().cast(), bytes)
                }
            }
        };
        match open {
            OPEN => Ok(self.opened(skb, false)),
            TOO_BIG => Err(Obstacle::TooBig),
            NO_MEMORY => Err(Obstacle::NoMemory),
            _ => Err(Obstacle::NoNeighbour),
        }
    }

    /// For a packet to which it is open.
    #[inline(always)]
    fn opened(self, skb: &'a mut Skb<'_>, ready: bool) -> Open<'a> {
        Open {
            // INVARIANT: It was just opened, to a packet that is borrowed for `'a`.
            // SAFETY: It is not null.
            skb: unsafe { NonNull::new_unchecked(skb.as_ptr()) },
            route: self.route,
            next: self.next,
            net: self.net,
            ready,
            _borrowed: PhantomData,
        }
    }

    /// Whether the next machine is known and answers, and nothing is to be done to a packet of `len`
    /// bytes before it is written and sent there.
    #[inline(always)]
    fn is_ready(&self, family: Family, skb: &Skb<'_>, len: usize) -> bool {
        let next = &self.next;
        // SAFETY: Others write this, atomically.
        let news = unsafe { (&raw const bindings::halod_neighbour_news.counter).read_volatile() };
        if next.news != news as u32 || len > next.mtu.into() {
            return false;
        }
        // SAFETY: It is known, or `mtu` would be 0. Without news it is still there, and by the read
        // side stays so.
        let state: u8 = unsafe { field(next.neighbour, bindings::HALOD_AT_NUD_STATE) };
        u32::from(state) & bindings::HALOD_CONNECTED as u32 != 0
            && skb.len() == len
            && skb.is_free()
            && skb.headroom() >= next.reserve.into()
            && match family {
                Family::V4 => true,
                // SAFETY: By the type invariants, and under RCU.
                Family::V6 => unsafe {
                    bindings::halod_way_takes6(self.route.as_ptr(), len as u32)
                },
            }
    }

    /// Whether an IPv4 route still holds, as `ipv4_dst_check` has it.
    #[inline(always)]
    fn holds4(&self) -> bool {
        let route = self.route.as_ptr();
        // SAFETY: By the type invariants.
        unsafe {
            let obsolete: i16 = field(route, bindings::HALOD_AT_OBSOLETE);
            let genid: i32 = field(route, bindings::HALOD_AT_GENID);
            i32::from(obsolete) == bindings::HALOD_OBSOLETE_IF_OTHER_GENID
                && genid == (&raw const (*self.net.as_ptr()).ipv4.rt_genid.counter).read_volatile()
        }
    }
}

impl Open<'_> {
    /// The packet's first `N` bytes for writing, where the kernel keeps them in one piece.
    #[inline(always)]
    pub(crate) fn head<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        let skb = self.skb.as_ptr();
        // SAFETY: By the type invariants; the difference is `skb_headlen`, and `data` points to so
        // many initialised bytes.
        unsafe {
            let linear = (*skb).len.wrapping_sub((*skb).data_len) as usize;
            (linear >= N).then(|| &mut *(*skb).data.cast())
        }
    }

    /// What its transport checksum field holds. A sum of its bytes, which it may have, is off then.
    #[inline(always)]
    pub(crate) fn csum(&mut self) -> Csum {
        // SAFETY: By the type invariants.
        unsafe { Skb::from_raw(self.skb.as_ptr()) }.drop_complete()
    }

    /// Sends the packet, which its caller has given away, and adds one to a counter.
    #[inline(always)]
    pub(crate) fn send<const N: usize>(
        self,
        family: Family,
        counters: &PerCpuCounters<N>,
        index: usize,
    ) {
        let (skb, route, next) = (self.skb.as_ptr(), self.route.as_ptr(), self.next);
        let (net, counter) = (self.net.as_ptr(), counters.place(index));
        // SAFETY: By the type invariants. The packet is the kernel's from here on. No function is chosen to
        // be called afterwards, which would be an indirect call.
        unsafe {
            match (family, self.ready) {
                (Family::V4, true) => {
                    bindings::halod_way_send_ready4(skb, route, next, net, counter)
                }
                (Family::V6, true) => {
                    bindings::halod_way_send_ready6(skb, route, next, net, counter)
                }
                (Family::V4, false) => bindings::halod_way_send4(skb, route, next, net, counter),
                (Family::V6, false) => bindings::halod_way_send6(skb, route, next, net, counter),
            }
        }
    }
}
