//! Commands of an operator.

use halod_cluster::Command;
use halod_proto::ToHalod;

use crate::sim::{Sim, close_reason, config, moved, name};

fn activate(sim: &mut Sim, node: &str) -> Result<String, String> {
    sim.operator(Command::Activate(name(node))).0
}

fn reserve(sim: &mut Sim, node: &str) -> Result<String, String> {
    sim.operator(Command::Reserve(name(node))).0
}

fn remove(sim: &mut Sim, node: &str) -> Result<String, String> {
    sim.operator(Command::Remove(name(node))).0
}

fn assert_refused(result: Result<String, String>, says: &str) {
    let error = result.expect_err(says);
    assert!(error.contains(says), "{error}");
}

#[test]
fn activate_adds_a_slot() {
    let mut sim = Sim::new(config(24, 1, 1));
    sim.join_all(&["n1", "n2"]);
    let (result, actions) = sim.operator(Command::Activate(name("n2")));
    assert_eq!(result, Ok("n2 is active: slot 2, 12 routes".into()));
    assert_eq!(moved(&actions), Some(12));
}

#[test]
fn activate_is_refused_with_a_reason() {
    let mut sim = Sim::new(config(2, 2, 2));
    sim.join_all(&["n1", "n2", "n3", "n4"]);
    assert_refused(activate(&mut sim, "n9"), "there is no node n9");
    assert_refused(activate(&mut sim, "n1"), "active already");
    assert_refused(activate(&mut sim, "n3"), "3 slots for 2 routes");
    sim.unhealthy("n3");
    assert_refused(activate(&mut sim, "n3"), "unhealthy");
    sim.close("n4");
    assert_refused(activate(&mut sim, "n4"), "away");
    sim.pass(2_000, &[]);
    assert_refused(activate(&mut sim, "n4"), "lost");
}

#[test]
fn reserve_lets_another_reserve_node_fill_the_slot() {
    let mut sim = Sim::new(config(24, 2, 1));
    sim.join_all(&["n1", "n2", "n3"]);
    let (result, actions) = sim.operator(Command::Reserve(name("n1")));
    assert_eq!(result, Ok("n1 is in reserve; it left slot 1".into()));
    assert_eq!(moved(&actions), Some(12));
    assert_eq!(sim.slots(), ["n3", "n2"]);
}

#[test]
fn reserve_without_another_is_the_reverse_process_and_lasts() {
    let mut sim = Sim::new(config(24, 3, 1));
    sim.join_all(&["n1", "n2", "n3"]);
    reserve(&mut sim, "n1").expect("two remain");
    assert_eq!(sim.slots(), ["n3", "n2"]);
    // Not undone for the sake of active_min.
    sim.pass(1_000, &[]);
    sim.close("n1");
    sim.join("n1");
    sim.restart();
    sim.join_all(&["n1", "n2", "n3"]);
    assert_eq!(sim.slots(), ["n3", "n2"]);
    sim.unhealthy("n1");
    sim.say("n1", ToHalod::Healthy);
    assert_eq!(sim.slots(), ["n3", "n2"]);
    // But a slot without a node is worse.
    sim.lose("n3");
    assert_eq!(sim.slots(), ["n1", "n2"]);
}

#[test]
fn reserve_is_refused_where_no_active_node_would_be_left() {
    let mut sim = Sim::new(config(24, 1, 1));
    sim.join("n1");
    assert_refused(reserve(&mut sim, "n1"), "only active node");
    sim.join("n2");
    assert_refused(reserve(&mut sim, "n2"), "in reserve already");
    reserve(&mut sim, "n1").expect("n2 takes its place");
    assert_eq!(sim.slots(), ["n2"]);
    sim.close("n2");
    assert_refused(reserve(&mut sim, "n2"), "away");
    assert_refused(reserve(&mut sim, "n9"), "there is no node");
}

#[test]
fn reserve_takes_a_draining_node_back_for_a_slot_without_one() {
    let mut sim = Sim::new(config(24, 1, 1));
    sim.join_all(&["n1", "n2"]);
    sim.operator(Command::Drain(name("n1")))
        .0
        .expect("n2 takes its place");
    sim.unhealthy("n2");
    assert_eq!(sim.slots(), ["-"]);
    let result = reserve(&mut sim, "n1").expect("it is there");
    assert!(result.contains("slot 1 was without a node"), "{result}");
    assert_eq!(sim.slots(), ["n1"]);
    // While there is another, it waits.
    sim.say("n2", ToHalod::Healthy);
    sim.operator(Command::Drain(name("n1")))
        .0
        .expect("n2 takes its place");
    assert_eq!(reserve(&mut sim, "n1"), Ok("n1 is in reserve".into()));
    assert_eq!(sim.slots(), ["n2"]);
}

#[test]
fn remove_fills_the_slot_deletes_the_record_and_closes() {
    let mut sim = Sim::new(config(24, 2, 1));
    sim.join_all(&["n1", "n2", "n3"]);
    let (result, actions) = sim.operator(Command::Remove(name("n1")));
    assert_eq!(result, Ok("n1 is removed; it was active".into()));
    assert_eq!(moved(&actions), Some(12));
    assert!(
        close_reason(&actions)
            .expect("closed")
            .contains("removed by an operator")
    );
    assert_eq!(sim.slots(), ["n3", "n2"]);
    assert_eq!(sim.cluster.node_named(&name("n1")), None);
    assert_refused(remove(&mut sim, "n1"), "there is no node n1");
    assert!(
        !sim.cluster
            .saved()
            .nodes
            .iter()
            .any(|node| node.name == name("n1"))
    );
}

#[test]
fn remove_takes_any_node_the_last_one_too() {
    let mut sim = Sim::new(config(24, 1, 1));
    sim.join_all(&["n1", "n2", "n3"]);
    sim.lose("n3");
    for node in ["n3", "n2", "n1"] {
        remove(&mut sim, node).expect("it is known");
    }
    assert_eq!(sim.slots(), ["-"]);
    assert_eq!(sim.cluster.nodes().len(), 0);
    sim.join("n1");
    assert_eq!(sim.slots(), ["n1"]);
}
