//! Which node must fill which slot after an event, worked out from the rules and the state before.

use std::collections::BTreeSet;

use halod_cluster::{Action, Command, Event, NodeId, NodeState, Notice};
use halod_proto::ToHalod;

use crate::oracle::{View, welcomed};
use crate::sim::Sim;

/// The slots after an event, by the rules, from those before it.
pub fn slots(
    sim: &Sim,
    before: &View,
    event: &Event,
    actions: &[Action],
    lost: &BTreeSet<NodeId>,
    released: &[NodeId],
) -> Vec<Option<NodeId>> {
    let config = sim.cluster.config();
    let mut slots = before.slots.clone();
    for slot in &mut slots {
        *slot = slot.filter(|id| !lost.contains(id));
    }
    let after = |id: NodeId| sim.cluster.node(id);
    let there = |id: NodeId| after(id).is_some_and(|node| node.connected() && node.healthy);
    let held = |id: NodeId| {
        let before = before
            .get(id)
            .filter(|node| after(id).is_some_and(|a| a.name == node.name));
        let was = before.is_some_and(|node| node.held_until.is_some());
        let is = after(id).is_some_and(|node| node.held_until.is_some());
        (is || was) && !released.contains(&id)
    };
    let fit = |id: NodeId| there(id) && !held(id);

    // A node that begins to wait with this event, and is admitted.
    let newcomer = match event {
        Event::Hello { conn, hello, .. } if welcomed(actions, *conn) => {
            let former = before.named(&hello.name);
            let resumed =
                former.is_some_and(|n| n.state != NodeState::Lost && n.healthy && !n.leaving);
            let drained = former.is_some_and(|n| n.state == NodeState::Draining && !n.leaving);
            let resumed = resumed || drained;
            let node = sim.cluster.node_named(&hello.name);
            node.filter(|_| !resumed).map(|node| node.id)
        }
        Event::Message {
            conn,
            message: ToHalod::Healthy,
        } => before
            .of_conn(*conn)
            .filter(|node| !node.healthy && node.state != NodeState::Draining)
            .map(|node| node.id),
        _ => None,
    };
    let newcomers: Vec<NodeId> = newcomer
        .into_iter()
        .filter(|id| !released.contains(id))
        .chain(released.iter().copied())
        .filter(|id| fit(*id))
        .collect();
    let parked = |id: NodeId| {
        // A node that was lost begins anew.
        let former = before
            .get(id)
            .filter(|node| after(id).is_some_and(|a| a.name == node.name));
        former.is_some_and(|node| node.parked && node.state != NodeState::Lost && !node.leaving)
    };

    let mut waiting: Vec<NodeId> = before
        .nodes
        .iter()
        .filter(|node| node.state == NodeState::Reserve && !lost.contains(&node.id))
        .map(|node| node.id)
        .filter(|id| !newcomers.contains(id) && fit(*id))
        .collect();
    waiting.extend(&newcomers);
    // Back from draining, for vacant slots alone; `parked` until it is put to work.
    let taken_back = match event {
        Event::Operator {
            command: Command::Reserve(name),
            ..
        } => before
            .named(name)
            .filter(|node| node.state == NodeState::Draining)
            .map(|node| node.id)
            .filter(|id| fit(*id) && after(*id).is_some_and(|a| a.state != NodeState::Draining)),
        _ => None,
    };
    waiting.extend(taken_back);
    // Who waits with them, but not to be put to work by this event.
    let mut last_resort: Vec<NodeId> = before
        .nodes
        .iter()
        .filter(|node| node.state == NodeState::Reserve && !lost.contains(&node.id))
        .map(|node| node.id)
        .filter(|id| there(*id) && held(*id))
        .collect();
    last_resort.extend(newcomer.filter(|id| there(*id) && held(*id)));
    let mut last_seen = BTreeSet::new();
    last_resort.reverse();
    last_resort.retain(|id| last_seen.insert(*id));
    last_resort.reverse();

    let filled = |slots: &[Option<NodeId>]| slots.iter().flatten().count();
    let room = |slots: &[Option<NodeId>]| slots.len() < config.routes as usize;
    let ok = actions
        .iter()
        .any(|a| matches!(a, Action::Reply { result: Ok(_), .. }));
    if let Event::Operator {
        command: Command::Activate(name),
        ..
    } = event
        && ok
    {
        slots.extend(before.named(name).map(|node| Some(node.id)));
    }
    let mut counted: BTreeSet<NodeId> = before
        .nodes
        .iter()
        .filter(|node| {
            let there = after(node.id).is_some_and(|after| after.name == node.name);
            let waits = node.state == NodeState::Reserve && node.held_until.is_none();
            waits && there && node.healthy && !lost.contains(&node.id)
        })
        .map(|node| node.id)
        .collect();
    for id in newcomers.iter().filter(|id| !parked(**id)) {
        counted.remove(id);
        let enough = filled(&slots) >= config.active_min as usize;
        if enough && counted.len() >= config.reserve as usize && room(&slots) {
            slots.push(Some(*id));
        } else {
            counted.insert(*id);
        }
    }
    if let Some((id, up)) = scaled(sim, actions) {
        check_scaling(sim, before, up);
        if up {
            let longest = waiting.iter().find(|id| !parked(**id));
            assert_eq!(longest, Some(&id));
            slots.push(Some(id));
        } else {
            assert_eq!(slots.pop(), Some(Some(id)));
        }
    }
    waiting.retain(|id| !slots.contains(&Some(*id)));

    // A reserve node fills each vacant slot; the longest waiting first.
    while let Some(vacant) = slots.iter().position(Option::is_none) {
        if waiting.is_empty() {
            break;
        }
        slots[vacant] = Some(waiting.remove(0));
    }
    // Else the node of the highest slot does.
    while slots.len() > 1 && slots.contains(&None) {
        let highest = slots.pop().flatten();
        if let (Some(vacant), Some(highest)) = (slots.iter().position(Option::is_none), highest) {
            slots[vacant] = Some(highest);
        }
    }
    // Up to active_min.
    waiting.retain(|id| !parked(*id) && taken_back != Some(*id));
    while filled(&slots) < config.active_min as usize && room(&slots) && !waiting.is_empty() {
        slots.push(Some(waiting.remove(0)));
    }
    // One that is held back is better than none.
    if filled(&slots) == 0 && !last_resort.is_empty() {
        slots = vec![Some(last_resort[0])];
    }
    slots
}

/// Which node was put to work by load, or into reserve.
fn scaled(sim: &Sim, actions: &[Action]) -> Option<(NodeId, bool)> {
    actions.iter().find_map(|action| match action {
        Action::Notice(Notice::Scaled { node, up, .. }) => {
            Some((sim.cluster.node_named(node)?.id, *up))
        }
        _ => None,
    })
}

/// A step by load was right to make.
fn check_scaling(sim: &Sim, before: &View, up: bool) {
    let config = sim.cluster.config();
    let scale = config.scale.expect("scaling is on");
    let active = before.slots.len() as f64;
    let connected = before.nodes.iter().filter(|node| node.connected());
    let loads = connected.filter_map(|node| sim.loads.get(node.name.as_str()));
    let total = loads.sum::<u64>() as f64;
    if up {
        assert!(total / active > scale.up_at);
    } else {
        assert!(before.slots.len() > config.active_min as usize);
        assert!(total / (active - 1.0) < scale.down_at);
    }
}
