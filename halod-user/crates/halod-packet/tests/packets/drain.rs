//! Drains: while the set of flows has room and no deadline has passed, every connection stays with
//! the node that it was opened on, whatever its route does; and UDP for a while with the oldest.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::common::drains::{Force, Key, Way, NODES, ROUTES};
use halod_packet::{Exit, Hook, Protocol};
use proptest::prelude::*;

/// Far more than the keys that there are.
const CELLS: usize = 4_096;

/// What happens to a route in a commit.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// It moves to a node, or to none (0), and drains for so long.
    Move(u32, u64),
    /// The node is lost to another, or to none.
    Fail(u32),
    /// UDP stays with the oldest for so long.
    KeepUdp(u64),
    /// A former node's drain ends early.
    End(prop::sample::Index),
    /// All do.
    EndAll,
}

#[derive(Clone, Debug)]
enum Step {
    /// A new table: changes of routes, in order.
    Commit {
        changes: Vec<(usize, Change)>,
        turn: usize,
        /// Packets that are looked at by the table before, though the new one is in force.
        late: Vec<(Key, bool)>,
        /// Purge at once, or not before the next commit.
        eager: bool,
    },
    /// A SYN: a new connection, one of a port that was used before, or one sent again.
    Open(Key),
    /// Any other packet from a client.
    Send(Key, bool),
    /// A packet from a node, whether it has the connection or not.
    Answer(Key, u32, bool),
    /// UDP either way.
    Udp(Key, u32),
    /// A packet of every connection.
    SendAll,
    Pass(u64),
}

fn key() -> impl Strategy<Value = Key> {
    let parts = (0..ROUTES, any::<[bool; 2]>(), 1u8..4, 50_000u16..50_004);
    parts.prop_map(|(route, [v6, one_port], host, port)| {
        let key = Key {
            route,
            v6,
            host,
            port,
            one_port,
        };
        match one_port {
            true => key.hashed(),
            false => key,
        }
    })
}

