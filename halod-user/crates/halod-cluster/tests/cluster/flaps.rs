//! Who must be held back, by the rules, from the events alone.

use halod_cluster::{Action, Event, LossCause, NodeId, NodeState, Notice};

use crate::oracle::View;
use crate::sim::{Flaps, Sim};

/// Follows an event. Returns the nodes that are held back no longer, in their order.
pub fn follow(sim: &mut Sim, before: &View, event: &Event, actions: &[Action]) -> Vec<NodeId> {
    let config = sim.cluster.config();
    let (hold, max) = (
        u64::from(config.hold_back_ms),
        u64::from(config.hold_back_max_ms),
    );
    let now = sim.now;
    let mut flaps = std::mem::take(&mut sim.flaps);
    flaps.retain(|id, _| sim.cluster.node(*id).is_some_and(|node| before.knows(node)));

    // Before what an event does to a node: where it was held back and is put to work or goes.
    let end_hold = |flaps: &mut Flaps| {
        if flaps.held.take().is_some() {
            flaps.forget = now + max;
        }
    };
    for action in actions {
        let Action::Notice(Notice::NodeLost { node, cause, .. }) = action else {
            continue;
        };
        let Some(node) = sim.cluster.node_named(node) else {
            continue;
        };
        let flaps = flaps.entry(node.id).or_default();
        end_hold(flaps);
        if !matches!(cause, LossCause::Leaving | LossCause::Removed) && hold > 0 {
            flaps.losses += 1;
            flaps.owed = flaps.losses > 1;
            flaps.forget = now + max;
        }
    }
    for former in &before.nodes {
        let Some(node) = sim
            .cluster
            .node(former.id)
            .filter(|node| before.knows(node))
        else {
            continue;
        };
        let flaps = flaps.entry(node.id).or_default();
        let back = former.state == NodeState::Lost && node.state != NodeState::Lost
            || !former.healthy && node.healthy && node.state != NodeState::Draining;
        if back && std::mem::take(&mut flaps.owed) {
            let doubled = hold << (flaps.losses - 2).min(30);
            flaps.held = Some(now + doubled.min(max));
            flaps.forget = now + doubled.min(max);
        }
        if node.state == NodeState::Draining && former.state != NodeState::Draining {
            end_hold(flaps);
        }
    }
    let mut released = Vec::new();
    if matches!(event, Event::Tick) {
        let mut due: Vec<(u64, NodeId)> = flaps
            .iter()
            .filter(|(_, f)| f.forget <= now && f.losses > 0)
            .map(|(id, flaps)| (flaps.forget, *id))
            .collect();
        due.sort();
        for (_, id) in due {
            let connected = sim.cluster.node(id).is_some_and(|node| node.connected());
            let flaps = flaps.get_mut(&id).expect("it is due");
            match flaps.held {
                None => *flaps = Flaps::default(),
                Some(_) => {
                    flaps.forget = now + max;
                    if connected {
                        flaps.held = None;
                        released.push(id);
                    }
                }
            }
        }
    }
    if let Event::Hello { hello, .. } = event
        && let Some(node) = sim.cluster.node_named(&hello.name)
        && let Some(flaps) = flaps.get_mut(&node.id)
        && node.connected()
        && flaps.held.is_some_and(|held| held <= now)
    {
        flaps.held = None;
        released.push(node.id);
    }
    for node in sim
        .cluster
        .nodes()
        .filter(|node| node.state == NodeState::Active)
    {
        if let Some(flaps) = flaps.get_mut(&node.id) {
            end_hold(flaps);
        }
    }
    sim.flaps = flaps;
    released
}

/// What holds at any time.
pub fn check(sim: &Sim) {
    for node in sim.cluster.nodes() {
        let flaps = sim.flaps.get(&node.id).copied().unwrap_or_default();
        assert_eq!(node.losses, flaps.losses, "{node:?}");
        assert_eq!(node.held_until.map(|until| until.0), flaps.held, "{node:?}");
        assert!(node.held_until.is_none() || node.state == NodeState::Reserve);
    }
}

/// When something is due.
pub fn next(sim: &Sim) -> Option<u64> {
    let timed = sim.flaps.values().filter(|flaps| flaps.losses > 0);
    timed.map(|flaps| flaps.forget).min()
}
