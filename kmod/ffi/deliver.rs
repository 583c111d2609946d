// SPDX-License-Identifier: GPL-2.0

//! Packets that go to a node as they are: their route there, looked up or kept.

use core::ptr;

use super::bindings;
use super::netfilter::Family;
use super::route::{now, Line, Routes};
use super::route_key::Key;
use super::skb::Skb;
use crate::packet::{Address, Exit};

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

impl Routes {
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
        let line = unsafe { self.place(family, key) };
        let now = now();
        if let Some((key, line)) = &line {
            if line.holds(family, key, now) {
                // SAFETY: As in `Routes::give`.
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

    /// A packet's key, and the line of this CPU that it belongs in.
    ///
    /// # Safety
    ///
    /// The caller has no other line borrowed.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn place(
        &self,
        family: Family,
        key: Option<Key>,
    ) -> Option<(Key, &mut Line)> {
        let key = key?;
        // SAFETY: By the function's contract.
        Some((key, unsafe { self.line(family, &key) }?))
    }
}
