// SPDX-License-Identifier: GPL-2.0

//! The ways to a node that is not the packet's destination, looked up or kept: to its link address,
//! or inside another packet.

use core::ptr;

use super::bindings;
use super::netfilter::{Context, Family};
use super::rcu::ReadSide;
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
        let line = unsafe { self.place(family, key) };
        let now = now();
        let tunnel = |way, release| Tunnel {
            way,
            release,
            _read_side: context.read_side,
        };
        if let Some((key, line)) = &line {
            if line.holds(family, key, now) {
                let kept = bindings::halod_tunnel {
                    route: line.route,
                    source: line.source,
                };
                return Ok(tunnel(kept, ptr::null_mut()));
            }
        }
        let mut found = bindings::halod_tunnel {
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
                &mut found,
                &mut keep,
                &mut cookie,
            )
        })?;
        let mut release = found.route;
        if let (Some((key, line)), true) = (line, keep) {
            line.hold(Line::fresh(key, cookie, now, found.route).from(found.source));
            release = ptr::null_mut();
        }
        Ok(tunnel(found, release))
    }

    /// A packet's key, and the line of this CPU that it belongs in.
    ///
    /// # Safety
    ///
    /// The caller has no other line borrowed.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn place(&self, family: Family, key: Option<Key>) -> Option<(Key, &mut Line)> {
        let key = key?;
        // SAFETY: By the function's contract.
        Some((key, unsafe { self.line(family, &key) }?))
    }
}
