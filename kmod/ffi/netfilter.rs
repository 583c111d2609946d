// SPDX-License-Identifier: GPL-2.0

//! Hooks in the IP layers.
//!
//! C header: `include/linux/netfilter.h`

use core::ffi::{c_int, c_uint, c_void};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::{rcu, Arc};

use super::bindings::{
    self, nf_inet_hooks_NF_INET_LOCAL_IN as IN, nf_inet_hooks_NF_INET_LOCAL_OUT as OUT,
    nf_inet_hooks_NF_INET_POST_ROUTING as POST, nf_inet_hooks_NF_INET_PRE_ROUTING as PRE,
};
use super::deliver::{octets, way};
use super::pernet::Net;
use super::rcu::ReadSide;
use super::route::Routes;
use super::skb::Skb;
use crate::namespace::Namespace;
use crate::packet::{Address, Exit, Hook};

/// An IP version, and the hooks' protocol family.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Verdict {
    /// It goes on its way.
    Accept = bindings::NF_ACCEPT,
    /// It is freed.
    Drop = bindings::NF_DROP,
    /// It is gone: somebody else's by now.
    Stolen = bindings::NF_STOLEN,
}

/// What a hook knows besides the packet. Softirq, or process context with bottom halves on.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(super) state: &'a bindings::nf_hook_state,
    /// Hooks run under RCU.
    pub(crate) read_side: ReadSide<'a>,
}

impl Context<'_> {
    /// Routes a packet of this machine again, after its destination has changed.
    pub(crate) fn route_again(self, family: Family, skb: &mut Skb<'_>) -> Result {
        const RTN_UNSPEC: c_uint = 0;
        let (net, sk, skb) = (self.state.net, self.state.sk, skb.as_ptr());
        // SAFETY: The three come from one `nf_hook_state` in LOCAL_OUT, where the kernel's own
        // NAT calls the same (`nf_nat_ipv4_local_fn`).
        to_result(unsafe {
            match family {
                Family::V4 => bindings::ip_route_me_harder(net, sk, skb, RTN_UNSPEC),
                Family::V6 => bindings::ip6_route_me_harder(net, sk, skb),
            }
        })
    }

    /// Gives a packet of this machine the route to its neighbour `node`, whatever its destination.
    pub(crate) fn route_to_neighbour(
        self,
        family: Family,
        skb: &mut Skb<'_>,
        node: &Address,
    ) -> Result<(), Exit> {
        // SAFETY: The three come from one `nf_hook_state` in LOCAL_OUT; the address is of the
        // packet's IP version.
        way(unsafe {
            bindings::halod_neighbour_out(
                self.state.net,
                self.state.sk,
                skb.as_ptr(),
                family == Family::V6,
                octets(node).as_ptr().cast(),
            )
        })
    }

    /// Whether packets that come in may meet connection tracking: there are more hooks in
    /// PRE_ROUTING than ours and that of the defragmentation that we ask for.
    #[inline(always)]
    pub(crate) fn may_track(self, family: Family) -> bool {
        const OURS: u16 = 2;
        let entries = self.pre_routing(family);
        // SAFETY: Hooks run under RCU, under which the entries are replaced.
        entries.is_null() || unsafe { (*entries).num_hook_entries } > OURS
    }

    /// Whether something after us in PRE_ROUTING may change a packet's way: anything but connection
    /// tracking and the NAT that goes by it, which leave alone what is untracked.
    #[inline(always)]
    pub(crate) fn may_reroute(self, family: Family) -> bool {
        self.may_track(family) && self.others_after_us(family)
    }

    #[inline(never)]
    fn others_after_us(self, family: Family) -> bool {
        let entries = self.pre_routing(family);
        if entries.is_null() {
            return true;
        }
        // SAFETY: Hooks run under RCU, under which the entries are replaced.
        unsafe { operations(entries) }.iter().any(|operation| {
            // SAFETY: As above.
            let operation = unsafe { &**operation };
            operation.priority > BEFORE_CONNTRACK && !is_only_for_tracked(operation, PRE)
        })
    }

    /// The hooks in PRE_ROUTING.
    #[inline(always)]
    fn pre_routing(self, family: Family) -> *const bindings::nf_hook_entries {
        // SAFETY: `state.net` is valid.
        unsafe { hooks_at(self.state.net, family, PRE) }
    }
}

