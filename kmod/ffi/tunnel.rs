// SPDX-License-Identifier: GPL-2.0

//! Packets to nodes inside others, and what routers say of those.
//!
//! C headers: `include/net/ip_tunnels.h`, `include/net/route.h`, `include/net/ip6_route.h`

use core::ffi::c_uint;
use core::ptr;

use super::bindings;
use super::deliver::{octets, way};
use super::netfilter::{Context, Family};
use super::rcu::ReadSide;
use super::route::{now, Line, Routes};
use super::route_key::Key;
use super::skb::Skb;
use crate::packet::{Address, Exit};

/// A way to a node from here, for a packet.
///
/// # Invariants
///
/// Its route is good until the end of the hook: `release` is a reference to it, or it was in a line, and
/// routes are freed a grace period after the last reference to them.
struct Tunnel<'a> {
    way: bindings::halod_tunnel,
    /// Null where a line has the reference.
    release: *mut bindings::dst_entry,
    _read_side: ReadSide<'a>,
}

impl Tunnel<'_> {
    fn way(&self) -> &bindings::halod_tunnel {
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
    /// The way of a packet in PRE_ROUTING or LOCAL_OUT to its node, from here.
    #[inline(never)]
    fn tunnel<'a>(
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
}

impl Context<'_> {
    /// Sends a packet that came in, or this machine's `own`, to a node inside another one. After
    /// an error it is still there, for the hook to drop.
    pub(crate) fn tunnel(
        self,
        routes: &Routes,
        family: Family,
        mut skb: Skb<'_>,
        node: &Address,
        own: bool,
    ) -> Result<(), Exit> {
        let tunnel = routes.tunnel(family, self, &mut skb, node)?;
        // SAFETY: The three come from one call in PRE_ROUTING or LOCAL_OUT, as `own` says, with the
        // IP header in one piece; the address is of the packet's IP version, and so is the route. A
        // packet that is sent is gone, and `skb` with it; else nothing but `NF_DROP` follows.
        way(unsafe {
            bindings::halod_tunnel_send(
                self.state.net,
                self.state.sk,
                skb.as_ptr(),
                family == Family::V6,
                octets(node).as_ptr().cast(),
                tunnel.way(),
                own,
            )
        })
    }

    /// Learns from an ICMP error about such a packet, with its ICMP header at `l4`, how large the
    /// path's packets may be.
    pub(crate) fn learn(self, family: Family, skb: &mut Skb<'_>, l4: u16) {
        // SAFETY: Both come from one call in PRE_ROUTING. What moves is the packet's data, of which
        // nothing is borrowed.
        unsafe {
            bindings::halod_tunnel_error(
                self.state.net,
                skb.as_ptr(),
                family == Family::V6,
                c_uint::from(l4),
            );
        }
    }
}