fn change() -> impl Strategy<Value = Change> {
    let node = || 0..=NODES;
    prop_oneof![
        10 => (node(), 1u64..60).prop_map(|(node, after)| Change::Move(node, after)),
        1 => node().prop_map(Change::Fail),
        3 => (0u64..40).prop_map(Change::KeepUdp),
        3 => any::<prop::sample::Index>().prop_map(Change::End),
        1 => Just(Change::EndAll),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let commit = (
        prop::collection::vec((0..ROUTES, change()), 1..4),
        0..NODES as usize,
        prop::collection::vec((key(), any::<bool>()), 0..6),
        any::<bool>(),
    )
        .prop_map(|(changes, turn, late, eager)| Step::Commit {
            changes,
            turn,
            late,
            eager,
        });
    prop_oneof![
        3 => commit,
        8 => key().prop_map(Step::Open),
        6 => (key(), any::<bool>()).prop_map(|(key, local)| Step::Send(key, local)),
        8 => (key(), 1..=NODES, any::<bool>())
            .prop_map(|(key, node, local)| Step::Answer(key, node, local)),
        2 => (key(), 1..=NODES).prop_map(|(key, node)| Step::Udp(key, node)),
        3 => Just(Step::SendAll),
        2 => (0u64..25).prop_map(Step::Pass),
    ]
}

/// A connection, as its two ends know it.
#[derive(Clone, Copy, Debug)]
struct Connection {
    node: u32,
    /// The route's stay during which it was opened.
    stay: usize,
    /// Whether the set of flows has it.
    told: bool,
}

struct World {
    force: Rc<Force>,
    connections: BTreeMap<Key, Connection>,
    now: u64,
}

impl World {
    /// A SYN goes to the current node, which has the connection from then on; or to nobody.
    fn open(&mut self, force: &Force, key: Key) -> Result<(), TestCaseError> {
        let way = &force.ways[key.route];
        let sent = force.tcp(self.now, key, true);
        if way.current.node == 0 {
            prop_assert_eq!(sent, (0, Exit::DropNoNode));
            return Ok(());
        }
        prop_assert_eq!(sent, (way.current.node, Exit::Forward));
        let opened = Connection {
            node: way.current.node,
            stay: way.current.number,
            told: way.is_told(way.current.node),
        };
        self.connections.insert(key, opened);
        Ok(())
    }

    fn send(&self, force: &Force, key: Key, hook: Hook) -> Result<(), TestCaseError> {
        let Some(connection) = self.connections.get(&key) else {
            return Ok(());
        };
        let way = &force.ways[key.route];
        let Some(expected) = way.node_of(connection.stay, self.now) else {
            return Ok(());
        };
        let (node, exit) = force.send(hook, self.now, key, Protocol::Tcp, false);
        prop_assert_eq!(
            node,
            expected,
            "{:?} of {:?} at {}",
            connection,
            way,
            self.now
        );
        // The promise once more, without the twin's reasoning.
        let mut stays = way.formers.iter().chain([&way.current]);
        if stays.any(|stay| stay.number == connection.stay && self.now < stay.deadline) {
            prop_assert_eq!(node, connection.node);
        }
        let name = match hook {
            _ if node == 0 => Exit::DropNoNode,
            Hook::LocalOut => Exit::LocalOut,
            _ if node == way.current.node => Exit::Forward,
            _ => Exit::ForwardFormer,
        };
        prop_assert_eq!(exit, name);
        Ok(())
    }

    fn answer(&self, key: Key, from: u32, hook: Hook) -> Result<(), TestCaseError> {
        let way = &self.force.ways[key.route];
        let taken = match hook {
            Hook::LocalIn => Exit::LocalIn,
            _ => Exit::Reverse,
        };
        let exit = self.force.answer(hook, self.now, key, Protocol::Tcp, from);
        let Some(connection) = self.connections.get(&key) else {
            prop_assert_eq!(exit, taken);
            return Ok(());
        };
        let Some(has) = way.node_of(connection.stay, self.now) else {
            return Ok(());
        };
        let may = !connection.told || [connection.node, has].contains(&from);
        let expected = if may { taken } else { Exit::DropStale };
        prop_assert_eq!(
            exit,
            expected,
            "from {} of {:?}, {:?}",
            from,
            connection,
            way
        );
        Ok(())
    }

    fn commit(
        &mut self,
        changes: &[(usize, Change)],
        turn: usize,
        late: &[(Key, bool)],
        eager: bool,
    ) -> Result<(), TestCaseError> {
        let mut ways = self.force.ways.clone();
        for (route, change) in changes {
            apply(&mut ways[*route], *change, self.now);
        }
        let next = self.force.next(ways, turn, CELLS);
        let before = std::mem::replace(&mut self.force, next.into());
        for (key, opening) in late {
            match opening {
                true => self.open(&before, *key)?,
                false => self.send(&before, *key, Hook::PreRouting)?,
            }
        }
        for (key, connection) in &mut self.connections {
            connection.told &= self.force.ways[key.route].is_told(connection.node);
        }
        if eager {
            self.force.purge();
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Commit {
                changes,
                turn,
                late,
                eager,
            } => {
                // At the latest now.
                self.force.purge();
                self.commit(changes, *turn, late, *eager)?;
            }
            Step::Open(key) => {
                let force = self.force.clone();
                self.open(&force, *key)?;
            }
            Step::Send(key, local) => {
                let hook = if *local {
                    Hook::LocalOut
                } else {
                    Hook::PreRouting
                };
                self.send(&self.force, *key, hook)?;
            }
            Step::Answer(key, node, local) => {
                let hook = if *local {
                    Hook::LocalIn
                } else {
                    Hook::PostRouting
                };
                self.answer(*key, *node, hook)?;
            }
            Step::Udp(key, from) => {
                let way = &self.force.ways[key.route];
                let (node, exit) =
                    self.force
                        .send(Hook::PreRouting, self.now, *key, Protocol::Udp, false);
                prop_assert_eq!(node, way.udp_node(self.now), "UDP of {:?}", way);
                let name = match node {
                    0 => Exit::DropNoNode,
                    _ if node == way.current.node => Exit::Forward,
                    _ => Exit::ForwardFormer,
                };
                prop_assert_eq!(exit, name);
                let exit =
                    self.force
                        .answer(Hook::PostRouting, self.now, *key, Protocol::Udp, *from);
                prop_assert_eq!(exit, Exit::Reverse);
            }
            Step::SendAll => {
                for (key, connection) in &self.connections {
                    self.send(&self.force, *key, Hook::PreRouting)?;
                    self.answer(*key, connection.node, Hook::PostRouting)?;
                }
            }
            Step::Pass(time) => self.now += time,
        }
        Ok(())
    }
}

fn apply(way: &mut Way, change: Change, now: u64) {
    match change {
        Change::Move(node, after) if node != way.current.node => way.go(node, now + after),
        Change::Fail(node) if node != way.current.node => way.fail(node),
        Change::KeepUdp(time) => way.udp = now + time,
        Change::End(which) if !way.formers.is_empty() => {
            way.formers.remove(which.index(way.formers.len()));
        }
        Change::EndAll => way.formers.clear(),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_connection_stays_where_it_was_opened(
        nodes in [0..=NODES, 0..=NODES, 0..=NODES],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World {
            force: Force::new(nodes).into(),
            connections: BTreeMap::new(),
            now: 1_000,
        };
        for step in &steps {
            world.step(step)?;
        }
        world.step(&Step::SendAll)?;
    }
}
