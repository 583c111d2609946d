// SPDX-License-Identifier: GPL-2.0

//! What the operations of `halod.yaml` do.

pub(crate) mod attr;
pub(crate) mod commit;
pub(crate) mod dump;
pub(crate) mod parse;
pub(crate) mod status;
