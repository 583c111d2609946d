//! Connections: tokens, heartbeats, and what nobody should send.

use halod_cluster::{Action, ConnId, Event, NodeState, Notice};
use halod_proto::ToHalod;

use crate::sim::{Sim, close_reason, config, moved, name, notices};

#[test]
fn a_name_in_use_is_taken_over_only_with_its_token() {
    let mut sim = Sim::new(config(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    let conn = sim.agent("n1").conn;
    for token in [None, Some("0".repeat(32))] {
        let mut hello = sim.hello_of("n1");
        hello.resume = token;
        let actions = sim.hello(hello);
        assert!(
            close_reason(&actions)
                .expect("refused")
                .starts_with("name in use")
        );
    }
    assert_eq!(
        sim.agent("n1").conn,
        conn,
        "the first connection is untouched"
    );

    let actions = sim.join("n1");
    let Some(Action::Close { conn: closed, .. }) = actions.first() else {
        panic!("the former connection is closed first: {actions:?}");
    };
    assert_eq!(Some(*closed), conn);
    assert_eq!(moved(&actions), None);
    assert_ne!(sim.agent("n1").conn, conn);
}

#[test]
fn within_the_rejoin_window_the_token_is_asked_for_too() {
    let mut sim = Sim::new(config(24, 1, 0));
    sim.join("n1");
    sim.close("n1");
    let mut hello = sim.hello_of("n1");
    hello.resume = None;
    assert!(
        close_reason(&sim.hello(hello))
            .expect("refused")
            .starts_with("name in use")
    );
    assert_eq!(moved(&sim.join("n1")), None);
    assert_eq!(sim.slots(), ["n1"]);
}

#[test]
fn a_second_hello_closes_that_connection() {
    let mut sim = Sim::new(config(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    let hello = sim.hello_of("n1");
    let actions = sim.say("n1", ToHalod::Hello(hello.clone()));
    assert!(
        close_reason(&actions)
            .expect("closed")
            .contains("second hello")
    );
    assert_eq!(moved(&actions), None, "its node may come back");
    sim.join("n1");

    let conn = sim.agent("n1").conn.expect("connected");
    let actions = sim.handle(Event::Hello {
        conn,
        hello,
        token: "f".repeat(32),
    });
    assert!(
        close_reason(&actions)
            .expect("closed")
            .contains("second hello")
    );
    assert_eq!(sim.slots(), ["n1", "n2"]);
}

#[test]
fn a_heartbeat_that_does_not_rise_closes_that_connection() {
    let mut sim = Sim::new(config(24, 1, 0));
    sim.join("n1");
    let beat = |seq| ToHalod::Heartbeat { seq, load: None };
    assert_eq!(sim.say("n1", beat(u64::MAX - 2)), []);
    assert_eq!(sim.say("n1", beat(u64::MAX - 1)), []);
    let actions = sim.say("n1", beat(u64::MAX - 1));
    assert!(
        close_reason(&actions)
            .expect("closed")
            .contains("seq rises")
    );
    sim.join("n1");
    assert_eq!(sim.say("n1", beat(0)), [], "a new connection counts anew");
}

#[test]
fn what_comes_from_an_unknown_connection_is_ignored() {
    let mut sim = Sim::new(config(24, 1, 0));
    sim.join("n1");
    let former = sim.agent("n1").conn.expect("connected");
    sim.join("n1");
    for conn in [former, ConnId(99), ConnId(u64::MAX)] {
        for message in [
            ToHalod::Healthy,
            ToHalod::Unhealthy {
                reason: "late".into(),
            },
            ToHalod::Leaving,
            ToHalod::Heartbeat { seq: 0, load: None },
            ToHalod::Drained {
                routes: "1-24".parse().expect("routes"),
            },
        ] {
            assert_eq!(sim.handle(Event::Message { conn, message }), []);
        }
        assert_eq!(sim.handle(Event::Closed { conn }), []);
    }
    assert_eq!(sim.slots(), ["n1"]);
}

#[test]
fn another_address_of_an_active_node_is_a_commit_without_moves() {
    let mut sim = Sim::new(config(24, 1, 1));
    sim.join_all(&["n1", "n2"]);
    for (node, commit) in [("n1", Some(0)), ("n2", None)] {
        let mut hello = sim.hello_of(node);
        hello.addresses = vec![
            format!("2001:db8::{node}")
                .replace('n', "")
                .parse()
                .expect("an address"),
        ];
        let actions = sim.hello(hello);
        assert_eq!(moved(&actions), commit);
        let back = |notice: &&Notice| matches!(notice, Notice::NodeBack { .. });
        assert!(notices(&actions).iter().any(back));
    }
}

#[test]
fn load_is_remembered() {
    let mut sim = Sim::new(config(24, 1, 0));
    sim.join("n1");
    let load = halod_proto::Load {
        connections: 5,
        value: None,
        routes: vec![(3, 5)],
    };
    sim.say(
        "n1",
        ToHalod::Heartbeat {
            seq: 1,
            load: Some(load.clone()),
        },
    );
    sim.say("n1", ToHalod::Heartbeat { seq: 2, load: None });
    let node = sim.cluster.node_named(&name("n1")).expect("known");
    assert_eq!(node.load, Some(load));
    assert_eq!(node.state, NodeState::Active);
}
