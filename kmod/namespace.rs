// SPDX-License-Identifier: GPL-2.0

//! HaloD in one network namespace: its table, its hooks and its counters.
//!
//! Lock order: `writer` is the only lock; netfilter's own is taken inside it.

use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};

use crate::ffi::defrag::Defrag;
use crate::ffi::netdev::Devices;
use crate::ffi::netfilter::{Family, Hooks};
use crate::ffi::percpu::PerCpuCounters;
use crate::ffi::pernet::{Home, Net};
use crate::ffi::rcu::{Moment, Prepared, Published, ReadSide};
use crate::ffi::route::Routes;
use crate::flows::FlowMemory;
use crate::ingress::{Detour, FastPath};
use crate::packet::{self, Drain, Exit, Refusal};
use crate::table::{BuildError, Request, Table};

/// The state of one network namespace.
#[pin_data]
pub(crate) struct Namespace {
    pub(crate) home: Home,
    table: Published<Table>,
    counters: PerCpuCounters<{ Exit::COUNT }>,
    /// The same of packets that took the fast path.
    fast: PerCpuCounters<{ Exit::COUNT }>,
    detours: PerCpuCounters<{ Detour::COUNT }>,
    #[pin]
    writer: Mutex<Writer>,
}

/// What only one commit at a time may touch.
struct Writer {
    /// Number of the table's version, 0 before the first. Goes on rising over a flush.
    generation: u64,
    /// Registered as long as there is a table: a namespace without one pays nothing.
    hooks: Option<Hooks>,
    /// The devices by which packets may take the fast path, unless it is off.
    devices: Option<Pin<KBox<Devices>>>,
    /// Fragments are put together as long as there is a listener of their IP version.
    defrag4: Option<Defrag>,
    defrag6: Option<Defrag>,
    /// What drains in the table in force, and the memory of its flows: the next table goes on
    /// with both.
    drains: KVVec<Drain>,
    flows: Option<Arc<FlowMemory>>,
    /// Routes of packets, as long as there are hooks.
    routes: Option<Arc<Routes>>,
    /// When the table in force replaced the one before.
    replaced: Moment,
    /// The namespace is going away: no more tables.
    closed: bool,
}

impl Writer {
    /// Leaves all packets alone.
    fn stop(&mut self) {
        // Before the other hooks: these go by the same routes.
        self.devices = None;
        (self.hooks, self.routes) = (None, None);
        (self.defrag4, self.defrag6) = (None, None);
    }

    /// Forgets the flows that the table in force has no use for, since the next one's nodes may
    /// get their tags (see `packet::uses`). For that no packet may be left that looks at the table
    /// before it.
    fn purge_flows(&self) {
        if let Some(flows) = &self.flows {
            self.replaced.wait();
            flows
                .view()
                .purge(|route, tag| packet::uses(&self.drains, route, tag));
        }
    }
}

/// The defragmentation that is wanted and that there is not yet.
fn missing(
    there: &Option<Defrag>,
    wanted: bool,
    net: Net<'_>,
    family: Family,
) -> Result<Option<Defrag>> {
    if wanted && there.is_none() {
        Defrag::enable(net, family).map(Some)
    } else {
        Ok(None)
    }
}

/// Why a table did not come into force.
pub(crate) enum CommitError {
    /// The generation in force is another than expected.
    Stale { current: u64 },
    /// The new generation does not follow the one in force.
    NotRising { current: u64 },
    /// The table makes no sense.
    Refused(Refusal),
    /// Something that has nothing to do with the table.
    Failed(Error),
}

impl From<Error> for CommitError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<BuildError> for CommitError {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Refused(refusal) => Self::Refused(refusal),
            BuildError::Failed(error) => Self::Failed(error),
        }
    }
}

