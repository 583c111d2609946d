//! What must hold after every event, worked out from the rules and the state before.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use halod_cluster::{
    Action, Command, ConnId, Event, Failover, Node, NodeId, NodeName, NodeState, Saved,
};
use halod_proto::{FromHalod, ToHalod};

use crate::ledger::Ledger;
use crate::sim::{Due, Sim};
use crate::twin::Twin;
use crate::{expected, flaps};

/// The cluster before an event.
pub struct View {
    saved: Saved,
    pub slots: Vec<Option<NodeId>>,
    /// Those longest in their state first.
    pub nodes: Vec<Node>,
    table: Vec<Option<NodeId>>,
    generation: u64,
    next_deadline: Option<u64>,
}

impl View {
    pub fn of(sim: &Sim) -> View {
        let cluster = &sim.cluster;
        let saved = cluster.saved();
        let node = |id| cluster.node(id).expect("saved nodes are known").clone();
        View {
            slots: slots(sim),
            nodes: saved.nodes.iter().map(|saved| node(saved.id)).collect(),
            table: sim.table.clone(),
            generation: sim.generation,
            next_deadline: cluster.next_deadline().map(|time| time.0),
            saved: lasting(saved),
        }
    }

    /// Whether this is a node that was there, and not another with its number.
    pub fn knows(&self, node: &Node) -> bool {
        self.get(node.id)
            .is_some_and(|former| former.name == node.name)
    }

    pub fn named(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    pub fn of_conn(&self, conn: ConnId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.conn == Some(conn))
    }

    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }
}

/// What does not change by itself: the time that is left does.
fn lasting(mut saved: Saved) -> Saved {
    for former in saved.drains.iter_mut().flat_map(|drain| &mut drain.formers) {
        (former.left_ms, former.udp_left_ms) = (0, 0);
    }
    saved
}

fn slots(sim: &Sim) -> Vec<Option<NodeId>> {
    let cluster = &sim.cluster;
    (1..=cluster.assignment().slots())
        .map(|slot| cluster.slot_node(slot))
        .collect()
}

thread_local! {
    /// The twin's assignment(N, M): the slot of each route.
    static TWINS: RefCell<HashMap<(u32, u32), Vec<u32>>> = RefCell::default();
}

fn twin_table(routes: u32, slots: &[Option<NodeId>]) -> Vec<Option<NodeId>> {
    TWINS.with_borrow_mut(|twins| {
        let m = slots.len() as u32;
        let owner = twins.entry((routes, m)).or_insert_with(|| {
            let mut owner = vec![0; routes as usize];
            for (slot, held) in Twin::of(routes, m).held {
                held.into_iter()
                    .for_each(|route| owner[route as usize - 1] = slot);
            }
            owner
        });
        let node = |&slot: &u32| {
            if slot == 0 {
                None
            } else {
                slots[slot as usize - 1]
            }
        };
        owner.iter().map(node).collect()
    })
}

/// The kernel's table is what the mode of failover makes of the slots.
fn check_table(sim: &Sim, slots: &[Option<NodeId>]) {
    let routes = sim.cluster.routes();
    let by_slot = |slot: &Option<u32>| slot.and_then(|slot| *slots.get(slot as usize - 1)?);
    let found = sim
        .found
        .iter()
        .map(|found| found.iter().map(by_slot).collect());
    if found.into_iter().any(|found: Vec<_>| found == sim.table) {
        return;
    }
    match sim.cluster.config().failover {
        Failover::Replace => assert_eq!(sim.table, twin_table(routes, slots)),
        Failover::Minimal => {
            let m = (slots.len() as u32).max(1);
            for node in slots {
                let held = sim.table.iter().filter(|held| *held == node).count() as u32;
                assert!((routes / m..=routes.div_ceil(m)).contains(&held));
            }
        }
    }
}

/// In minimal failover, what moves is the routes of those who go and of those who come.
fn check_moves(sim: &Sim, before: &View, actions: &[Action], lost: &BTreeSet<NodeId>) {
    if sim.cluster.config().failover != Failover::Minimal || sim.found.is_some() {
        return;
    }
    let moves = actions.iter().filter_map(|action| match action {
        Action::Commit(change) => Some(&change.moves),
        _ => None,
    });
    let came = |id: Option<NodeId>| !before.slots.contains(&id);
    let went = |id: Option<NodeId>| {
        id.is_none_or(|id| lost.contains(&id)) || !self::slots(sim).contains(&id)
    };
    for moved in moves.flatten() {
        assert!(went(moved.from) || came(moved.to), "{moved:?} without need");
    }
}