/// The hooks at a point of the IP layers; null for none.
///
/// # Safety
///
/// `net` is valid, and `point` one of those points. The entries are for an RCU read side only.
#[inline(always)]
pub(super) unsafe fn hooks_at(
    net: *const bindings::net,
    family: Family,
    point: c_uint,
) -> *const bindings::nf_hook_entries {
    // SAFETY: By the function's contract. The kernel crate knows the entries by their name alone.
    unsafe {
        let nf = &raw const (*net).nf;
        let entries = match family {
            Family::V4 => (&raw const (*nf).hooks_ipv4[point as usize]).read_volatile(),
            Family::V6 => (&raw const (*nf).hooks_ipv6[point as usize]).read_volatile(),
        };
        entries.cast_const().cast()
    }
}

/// The operations of hooks, in the order in which they run.
///
/// # Safety
///
/// `entries` is not null, and valid for `'a`, which is an RCU read side.
#[inline(always)]
pub(super) unsafe fn operations<'a>(
    entries: *const bindings::nf_hook_entries,
) -> &'a [*const bindings::nf_hook_ops] {
    // SAFETY: Of as many hooks as there are the operations follow, which outlive their entries.
    unsafe {
        let count = usize::from((*entries).num_hook_entries);
        core::slice::from_raw_parts(bindings::halod_hook_operations(entries).cast(), count)
    }
}

/// Whether a hook at a point leaves alone what is untracked: connection tracking's, and that of the
/// NAT that goes by it, whose chains run inside it.
pub(super) fn is_only_for_tracked(operation: &bindings::nf_hook_ops, point: c_uint) -> bool {
    let priorities: &[c_int] = match (operation.hook_ops_type(), point) {
        (UNDEFINED, PRE) => &[CONNTRACK],
        (UNDEFINED, POST) => &[CONFIRM],
        (NAT, PRE) => &[DESTINATION_NAT],
        (NAT, POST) => &[SOURCE_NAT],
        _ => &[],
    };
    priorities.contains(&operation.priority)
}

/// Where in its way a packet is at one of netfilter's points.
pub(crate) const fn hook_at(point: c_uint) -> Hook {
    match point {
        PRE => Hook::PreRouting,
        IN => Hook::LocalIn,
        OUT => Hook::LocalOut,
        _ => Hook::PostRouting,
    }
}

/// # Safety
///
/// Called by netfilter: `private` is the `Namespace` of the registration, which outlives every
/// run of its hooks; `skb` and `state` are valid, and the call is an RCU read side.
unsafe extern "C" fn hook<const POINT: c_uint, const V6: bool>(
    private: *mut c_void,
    skb: *mut bindings::sk_buff,
    state: *const bindings::nf_hook_state,
) -> c_uint {
    // SAFETY: By the function's contract.
    let (namespace, state, skb) =
        unsafe { (&*private.cast::<Namespace>(), &*state, Skb::from_raw(skb)) };
    // SAFETY: `nf_hook` holds `rcu_read_lock` around the hooks (`include/linux/netfilter.h`).
    let read_side = unsafe { ReadSide::assume() };
    namespace.meet::<POINT, V6>(Context { state, read_side }, skb) as c_uint
}

