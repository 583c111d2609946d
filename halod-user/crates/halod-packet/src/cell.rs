//! A flow's cell in userspace.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Cell;

/// A [`Cell`] for `Flows` outside the kernel, 0 at first.
#[derive(Debug, Default)]
pub struct AtomicCell(AtomicU64);

impl AtomicCell {
    /// The cells of an empty set, at least [`CELLS_MIN`](crate::flows::CELLS_MIN) for one that can
    /// hold anything.
    pub fn many(count: usize) -> Vec<AtomicCell> {
        (0..count).map(|_| AtomicCell::default()).collect()
    }
}

impl Cell for AtomicCell {
    fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn replace(&self, old: u64, new: u64) -> bool {
        let replaced = self
            .0
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire);
        replaced.is_ok()
    }
}
