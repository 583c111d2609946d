// SPDX-License-Identifier: GPL-2.0

//! What the hooks do with a packet. Softirq, or process context for this machine's own packets:
//! nothing here sleeps.

use crate::ffi::netfilter::{Context, Family, Verdict};
use crate::ffi::skb::Skb;
use crate::namespace::Namespace;
use crate::packet::{self, ChecksumDelta, Csum, Decision, Exit, Hook, Parsed};
use crate::table::Table;

impl Namespace {
    /// Client to VIP: on to the route's node. Node to client: marked only, since a source that
    /// is an address of this machine would be dropped as a martian by routing.
    #[inline(always)]
    pub(crate) fn pre_routing(&self, context: &Context<'_>, skb: &mut Skb<'_>) -> Verdict {
        self.apply(Hook::PreRouting, context, skb)
    }

    /// Node to this machine, the answer to `local_out`.
    #[inline(always)]
    pub(crate) fn local_in(&self, context: &Context<'_>, skb: &mut Skb<'_>) -> Verdict {
        self.apply(Hook::LocalIn, context, skb)
    }

    /// A client on this machine to VIP.
    #[inline(always)]
    pub(crate) fn local_out(&self, context: &Context<'_>, skb: &mut Skb<'_>) -> Verdict {
        self.apply(Hook::LocalOut, context, skb)
    }

    /// Node to client: as from the VIP.
    #[inline(always)]
    pub(crate) fn post_routing(&self, context: &Context<'_>, skb: &mut Skb<'_>) -> Verdict {
        self.apply(Hook::PostRouting, context, skb)
    }

    /// Lets pass what can be told at once not to be ours.
    #[inline(always)]
    fn apply(&self, hook: Hook, context: &Context<'_>, skb: &mut Skb<'_>) -> Verdict {
        // A client that is a node itself, and whose port is one of a node's, gets no second rewrite.
        if matches!(hook, Hook::LocalIn | Hook::PostRouting) && skb.is_balanced() {
            return Verdict::Accept;
        }
        let Some(table) = self.table(context.read_side) else {
            return Verdict::Accept;
        };
        let filter = table.filter();
        let concerns = match context.family {
            Family::V4 => skb
                .head()
                .map(|header| packet::concerns_v4(filter, hook, header)),
            Family::V6 => skb
                .head()
                .map(|header| packet::concerns_v6(filter, hook, header)),
        };
        if concerns == Some(false) {
            return self.pass(hook);
        }
        match context.family {
            Family::V4 => self.handle(table, hook, context, skb, packet::parse_v4),
            Family::V6 => self.handle(table, hook, context, skb, packet::parse_v6),
        }
    }

    /// A packet that is not ours passes two hooks, and is counted at the first.
    #[inline(always)]
    fn pass(&self, hook: Hook) -> Verdict {
        if matches!(hook, Hook::PreRouting | Hook::LocalOut) {
            self.count(Exit::Pass);
        }
        Verdict::Accept
    }

    /// Parses, decides and does it. A function of its own, so that what passes does not pay for
    /// its stack, and one for each of `parse`.
    #[inline(never)]
    fn handle(
        &self,
        table: &Table,
        hook: Hook,
        context: &Context<'_>,
        skb: &mut Skb<'_>,
        parse: impl Fn(&[u8], usize) -> Parsed,
    ) -> Verdict {
        let len = skb.len();
        let parsed = skb.with_window(0, |window| parse(window, len));
        let decision = match &parsed {
            Parsed::Error(error) => {
                let quoted = skb.with_window(error.quote(), |window| match context.family {
                    Family::V4 => packet::parse_quote_v4(window, error.quoted),
                    Family::V6 => packet::parse_quote_v6(window, error.quoted),
                });
                packet::decide_error(&table.view(), &table.draining(), hook, error, &quoted)
            }
            parsed => packet::decide(&table.view(), &table.draining(), hook, parsed),
        };
        match decision {
            Decision::Exit(Exit::Pass) => self.pass(hook),
            Decision::Exit(exit) => self.leave(exit),
            Decision::Untrack => {
                skb.set_untracked();
                Verdict::Accept
            }
            Decision::Rewrite {
                packet,
                side,
                to,
                exit,
            } => self.change(
                hook,
                context,
                skb,
                exit,
                packet::need(&packet),
                |bytes, csum| packet::rewrite(bytes, &packet, side, to, csum),
            ),
            Decision::Translate { translation, exit } => {
                let need = translation.need();
                self.change(hook, context, skb, exit, need, |bytes, csum| {
                    translation.apply(bytes, csum)
                })
            }
        }
    }

    /// Rewrites the packet's first `need` bytes, and sends it on.
    #[inline(always)]
    fn change(
        &self,
        hook: Hook,
        context: &Context<'_>,
        skb: &mut Skb<'_>,
        exit: Exit,
        need: usize,
        rewrite: impl FnOnce(&mut [u8], Csum) -> Option<ChecksumDelta>,
    ) -> Verdict {
        let csum = skb.csum();
        let Some(bytes) = skb.writable(need) else {
            return self.leave(Exit::DropNotWritable);
        };
        let Some(delta) = rewrite(bytes, csum) else {
            return self.leave(Exit::DropMalformed);
        };
        skb.adjust_complete(delta);
        skb.set_untracked();
        if matches!(hook, Hook::PreRouting | Hook::LocalOut) {
            skb.set_balanced();
        }
        if matches!(hook, Hook::LocalOut) && context.route_again(skb).is_err() {
            return self.leave(Exit::DropNoRoute);
        }
        self.leave(exit)
    }

    /// Every packet's way out, by name.
    #[inline(always)]
    fn leave(&self, exit: Exit) -> Verdict {
        self.count(exit);
        if exit.is_drop() {
            Verdict::Drop
        } else {
            Verdict::Accept
        }
    }
}
