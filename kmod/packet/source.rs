// SPDX-License-Identifier: GPL-2.0
//! Where decisions get what they go by.

use super::flows::{Cell, Flows};
use super::table::View;

/// A table in force. Each part is asked for where it is needed, since most packets need little.
pub trait Source {
    /// A cell of the set of flows.
    type Cell: Cell;

    /// The table.
    fn view(&self) -> View<'_>;

    /// What is known of draining routes' connections now.
    fn draining(&self) -> Draining<'_, Self::Cell>;
}

/// What is known of the connections of draining routes.
pub struct Draining<'a, C> {
    /// Those that began while their route drained; None where there is no memory of them.
    pub flows: Option<Flows<'a, C>>,
    /// The time, on the clock of the deadlines.
    pub now: u64,
}

// By hand, since a cell need not be copied for it.
impl<C> Clone for Draining<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Draining<'_, C> {}

impl<C: Cell> Source for (View<'_>, Draining<'_, C>) {
    type Cell = C;

    fn view(&self) -> View<'_> {
        self.0
    }

    fn draining(&self) -> Draining<'_, C> {
        self.1
    }
}
