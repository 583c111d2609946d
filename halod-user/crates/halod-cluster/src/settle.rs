use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use halod_proto::{FromHalod, MovedRoutes, NodeState, Protocol, VERSION, Welcome};
use halod_routes::{Error, RouteId, RouteSet, SlotId};

use crate::outcome::Outcome;
use crate::{
    Action, Change, Cluster, ConnId, Move, MovedBetween, Node, NodeId, NodeName, Notice, endpoints,
};

impl Cluster {
    /// Fills vacant slots, from the reserve as long as it lasts, else by the reverse process; then
    /// promotes reserve nodes up to `active_min`.
    fn settle(&mut self, outcome: &mut Outcome) {
        while let Some(slot) = self.slots.vacant() {
            let Some(id) = self.longest_waiting(outcome.kept_back, |_| true) else {
                break;
            };
            self.slots.fill(slot, id);
            self.placed(slot, id, outcome);
        }
        for (slot, id) in self.slots.close_gaps() {
            self.placed(slot, id, outcome);
        }
        while self.slots.filled() < self.config.active_min as usize {
            let waiting = self.longest_waiting(outcome.kept_back, |node| !node.parked);
            let added = waiting.map(|id| self.add_slot(id, outcome));
            if !matches!(added, Some(Ok(_))) {
                break;
            }
        }
        if outcome.vacated
            && let Some(slot) = self.slots.vacant()
        {
            outcome.notices.push(Notice::SlotVacant { slot });
        }
    }

    fn longest_waiting(
        &self,
        kept_back: Option<NodeId>,
        also: impl Fn(&Node) -> bool,
    ) -> Option<NodeId> {
        self.members
            .iter()
            .filter(|node| node.eligible() && Some(node.id) != kept_back && also(node))
            .min_by_key(|node| node.turn)
            .map(|node| node.id)
    }

    /// Puts a node to work in a new slot.
    pub(crate) fn add_slot(&mut self, id: NodeId, outcome: &mut Outcome) -> Result<SlotId, Error> {
        let slot = self.slots.add(id)?;
        self.placed(slot, id, outcome);
        Ok(slot)
    }

    /// Writes down that a node fills a slot.
    fn placed(&mut self, slot: SlotId, id: NodeId, outcome: &mut Outcome) {
        if self
            .node(id)
            .is_some_and(|node| node.state != NodeState::Active)
        {
            self.members.set_state(id, NodeState::Active, self.now);
        }
        if let Some(node) = self.members.get_mut(id) {
            node.slot = Some(slot);
            node.parked = false;
            let node = node.name.clone();
            outcome.notices.push(Notice::SlotFilled { slot, node });
        }
        outcome.settle = true;
        outcome.save = true;
    }

    /// Settles, and puts everything that an event has led to in the order in which it must be
    /// carried out: first what must be durable and in the kernel, then what nodes are told.
    pub(crate) fn conclude(&mut self, mut outcome: Outcome) -> Vec<Action> {
        if outcome.settle {
            self.settle(&mut outcome);
        }
        let mut actions = Vec::new();
        let mut concerned: BTreeSet<NodeId> = outcome.welcome.into_iter().collect();
        let moves = if outcome.settle {
            self.take_moves()
        } else {
            Vec::new()
        };
        if !moves.is_empty() || outcome.republish {
            self.generation += 1;
            concerned.extend(
                moves
                    .iter()
                    .flat_map(|moved| [moved.from, moved.to])
                    .flatten(),
            );
            if !moves.is_empty() {
                outcome.notices.push(self.moved_notice(&moves));
            }
            actions.push(Action::Commit(Change {
                generation: self.generation,
                cause: self.cause(&outcome),
                moves,
            }));
        } else if outcome.save {
            actions.push(Action::Save);
        }
        let close = |(conn, reason)| Action::Close { conn, reason };
        actions.extend(outcome.close.into_iter().map(close));
        for id in concerned {
            let conn = self.node(id).and_then(|node| node.conn);
            if let Some(conn) = conn {
                let messages = self.news_of(id, outcome.welcome == Some(id));
                let send = |message| Action::Send { conn, message };
                actions.extend(messages.into_iter().map(send));
            }
        }
        if let Some((id, reason)) = outcome.part
            && let Some(conn) = self.members.set_conn(id, None)
        {
            actions.push(Action::Close { conn, reason });
        }
        actions.extend(
            outcome
                .probe
                .and_then(|(id, delay_ms)| self.probe(id, delay_ms)),
        );
        let reply = |(request, result)| Action::Reply { request, result };
        actions.extend(outcome.reply.map(reply));
        if let Some(node) = outcome.joined.and_then(|id| self.node(id)) {
            let joined = Notice::NodeJoined {
                node: node.name.clone(),
                state: node.state,
            };
            actions.push(Action::Notice(joined));
        }
        actions.extend(outcome.notices.into_iter().map(Action::Notice));
        if let Some(id) = outcome.forget {
            self.members.remove(id);
        }
        actions
    }

