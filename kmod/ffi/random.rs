// SPDX-License-Identifier: GPL-2.0

//! Numbers that nobody can guess.
//!
//! C header: `include/linux/random.h`

use super::bindings;

/// 64 random bits.
pub(crate) fn u64() -> u64 {
    // SAFETY: Takes nothing, and never sleeps.
    unsafe { bindings::get_random_u64() }
}
