// SPDX-License-Identifier: GPL-2.0

//! What the hooks do with a packet. Softirq, or process context for this machine's own packets:
//! nothing here sleeps.
//!
//! PRE_ROUTING: client to VIP, on to the route's node. Node to client is only kept from connection
//! tracking, since a source that is an address of this machine would be dropped as a martian by
//! routing. POST_ROUTING: node to client, as from the VIP. LOCAL_OUT and LOCAL_IN: the same where
//! the client is this machine.
//!
//! Everything is compiled once for each hook and IP version, so that what nearly all packets take
//! is straight code; the rest is in functions of their own.

use crate::ffi::netfilter::{hook_at, Context, Family, Verdict};
use crate::ffi::skb::Skb;
use crate::namespace::Namespace;
use crate::packet::{
    self, Address, ChecksumDelta, Concern, Csum, Decision, Exit, Hook, Packet, Parsed, Side,
};
use crate::table::Table;

pub(crate) const fn family(v6: bool) -> Family {
    if v6 {
        Family::V6
    } else {
        Family::V4
    }
}

impl Namespace {
    /// A packet at the hook of a netfilter point. Lets pass what can be told at once not to need
    /// anything.
    #[inline(always)]
    pub(crate) fn meet<const POINT: u32, const V6: bool>(
        &self,
        context: Context<'_>,
        skb: Skb<'_>,
    ) -> Verdict {
        let hook = hook_at(POINT);
        // A client that is a node itself, and whose port is one of a node's, gets no second rewrite;
        // and what was put inside another packet has been through here.
        if hook != Hook::PreRouting && skb.is_balanced() {
            return Verdict::Accept;
        }
        let Some(table) = self.table(context.read_side) else {
            return Verdict::Accept;
        };
        match Self::concern::<V6>(table, hook, &skb) {
            Some(Concern::No) => {
                if matches!(hook, Hook::PreRouting | Hook::LocalOut) {
                    self.count(Exit::Pass);
                }
                Verdict::Accept
            }
            Some(Concern::Answer) if hook == Hook::PreRouting && !context.may_track(family(V6)) => {
                Self::pass_answer::<V6>(table, skb)
            }
            _ => self.handle::<POINT, V6>(table, context, skb),
        }
    }

    /// A packet from a node, which is yet to be looked at where it leaves.
    #[inline(never)]
    fn pass_answer<const V6: bool>(table: &Table, mut skb: Skb<'_>) -> Verdict {
        table.routes_found.give(family(V6), &mut skb);
        Verdict::Accept
    }

    /// Decides about a packet and does it. A function of its own, so that what passes does not pay
    /// for its stack.
    #[inline(never)]
    fn handle<const POINT: u32, const V6: bool>(
        &self,
        table: &Table,
        context: Context<'_>,
        mut skb: Skb<'_>,
    ) -> Verdict {
        let hook = hook_at(POINT);
        let ordinary = match family(V6) {
            Family::V4 => skb.head().and_then(packet::ordinary_v4),
            Family::V6 => skb.head().and_then(packet::ordinary_v6),
        };
        let Some(packet) = ordinary else {
            return self.handle_any::<POINT, V6>(table, context, skb);
        };
        match packet::decide_packet(table, hook, &packet) {
            Decision::Rewrite { side, to, exit } => {
                let delta = match family(V6) {
                    Family::V4 => Self::change_head::<40>(&mut skb, &packet, side, to),
                    Family::V6 => Self::change_head::<60>(&mut skb, &packet, side, to),
                };
                self.changed::<POINT, V6>(table, context, skb, exit, delta)
            }
            decision => self.other::<POINT, V6>(table, context, skb, &decision),
        }
    }

    /// The same for packets of all kinds.
    #[inline(never)]
    fn handle_any<const POINT: u32, const V6: bool>(
        &self,
        table: &Table,
        context: Context<'_>,
        mut skb: Skb<'_>,
    ) -> Verdict {
        let hook = hook_at(POINT);
        let len = skb.len();
        let parsed = skb.with_window(0, |window| match family(V6) {
            Family::V4 => packet::parse_v4(window, len),
            Family::V6 => packet::parse_v6(window, len),
        });
        let decision = match &parsed {
            Parsed::Error(error) => {
                let quoted = skb.with_window(error.quote(), |window| match family(V6) {
                    Family::V4 => packet::parse_quote_v4(window, error.quoted),
                    Family::V6 => packet::parse_quote_v6(window, error.quoted),
                });
                packet::decide_error(table, hook, error, &quoted)
            }
            parsed => packet::decide(table, hook, parsed),
        };
        match (&decision, &parsed) {
            (Decision::Rewrite { side, to, exit }, Parsed::Packet(packet)) => {
                let rewrite =
                    |bytes: &mut [u8], csum: Csum| packet::rewrite(bytes, packet, *side, *to, csum);
                let delta = Self::change(&mut skb, packet::need(packet), rewrite);
                self.changed::<POINT, V6>(table, context, skb, *exit, delta)
            }
            (Decision::Translate { translation, exit }, _) => {
                let translate = |bytes: &mut [u8], csum: Csum| translation.apply(bytes, csum);
                let delta = Self::change(&mut skb, translation.need(), translate);
                self.changed::<POINT, V6>(table, context, skb, *exit, delta)
            }
            _ => self.other::<POINT, V6>(table, context, skb, &decision),
        }
    }

