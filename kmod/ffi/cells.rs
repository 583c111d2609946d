// SPDX-License-Identifier: GPL-2.0

//! Numbers that all CPUs read and replace.

use kernel::alloc::flags::__GFP_ZERO;
use kernel::prelude::*;
use kernel::sync::atomic::{Acquire, Atomic, Full};

use crate::packet;

/// One number, 0 at first.
pub(crate) struct Cell(Atomic<u64>);

impl packet::Cell for Cell {
    fn load(&self) -> u64 {
        self.0.load(Acquire)
    }

    fn replace(&self, old: u64, new: u64) -> bool {
        self.0.cmpxchg(old, new, Full).is_ok()
    }
}

/// So many of them, zeroed by the allocator. One by one they would be most of what a commit takes
/// that begins a drain.
pub(crate) fn zeroed(count: usize) -> Result<KVVec<Cell>> {
    let mut cells = KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT | __GFP_ZERO)?;
    // SAFETY: There is room for `count` of them, all of it zeroed, which is a valid `Atomic<u64>`.
    unsafe { cells.inc_len(count) };
    Ok(cells)
}
