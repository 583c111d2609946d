use halod_routes::{RouteId, SlotId, SlotTable};

use crate::drains::Drains;
use crate::flapping::Timers;
use crate::members::Members;
use crate::outcome::Outcome;
use crate::scaling::Scaler;
use crate::slots::Slots;
use crate::{
    Action, Config, ConfigError, ConnId, Event, Former, Node, NodeId, NodeName, RestoreError,
    Saved, SavedNode, ScalingReport, Time,
};

/// The cluster: nodes, slots, and the route table that follows from them.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(crate) config: Config,
    pub(crate) now: Time,
    pub(crate) generation: u64,
    pub(crate) members: Members,
    pub(crate) slots: Slots,
    /// The node of every route, by route - 1, as of `generation`.
    pub(crate) table: Vec<Option<NodeId>>,
    pub(crate) drains: Drains,
    pub(crate) timers: Timers,
    pub(crate) scaler: Scaler,
    /// Number of the last probe.
    pub(crate) probes: u64,
}

impl Cluster {
    /// A cluster without any node, at generation 0.
    ///
    /// # Errors
    /// See [`Config::check`].
    pub fn new(config: Config) -> Result<Cluster, ConfigError> {
        config.check()?;
        let out_of_range = |_| ConfigError::Range {
            name: "routes",
            value: config.routes,
            min: 1,
            max: halod_routes::MAX_ROUTES,
        };
        let slots = SlotTable::new(config.routes)
            .and_then(|table| Slots::new(config.failover, table, Vec::new()))
            .map_err(out_of_range)?;
        Ok(Cluster {
            table: slots.table(),
            config,
            now: Time(0),
            generation: 0,
            members: Members::default(),
            slots,
            drains: Drains::default(),
            timers: Timers::default(),
            scaler: Scaler::default(),
            probes: 0,
        })
    }

    /// A cluster as it was before a restart. Nobody is connected; every node that was not lost
    /// has [`Config::restart_grace_ms`] to say hello with its token.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn restore(config: Config, saved: Saved, now: Time) -> Result<Cluster, RestoreError> {
        saved.restore(config, now)
    }

    /// All that must survive a restart.
    pub fn saved(&self) -> Saved {
        let mut nodes: Vec<&Node> = self.nodes().collect();
        nodes.sort_by_key(|node| node.turn);
        let saved = |node: &Node| SavedNode::of(self, node).into();
        Saved::of(self, nodes.into_iter().map(saved).collect())
    }

    /// The same as [`Cluster::saved`], with the nodes that have not changed shared with what this
    /// returned last.
    pub fn save(&mut self) -> Saved {
        for id in self.members.saved.take_touched() {
            let node = self.node(id);
            let now = node.map(|node| (node.turn, SavedNode::of(self, node)));
            self.members.saved.update(id, now);
        }
        Saved::of(self, self.members.saved.all())
    }

    /// Takes in an event, at a time that is not before that of the event before; a message may be told
    /// late, with the time at which it came. Returns what to do, in order. Never panics, whatever
    /// comes in whatever order.
    pub fn handle(&mut self, now: Time, event: Event) -> Vec<Action> {
        self.now = self.now.max(now);
        if self.config.scale.is_some() && self.scaler.due.is_none() {
            self.scaler.due = Some(self.now.after(self.look_pause_ms()));
        }
        let mut outcome = Outcome::default();
        match event {
            Event::Hello { conn, hello, token } => self.hello(conn, hello, token, &mut outcome),
            Event::Message { conn, message } => self.message(conn, message, now, &mut outcome),
            Event::Heard { conn } => self.spoke(conn, now),
            Event::Closed { conn } => self.closed(conn, &mut outcome),
            Event::Probe { probe, reachable } => self.probed(probe, reachable, &mut outcome),
            Event::Tick => self.tick(&mut outcome),
            Event::Operator { request, command } => {
                self.operator(request, &command, &mut outcome);
            }
        }
        self.conclude(outcome)
    }

    /// When [`Event::Tick`] is due at the latest.
    pub fn next_deadline(&self) -> Option<Time> {
        let deadlines = [
            self.members.next_deadline(),
            self.drains.next_end(),
            self.timers.next(),
            self.scaler.due,
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The connections of the nodes that will be silent for too long by then. Where a caller keeps
    /// messages back, these are the nodes whose messages are to be told first.
    pub fn expected(&self, by: Time) -> Vec<ConnId> {
        let due = self.members.due(by).into_iter();
        due.filter_map(|(_, id)| self.node(id)?.conn).collect()
    }

    /// The table's generation: rises by one with each [`Action::Commit`].
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Makes the generation one more than both its own and `other`, and returns it. For a caller
    /// that finds the kernel at generation `other` by another's hand, and puts the cluster's
    /// table there again.
    pub fn supersede(&mut self, other: u64) -> u64 {
        self.generation = self.generation.max(other).saturating_add(1);
        self.generation
    }

    /// N.
    pub fn routes(&self) -> u32 {
        self.config.routes
    }

    /// What the cluster is to be.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The node that serves a route, if any.
    pub fn node_of(&self, route: RouteId) -> Option<NodeId> {
        let index = (route as usize).checked_sub(1)?;
        self.table.get(index).copied().flatten()
    }

    /// The routes that drain, ascending, with the nodes that keep connections of theirs, the oldest
    /// first.
    pub fn drains(&self) -> impl Iterator<Item = (RouteId, &[Former])> {
        self.drains.iter()
    }

    /// The nodes that keep connections of a route, the oldest first; none unless it drains.
    pub fn formers(&self, route: RouteId) -> &[Former] {
        self.drains.formers(route)
    }

    /// What load asks for, and why; none unless [`Config::scale`] is set.
    pub fn scaling(&self) -> Option<ScalingReport> {
        let scale = self.config.scale.as_ref();
        scale.map(|scale| self.scaler.report(scale))
    }

    /// Drops a node's record.
    pub(crate) fn forget(&mut self, id: NodeId) -> Option<Node> {
        self.timers.set(id, None);
        self.members.remove(id)
    }

    /// All nodes, by number.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.members.iter()
    }

    /// A node by its number.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.members.get(id)
    }

    /// A node by its name.
    pub fn node_named(&self, name: &NodeName) -> Option<&Node> {
        self.members.named(name)
    }

    /// Which slot holds which route.
    pub fn assignment(&self) -> &SlotTable {
        self.slots.assignment()
    }

    /// The routes that a node holds, each once.
    pub(crate) fn held(&self, node: &Node) -> impl Iterator<Item = RouteId> {
        let held = node.slot.map(|slot| self.assignment().held_by(slot));
        held.into_iter().flatten()
    }

    /// The node that fills a slot, if any.
    pub fn slot_node(&self, slot: SlotId) -> Option<NodeId> {
        self.slots.node(slot)
    }
}
