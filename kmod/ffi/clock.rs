// SPDX-License-Identifier: GPL-2.0

//! The kernel's tick counter, cheap enough to be read for each packet.
//!
//! C header: `include/linux/jiffies.h`

use super::bindings;

/// Ticks since a moment before boot.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: Reads a counter.
    unsafe { bindings::halod_jiffies() }
}

/// The tick that is `ms` milliseconds from now, or a little later.
pub(crate) fn after(ms: u32) -> u64 {
    // SAFETY: Takes any number; what is too long becomes half of eternity.
    now().saturating_add(unsafe { bindings::__msecs_to_jiffies(ms) } as u64)
}

/// The milliseconds until `tick`; 0 where it has passed.
pub(crate) fn until(tick: u64) -> u32 {
    // SAFETY: Takes any number.
    let left = unsafe { bindings::jiffies64_to_msecs(tick.saturating_sub(now())) };
    u32::try_from(left).unwrap_or(u32::MAX)
}