impl Namespace {
    /// A namespace without a table.
    pub(crate) fn new(home: Home) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            home,
            table: Published::empty(),
            counters: PerCpuCounters::new()?,
            fast: PerCpuCounters::new()?,
            detours: PerCpuCounters::new()?,
            writer <- new_mutex!(Writer {
                generation: 0,
                hooks: None,
                devices: None,
                defrag4: None,
                defrag6: None,
                drains: KVVec::new(),
                flows: None,
                routes: None,
                replaced: Moment::now(),
                closed: false,
            }),
        })
    }

    /// The table in force.
    #[inline(always)]
    pub(crate) fn table<'a>(&self, read_side: ReadSide<'a>) -> Option<&'a Table> {
        self.table.read(read_side)
    }

    /// The generation in force.
    pub(crate) fn generation(self: Pin<&Self>) -> u64 {
        self.writer.lock().generation
    }

    /// Counts a packet that left by `exit`.
    #[inline(always)]
    pub(crate) fn count(&self, exit: Exit) {
        self.counters.increment(exit.index());
    }

    /// How many packets have left by `exit`.
    pub(crate) fn counted(&self, exit: Exit) -> u64 {
        let index = exit.index();
        self.counters.sum(index).wrapping_add(self.fast.sum(index))
    }

    /// The counters of packets that take the fast path, by the index of their exit.
    #[inline(always)]
    pub(crate) fn fast(&self) -> &PerCpuCounters<{ Exit::COUNT }> {
        &self.fast
    }

    /// How many packets have taken the fast path.
    pub(crate) fn counted_fast(&self) -> u64 {
        let counts = Exit::ALL.iter().map(|exit| self.fast.sum(exit.index()));
        counts.fold(0, u64::wrapping_add)
    }

    /// Counts a packet that did not take the fast path.
    #[inline(always)]
    pub(crate) fn count_detour(&self, detour: Detour) {
        self.detours.increment(detour as usize);
    }

    /// How many packets that was, by the index of its name.
    pub(crate) fn counted_detour(&self, index: usize) -> u64 {
        self.detours.sum(index)
    }

    /// Whether packets may take the fast path that arrive by a device.
    pub(crate) fn watches(self: Pin<&Self>, device: u32) -> bool {
        let writer = self.writer.lock();
        writer
            .devices
            .as_ref()
            .is_some_and(|devices| devices.has(device))
    }

    /// Builds a table and puts it into force if the generation is `expected`; all or nothing. The new
    /// generation is `generation`, or else the next one, and is returned.
    pub(crate) fn commit(
        self: Pin<&Self>,
        net: Net<'_>,
        request: Request,
        expected: u64,
        generation: Option<u64>,
    ) -> Result<u64, CommitError> {
        let mut writer = self.writer.lock();
        let current = writer.generation;
        if writer.closed {
            return Err(CommitError::Failed(ENODEV));
        }
        if current != expected {
            return Err(CommitError::Stale { current });
        }
        // At one version a microsecond the numbers last half a million years.
        let next = generation.unwrap_or(current.wrapping_add(1));
        if next <= current {
            return Err(CommitError::NotRising { current });
        }
        writer.purge_flows();
        let routes = match &writer.routes {
            Some(routes) => routes.clone(),
            None => Arc::new(Routes::new()?, GFP_KERNEL_ACCOUNT).map_err(Error::from)?,
        };
        let flows = writer.flows.as_ref();
        let mut table = Table::build(request, &writer.drains, flows, routes.clone())?;
        table.generation = next;
        let mut drains = KVVec::new();
        drains
            .extend_from_slice(table.drains(), GFP_KERNEL_ACCOUNT)
            .map_err(Error::from)?;
        let flows = table.flows().cloned();
        let (wanted4, wanted6) = (table.listens(Family::V4), table.listens(Family::V6));
        let defrag4 = missing(&writer.defrag4, wanted4, net, Family::V4)?;
        let defrag6 = missing(&writer.defrag6, wanted6, net, Family::V6)?;
        let fast = table.request.fast_path != FastPath::Off;
        let prepared = Prepared::new(table)?;
        if writer.hooks.is_none() {
            writer.hooks = Some(Hooks::register(net, self, routes.clone())?);
        }
        if fast && writer.devices.is_none() {
            writer.devices = Some(Devices::watch(net, self)?);
        }
        // Nothing fails from here on.
        self.table.replace(Some(prepared));
        writer.replaced = Moment::now();
        (writer.generation, writer.drains, writer.flows) = (next, drains, flows);
        writer.routes = Some(routes);
        writer.devices = writer.devices.take().filter(|_| fast);
        writer.defrag4 = writer.defrag4.take().or(defrag4).filter(|_| wanted4);
        writer.defrag6 = writer.defrag6.take().or(defrag6).filter(|_| wanted6);
        Ok(next)
    }

    /// Takes the table away if the generation is the one expected, if any is.
    pub(crate) fn flush(self: Pin<&Self>, expected: Option<u64>) -> Result<u64, CommitError> {
        let mut writer = self.writer.lock();
        let current = writer.generation;
        if expected.is_some_and(|expected| expected != current) {
            return Err(CommitError::Stale { current });
        }
        self.table.replace(None);
        writer.stop();
        (writer.drains, writer.flows) = (KVVec::new(), None);
        writer.generation = current.wrapping_add(1);
        Ok(writer.generation)
    }

    /// The namespace dies or the module is unloaded: from here on no hook starts, and no commit
    /// succeeds.
    pub(crate) fn close(self: Pin<&Self>) {
        let mut writer = self.writer.lock();
        writer.closed = true;
        writer.stop();
    }
}
