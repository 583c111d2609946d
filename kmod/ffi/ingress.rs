// SPDX-License-Identifier: GPL-2.0

//! Hooks where packets arrive by a device, before the IP layers.
//!
//! C header: `include/linux/netfilter_netdev.h`

use core::ffi::{c_int, c_uint, c_void};
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};

use super::bindings::{
    self, nf_dev_hooks_NF_NETDEV_INGRESS as INGRESS, nf_inet_hooks_NF_INET_FORWARD as FORWARD,
    nf_inet_hooks_NF_INET_POST_ROUTING as POST, nf_inet_hooks_NF_INET_PRE_ROUTING as PRE,
};
use super::netfilter::{hooks_at, is_only_for_tracked, operations, Family, Verdict};
use super::pernet::Net;
use super::rcu::{Prepared, ReadSide};
use super::skb::Skb;
use crate::namespace::Namespace;

/// What is out of the ordinary about a packet that has arrived.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Oddity {
    /// In what it came, or what is attached to it.
    Frame,
    /// Somebody else takes packets off the device.
    Device,
    /// IPv6, and the namespace does not forward.
    Policy,
    /// This is no softirq that nothing on its CPU interrupts.
    Context,
}

/// Evidence that this is a softirq on a CPU, which no other softirq there interrupts, for as long as
/// `'a`.
///
/// # Invariants
///
/// It is so, and the number is the CPU's.
#[derive(Clone, Copy)]
pub(crate) struct Softirq<'a> {
    cpu: usize,
    /// Hooks run under RCU.
    _read_side: ReadSide<'a>,
}

impl<'a> Softirq<'a> {
    /// That in which a packet has arrived about which there is nothing that makes it unfit for the
    /// fast path, whatever it is about; or what does. Nobody else has a reference to the packet then.
    #[inline(always)]
    pub(crate) fn of(
        read_side: ReadSide<'a>,
        net: Net<'_>,
        family: Family,
        skb: &Skb<'_>,
    ) -> Result<Self, Oddity> {
        // SAFETY: May be called anywhere; negative where this is no softirq.
        let Ok(cpu) = usize::try_from(unsafe { bindings::halod_softirq_cpu() }) else {
            return Err(Oddity::Context);
        };
        if !skb.is_plain() {
            return Err(Oddity::Frame);
        }
        if skb.is_taken() {
            return Err(Oddity::Device);
        }
        // SAFETY: Both are valid for the hook's run.
        let sent_on = || unsafe { bindings::halod_forwards6(net.as_ptr(), skb.as_ptr()) };
        if family == Family::V6 && !sent_on() {
            return Err(Oddity::Policy);
        }
        // INVARIANT: It was looked for.
        Ok(Self {
            cpu,
            _read_side: read_side,
        })
    }

    #[inline(always)]
    pub(super) fn cpu(self) -> usize {
        self.cpu
    }
}

impl Net<'_> {
    /// Whether the hooks in PRE_ROUTING, FORWARD and POST_ROUTING are ours alone, and of others
    /// only such as leave alone what HaloD forwards; `namespace` is ours of this network namespace.
    #[inline(always)]
    pub(crate) fn meets_nobody(
        self,
        _read_side: ReadSide<'_>,
        family: Family,
        namespace: &Namespace,
    ) -> bool {
        let namespace: *const Namespace = namespace;
        // SAFETY: The network namespace is valid.
        unsafe { meets_nobody(self.as_ptr(), family, namespace.cast()) }
    }
}

/// # Safety
///
/// `net` is valid, and this is an RCU read side.
#[inline(always)]
pub(super) unsafe fn meets_nobody(
    net: *mut bindings::net,
    family: Family,
    namespace: *const c_void,
) -> bool {
    // Ours, and the defragmentation that we ask for.
    const ARRIVING: u16 = 2;
    let at = |point| {
        // SAFETY: By the function's contract.
        unsafe { hooks_at(net, family, point) }
    };
    let (pre, forward, post) = (at(PRE), at(FORWARD), at(POST));
    // SAFETY: Entries that are there are valid for the read side.
    unsafe {
        (pre.is_null() || (*pre).num_hook_entries <= ARRIVING || harmless(pre, namespace, PRE))
            && (forward.is_null() || harmless(forward, namespace, FORWARD))
            && (post.is_null() || is_usual(post) || harmless(post, namespace, POST))
    }
}

/// The hook of the kernel's security module in POST_ROUTING, where there is one, as `harmless` has
/// found it; no hook's address before. It is part of the kernel and stays what it is.
static SECURITY: Atomic<usize> = Atomic::new(usize::MAX);

/// Whether the hooks in POST_ROUTING are ours and the security module's.
///
/// # Safety
///
/// `entries` is not null, and valid; one of its hooks is ours.
#[inline(always)]
unsafe fn is_usual(entries: *const bindings::nf_hook_entries) -> bool {
    // SAFETY: By the function's contract. Whoever writes the static does so atomically.
    unsafe {
        // As Debian's kernels have it.
        if (*entries).num_hook_entries == 2 {
            let first = (*entries).hooks.as_ptr().cast::<bindings::nf_hook_entry>();
            let hook = (*first).hook.map_or(0, |hook| hook as usize);
            return hook == SECURITY.as_ptr().cast_const().read_volatile();
        }
        (*entries).num_hook_entries == 1
    }
}

