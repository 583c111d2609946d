//! The data path, packet by packet, against what it has to do and what others make of it.

#![allow(clippy::unwrap_used)]

mod common;
mod drain;
mod drain_cases;
mod drain_full;
mod filter;
mod flows;
mod icmp;
mod parse;
mod rewrite;
mod router;
mod select;
mod table;
mod vectors;
