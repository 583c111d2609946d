// SPDX-License-Identifier: GPL-2.0

//! A value that readers see whole under RCU, while a writer replaces it.
//!
//! C header: `include/linux/rcupdate.h`

use core::marker::PhantomData;
use core::ptr;
use kernel::bindings;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Full};
use kernel::sync::rcu;

/// Evidence that this context is an RCU read side for as long as `'a`.
///
/// # Invariants
///
/// An RCU read-side critical section covers `'a`.
#[derive(Clone, Copy)]
pub(crate) struct ReadSide<'a>(PhantomData<(&'a (), *mut ())>);

impl<'a> ReadSide<'a> {
    /// From a guard of the kernel crate.
    pub(crate) fn of(_guard: &'a rcu::Guard) -> Self {
        // INVARIANT: The guard lives, and so holds the read-side lock, for `'a`.
        Self(PhantomData)
    }

    /// # Safety
    ///
    /// The caller runs inside an RCU read-side critical section that lasts for `'a`.
    #[inline(always)]
    pub(super) unsafe fn assume() -> Self {
        // INVARIANT: By the function's contract.
        Self(PhantomData)
    }
}

/// A value ready to be published: the only step that can fail is making one.
#[repr(C)]
pub(crate) struct Prepared<T> {
    head: bindings::callback_head,
    value: T,
}

impl<T> Prepared<T> {
    /// Moves `value` to memory of its own. Process context.
    pub(crate) fn new(value: T) -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                head: bindings::callback_head::default(),
                value,
            },
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    /// What it is.
    pub(super) fn value(&self) -> &T {
        &self.value
    }

    /// Frees it when its last reader is gone.
    pub(super) fn retire(self: KBox<Self>) {
        let raw = KBox::into_raw(self);
        // SAFETY: The value is ours alone, but for readers; `head` is its first field, is used for
        // nothing else, and `free` is the function for this type.
        unsafe { bindings::call_rcu(raw.cast(), Some(free::<T>)) };
    }
}

/// A place that holds one value or none, for any number of readers.
///
/// # Invariants
///
/// The pointer is null or comes from `KBox::into_raw` of a `Prepared<T>`, which is freed no
/// earlier than a grace period after the pointer was taken out.
pub(crate) struct Published<T: Send + Sync>(Atomic<*mut Prepared<T>>);

// SAFETY: The values are `Send` and `Sync`, and the pointer is atomic.
unsafe impl<T: Send + Sync> Send for Published<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for Published<T> {}

impl<T: Send + Sync> Published<T> {
    /// A place without a value.
    pub(crate) fn empty() -> Self {
        // INVARIANT: Null.
        Self(Atomic::new(ptr::null_mut()))
    }

    /// The value in force.
    #[inline(always)]
    pub(crate) fn read<'a>(&self, _read_side: ReadSide<'a>) -> Option<&'a T> {
        // Ordered by the dependency on the pointer, as `rcu_dereference` is.
        // SAFETY: The place is valid; whoever writes it does so atomically.
        let prepared = unsafe { self.0.as_ptr().cast_const().read_volatile() };
        // SAFETY: By the type invariant the pointer is null or valid until a grace period after
        // it is taken out, and the read side `'a` began before that period can end. Nobody
        // writes to a published value.
        unsafe { prepared.as_ref() }.map(|prepared| &prepared.value)
    }

    /// Replaces the value; the former one is freed when its last reader is gone.
    pub(crate) fn replace(&self, next: Option<KBox<Prepared<T>>>) {
        let next = next.map_or(ptr::null_mut(), KBox::into_raw);
        // INVARIANT: `next` is null or from `into_raw`; `Full` orders the value's writes before.
        let former = self.0.xchg(next, Full);
        if !former.is_null() {
            // SAFETY: The pointer was just taken out and so is ours alone; `head` is its first
            // field, is used for nothing else, and `free` is the function for this type.
            unsafe { bindings::call_rcu(former.cast(), Some(free::<T>)) };
        }
    }
}

impl<T: Send + Sync> Drop for Published<T> {
    fn drop(&mut self) {
        self.replace(None);
    }
}

/// Frees a `Prepared<T>` after its grace period. Softirq or a kernel thread.
///
/// # Safety
///
/// `head` is the first field of a `Prepared<T>` that came from `KBox::into_raw`, and this is its
/// last use.
unsafe extern "C" fn free<T>(head: *mut bindings::callback_head) {
    // SAFETY: By the function's contract; `Prepared` is `repr(C)` with `head` first.
    drop(unsafe { KBox::from_raw(head.cast::<Prepared<T>>()) });
}

/// A moment after which some time must pass before nobody can be a reader from before it.
pub(crate) struct Moment(kernel::ffi::c_ulong);

impl Moment {
    /// This one.
    pub(crate) fn now() -> Self {
        // SAFETY: Takes nothing, and may be called anywhere.
        Self(unsafe { bindings::get_state_synchronize_rcu() })
    }

    /// Waits until every reader from before the moment is gone; they mostly are. Process context.
    pub(crate) fn wait(&self) {
        // SAFETY: The number comes from `get_state_synchronize_rcu`.
        unsafe { bindings::cond_synchronize_rcu(self.0) };
    }
}

/// Waits until every value replaced before has been freed. The module's code must outlive them.
pub(crate) fn barrier() {
    rcu::rcu_barrier();
}
