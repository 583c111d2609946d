// SPDX-License-Identifier: GPL-2.0

//! Packets to nodes inside others, and what routers say of those.
//!
//! C headers: `include/net/ip_tunnels.h`, `include/net/route.h`, `include/net/ip6_route.h`

use core::ffi::c_uint;

use super::bindings;
use super::deliver::{octets, way};
use super::netfilter::{Context, Family};
use super::route::Routes;
use super::skb::Skb;
use crate::packet::{Address, Exit};

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
