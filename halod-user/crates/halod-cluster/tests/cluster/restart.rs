//! What survives a restart, and what is refused as damaged.

use std::sync::Arc;

use halod_cluster::{Action, Cluster, Config, ConfigError, RestoreError, Saved, Select, Time};
use serde_json::{Value, json};

use crate::sim::{Sim, close_reason, config, moved};

#[test]
fn nodes_that_come_back_within_the_grace_keep_everything() {
    let mut sim = Sim::new(config(24, 3, 1));
    sim.join_all(&["n1", "n2", "n3", "n4"]);
    sim.restart();
    assert_eq!(moved(&sim.pass(4_900, &[])), None);
    for node in ["n1", "n2", "n3", "n4"] {
        assert_eq!(moved(&sim.join(node)), None);
    }
    sim.pass(1_000, &[]);
    assert_eq!(sim.slots(), ["n1", "n2", "n3"]);
    assert_eq!(sim.generation, 3);
}

#[test]
fn a_node_that_does_not_is_lost_and_its_slot_filled() {
    let mut sim = Sim::new(config(24, 3, 1));
    sim.join_all(&["n1", "n2", "n3", "n4"]);
    sim.restart();
    let mut hello = sim.hello_of("n1");
    hello.resume = None;
    assert!(
        close_reason(&sim.hello(hello))
            .expect("refused")
            .starts_with("name in use")
    );
    sim.join_all(&["n1", "n3", "n4"]);
    assert_eq!(moved(&sim.pass(5_000, &[])), Some(8));
    assert_eq!(sim.slots(), ["n1", "n4", "n3"]);
}

#[test]
fn a_cluster_without_any_node_comes_back_too() {
    let mut sim = Sim::new(config(24, 1, 0));
    sim.restart();
    sim.join("n1");
    sim.lose("n1");
    sim.restart();
    assert_eq!(sim.slots(), ["-"]);
    sim.join("n2");
    assert_eq!(sim.slots(), ["n2"]);
}

fn saved() -> Value {
    let mut sim = Sim::new(config(24, 2, 1));
    sim.join_all(&["n1", "n2", "n3"]);
    serde_json::to_value(sim.cluster.saved()).expect("JSON")
}

fn restore(config: Config, saved: Value) -> Result<Cluster, RestoreError> {
    let saved: Saved = serde_json::from_value(saved).expect("the form is right");
    Cluster::restore(config, saved, Time(0))
}

#[test]
fn a_node_whose_token_is_not_known_is_taken_at_its_first_hello() {
    let mut sim = Sim::new(config(24, 2, 1));
    sim.join_all(&["n1", "n2"]);
    // As after the loss of the store: the kernel's table tells of nodes, not of tokens.
    let mut saved = sim.cluster.saved();
    for node in &mut saved.nodes {
        Arc::make_mut(node).token.clear();
    }
    sim.restart();
    sim.cluster = Cluster::restore(config(24, 2, 1), saved, Time(sim.now)).expect("undamaged");

    let mut hello = sim.hello_of("n1");
    hello.resume = None;
    let actions = sim.hello(hello.clone());
    assert_eq!(actions[0], Action::Save, "its new token survives a restart");
    assert_eq!(moved(&actions), None);
    assert_eq!(sim.agent("n1").held.len(), 12);
    // From then on the name is in use.
    assert!(
        close_reason(&sim.hello(hello.clone()))
            .expect("refused")
            .starts_with("name in use")
    );
    sim.close("n1");
    assert!(
        close_reason(&sim.hello(hello))
            .expect("refused")
            .starts_with("name in use")
    );
    sim.join("n1");
    assert_eq!(sim.slots(), ["n1", "n2"]);
}

#[test]
fn superseding_a_generation_goes_beyond_it_and_ones_own() {
    let mut cluster = Cluster::new(config(24, 2, 1)).expect("a good configuration");
    assert_eq!(cluster.supersede(41), 42);
    assert_eq!(cluster.supersede(7), 43);
    assert_eq!(cluster.generation(), 43);
    assert_eq!(cluster.saved().generation, 43);
}

#[test]
fn another_number_of_routes_is_refused() {
    let error = restore(config(32, 2, 1), saved()).expect_err("24 were saved");
    assert_eq!(
        error,
        RestoreError::Routes {
            saved: 24,
            config: 32
        }
    );
    assert!(error.to_string().contains("set routes = 24"));
}

#[test]
fn what_contradicts_itself_is_refused() {
    restore(config(24, 2, 1), saved()).expect("as it was saved");
    let damage = |pointer: &str, value: Value, says: &str| {
        let mut saved = saved();
        *saved.pointer_mut(pointer).expect(pointer) = value;
        let error = restore(config(24, 2, 1), saved)
            .expect_err(says)
            .to_string();
        assert!(error.contains(says), "{error}");
    };
    damage("/slots", json!(1), "node n2 fills slot 2, and there are 1");
    damage("/slots", json!(3), "slot 3 has no node");
    damage("/slots", json!(25), "25 slots for 24 routes");
    damage("/slots", json!(4_000_000_000_u32), "4000000000 slots");
    damage("/nodes/0/slot", json!(0), "slot 0");
    damage("/nodes/0/slot", json!(2), "slot 2 is filled twice");
    damage("/nodes/0/slot", json!(null), "is active and fills no slot");
    damage("/nodes/0/state", json!("lost"), "is lost and fills slot 1");
    damage(
        "/nodes/0/state",
        json!("draining"),
        "is draining and fills slot 1",
    );
    damage("/nodes/0/id", json!(0), "has the number 0");
    damage("/nodes/0/id", json!(2), "there twice");
    damage("/nodes/0/name", json!("n2"), "there twice");
}

#[test]
fn a_configuration_out_of_range_is_refused() {
    let refused = |change: &dyn Fn(&mut Config), says: &str| {
        let mut config = config(24, 2, 1);
        change(&mut config);
        let error: ConfigError = Cluster::new(config).expect_err(says);
        assert!(error.to_string().contains(says), "{error}");
    };
    refused(&|c| c.routes = 0, "routes is 0; it must be 1 to 65536");
    refused(&|c| c.active_min = 0, "active_min is 0");
    refused(
        &|c| c.active_min = 25,
        "active_min is 25; it must be 1 to 24",
    );
    refused(&|c| c.heartbeat_ms = 0, "heartbeat_ms is 0");
    refused(&|c| c.heartbeat_misses = 0, "heartbeat_misses is 0");
    refused(&|c| c.max_nodes = 4_097, "max_nodes is 4097");
    refused(
        &|c| c.listeners[0].port = 65_513,
        "port 65513 of listener \"browsers\"",
    );
    refused(&|c| c.listeners[0].node_port = Some(0), "node_port 0");
    let mut one_port = config(24, 2, 1);
    one_port.listeners[0].port = 65_535;
    one_port.listeners[0].select = Select::Source;
    Cluster::new(one_port).expect("one port for all routes may be the last");
}
