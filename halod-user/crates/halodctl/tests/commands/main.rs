//! halodctl as an operator runs it.

mod common;
mod daemon;
mod pki;
mod plan;
mod usage;
