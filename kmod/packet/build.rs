// SPDX-License-Identifier: GPL-2.0
//! From a table as it is asked for to one that packets can use, or a refusal.

use super::refusal::Refusal;
use super::table::{Input, Sizes, Storage};

/// The sizes of the storage for `input`, whose counts are checked here.
pub fn sizes(input: &Input<'_>) -> Result<Sizes, Refusal> {
    let _ = input;
    Ok(Sizes::default())
}

/// Checks `input` and fills `storage`, whose content before does not matter.
/// After a refusal the storage must not be used as a table.
pub fn build(input: &Input<'_>, storage: &mut Storage<'_>) -> Result<(), Refusal> {
    let _ = (input, storage);
    Ok(())
}