/// Whether all hooks of a point leave alone what HaloD forwards: its own, those of connection
/// tracking, and those of the kernel's security modules, which are about this machine's own sockets.
///
/// # Safety
///
/// `entries` is not null, and valid.
#[inline(never)]
unsafe fn harmless(
    entries: *const bindings::nf_hook_entries,
    namespace: *const c_void,
    point: c_uint,
) -> bool {
    const FIRST: c_int = bindings::nf_ip_hook_priorities_NF_IP_PRI_SELINUX_FIRST;
    const LAST: c_int = bindings::nf_ip_hook_priorities_NF_IP_PRI_SELINUX_LAST;
    const DEFRAG: c_int = bindings::nf_ip_hook_priorities_NF_IP_PRI_CONNTRACK_DEFRAG;
    // SAFETY: By the function's contract.
    unsafe { operations(entries) }.iter().all(|operation| {
        // SAFETY: As above.
        let operation = unsafe { &**operation };
        let (priority, ours) = (
            operation.priority,
            operation.priv_.cast_const() == namespace,
        );
        let untyped = operation.hook_ops_type() == bindings::nf_hook_ops_type_NF_HOOK_OP_UNDEFINED;
        let security = untyped && !ours && [FIRST, LAST].contains(&priority);
        if security && point == POST {
            SECURITY.store(operation.hook.map_or(0, |hook| hook as usize), Relaxed);
        }
        let defragmentation = untyped && point == PRE && priority == DEFRAG;
        ours || security || defragmentation || is_only_for_tracked(operation, point)
    })
}

/// # Safety
///
/// Called by netfilter: `private` is the `Namespace` of the registration, which outlives every
/// run of its hooks; `skb` and `state` are valid, and the call is an RCU read side.
unsafe extern "C" fn hook(
    private: *mut c_void,
    skb: *mut bindings::sk_buff,
    _state: *const bindings::nf_hook_state,
) -> c_uint {
    const IPV4: u16 = (bindings::ETH_P_IP as u16).to_be();
    const IPV6: u16 = (bindings::ETH_P_IPV6 as u16).to_be();
    // SAFETY: `nf_ingress` holds `rcu_read_lock` around the hooks.
    let read_side = unsafe { ReadSide::assume() };
    // SAFETY: By the function's contract.
    let namespace = unsafe { &*private.cast::<Namespace>() };
    // SAFETY: By the function's contract. Where others look at the packet too, ours is one of
    // several references, and it is only read (`Softirq::of`).
    let skb = unsafe { Skb::from_raw(skb) };
    let verdict = match skb.protocol() {
        IPV4 => namespace.arrive::<false>(read_side, skb),
        IPV6 => arrive_v6(namespace, read_side, skb),
        _ => Verdict::Accept,
    };
    verdict as c_uint
}

/// Apart from IPv4, which needs fewer registers.
#[inline(never)]
fn arrive_v6(namespace: &Namespace, read_side: ReadSide<'_>, skb: Skb<'_>) -> Verdict {
    namespace.arrive::<true>(read_side, skb)
}

/// Our hook on one device.
///
/// # Invariants
///
/// The operation is registered, for a device that is still there.
pub(super) struct IngressHook {
    operation: Option<KBox<Prepared<bindings::nf_hook_ops>>>,
    device: NonNull<bindings::net_device>,
    net: *mut bindings::net,
}

// SAFETY: Registration takes netfilter's own lock, and nothing else touches the fields.
unsafe impl Send for IngressHook {}

impl IngressHook {
    /// Registers it. Process context.
    ///
    /// # Safety
    ///
    /// The value is dropped while the device is still there and in `net`; a grace period passes
    /// between that and the end of `namespace`.
    pub(super) unsafe fn register(
        net: Net<'_>,
        device: NonNull<bindings::net_device>,
        namespace: *const Namespace,
    ) -> Result<Self> {
        // After all others: what filters there are have seen the packet.
        let operation = Prepared::new(bindings::nf_hook_ops {
            hook: Some(hook),
            dev: device.as_ptr(),
            priv_: namespace.cast_mut().cast(),
            pf: bindings::NFPROTO_NETDEV as u8,
            hooknum: INGRESS,
            priority: c_int::MAX,
            ..Default::default()
        })?;
        // SAFETY: The operation stays where it is until `drop`, and a grace period longer.
        to_result(unsafe { bindings::nf_register_net_hook(net.as_ptr(), operation.value()) })?;
        Ok(Self {
            operation: Some(operation),
            device,
            net: net.as_ptr(),
        })
    }

    pub(super) fn index(&self) -> u32 {
        // SAFETY: By the type invariants.
        unsafe { bindings::halod_device_index(self.device.as_ptr()) }
    }
}

impl Drop for IngressHook {
    fn drop(&mut self) {
        if let Some(operation) = self.operation.take() {
            // SAFETY: By the type invariants.
            unsafe { bindings::nf_unregister_net_hook(self.net, operation.value()) };
            // A dump of the hooks (nfnetlink_hook.c) may still read it.
            operation.retire();
        }
    }
}