    fn cause(&self, outcome: &Outcome) -> String {
        let joined = outcome.joined.and_then(|id| self.node(id));
        let joined = joined.map(|node| format!("{} joined", node.name));
        let causes: Vec<String> = joined.into_iter().chain(outcome.causes.clone()).collect();
        if causes.is_empty() {
            "reserve node promoted".to_owned()
        } else {
            causes.join("; ")
        }
    }

    /// Brings the table in line with the slots; returns what changed, by route.
    fn take_moves(&mut self) -> Vec<Move> {
        let table = self.slots.table();
        let former = std::mem::replace(&mut self.table, table);
        (1..)
            .zip(former.into_iter().zip(self.table.iter().copied()))
            .filter(|(_, (from, to))| from != to)
            .map(|(route, (from, to))| Move { route, from, to })
            .collect()
    }

    fn name_of(&self, id: Option<NodeId>) -> Option<NodeName> {
        Some(self.node(id?)?.name.clone())
    }

    fn moved_notice(&self, moves: &[Move]) -> Notice {
        let mut groups: BTreeMap<(Option<NodeId>, Option<NodeId>), Vec<RouteId>> = BTreeMap::new();
        for moved in moves {
            let group = groups.entry((moved.from, moved.to)).or_default();
            group.push(moved.route);
        }
        let moved_between = |((from, to), routes): ((_, _), Vec<RouteId>)| MovedBetween {
            routes: routes.into_iter().collect(),
            from: self.name_of(from),
            to: self.name_of(to),
        };
        Notice::RoutesMoved {
            generation: self.generation,
            moves: groups.into_iter().map(moved_between).collect(),
        }
    }

    /// What a connected node must be told, given what it was told before.
    fn news_of(&mut self, id: NodeId, welcome: bool) -> Vec<FromHalod> {
        let Some(node) = self.members.get(id) else {
            return Vec::new();
        };
        let generation = self.generation;
        let mut messages = Vec::new();
        if welcome {
            messages.push(FromHalod::Welcome(self.welcome(node)));
        }
        let held: RouteSet = node
            .slot
            .map(|slot| self.slots.assignment().held_by(slot).collect())
            .unwrap_or_default();

        // Routes that went to no node have no new home to name; losing them shows in `reserve`.
        let mut lost: BTreeMap<NodeId, Vec<RouteId>> = BTreeMap::new();
        for route in node.told.iter().filter(|&route| !held.contains(route)) {
            if let Some(to) = self.node_of(route) {
                lost.entry(to).or_default().push(route);
            }
        }
        let moves: Vec<MovedRoutes> = lost
            .into_iter()
            .filter_map(|(to, routes)| {
                let to = Some(self.name_of(Some(to))?);
                let routes = routes.into_iter().collect();
                Some(MovedRoutes { routes, to })
            })
            .collect();
        if !moves.is_empty() {
            messages.push(FromHalod::RouteMoved { generation, moves });
        }

        let gained = held.iter().any(|route| !node.told.contains(route));
        match (node.slot, node.state) {
            (Some(slot), _) if welcome || gained => messages.push(FromHalod::Assign {
                generation,
                slot,
                routes: held.clone(),
            }),
            (None, NodeState::Reserve) if welcome || !node.told.is_empty() => {
                messages.push(FromHalod::Reserve { generation });
            }
            _ => {}
        }
        if let Some(node) = self.members.get_mut(id) {
            node.told = held;
        }
        messages
    }

    fn welcome(&self, node: &Node) -> Welcome {
        Welcome {
            version: VERSION,
            cluster: self.config.cluster.clone(),
            routes: self.config.routes,
            state: node.state,
            heartbeat_ms: self.config.heartbeat_ms,
            heartbeat_misses: self.config.heartbeat_misses,
            resume: node.token.clone(),
            listeners: self.config.listeners.clone(),
        }
    }

    /// The probe of an active node's application: its port of its first route of a TCP listener.
    fn probe(&mut self, id: NodeId, delay_ms: u32) -> Option<Action> {
        let node = self.members.get(id)?;
        let route = self.slots.assignment().held_by(node.slot?).next()?;
        let tcp = self
            .config
            .listeners
            .iter()
            .filter(|listener| listener.protocol == Protocol::Tcp);
        let address = tcp.into_iter().find_map(|listener| {
            let family = listener.address.is_ipv4();
            let address = node.addresses.iter().find(|a| a.is_ipv4() == family)?;
            let port = u32::from(endpoints::node_port(listener, &node.ports)) + route - 1;
            Some(SocketAddr::new(*address, u16::try_from(port).ok()?))
        })?;
        let timeout = self.config.silence_ms().min(self.config.rejoin_ms.into());
        if let Some(node) = self.members.get_mut(id) {
            node.probes += 1;
        }
        Some(Action::Probe {
            node: id,
            address,
            delay_ms,
            timeout_ms: u32::try_from(timeout).unwrap_or(u32::MAX).max(1),
        })
    }

    /// Ends a connection because of what came over it; its node, if it has one, is away then.
    pub(crate) fn offend(&mut self, conn: ConnId, reason: String, outcome: &mut Outcome) {
        outcome.close.push((conn, reason));
        self.closed(conn, outcome);
    }
}