/// What holds at any time.
pub fn check_standing(sim: &Sim) {
    let cluster = &sim.cluster;
    let slots = slots(sim);
    assert_eq!(cluster.generation(), sim.generation);
    check_table(sim, &slots);
    Ledger::check(sim);
    flaps::check(sim);
    for (route, node) in (1..).zip(&sim.table) {
        assert_eq!(cluster.node_of(route), *node);
    }
    // Each active node fills one slot, and each slot has one; but for the last, if nobody is left.
    let filled: BTreeSet<NodeId> = slots.iter().flatten().copied().collect();
    assert_eq!(
        filled.len(),
        slots.iter().flatten().count(),
        "a node in two slots"
    );
    for node in cluster.nodes() {
        assert_eq!(
            node.state == NodeState::Active,
            filled.contains(&node.id),
            "{node:?}"
        );
        let slot = slots.iter().position(|slot| *slot == Some(node.id));
        assert_eq!(node.slot, slot.map(|slot| slot as u32 + 1));
        assert_eq!(
            sim.due.contains_key(&node.id),
            node.state != NodeState::Lost
        );
        assert!(node.state != NodeState::Lost || node.conn.is_none());
        assert!(node.state != NodeState::Active || (node.healthy && !node.parked));
        let agent = &sim.agents[node.name.as_str()];
        assert_eq!(node.conn, agent.conn);
        // What a connected node believes is what the kernel does.
        if node.connected() {
            let routes = (1..)
                .zip(&sim.table)
                .filter(|(_, to)| **to == Some(node.id));
            let routes: BTreeSet<u32> = routes.map(|(route, _)| route).collect();
            assert_eq!(agent.held, routes, "{} was told something else", node.name);
            let kept = agent.keeps.iter().filter(|(_, until)| **until > sim.now);
            let kept: BTreeMap<u32, u64> = kept.map(|(route, until)| (*route, *until)).collect();
            // What it said to be empty may stay for the sake of UDP.
            let mut legs = sim.ledger.legs_of(node.id);
            legs.retain(|route, _| kept.contains_key(route) || !agent.emptied.contains(route));
            assert_eq!(kept, legs, "{} was told something else", node.name);
            let alone = node.state == NodeState::Draining && sim.ledger.legs_of(node.id).is_empty();
            assert_eq!(agent.may_stop, alone);
            assert!(!node.leaving || !alone);
        }
        assert!(!node.leaving || (node.state == NodeState::Draining && node.connected()));
        let gone = node.state == NodeState::Lost;
        assert!(!gone || sim.ledger.legs_of(node.id).is_empty());
    }
    if slots.contains(&None) {
        assert_eq!(slots, [None], "a vacant slot beside others");
        assert!(
            !cluster.nodes().any(Node::eligible),
            "a route without a node, and one waits"
        );
    }
    if slots.is_empty() {
        assert!(!cluster.nodes().any(Node::eligible));
    }
    let earliest = sim.due.values().map(|due| due.at).min();
    let ends = [earliest, sim.ledger.next_end(), flaps::next(sim)];
    let earliest = ends.into_iter().flatten().min();
    let next = cluster.next_deadline().map(|time| time.0);
    // Load is looked at in between.
    let looks = cluster.config().scale.is_some();
    assert!(next == earliest || looks && (earliest.is_none() || next < earliest));
    assert!(cluster.nodes().len() <= cluster.config().max_nodes as usize);
}

/// What holds after an event.
pub fn check(sim: &mut Sim, before: &View, event: &Event, actions: &[Action]) {
    check_durable_first(sim, before, actions);
    let lost = lost_by(sim, before, event, actions);
    follow_deadlines(sim, before, event, actions);
    let released = flaps::follow(sim, before, event, actions);
    let expected = expected::slots(sim, before, event, actions, &lost, &released);
    check_moves(sim, before, actions, &lost);
    assert_eq!(slots(sim), expected, "after {event:?}, lost {lost:?}");
    check_standing(sim);

    let unknown = match event {
        Event::Message { conn, .. } | Event::Heard { conn } | Event::Closed { conn } => {
            before.of_conn(*conn).is_none()
        }
        _ => false,
    };
    assert!(
        !unknown || actions.is_empty(),
        "an unknown connection is ignored"
    );
    if matches!(event, Event::Tick) {
        assert!(sim.cluster.next_deadline().is_none_or(|at| at.0 > sim.now));
    }
}

fn check_durable_first(sim: &mut Sim, before: &View, actions: &[Action]) {
    let durable = |action: &Action| matches!(action, Action::Commit(_) | Action::Save);
    assert!(
        !actions.iter().skip(1).any(durable),
        "at most one, and first"
    );
    let first = actions.first();
    let saved = sim.cluster.saved();
    assert_eq!(sim.cluster.save(), saved);
    if lasting(saved) != before.saved {
        assert!(
            first.is_some_and(durable),
            "a change that does not survive a restart"
        );
    }
    let commits = actions
        .iter()
        .filter(|action| matches!(action, Action::Commit(_)))
        .count();
    assert_eq!(sim.generation, before.generation + commits as u64);
    assert!(sim.table == before.table || commits == 1);
}