    /// The packet's first `need` bytes rewritten: what that did to a sum over it, or the drop.
    #[inline(always)]
    fn change(
        skb: &mut Skb<'_>,
        need: usize,
        rewrite: impl FnOnce(&mut [u8], Csum) -> Option<ChecksumDelta>,
    ) -> Result<ChecksumDelta, Exit> {
        let csum = skb.csum();
        let bytes = skb.writable(need).ok_or(Exit::DropNotWritable)?;
        rewrite(bytes, csum).ok_or(Exit::DropMalformed)
    }

    /// The same of an ordinary packet, all of whose headers are in its first `N` bytes.
    #[inline(always)]
    fn change_head<const N: usize>(
        skb: &mut Skb<'_>,
        packet: &Packet,
        side: Side,
        to: (Address, u16),
    ) -> Result<ChecksumDelta, Exit> {
        let csum = skb.csum();
        let bytes = skb.writable_head::<N>().ok_or(Exit::DropNotWritable)?;
        packet::rewrite(bytes, packet, side, to, csum).ok_or(Exit::DropMalformed)
    }

    /// Sends on a packet that was rewritten.
    #[inline(always)]
    fn changed<const POINT: u32, const V6: bool>(
        &self,
        table: &Table,
        context: Context<'_>,
        mut skb: Skb<'_>,
        exit: Exit,
        delta: Result<ChecksumDelta, Exit>,
    ) -> Verdict {
        let hook = hook_at(POINT);
        let delta = match delta {
            Ok(delta) => delta,
            Err(exit) => return self.leave(exit),
        };
        skb.adjust_complete(delta);
        if context.may_track(family(V6)) {
            skb.set_untracked();
        }
        if hook == Hook::PreRouting && !context.may_reroute(family(V6)) {
            table.routes_found.give(family(V6), &mut skb);
        }
        if matches!(hook, Hook::PreRouting | Hook::LocalOut) {
            skb.set_balanced();
        }
        if hook == Hook::LocalOut && context.route_again(family(V6), &mut skb).is_err() {
            return self.leave(Exit::DropNoRoute);
        }
        self.leave(exit)
    }

    /// Everything but rewriting.
    #[inline(never)]
    fn other<const POINT: u32, const V6: bool>(
        &self,
        table: &Table,
        context: Context<'_>,
        mut skb: Skb<'_>,
        decision: &Decision,
    ) -> Verdict {
        match decision {
            Decision::Deliver {
                node,
                deliver,
                exit,
            } => self.deliver::<POINT, V6>(table, context, skb, node, *deliver, *exit),
            Decision::Exit(Exit::Pass) => {
                let first = match hook_at(POINT) {
                    Hook::PreRouting | Hook::LocalOut => true,
                    Hook::LocalIn | Hook::PostRouting => Self::is_first::<V6>(table, context, &skb),
                };
                if first {
                    self.count(Exit::Pass);
                }
                Verdict::Accept
            }
            Decision::Exit(exit) => self.leave(*exit),
            Decision::Learn { l4 } => {
                context.learn(family(V6), &mut skb, *l4);
                // What it is about is not tracked either.
                skb.set_untracked();
                self.leave(Exit::IcmpTunnel)
            }
            Decision::Untrack => {
                skb.set_untracked();
                if hook_at(POINT) == Hook::PreRouting && !context.may_reroute(family(V6)) {
                    table.routes_found.give(family(V6), &mut skb);
                }
                Verdict::Accept
            }
            // Of a packet that was not read as one, which cannot be.
            Decision::Rewrite { .. } | Decision::Translate { .. } => {
                self.leave(Exit::DropMalformed)
            }
        }
    }

    /// Whether PRE_ROUTING has left a packet alone that is at a later hook now.
    fn is_first<const V6: bool>(table: &Table, context: Context<'_>, skb: &Skb<'_>) -> bool {
        let concern = Self::concern::<V6>(table, Hook::PreRouting, skb);
        skb.came_in() && concern == Some(Concern::Answer) && !context.may_track(family(V6))
    }

    /// What a packet's addresses say of it; None where they are not in one piece.
    #[inline(always)]
    pub(crate) fn concern<const V6: bool>(
        table: &Table,
        hook: Hook,
        skb: &Skb<'_>,
    ) -> Option<Concern> {
        let filter = table.filter();
        match family(V6) {
            Family::V4 => Some(packet::concern_v4(filter, hook, skb.head()?)),
            Family::V6 => Some(packet::concern_v6(filter, hook, skb.head()?)),
        }
    }

    /// Every packet's way out, by name.
    #[inline(always)]
    pub(crate) fn leave(&self, exit: Exit) -> Verdict {
        self.count(exit);
        if exit.is_drop() {
            Verdict::Drop
        } else {
            Verdict::Accept
        }
    }
}