/// Before connection tracking (-200) and after the raw tables (-300), whose rules so still see
/// what the client sent.
const BEFORE_CONNTRACK: c_int = bindings::nf_ip_hook_priorities_NF_IP_PRI_RAW + 10;
/// Where connection tracking is, which has no type of its own, and the NAT of destinations by it.
const CONNTRACK: c_int = bindings::nf_ip_hook_priorities_NF_IP_PRI_CONNTRACK;
const DESTINATION_NAT: c_int = bindings::nf_ip_hook_priorities_NF_IP_PRI_NAT_DST;
const UNDEFINED: bindings::nf_hook_ops_type = bindings::nf_hook_ops_type_NF_HOOK_OP_UNDEFINED;
const NAT: bindings::nf_hook_ops_type = bindings::nf_hook_ops_type_NF_HOOK_OP_NAT;
/// Where connection tracking ends.
const CONFIRM: c_int = bindings::nf_ip_hook_priorities_NF_IP_PRI_CONNTRACK_CONFIRM;
/// Where the kernel's own NAT rewrites sources: all filters have seen the packet by then.
const SOURCE_NAT: c_int = bindings::nf_ip_hook_priorities_NF_IP_PRI_NAT_SRC;

const HOOKS: usize = 8;

/// Our hooks in one network namespace, registered while this lives. Process context.
///
/// # Invariants
///
/// `operations` are registered in `net`, which outlives this value.
pub(crate) struct Hooks {
    routes: Arc<Routes>,
    operations: KBox<[bindings::nf_hook_ops; HOOKS]>,
    net: *mut bindings::net,
}

// SAFETY: Registration takes netfilter's own lock, and nothing else touches the fields.
unsafe impl Send for Hooks {}

impl Hooks {
    /// Registers all hooks in `net`, which must be the namespace that `namespace` belongs to.
    /// `routes` are emptied when the hooks are gone.
    pub(crate) fn register(
        net: Net<'_>,
        namespace: Pin<&Namespace>,
        routes: Arc<Routes>,
    ) -> Result<Self> {
        let private: *const Namespace = namespace.get_ref();
        let operation = |hook: bindings::nf_hookfn, point, priority, v6| bindings::nf_hook_ops {
            hook,
            priv_: private.cast_mut().cast(),
            pf: if v6 {
                bindings::NFPROTO_IPV6
            } else {
                bindings::NFPROTO_IPV4
            } as u8,
            hooknum: point,
            priority,
            ..Default::default()
        };
        let operations = KBox::new(
            [
                operation(Some(hook::<PRE, false>), PRE, BEFORE_CONNTRACK, false),
                operation(Some(hook::<IN, false>), IN, SOURCE_NAT, false),
                operation(Some(hook::<OUT, false>), OUT, BEFORE_CONNTRACK, false),
                operation(Some(hook::<POST, false>), POST, SOURCE_NAT, false),
                operation(Some(hook::<PRE, true>), PRE, BEFORE_CONNTRACK, true),
                operation(Some(hook::<IN, true>), IN, SOURCE_NAT, true),
                operation(Some(hook::<OUT, true>), OUT, BEFORE_CONNTRACK, true),
                operation(Some(hook::<POST, true>), POST, SOURCE_NAT, true),
            ],
            GFP_KERNEL,
        )?;
        // SAFETY: The operations stay where they are until `drop` has unregistered them; the
        // private pointer is valid as long: `Namespace::close` drops this value, and a grace
        // period passes before the namespace's state is freed (`ffi::pernet::exit`).
        to_result(unsafe {
            bindings::nf_register_net_hooks(net.as_ptr(), operations.as_ptr(), HOOKS as c_uint)
        })?;
        Ok(Self {
            routes,
            operations,
            net: net.as_ptr(),
        })
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe {
            bindings::nf_unregister_net_hooks(self.net, self.operations.as_ptr(), HOOKS as c_uint)
        };
        // A dump of the hooks (nfnetlink_hook.c) may still read the operations.
        rcu::synchronize_rcu();
        // SAFETY: No hook is left that could use them, nor will one start.
        unsafe { self.routes.clear() };
    }
}
