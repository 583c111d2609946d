//! Nodes on their way out: by an operator's will, or their own.

use halod_cluster::{Action, Command, NodeState, Notice};
use halod_proto::{FromHalod, ToHalod};

use crate::drains::{drained, draining, kept, state, told};
use crate::sim::{Sim, close_reason, config, moved, name, notices};

#[test]
fn a_drained_node_is_told_when_it_may_stop_and_can_be_had_back() {
    let mut sim = Sim::new(draining(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    sim.pass(60_000, &[]);
    let (result, actions) = sim.operator(Command::Drain(name("n2")));
    assert_eq!(
        result,
        Ok("n2 is draining; it left slot 2, and keeps its connections for 60000 ms at most".into())
    );
    assert_eq!(moved(&actions), Some(12));
    assert_eq!(state(&sim, "n2"), NodeState::Draining);
    let lines = told(&sim, "n2", &actions);
    assert!(
        lines.len() == 1 && lines[0].starts_with("{\"type\":\"drain\""),
        "{lines:?}"
    );

    let refused = sim.operator(Command::Drain(name("n2"))).0;
    assert_eq!(refused, Err("n2 is draining already".into()));
    drained(&mut sim, "n2", "13-23");
    let actions = drained(&mut sim, "n2", "24");
    let generation = sim.generation;
    assert_eq!(
        told(&sim, "n2", &actions),
        [format!(
            "{{\"type\":\"may_stop\",\"generation\":{generation}}}"
        )]
    );
    let empty = Notice::NodeEmpty { node: name("n2") };
    assert!(notices(&actions).contains(&&empty));
    // It stays, and comes back as what it is.
    sim.say(
        "n2",
        ToHalod::Unhealthy {
            reason: "stopped".into(),
        },
    );
    sim.say("n2", ToHalod::Healthy);
    sim.close("n2");
    let actions = sim.join("n2");
    assert!(told(&sim, "n2", &actions)[1].contains("may_stop"));
    assert_eq!(state(&sim, "n2"), NodeState::Draining);

    let (result, actions) = sim.operator(Command::Reserve(name("n2")));
    assert_eq!(result, Ok("n2 is in reserve".into()));
    assert!(told(&sim, "n2", &actions)[0].contains("\"reserve\""));
    assert_eq!(state(&sim, "n2"), NodeState::Reserve);
    sim.operator(Command::Activate(name("n2")))
        .0
        .expect("it is there");
    sim.operator(Command::Drain(name("n2")))
        .0
        .expect("it is active");
    sim.operator(Command::Activate(name("n2")))
        .0
        .expect("taken back");
    assert_eq!(sim.slots(), ["n1", "n2"]);
    assert_eq!(kept(&sim, "n2"), "");
}

#[test]
fn drain_is_refused_with_a_reason() {
    let mut sim = Sim::new(draining(24, 1, 1));
    sim.join("n1");
    let refused = |sim: &mut Sim, node: &str, says: &str| {
        let error = sim.operator(Command::Drain(name(node))).0.expect_err(says);
        assert!(error.contains(says), "{error}");
    };
    refused(&mut sim, "n1", "only active node");
    sim.join("n2");
    refused(&mut sim, "n2", "nothing to drain");
    refused(&mut sim, "n9", "there is no node n9");
    sim.close("n1");
    refused(&mut sim, "n1", "away");
    sim.pass(2_000, &[]);
    refused(&mut sim, "n1", "lost");
    sim.join("n1");
    sim.operator(Command::Drain(name("n2")))
        .0
        .expect("n1 takes its place");
    assert_eq!(sim.slots(), ["n1"]);
    refused(&mut sim, "n2", "draining already");
}

#[test]
fn a_drained_node_fills_no_slot_by_itself() {
    let mut sim = Sim::new(draining(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    sim.operator(Command::Drain(name("n2")))
        .0
        .expect("n1 is left");
    sim.lose("n1");
    assert_eq!(sim.slots(), ["-"]);
    sim.join("n3");
    assert_eq!(sim.slots(), ["n3"]);
}

#[test]
fn a_leaving_node_goes_when_its_last_connection_has_ended() {
    let mut sim = Sim::new(draining(24, 2, 1));
    sim.join_all(&["n1", "n2", "n3"]);
    let actions = sim.say("n2", ToHalod::Leaving);
    assert_eq!(sim.slots(), ["n1", "n3"]);
    assert_eq!(close_reason(&actions), None);
    assert_eq!(
        (state(&sim, "n2"), kept(&sim, "n2")),
        (NodeState::Draining, "13-24".into())
    );
    assert_eq!(sim.say("n2", ToHalod::Leaving), [], "said again");
    for command in [Command::Activate(name("n2")), Command::Reserve(name("n2"))] {
        let error = sim.operator(command).0.expect_err("it leaves");
        assert!(error.contains("leaves"), "{error}");
    }
    let actions = drained(&mut sim, "n2", "13-24");
    let lines = told(&sim, "n2", &actions);
    assert!(
        lines.len() == 2 && lines[0].contains("may_stop"),
        "{lines:?}"
    );
    assert_eq!(close_reason(&actions), Some("the node leaves"));
    assert_eq!(state(&sim, "n2"), NodeState::Lost);
    let left = notices(&actions)
        .iter()
        .any(|notice| notice.to_string() == "n2 has left");
    assert!(left);
}

#[test]
fn a_reserve_node_leaves_at_once() {
    let mut sim = Sim::new(draining(24, 1, 1));
    sim.join_all(&["n1", "n2"]);
    let actions = sim.say("n2", ToHalod::Leaving);
    assert_eq!(actions[0], Action::Save);
    assert_eq!(state(&sim, "n2"), NodeState::Lost);
}

#[test]
fn a_leaving_node_that_closes_is_gone_at_once() {
    let mut sim = Sim::new(draining(24, 2, 1));
    sim.join_all(&["n1", "n2", "n3"]);
    sim.say("n2", ToHalod::Leaving);
    assert_eq!(moved(&sim.close("n2")), Some(0));
    assert_eq!(
        (state(&sim, "n2"), kept(&sim, "n2")),
        (NodeState::Lost, String::new())
    );
}

#[test]
fn a_leaving_node_that_says_hello_stays() {
    let mut sim = Sim::new(draining(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    sim.say("n2", ToHalod::Leaving);
    assert_eq!(moved(&sim.join("n2")), Some(12));
    assert_eq!(sim.slots(), ["n1", "n2"]);
    assert_eq!(kept(&sim, "n2"), "");
}

#[test]
fn removing_a_draining_node_cuts_what_it_keeps() {
    let mut sim = Sim::new(draining(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    sim.operator(Command::Drain(name("n2")))
        .0
        .expect("n1 is left");
    let (result, actions) = sim.operator(Command::Remove(name("n2")));
    assert_eq!(result, Ok("n2 is removed; it was draining".into()));
    let lines = told(&sim, "n2", &actions);
    assert!(
        lines[0].starts_with("{\"type\":\"route_moved\""),
        "{lines:?}"
    );
    assert_eq!(sim.cluster.drains().count(), 0);
}

#[test]
fn a_drain_of_zero_cuts() {
    let mut sim = Sim::new(config(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    let (result, actions) = sim.operator(Command::Drain(name("n2")));
    assert!(
        result
            .expect("n1 is left")
            .ends_with("and keeps no connections: drain is 0")
    );
    let lines = told(&sim, "n2", &actions);
    assert!(lines[0].starts_with("{\"type\":\"route_moved\""));
    assert!(lines[1].starts_with("{\"type\":\"may_stop\""));
    assert_eq!(sim.cluster.drains().count(), 0);
}

#[test]
fn a_node_with_connections_only_may_have_another_address() {
    let mut sim = Sim::new(draining(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    sim.operator(Command::Drain(name("n2")))
        .0
        .expect("n1 is left");
    let mut hello = sim.hello_of("n2");
    hello.addresses = vec!["192.0.2.99".parse().expect("an address")];
    let actions = sim.hello(hello);
    assert_eq!(moved(&actions), Some(0), "the kernel must know");
    let welcome = actions.iter().any(|action| {
        matches!(action, Action::Send { message: FromHalod::Welcome(w), .. } if w.state == NodeState::Draining)
    });
    assert!(welcome);
}
