// SPDX-License-Identifier: GPL-2.0

//! Hooks in the IP layers.
//!
//! C header: `include/linux/netfilter.h`

use core::ffi::{c_int, c_uint, c_void};
use core::marker::PhantomData;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::rcu;

use super::bindings;
use super::pernet::Net;
use super::rcu::ReadSide;
use super::skb::Skb;
use crate::namespace::Namespace;

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
pub(crate) enum Verdict {
    /// It goes on its way.
    Accept,
    /// It is freed.
    Drop,
}

impl Verdict {
    fn into_raw(self) -> c_uint {
        match self {
            Verdict::Accept => bindings::NF_ACCEPT,
            Verdict::Drop => bindings::NF_DROP,
        }
    }
}

/// What a hook knows besides the packet. Softirq, or process context with bottom halves on.
pub(crate) struct Context<'a> {
    /// The packet's IP version.
    pub(crate) family: Family,
    /// Hooks run under RCU.
    pub(crate) read_side: ReadSide<'a>,
    net: Net<'a>,
    sk: *mut bindings::sock,
    _state: PhantomData<&'a ()>,
}

impl Context<'_> {
    /// Routes a packet of this machine again, after its destination has changed.
    pub(crate) fn route_again(&self, skb: &mut Skb<'_>) -> Result {
        const RTN_UNSPEC: c_uint = 0;
        let (net, sk, skb) = (self.net.as_ptr(), self.sk, skb.as_ptr());
        // SAFETY: The three come from one `nf_hook_state` in LOCAL_OUT, where the kernel's own
        // NAT calls the same (`nf_nat_ipv4_local_fn`).
        to_result(unsafe {
            match self.family {
                Family::V4 => bindings::ip_route_me_harder(net, sk, skb, RTN_UNSPEC),
                Family::V6 => bindings::ip6_route_me_harder(net, sk, skb),
            }
        })
    }
}

/// The function of [`Namespace`] that a hook calls.
type Method = fn(&Namespace, &Context<'_>, &mut Skb<'_>) -> Verdict;

const METHODS: [Method; 4] = [
    Namespace::pre_routing,
    Namespace::local_in,
    Namespace::local_out,
    Namespace::post_routing,
];

/// # Safety
///
/// Called by netfilter: `private` is the `Namespace` of the registration, which outlives every
/// run of its hooks; `skb` and `state` are valid, and the call is an RCU read side.
unsafe extern "C" fn hook<const METHOD: usize, const V6: bool>(
    private: *mut c_void,
    skb: *mut bindings::sk_buff,
    state: *const bindings::nf_hook_state,
) -> c_uint {
    // SAFETY: By the function's contract.
    let (namespace, state, skb) =
        unsafe { (&*private.cast::<Namespace>(), &*state, Skb::from_raw(skb)) };
    let Some(mut skb) = skb else {
        return Verdict::Accept.into_raw();
    };
    let context = Context {
        family: if V6 { Family::V6 } else { Family::V4 },
        // SAFETY: `nf_hook` holds `rcu_read_lock` around the hooks (`include/linux/netfilter.h`).
        read_side: unsafe { ReadSide::assume() },
        // SAFETY: `state.net` is valid for the call.
        net: unsafe { Net::from_raw(state.net) },
        sk: state.sk,
        _state: PhantomData,
    };
    METHODS[METHOD](namespace, &context, &mut skb).into_raw()
}

/// Before connection tracking (-200) and after the raw tables (-300), whose rules so still see
/// what the client sent.
const BEFORE_CONNTRACK: c_int = bindings::nf_ip_hook_priorities_NF_IP_PRI_RAW + 10;
/// Where the kernel's own NAT rewrites sources: all filters have seen the packet by then.
const SOURCE_NAT: c_int = bindings::nf_ip_hook_priorities_NF_IP_PRI_NAT_SRC;

const HOOKS: usize = 8;

/// Our hooks in one network namespace, registered while this lives. Process context.
///
/// # Invariants
///
/// `operations` are registered in `net`, which outlives this value.
pub(crate) struct Hooks {
    operations: KBox<[bindings::nf_hook_ops; HOOKS]>,
    net: *mut bindings::net,
}

// SAFETY: Registration takes netfilter's own lock, and nothing else touches the fields.
unsafe impl Send for Hooks {}

impl Hooks {
    /// Registers all hooks in `net`, which must be the namespace that `namespace` belongs to.
    pub(crate) fn register(net: Net<'_>, namespace: Pin<&Namespace>) -> Result<Self> {
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
        use bindings::{
            nf_inet_hooks_NF_INET_LOCAL_IN as IN, nf_inet_hooks_NF_INET_LOCAL_OUT as OUT,
            nf_inet_hooks_NF_INET_POST_ROUTING as POST, nf_inet_hooks_NF_INET_PRE_ROUTING as PRE,
        };
        let operations = KBox::new(
            [
                operation(Some(hook::<0, false>), PRE, BEFORE_CONNTRACK, false),
                operation(Some(hook::<1, false>), IN, SOURCE_NAT, false),
                operation(Some(hook::<2, false>), OUT, BEFORE_CONNTRACK, false),
                operation(Some(hook::<3, false>), POST, SOURCE_NAT, false),
                operation(Some(hook::<0, true>), PRE, BEFORE_CONNTRACK, true),
                operation(Some(hook::<1, true>), IN, SOURCE_NAT, true),
                operation(Some(hook::<2, true>), OUT, BEFORE_CONNTRACK, true),
                operation(Some(hook::<3, true>), POST, SOURCE_NAT, true),
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
    }
}
