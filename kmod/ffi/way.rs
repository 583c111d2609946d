// SPDX-License-Identifier: GPL-2.0

//! Sending a packet along a route at once, as the kernel's forwarding would.
//!
//! C headers: `include/net/neighbour.h`, `include/net/dst.h`

use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use kernel::error::to_result;
use kernel::prelude::*;

use super::bindings;
use super::netfilter::Family;
use super::percpu::PerCpuCounters;
use super::rcu::ReadSide;
use super::skb::Skb;
use crate::packet::{Address, Csum};

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
/// `route` is valid for `'a`, and one that `halod_route_is_quick` has said yes to.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    route: NonNull<bindings::dst_entry>,
    _read_side: ReadSide<'a>,
}

/// What keeps a packet from being sent along a route at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// There is no such route.
    NoRoute,
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
/// `neighbour` and `route` are valid for `'a`. The packet, a valid one that nobody else has, is ready
/// for them: what is in one piece of it may be written.
pub(crate) struct Open<'a> {
    route: NonNull<bindings::dst_entry>,
    neighbour: NonNull<bindings::neighbour>,
    skb: NonNull<bindings::sk_buff>,
    _borrowed: PhantomData<(ReadSide<'a>, &'a mut bindings::sk_buff)>,
}

impl<'a> Way<'a> {
    /// # Safety
    ///
    /// `route` is not null and, throughout `'a`, as the type's invariants say.
    #[inline(always)]
    pub(super) unsafe fn along(read_side: ReadSide<'a>, route: *mut bindings::dst_entry) -> Self {
        Self {
            // INVARIANT: By the function's contract.
            // SAFETY: As above.
            route: unsafe { NonNull::new_unchecked(route) },
            _read_side: read_side,
        }
    }

    /// Opens it to a packet of `len` bytes and its padding, to `destination`, of which `next` is
    /// known. The packet's head is private then, has room for the link's header, and its padding
    /// is off. None where the route no longer holds, which is seen of IPv4 only.
    #[inline(always)]
    pub(super) fn open(
        self,
        family: Family,
        skb: &'a mut Skb<'_>,
        next: &mut bindings::halod_next,
        destination: &Address,
        len: usize,
    ) -> Option<Result<Open<'a>, Obstacle>> {
        const STALE: usize = bindings::HALOD_OPEN_STALE as usize;
        const TOO_BIG: usize = bindings::HALOD_OPEN_TOO_BIG as usize;
        const NO_MEMORY: usize = bindings::HALOD_OPEN_NO_MEMORY as usize;
        const LAST: usize = NO_MEMORY;
        let (raw, route, len) = (skb.as_ptr(), self.route.as_ptr(), len as u32);
        // SAFETY: By the type invariants of both, and under RCU, where neighbours stay.
        let neighbour = unsafe {
            match (family, destination) {
                (Family::V4, Address::V4(bytes)) => {
                    bindings::halod_way_open4(raw, route, next, u32::from_ne_bytes(*bytes), len)
                }
                (Family::V6, Address::V6(bytes)) => {
                    bindings::halod_way_open6(raw, route, next, bytes.as_ptr().cast(), len)
                }
                _ => ptr::null_mut(),
            }
        };
        if neighbour as usize > LAST {
            return Some(Ok(Open {
                // INVARIANT: It was just opened, to a packet that is borrowed for `'a`.
                route: self.route,
                // SAFETY: Neither is 0.
                neighbour: unsafe { NonNull::new_unchecked(neighbour) },
                // SAFETY: As above.
                skb: unsafe { NonNull::new_unchecked(raw) },
                _borrowed: PhantomData,
            }));
        }
        match neighbour as usize {
            STALE => None,
            TOO_BIG => Some(Err(Obstacle::TooBig)),
            NO_MEMORY => Some(Err(Obstacle::NoMemory)),
            _ => Some(Err(Obstacle::NoNeighbour)),
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

    /// What its transport checksum field holds.
    #[inline(always)]
    pub(crate) fn csum(&self) -> Csum {
        // SAFETY: By the type invariants.
        unsafe { Skb::from_raw(self.skb.as_ptr()) }.csum()
    }

    /// Sends the packet, which its caller has given away, and adds one to a counter.
    #[inline(always)]
    pub(crate) fn send<const N: usize>(
        self,
        family: Family,
        counters: &PerCpuCounters<N>,
        index: usize,
    ) {
        let (skb, route) = (self.skb.as_ptr(), self.route.as_ptr());
        let neighbour = self.neighbour.as_ptr();
        let (counters, index) = counters.place(index);
        // SAFETY: By the type invariants. The packet is the kernel's from here on.
        unsafe {
            match family {
                Family::V4 => bindings::halod_way_send4(skb, route, neighbour, counters, index),
                Family::V6 => bindings::halod_way_send6(skb, route, neighbour, counters, index),
            }
        }
    }
}
