// SPDX-License-Identifier: GPL-2.0

//! One [`Namespace`] for each network namespace, from its first moment to its last.
//!
//! C header: `include/net/net_namespace.h`

use core::ffi::c_int;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::types::Opaque;

use super::bindings;
use crate::namespace::Namespace;

/// The number under which the kernel keeps our pointer in each `struct net`. Written by
/// `register_pernet_subsys` before anything can read it.
static ID: Atomic<u32> = Atomic::new(0);

/// A network namespace that lives at least as long as `'a`.
///
/// # Invariants
///
/// The pointer is to a `struct net` that is valid for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Net<'a> {
    net: NonNull<bindings::net>,
    _alive: PhantomData<&'a bindings::net>,
}

impl<'a> Net<'a> {
    /// # Safety
    ///
    /// `net` is not null, and valid for `'a`.
    pub(super) unsafe fn from_raw(net: *mut bindings::net) -> Self {
        Self {
            // SAFETY: By the function's contract.
            net: unsafe { NonNull::new_unchecked(net) },
            _alive: PhantomData,
        }
    }

    #[inline(always)]
    pub(super) fn as_ptr(self) -> *mut bindings::net {
        self.net.as_ptr()
    }

    /// Our state in this namespace. To be called only while a [`Subsystem`] is registered, which
    /// holds for all netlink handlers: the family is registered after and unregistered before it.
    pub(super) fn namespace(self) -> Option<Pin<&'a Namespace>> {
        // SAFETY: `net` is valid, and `ID` was written by `register_pernet_subsys`, whose `init` ran
        // for every namespace before the first handler can run.
        let slot = unsafe { slot(self.as_ptr()) };
        if slot.is_null() {
            return None;
        }
        // SAFETY: The slot has the size that `Subsystem` asked for, a pointer, written by `init`
        // and valid until `exit`, which runs when nobody uses the namespace any more.
        unsafe {
            (*slot)
                .as_ref()
                .map(|namespace| Pin::new_unchecked(namespace))
        }
    }
}

/// The network namespace of a [`Namespace`].
///
/// # Invariants
///
/// It is there as long as this is.
pub(crate) struct Home(NonNull<bindings::net>);

// SAFETY: The pointer may be taken from anywhere.
unsafe impl Send for Home {}
// SAFETY: As above.
unsafe impl Sync for Home {}

impl Home {
    #[inline(always)]
    pub(crate) fn net(&self) -> Net<'_> {
        Net {
            // INVARIANT: By the type's own.
            net: self.0,
            _alive: PhantomData,
        }
    }
}

/// The registration: while it lives, every network namespace has a [`Namespace`].
pub(crate) struct Subsystem {
    operations: Pin<KBox<Opaque<bindings::pernet_operations>>>,
}

// SAFETY: The operations are only touched by the kernel's own (un)registration, under its lock.
unsafe impl Send for Subsystem {}
// SAFETY: As above.
unsafe impl Sync for Subsystem {}

impl Subsystem {
    pub(crate) fn register() -> Result<Self> {
        let operations = KBox::pin_init(
            Opaque::ffi_init(|slot: *mut bindings::pernet_operations| {
                // SAFETY: `slot` is valid for writing.
                unsafe {
                    slot.write(bindings::pernet_operations {
                        init: Some(init),
                        pre_exit: Some(pre_exit),
                        exit: Some(exit),
                        id: ID.as_ptr(),
                        size: size_of::<*mut Namespace>(),
                        ..Default::default()
                    })
                }
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: The operations are pinned and live until `drop` has unregistered them.
        to_result(unsafe { bindings::register_pernet_subsys(operations.get()) })?;
        Ok(Self { operations })
    }
}

impl Drop for Subsystem {
    fn drop(&mut self) {
        // SAFETY: Registered in `register`, and only unregistered here.
        unsafe { bindings::unregister_pernet_subsys(self.operations.get()) };
    }
}

/// The slot of our pointer in `net`.
///
/// # Safety
///
/// `net` is valid and `ID` registered.
unsafe fn slot(net: *mut bindings::net) -> *mut *mut Namespace {
    // SAFETY: By the function's contract.
    unsafe { bindings::halod_net_generic(net, ID.load(kernel::sync::atomic::Relaxed)) }.cast()
}

/// A namespace is made, or the module loaded.
///
/// # Safety
///
/// Called by the kernel with a valid namespace, before anything else here sees it.
unsafe extern "C" fn init(net: *mut bindings::net) -> c_int {
    let Some(home) = NonNull::new(net) else {
        return EINVAL.to_errno();
    };
    // INVARIANT: What is in a network namespace's slot goes before it does.
    match KBox::pin_init(Namespace::new(Home(home)), GFP_KERNEL) {
        Ok(namespace) => {
            // SAFETY: The value stays pinned: `exit` makes the same `Pin<KBox<_>>` of it again.
            let raw = KBox::into_raw(unsafe { Pin::into_inner_unchecked(namespace) });
            // SAFETY: `net` is valid, and its slot holds a pointer.
            unsafe { *slot(net) = raw };
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// A namespace dies, or the module is unloaded: no packet may find us after the grace period
/// that the kernel awaits between this and `exit` (`ops_undo_list`).
///
/// # Safety
///
/// Called by the kernel with a namespace for which `init` succeeded.
unsafe extern "C" fn pre_exit(net: *mut bindings::net) {
    // SAFETY: `net` is valid throughout this call.
    if let Some(namespace) = unsafe { Net::from_raw(net) }.namespace() {
        namespace.close();
    }
}

/// The last step: nothing refers to the namespace's state any more.
///
/// # Safety
///
/// Called by the kernel after `pre_exit` and a grace period.
unsafe extern "C" fn exit(net: *mut bindings::net) {
    // SAFETY: `net` is valid, and its slot holds a pointer.
    let raw = unsafe { core::mem::replace(&mut *slot(net), core::ptr::null_mut()) };
    if !raw.is_null() {
        // SAFETY: `raw` comes from `init`, which pinned it, and this is its last use.
        drop(unsafe { Pin::new_unchecked(KBox::from_raw(raw)) });
    }
}
