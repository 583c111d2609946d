//! Nodes that are lost again and again.

use halod_cluster::{Command, Config, Notice};
use halod_proto::ToHalod;

use crate::sim::{Sim, config, moved, name, notices};

fn flapping(active_min: u32) -> Config {
    Config {
        rejoin_ms: 0,
        hold_back_ms: 1_000,
        hold_back_max_ms: 4_000,
        ..config(24, active_min, 0)
    }
}

fn held_ms(sim: &Sim, node: &str) -> Option<u64> {
    let node = sim.cluster.node_named(&name(node)).expect("known");
    node.held_until.map(|until| until.0 - sim.now)
}

fn losses(sim: &Sim, node: &str) -> u32 {
    sim.cluster.node_named(&name(node)).expect("known").losses
}

#[test]
fn from_the_second_loss_on_a_node_waits_twice_as_long_each_time() {
    let mut sim = Sim::new(flapping(2));
    sim.join_all(&["n1", "n2"]);
    for (held, losses_now) in [
        (None, 1),
        (Some(1_000), 2),
        (Some(2_000), 3),
        (Some(4_000), 4),
        (Some(4_000), 5),
    ] {
        sim.close("n2");
        let actions = sim.join("n2");
        assert_eq!(
            (held_ms(&sim, "n2"), losses(&sim, "n2")),
            (held, losses_now)
        );
        assert_eq!(moved(&actions).is_some(), held.is_none());
        let told = held.map(|held_ms| Notice::NodeHeld {
            node: name("n2"),
            losses: losses_now,
            held_ms,
        });
        assert!(told.is_none_or(|told| notices(&actions).contains(&&told)));
        let Some(held) = held else { continue };
        assert_eq!(moved(&sim.pass(held - 50, &[])), None);
        assert_eq!(
            moved(&sim.pass(50, &[])),
            Some(12),
            "admitted as if it joined"
        );
        assert_eq!(sim.slots(), ["n1", "n2"]);
    }
    sim.pass(3_950, &[]);
    assert_eq!(losses(&sim, "n2"), 5);
    sim.pass(50, &[]);
    assert_eq!(losses(&sim, "n2"), 0, "forgotten");
    sim.close("n2");
    sim.join("n2");
    assert_eq!(held_ms(&sim, "n2"), None);
}

#[test]
fn an_unhealthy_node_is_held_back_too_and_a_leaving_one_is_not() {
    let mut sim = Sim::new(flapping(2));
    sim.join_all(&["n1", "n2"]);
    for held in [None, Some(1_000)] {
        sim.unhealthy("n2");
        sim.say("n2", ToHalod::Healthy);
        assert_eq!(held_ms(&sim, "n2"), held);
    }
    // In reserve, unhealthy is no loss.
    sim.unhealthy("n2");
    sim.say("n2", ToHalod::Healthy);
    assert_eq!((held_ms(&sim, "n2"), losses(&sim, "n2")), (Some(1_000), 2));
    for _ in 0..3 {
        sim.say("n1", ToHalod::Leaving);
        sim.join("n1");
        assert_eq!(losses(&sim, "n1"), 0);
    }
}

#[test]
fn a_held_node_is_better_than_none() {
    let mut sim = Sim::new(flapping(1));
    sim.join("n1");
    for _ in 0..3 {
        sim.close("n1");
        assert_eq!(sim.slots(), ["-"]);
        assert_eq!(moved(&sim.join("n1")), Some(24));
    }
    assert_eq!(losses(&sim, "n1"), 3);
    // With another node there it waits.
    sim.join("n2");
    sim.close("n1");
    sim.join("n1");
    assert_eq!(sim.slots(), ["n2"]);
    assert_eq!(held_ms(&sim, "n1"), Some(4_000));
    sim.close("n2");
    assert_eq!(sim.slots(), ["n1"], "n2 is lost");
}

#[test]
fn a_held_node_does_not_count_as_reserve_and_an_operator_may_use_it() {
    let mut sim = Sim::new(flapping(1));
    sim.join_all(&["n1", "n2"]);
    for _ in 0..2 {
        sim.close("n2");
        sim.join("n2");
    }
    assert_eq!(sim.slots(), ["n1"]);
    let refused = sim.operator(Command::Reserve(name("n1"))).0;
    assert!(
        refused
            .expect_err("n2 is held back")
            .contains("only active node")
    );
    sim.operator(Command::Activate(name("n2")))
        .0
        .expect("an operator knows better");
    assert_eq!((held_ms(&sim, "n2"), losses(&sim, "n2")), (None, 2));
    assert_eq!(sim.slots(), ["n1", "n2"]);
}

#[test]
fn a_node_that_is_away_when_its_time_is_over_is_admitted_when_it_is_back() {
    let mut sim = Sim::new(Config {
        rejoin_ms: 2_000,
        ..flapping(2)
    });
    sim.join_all(&["n1", "n2"]);
    sim.lose("n2");
    sim.join("n2");
    sim.lose("n2");
    sim.join("n2");
    assert_eq!(held_ms(&sim, "n2"), Some(1_000));
    sim.close("n2");
    assert_eq!(moved(&sim.pass(1_500, &[])), None);
    assert_eq!(moved(&sim.join("n2")), Some(12));
}
