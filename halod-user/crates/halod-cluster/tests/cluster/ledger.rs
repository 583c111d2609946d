//! Who keeps which connections, by the rules alone; and connections, led as the kernel leads them.

use std::collections::{BTreeMap, BTreeSet};

use halod_cluster::{Action, ConnId, DrainEnd, Event, Former, NodeId, NodeState, Notice, Time};
use halod_proto::ToHalod;

use crate::sim::Sim;

/// A connection of a user: its route, where it was opened, and under which node it is remembered.
/// Those that are alike are one.
type Connection = (u32, NodeId, Option<NodeId>);

#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The drains as the kernel has them: as of the last commit.
    kernel: BTreeMap<u32, Vec<Former>>,
    /// Until when a node keeps what it has of a route that it has lost.
    legs: BTreeMap<(u32, NodeId), u64>,
    connections: BTreeSet<Connection>,
    /// How many connections ended since they were cut for want of room.
    pub cut: u32,
}

impl Ledger {
    /// A user opens a connection on every route that has a node.
    pub fn open(&mut self, table: &[Option<NodeId>]) {
        for (route, node) in (1..).zip(table) {
            let formers = self.kernel.get(&route);
            let oldest = formers.and_then(|formers| formers.first());
            self.connections.extend(node.map(|node| {
                let remembered = oldest.is_some_and(|oldest| oldest.node != node);
                (route, node, remembered.then_some(node))
            }));
        }
    }

    /// The kernel gets the cluster's table.
    pub fn commit(&mut self, sim_drains: Vec<(u32, Vec<Former>)>, table: &[Option<NodeId>]) {
        self.kernel = sim_drains.into_iter().collect();
        let connections = std::mem::take(&mut self.connections);
        let kernel = &self.kernel;
        let recall = |(route, home, tag): Connection| {
            // A tag that means no node any more, or the oldest, is as good as none.
            let later = kernel.get(&route).into_iter().flat_map(|f| &f[1..]);
            let current = table[route as usize - 1].filter(|_| kernel.contains_key(&route));
            let oldest = kernel.get(&route).map(|formers| formers[0].node);
            let mut meant = later.map(|former| former.node).chain(current);
            let tag = tag.filter(|tag| Some(*tag) != oldest && meant.any(|node| node == *tag));
            (route, home, tag)
        };
        self.connections = connections.into_iter().map(recall).collect();
    }

    fn led_to(
        &self,
        (route, _, tag): Connection,
        table: &[Option<NodeId>],
        now: Time,
    ) -> Option<NodeId> {
        let current = table[route as usize - 1];
        let Some(formers) = self.kernel.get(&route) else {
            return current;
        };
        if tag.is_some() && tag == current {
            return current;
        }
        let leg = formers.iter().find(|leg| Some(leg.node) == tag);
        let leg = leg.unwrap_or(&formers[0]);
        let kept = Some(leg.node) == current || now < leg.until;
        if kept { Some(leg.node) } else { current }
    }

    fn end(&mut self, route: u32, node: NodeId) {
        self.legs.remove(&(route, node));
        self.connections
            .retain(|(r, home, _)| (*r, *home) != (route, node));
    }

    pub fn next_end(&self) -> Option<u64> {
        self.legs.values().min().copied()
    }

    pub fn legs_of(&self, node: NodeId) -> BTreeMap<u32, u64> {
        let own = self.legs.iter().filter(|((_, n), _)| *n == node);
        own.map(|((route, _), until)| (*route, *until)).collect()
    }

