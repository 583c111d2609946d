// SPDX-License-Identifier: GPL-2.0

//! Packets that go to their node with the addresses that they have. Softirq, or process context for
//! this machine's own packets: nothing here sleeps.

use crate::ffi::netfilter::{hook_at, Context, Verdict};
use crate::ffi::skb::Skb;
use crate::hooks::family;
use crate::namespace::Namespace;
use crate::packet::{Address, Deliver, Exit, Hook};
use crate::table::Table;

impl Namespace {
    /// Sends a packet on to a node.
    pub(crate) fn deliver<const POINT: u32, const V6: bool>(
        &self,
        table: &Table,
        context: Context<'_>,
        mut skb: Skb<'_>,
        node: &Address,
        deliver: Deliver,
        exit: Exit,
    ) -> Verdict {
        // It has come by here, and has its route: a VRF shows it once more.
        if hook_at(POINT) == Hook::PreRouting && skb.has_route() && skb.is_in_vrf() {
            return Verdict::Accept;
        }
        if context.may_track(family(V6)) {
            skb.set_untracked();
        }
        let routed = match (deliver, hook_at(POINT)) {
            // The kernel forwards it then as it does all others, with TTL, MTU and every rule.
            (Deliver::Dsr, Hook::PreRouting) => {
                table
                    .routes_found
                    .give_neighbour(family(V6), &mut skb, node)
            }
            (Deliver::Dsr, Hook::LocalOut) => {
                context.route_to_neighbour(family(V6), &mut skb, node)
            }
            (Deliver::Ipip, hook @ (Hook::PreRouting | Hook::LocalOut)) => {
                // What it is sent in passes LOCAL_OUT, which is to leave it alone.
                skb.set_balanced();
                let (routes, own) = (&table.routes_found, hook == Hook::LocalOut);
                return match context.tunnel(routes, family(V6), skb, node, own) {
                    Ok(()) => {
                        self.count(exit);
                        Verdict::Stolen
                    }
                    Err(exit) => self.leave(exit),
                };
            }
            // Decided at no other hook, and of no other listener.
            _ => Err(Exit::DropMalformed),
        };
        if let Err(exit) = routed {
            return self.leave(exit);
        }
        skb.set_balanced();
        self.leave(exit)
    }
}
