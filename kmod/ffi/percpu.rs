// SPDX-License-Identifier: GPL-2.0

//! Per-CPU arrays of counters.
//!
//! C header: `include/linux/percpu.h`

use core::ffi::c_void;
use core::ptr::NonNull;
use kernel::prelude::*;

use super::bindings;

/// `N` counters for each possible CPU, all 0 at first.
///
/// # Invariants
///
/// `percpu` is a per-CPU allocation of `N` values of type `u64`, owned by this value.
pub(crate) struct PerCpuCounters<const N: usize> {
    percpu: NonNull<c_void>,
}

// SAFETY: By the type invariant the allocation is owned; it is touched with per-CPU atomic adds
// and `READ_ONCE` only, which may run anywhere at once.
unsafe impl<const N: usize> Send for PerCpuCounters<N> {}
// SAFETY: As above.
unsafe impl<const N: usize> Sync for PerCpuCounters<N> {}

impl<const N: usize> PerCpuCounters<N> {
    /// Allocates the counters. Process context.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: The helper takes any size, and may sleep here.
        let percpu = unsafe { bindings::halod_percpu_alloc(N * size_of::<u64>()) };
        // INVARIANT: The allocation holds `N` zeroed `u64` a CPU, and nobody else has it.
        Ok(Self {
            percpu: NonNull::new(percpu.cast()).ok_or(ENOMEM)?,
        })
    }

    /// Adds one on this CPU. Any context. An index out of range is ignored.
    #[inline(always)]
    pub(crate) fn increment(&self, index: usize) {
        if index < N {
            // SAFETY: By the type invariant the allocation has `N` values, and `index < N`.
            unsafe { bindings::halod_percpu_inc(self.percpu.as_ptr().cast(), index as u32) };
        }
    }

    /// One of them, for C functions that count; the first where the index is out of range.
    #[inline(always)]
    pub(super) fn place(&self, index: usize) -> *mut c_void {
        let index = if index < N { index } else { 0 };
        let first: *mut u64 = self.percpu.as_ptr().cast();
        first.wrapping_add(index).cast()
    }

    /// The sum over all CPUs: exact for what happened before, fuzzy for what happens meanwhile.
    pub(crate) fn sum(&self, index: usize) -> u64 {
        if index >= N {
            return 0;
        }
        // SAFETY: By the type invariant the allocation has `N` values, and `index < N`.
        unsafe { bindings::halod_percpu_sum(self.percpu.as_ptr().cast(), index as u32) }
    }
}

impl<const N: usize> Drop for PerCpuCounters<N> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the allocation is ours, and this is its last use.
        unsafe { bindings::halod_percpu_free(self.percpu.as_ptr().cast()) };
    }
}
