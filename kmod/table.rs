// SPDX-License-Identifier: GPL-2.0

//! The route table in memory: what was asked for, to be dumped again, and what packets look at.

use kernel::alloc::{AllocError, Flags};
use kernel::prelude::*;
use kernel::sync::Arc;

use crate::ffi::clock;
use crate::ffi::netfilter::Family;
use crate::ffi::route::Routes;
use crate::flows::{Cell, FlowMemory};
use crate::ingress::FastPath;
use crate::packet::{
    self, Address, Addresses, Base, Bucket, Drain, Draining, Former, Id, Input, Listener, Node,
    Range, Refusal, SelectKey, Source, Storage, Target, View,
};

/// Tables are as large as their senders like, within the limits: charge them.
const FLAGS: Flags = GFP_KERNEL_ACCOUNT;

/// Bytes of a name with its final NUL.
pub(crate) const NAME_SIZE: usize = 64;

/// The name of a listener or node, NUL-padded.
pub(crate) type Name = [u8; NAME_SIZE];

/// A table as a commit describes it.
#[derive(Default)]
pub(crate) struct Request {
    /// Number of routes, N.
    pub(crate) routes: u32,
    /// The listeners, and their names.
    pub(crate) listeners: KVVec<Listener>,
    pub(crate) listener_names: KVVec<Name>,
    /// The nodes, and their names.
    pub(crate) nodes: KVVec<Node>,
    pub(crate) node_names: KVVec<Name>,
    /// The nodes' own ports.
    pub(crate) targets: KVVec<Target>,
    /// Each route's node id, 0 for none.
    pub(crate) route_nodes: KVVec<u32>,
    /// The former nodes of draining routes; their deadlines are on the clock of `ffi::clock`.
    pub(crate) formers: KVVec<Former>,
    /// The key by which listeners with one port tell routes apart.
    pub(crate) select_key: Option<SelectKey>,
    /// Which packets do without the kernel's IP layers.
    pub(crate) fast_path: FastPath,
}

/// Why a table could not be made.
pub(crate) enum BuildError {
    Refused(Refusal),
    Failed(Error),
}

impl From<AllocError> for BuildError {
    fn from(error: AllocError) -> Self {
        Self::Failed(error.into())
    }
}

/// A table that packets can use.
pub(crate) struct Table {
    /// The number of this version, given when it comes into force.
    pub(crate) generation: u64,
    /// As it was asked for.
    pub(crate) request: Request,
    buckets: KVVec<Bucket>,
    filter: KVVec<u8>,
    ranges: KVVec<Range>,
    listeners: KVVec<Listener>,
    nodes: KVVec<Addresses>,
    bases: KVVec<Base>,
    routes: KVVec<u16>,
    drains: KVVec<Drain>,
    draining: KVVec<u16>,
    select_key: SelectKey,
    flows: Option<Arc<FlowMemory>>,
    /// Not the table's own, but where packets find it.
    pub(crate) routes_found: Arc<Routes>,
}

impl Table {
    /// Checks `request` and builds the lookups, for a table that replaces one with `previous`
    /// drains, whose flows are remembered in `flows`. Process context.
    pub(crate) fn build(
        request: Request,
        previous: &[Drain],
        flows: Option<&Arc<FlowMemory>>,
        routes_found: Arc<Routes>,
    ) -> Result<Self, BuildError> {
        let input = Input {
            routes: request.routes,
            listeners: &request.listeners,
            nodes: &request.nodes,
            targets: &request.targets,
            route_nodes: &request.route_nodes,
            formers: &request.formers,
            select_key: request.select_key,
        };
        let sizes = packet::sizes(&input).map_err(BuildError::Refused)?;
        let mut ids = KVVec::from_elem(Id::default(), sizes.ids, FLAGS)?;
        let mut table = Self {
            generation: 0,
            buckets: KVVec::from_elem(Bucket::default(), sizes.buckets, FLAGS)?,
            filter: KVVec::from_elem(0, sizes.filter, FLAGS)?,
            ranges: KVVec::from_elem(Range::default(), sizes.ranges, FLAGS)?,
            listeners: KVVec::from_elem(Listener::default(), sizes.listeners, FLAGS)?,
            nodes: KVVec::from_elem(Addresses::default(), sizes.nodes, FLAGS)?,
            bases: KVVec::from_elem(Base::default(), sizes.bases, FLAGS)?,
            routes: KVVec::from_elem(0, sizes.routes, FLAGS)?,
            drains: KVVec::from_elem(Drain::default(), sizes.drains, FLAGS)?,
            draining: KVVec::from_elem(0, sizes.draining, FLAGS)?,
            select_key: request.select_key.unwrap_or_default(),
            flows: None,
            routes_found,
            request: Request::default(),
        };
        packet::build(
            &input,
            previous,
            &mut Storage {
                buckets: &mut table.buckets,
                filter: &mut table.filter,
                ranges: &mut table.ranges,
                listeners: &mut table.listeners,
                nodes: &mut table.nodes,
                bases: &mut table.bases,
                routes: &mut table.routes,
                drains: &mut table.drains,
                draining: &mut table.draining,
                ids: &mut ids,
            },
        )
        .map_err(BuildError::Refused)?;
        table.request = request;
        if !table.drains.is_empty() {
            table.flows = Some(match flows {
                Some(flows) => flows.clone(),
                None => FlowMemory::new().map_err(BuildError::Failed)?,
            });
        }
        Ok(table)
    }

    /// What tells most packets that are not ours; see `packet::concern_v4`.
    #[inline(always)]
    pub(crate) fn filter(&self) -> &[u8] {
        &self.filter
    }

    /// Whether a listener is of an IP version.
    pub(crate) fn listens(&self, family: Family) -> bool {
        self.listeners.iter().any(|listener| match family {
            Family::V4 => matches!(listener.address, Address::V4(_)),
            Family::V6 => matches!(listener.address, Address::V6(_)),
        })
    }

    /// The routes that drain.
    pub(crate) fn drains(&self) -> &[Drain] {
        &self.drains
    }

    /// The memory of their flows.
    pub(crate) fn flows(&self) -> Option<&Arc<FlowMemory>> {
        self.flows.as_ref()
    }
}

impl Source for Table {
    type Cell = Cell;

    #[inline(always)]
    fn view(&self) -> View<'_> {
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

    #[inline(always)]
    fn draining(&self) -> Draining<'_, Cell> {
        Draining {
            flows: self.flows.as_ref().map(|flows| flows.view()),
            now: clock::now(),
        }
    }
}
