//! The packet logic of the kernel module, compiled for userspace.
//!
//! The code is `kmod/packet`, the very files that the module is made of; this
//! crate adds [`Table`], which owns its memory, and the tests.

#[path = "../../../../kmod/packet/mod.rs"]
mod packet;

mod owned;

pub use owned::Table;
pub use packet::*;
