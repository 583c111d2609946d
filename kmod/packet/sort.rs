// SPDX-License-Identifier: GPL-2.0
//! Sorting in place, by heap.
//!
//! Core's own sort reports an inconsistent order by a panic, and keeps some kilobytes on the
//! stack: both are worse here than being half as fast.

/// Sorts `items`, in the order of `n log n` steps and without memory of its own.
pub(super) fn sort<T: Ord + Copy>(items: &mut [T]) {
    for root in (0..items.len() / 2).rev() {
        sift(items, root, items.len());
    }
    for end in (1..items.len()).rev() {
        swap(items, 0, end);
        sift(items, 0, end);
    }
}

/// Lets the item at `root` sink until the heap `items[..end]` is in order below it.
fn sift<T: Ord + Copy>(items: &mut [T], mut root: usize, end: usize) {
    loop {
        // No slice is long enough for this to overflow.
        let left = root.wrapping_mul(2).wrapping_add(1);
        let right = left.wrapping_add(1);
        if left >= end {
            return;
        }
        let child = if right < end && items.get(left) < items.get(right) {
            right
        } else {
            left
        };
        if items.get(root) >= items.get(child) {
            return;
        }
        swap(items, root, child);
        root = child;
    }
}

/// `slice::swap`, without its panic.
fn swap<T: Copy>(items: &mut [T], a: usize, b: usize) {
    if let (Some(&at_a), Some(&at_b)) = (items.get(a), items.get(b)) {
        if let Some(place) = items.get_mut(a) {
            *place = at_b;
        }
        if let Some(place) = items.get_mut(b) {
            *place = at_a;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::sort;

    #[test]
    fn every_short_sequence() {
        for len in 0..=6u32 {
            for mut code in 0..7u32.pow(len) {
                let mut items = [0u32; 6];
                for item in items.iter_mut().take(len as usize) {
                    *item = code % 7;
                    code /= 7;
                }
                let mut expected = items;
                expected[..len as usize].sort_unstable();
                sort(&mut items[..len as usize]);
                assert_eq!(items, expected);
            }
        }
    }
}
