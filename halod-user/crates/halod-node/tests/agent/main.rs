//! The agent as its peers see it: a halod of the tests, applications, followers of its events, users.

#![allow(clippy::unwrap_used)]

mod common;
mod config;
mod drains;
mod events;
mod health;
mod hook;
mod load;
#[path = "../../../halod-tls/tests/common/mod.rs"]
mod pki;
mod session;
mod tls;