    /// What an event must have done.
    pub fn follow(sim: &mut Sim, said_by: Option<NodeId>, event: &Event, actions: &[Action]) {
        let mut ledger = std::mem::take(&mut sim.ledger);
        let now = sim.now;
        let config = sim.cluster.config();
        let there = |id: NodeId| {
            let node = sim.cluster.node(id);
            node.is_some_and(|node| node.state != NodeState::Lost)
        };
        if let (
            Some(node),
            Event::Message {
                message: ToHalod::Drained { routes },
                ..
            },
        ) = (said_by, event)
        {
            for route in routes.iter().filter(|route| *route <= sim.cluster.routes()) {
                if ledger.legs.contains_key(&(route, node)) {
                    let formers = sim.cluster.formers(route);
                    let udp = formers
                        .iter()
                        .find(|f| f.node == node && f.udp_until.0 > now);
                    let udp = udp.map(|former| former.udp_until.0);
                    ledger.end(route, node);
                    ledger.legs.extend(udp.map(|until| ((route, node), until)));
                }
            }
        }
        let over = ledger.legs.iter().filter(|(_, until)| **until <= now);
        for (route, node) in over.map(|(leg, _)| *leg).collect::<Vec<_>>() {
            ledger.end(route, node);
        }
        let gone: BTreeSet<NodeId> = ledger
            .connections
            .iter()
            .map(|(_, home, _)| *home)
            .chain(ledger.legs.keys().map(|(_, node)| *node))
            .filter(|id| !there(*id))
            .collect();
        let moves = actions.iter().filter_map(|action| match action {
            Action::Commit(change) => Some(&change.moves),
            _ => None,
        });
        for moved in moves.flatten() {
            if let Some(from) = moved.from {
                if there(from) && config.drain_ms > 0 {
                    let until = now + u64::from(config.drain_ms);
                    ledger.legs.insert((moved.route, from), until);
                } else {
                    ledger.end(moved.route, from);
                }
            }
            if let Some(to) = moved.to {
                ledger.legs.remove(&(moved.route, to));
            }
        }
        for action in actions {
            let Action::Notice(Notice::DrainEnded {
                node,
                routes,
                cause: DrainEnd::Moved,
            }) = action
            else {
                continue;
            };
            let node = sim.cluster.node_named(node).expect("it is there").id;
            for route in routes.iter() {
                let legs = ledger.legs.keys().filter(|(r, _)| *r == route).count();
                let head = sim.cluster.formers(route)[0].node;
                let own = Some(head) == sim.cluster.node_of(route);
                assert!(legs + usize::from(own) > 3, "cut without need");
                ledger.end(route, node);
                ledger.cut += 1;
            }
        }
        ledger.legs.retain(|(_, node), _| !gone.contains(node));
        ledger
            .connections
            .retain(|(_, home, _)| !gone.contains(home));
        sim.ledger = ledger;
    }

    /// What holds at any time.
    pub fn check(sim: &Sim) {
        let ledger = &sim.ledger;
        let drains: BTreeMap<u32, Vec<Former>> =
            sim.cluster.drains().map(|(r, f)| (r, f.to_vec())).collect();
        // After a restart nobody knows of what was over before.
        let lasting = |drains: &BTreeMap<u32, Vec<Former>>| {
            let mut drains = drains.clone();
            for (route, former) in drains
                .iter_mut()
                .flat_map(|(r, f)| f.iter_mut().map(move |f| (r, f)))
            {
                if former.udp_until.0 <= sim.now {
                    former.udp_until = Time(0);
                }
                // That of the route's own node has no meaning.
                if sim.cluster.node_of(*route) == Some(former.node) {
                    former.until = Time(0);
                }
            }
            drains
        };
        let kernel = lasting(&ledger.kernel);
        assert_eq!(
            lasting(&drains),
            kernel,
            "a drain that the kernel does not know"
        );
        let mut legs = BTreeMap::new();
        for (route, formers) in &drains {
            assert!((1..=3).contains(&formers.len()));
            let current = sim.cluster.node_of(*route);
            for (at, former) in formers.iter().enumerate() {
                if Some(former.node) == current {
                    assert!(at == 0 && formers.len() > 1);
                } else {
                    assert_eq!(legs.insert((*route, former.node), former.until.0), None);
                }
                assert!(
                    at == 0 || former.udp_until == Time(0),
                    "UDP is the oldest's"
                );
            }
        }
        assert_eq!(legs, ledger.legs);
        for connection in &ledger.connections {
            let to = ledger.led_to(*connection, &sim.table, Time(sim.now));
            assert_eq!(
                to,
                Some(connection.1),
                "{connection:?}, {:?}",
                ledger.kernel
            );
        }
    }
}

/// The node that says something, if the cluster knows it.
pub fn said_by(sim: &Sim, event: &Event) -> Option<NodeId> {
    let conn: ConnId = match event {
        Event::Message { conn, .. } => *conn,
        _ => return None,
    };
    sim.cluster
        .nodes()
        .find(|n| n.conn == Some(conn))
        .map(|n| n.id)
}
