// SPDX-License-Identifier: GPL-2.0

//! Sending a packet along a route at once, as the kernel's forwarding would.
//!
//! C headers: `include/net/neighbour.h`, `include/net/dst.h`

use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use super::bindings;
use super::netfilter::Family;
use super::rcu::ReadSide;
use super::skb::Skb;
use crate::packet::Address;

/// A route that packets can be sent along without a look at anything but themselves, the link and
/// the neighbour.
///
/// # Invariants
///
/// `route` is valid for `'a`, and one that `halod_route_is_quick` has said yes to.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    route: NonNull<bindings::dst_entry>,
    read_side: ReadSide<'a>,
}

/// What keeps a packet from going along it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obstacle {
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
/// `neighbour` and `route` are valid for `'a`. The packet that it was opened for is ready for them.
pub(crate) struct Open<'a> {
    route: NonNull<bindings::dst_entry>,
    neighbour: NonNull<bindings::neighbour>,
    _read_side: PhantomData<ReadSide<'a>>,
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
            read_side,
        }
    }

    /// Opens it to a packet of `len` bytes and its padding, to `destination`. The packet's head is
    /// private then, has room for the link's header, and its padding is off.
    #[inline(always)]
    pub(crate) fn open(
        self,
        family: Family,
        skb: &mut Skb<'_>,
        destination: &Address,
        len: usize,
    ) -> Result<Open<'a>, Obstacle> {
        let _ = self.read_side;
        let (skb, route, len) = (skb.as_ptr(), self.route.as_ptr(), len as u32);
        let mut neighbour = ptr::null_mut();
        // SAFETY: By the type invariants of both, and under RCU, where neighbours stay.
        let obstacle = unsafe {
            match (family, destination) {
                (Family::V4, Address::V4(bytes)) => bindings::halod_way_open4(
                    skb,
                    route,
                    u32::from_ne_bytes(*bytes),
                    len,
                    &mut neighbour,
                ),
                (Family::V6, Address::V6(bytes)) => bindings::halod_way_open6(
                    skb,
                    route,
                    bytes.as_ptr().cast(),
                    len,
                    &mut neighbour,
                ),
                _ => bindings::HALOD_OPEN_NO_NEIGHBOUR,
            }
        };
        match (obstacle, NonNull::new(neighbour)) {
            // INVARIANT: It was just opened.
            (bindings::HALOD_OPEN_DONE, Some(neighbour)) => Ok(Open {
                route: self.route,
                neighbour,
                _read_side: PhantomData,
            }),
            (bindings::HALOD_OPEN_TOO_BIG, _) => Err(Obstacle::TooBig),
            (bindings::HALOD_OPEN_NO_MEMORY, _) => Err(Obstacle::NoMemory),
            _ => Err(Obstacle::NoNeighbour),
        }
    }
}

impl Open<'_> {
    /// Sends the packet that it was opened for.
    #[inline(always)]
    pub(crate) fn send(self, family: Family, skb: Skb<'_>) {
        let (skb, route, neighbour) = (skb.as_ptr(), self.route.as_ptr(), self.neighbour.as_ptr());
        // SAFETY: By the type invariants. The packet is the kernel's from here on; the caller has
        // given it away.
        unsafe {
            match family {
                Family::V4 => bindings::halod_way_send4(skb, route, neighbour),
                Family::V6 => bindings::halod_way_send6(skb, route, neighbour),
            }
        }
    }
}