/// Who must be lost to its slot, or altogether, by this event.
fn lost_by(sim: &Sim, before: &View, event: &Event, actions: &[Action]) -> BTreeSet<NodeId> {
    let now = |id: NodeId| sim.cluster.node(id);
    let no_rejoin = sim.cluster.config().rejoin_ms == 0;
    let offence = |conn: ConnId| {
        actions
            .iter()
            .any(|action| matches!(action, Action::Close { conn: c, .. } if *c == conn))
    };
    let lost = match event {
        Event::Hello { conn, hello, .. } => match before.of_conn(*conn) {
            Some(node) => (no_rejoin || node.leaving).then_some(node.id),
            None if welcomed(actions, *conn) && !hello.healthy => before
                .named(&hello.name)
                .filter(|node| node.state == NodeState::Active)
                .map(|n| n.id),
            None => None,
        },
        Event::Message { conn, message } => before.of_conn(*conn).and_then(|node| {
            let lost = match message {
                ToHalod::Leaving => true,
                ToHalod::Unhealthy { .. } => node.state == NodeState::Active,
                _ => (no_rejoin || node.leaving) && offence(*conn),
            };
            lost.then_some(node.id)
        }),
        Event::Heard { .. } => None,
        Event::Closed { conn } => before
            .of_conn(*conn)
            .filter(|node| no_rejoin || node.leaving)
            .map(|node| node.id),
        Event::Probe { reachable, .. } => {
            sim.asked.and_then(|id| before.get(id)).and_then(|node| {
                let away = node.state == NodeState::Active && !node.connected();
                (!reachable && away).then_some(node.id)
            })
        }
        Event::Operator { command, .. } => {
            let ok = actions
                .iter()
                .any(|a| matches!(a, Action::Reply { result: Ok(_), .. }));
            match command {
                Command::Drain(name) | Command::Remove(name) if ok => {
                    before.named(name).map(|node| node.id)
                }
                // One that drained has no slot to lose, and may fill one now.
                Command::Reserve(name) if ok => before
                    .named(name)
                    .filter(|node| node.state == NodeState::Active)
                    .map(|node| node.id),
                _ => None,
            }
        }
        Event::Tick => {
            let late = before
                .next_deadline
                .map_or(0, |due| sim.now.saturating_sub(due))
                > 100;
            let due = sim.due.iter().filter(|(_, due)| due.at <= sim.now);
            return due
                .filter(|(_, due)| !late || due.excused)
                .map(|(id, _)| *id)
                .collect();
        }
    };
    // Unless it is a reserve node that is merely unhealthy or away, it fills no slot now, or lives
    // on as something else.
    if let Some(node) = lost.and_then(now) {
        assert_ne!(node.state, NodeState::Active);
    }
    lost.into_iter().collect()
}

pub fn welcomed(actions: &[Action], conn: ConnId) -> bool {
    actions.iter().any(|action| {
        matches!(action, Action::Send { conn: c, message: FromHalod::Welcome(_) } if *c == conn)
    })
}

/// Keeps `sim.due` by the rules.
fn follow_deadlines(sim: &mut Sim, before: &View, event: &Event, actions: &[Action]) {
    let config = sim.cluster.config();
    let silence = u64::from(config.heartbeat_ms) * u64::from(config.heartbeat_misses);
    let (rejoin, heartbeat) = (u64::from(config.rejoin_ms), u64::from(config.heartbeat_ms));
    let now = sim.now;
    let heard = match event {
        Event::Hello { conn, hello, .. } if welcomed(actions, *conn) => {
            sim.cluster.node_named(&hello.name).map(|node| node.id)
        }
        Event::Message { conn, .. } | Event::Heard { conn } => {
            before.of_conn(*conn).map(|node| node.id)
        }
        _ => None,
    };
    if let Some(id) = heard {
        sim.due.insert(
            id,
            Due {
                at: now + silence,
                excused: false,
            },
        );
    }
    if matches!(event, Event::Tick) {
        let late = before
            .next_deadline
            .is_some_and(|due| now > due + heartbeat);
        for due in sim
            .due
            .values_mut()
            .filter(|due| late && due.at <= now && !due.excused)
        {
            *due = Due {
                at: now + heartbeat,
                excused: true,
            };
        }
    }
    for node in &before.nodes {
        let after = sim
            .cluster
            .node(node.id)
            .filter(|after| after.name == node.name);
        let lost = after.is_none_or(|after| after.state == NodeState::Lost);
        if lost {
            sim.due.remove(&node.id);
        } else if node.connected() && after.is_some_and(|after| !after.connected()) {
            sim.due.insert(
                node.id,
                Due {
                    at: now + rejoin,
                    excused: false,
                },
            );
        }
    }
    // A number freed by this very event may be that of a new node.
    if let Some(id) = heard
        && sim.cluster.node(id).is_some_and(|node| node.connected())
    {
        sim.due.insert(
            id,
            Due {
                at: now + silence,
                excused: false,
            },
        );
    }
}
