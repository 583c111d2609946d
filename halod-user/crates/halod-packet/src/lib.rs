//! The packet logic of the kernel module, compiled for userspace.
//!
//! The code is `kmod/packet`, the very files that the module is made of; this
//! crate adds [`Table`], which owns its memory, [`AtomicCell`], and the tests.

#[path = "../../../../kmod/packet/mod.rs"]
mod packet;

mod cell;
mod owned;

pub use cell::AtomicCell;
pub use owned::Table;
pub use packet::*;
