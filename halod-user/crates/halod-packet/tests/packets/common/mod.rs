//! The naive twin of the packet code, and generators for both.
//!
//! Deliberately plain: packets are put together from their parts and summed
//! anew, tables are maps of every single port. Slow, and easy to believe.
#![allow(clippy::unwrap_used)]

pub mod drains;
pub mod packets;
pub mod select;
pub mod tables;
