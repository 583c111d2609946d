//! Which slot of the cluster holds which route.
//!
//! A cluster has N routes, numbered from 1, and M slots, numbered from 1. [`Assignment`] is the
//! pure function of (N, M) that gives every route to one slot, built by adding one slot at a time
//! and undone by removing the last one; it moves no route that need not move. [`SlotTable`] is any
//! such table: it can lose any of its slots, and then moves only that slot's routes. [`RouteSet`]
//! is a set of routes as ranges, the form in which routes are told to nodes and to people.
//!
//! No I/O, no clock, no randomness.

mod assignment;
mod error;
mod set;
mod slot_table;

pub use assignment::Assignment;
pub use error::Error;
pub use set::{ParseRouteSetError, RouteSet};
pub use slot_table::{Move, SlotTable};

/// A route's number, from 1.
pub type RouteId = u32;

/// A slot's number, from 1.
pub type SlotId = u32;

/// The most routes a cluster may have. The kernel's own bound (32,768) is lower.
pub const MAX_ROUTES: u32 = 65_536;

/// The most slots an assignment may have.
pub const MAX_SLOTS: u32 = 4_096;
