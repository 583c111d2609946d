//! A route table with its memory.

use crate::{
    build, sizes, Addresses, Base, Bucket, Drain, Id, Input, Listener, Range, Refusal, SelectKey,
    Sizes, Storage, View,
};

/// A built route table that owns what a [`View`] borrows, as the module's does.
#[derive(Clone, Debug)]
pub struct Table {
    buckets: Vec<Bucket>,
    filter: Vec<u8>,
    ranges: Vec<Range>,
    listeners: Vec<Listener>,
    nodes: Vec<Addresses>,
    bases: Vec<Base>,
    routes: Vec<u16>,
    drains: Vec<Drain>,
    draining: Vec<u16>,
    select_key: SelectKey,
}

impl Table {
    /// Builds the table, or says why that cannot be.
    ///
    /// # Errors
    /// The [`Refusal`] of the first thing found wrong.
    pub fn build(input: &Input<'_>) -> Result<Table, Refusal> {
        Table::replace(input, &[])
    }

    /// The same for a table that comes after another, in which `previous` drained.
    ///
    /// # Errors
    /// The [`Refusal`] of the first thing found wrong.
    pub fn replace(input: &Input<'_>, previous: &[Drain]) -> Result<Table, Refusal> {
        let sizes: Sizes = sizes(input)?;
        let mut table = Table {
            buckets: vec![Bucket::default(); sizes.buckets],
            filter: vec![0; sizes.filter],
            ranges: vec![Range::default(); sizes.ranges],
            listeners: vec![Listener::default(); sizes.listeners],
            nodes: vec![Addresses::default(); sizes.nodes],
            bases: vec![Base::default(); sizes.bases],
            routes: vec![0; sizes.routes],
            drains: vec![Drain::default(); sizes.drains],
            draining: vec![0; sizes.draining],
            select_key: input.select_key.unwrap_or_default(),
        };
        let mut storage = Storage {
            buckets: &mut table.buckets,
            filter: &mut table.filter,
            ranges: &mut table.ranges,
            listeners: &mut table.listeners,
            nodes: &mut table.nodes,
            bases: &mut table.bases,
            routes: &mut table.routes,
            drains: &mut table.drains,
            draining: &mut table.draining,
            ids: &mut vec![Id::default(); sizes.ids],
        };
        build(input, previous, &mut storage)?;
        Ok(table)
    }

    /// What [`concerns_v4`](crate::concerns_v4) looks at.
    pub fn filter(&self) -> &[u8] {
        &self.filter
    }

    /// The table as packets see it.
    pub fn view(&self) -> View<'_> {
        View {
            buckets: &self.buckets,
            ranges: &self.ranges,
            listeners: &self.listeners,
            nodes: &self.nodes,
            bases: &self.bases,
            routes: &self.routes,
            drains: &self.drains,
            draining: &self.draining,
            select_key: &self.select_key,
        }
    }
}
