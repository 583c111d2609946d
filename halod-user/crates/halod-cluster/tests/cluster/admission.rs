//! Who becomes active, who waits, who is refused.

use halod_cluster::{Deliver, NodeState, Notice};
use halod_proto::{FromHalod, ToHalod};

use crate::sim::{Sim, close_reason, config, moved, name, notices};

fn state(sim: &Sim, node: &str) -> NodeState {
    sim.cluster
        .node_named(&name(node))
        .expect("a known node")
        .state
}

#[test]
fn below_active_min_a_node_becomes_active_then_the_reserve_fills_then_active_again() {
    let mut sim = Sim::new(config(24, 3, 1));
    assert_eq!(moved(&sim.join("n1")), Some(24));
    assert_eq!(moved(&sim.join("n2")), Some(12));
    assert_eq!(moved(&sim.join("n3")), Some(8));
    assert_eq!(moved(&sim.join("n4")), None);
    assert_eq!(state(&sim, "n4"), NodeState::Reserve);
    assert_eq!(moved(&sim.join("n5")), Some(6));
    assert_eq!(sim.slots(), ["n1", "n2", "n3", "n5"]);
    assert_eq!(sim.routes("n5"), "7-8,19-20,23-24");
    assert_eq!(sim.generation, 4);
}

#[test]
fn a_node_is_welcomed_after_the_commit_and_told_what_it_holds() {
    let mut sim = Sim::new(config(24, 3, 1));
    sim.join("n1");
    let actions = sim.join("n2");
    let sent: Vec<String> = actions
        .iter()
        .filter_map(|action| match action {
            halod_cluster::Action::Send { message, .. } => Some(message.to_line()),
            _ => None,
        })
        .collect();
    assert_eq!(
        sent[0],
        "{\"type\":\"route_moved\",\"generation\":2,\"moves\":[{\"routes\":[[13,24]],\"to\":\"n2\"}]}\n"
    );
    assert!(sent[1].starts_with("{\"type\":\"welcome\",\"version\":1,\"cluster\":\"push\",\"routes\":24,\"state\":\"active\""), "{}", sent[1]);
    assert_eq!(
        sent[2],
        "{\"type\":\"assign\",\"generation\":2,\"slot\":2,\"routes\":[[13,24]]}\n"
    );
    assert_eq!(sent.len(), 3);
}

#[test]
fn a_reserve_node_is_saved_welcomed_and_told_to_wait() {
    let mut sim = Sim::new(config(24, 1, 1));
    sim.join("n1");
    let actions = sim.join("n2");
    assert_eq!(actions[0], halod_cluster::Action::Save);
    let reserve = FromHalod::Reserve { generation: 1 };
    assert!(
        actions.iter().any(
            |a| matches!(a, halod_cluster::Action::Send { message, .. } if *message == reserve)
        )
    );
    let joined = Notice::NodeJoined {
        node: name("n2"),
        state: NodeState::Reserve,
    };
    assert!(notices(&actions).contains(&&joined));
}

#[test]
fn an_unhealthy_node_waits_until_it_is_healthy() {
    let mut sim = Sim::new(config(24, 3, 0));
    sim.join("n1");
    let mut hello = sim.hello_of("n2");
    hello.healthy = false;
    assert_eq!(moved(&sim.hello(hello)), None);
    sim.pass(1_000, &[]);
    assert_eq!(sim.slots(), ["n1"]);
    assert_eq!(moved(&sim.say("n2", ToHalod::Healthy)), Some(12));
    assert_eq!(sim.slots(), ["n1", "n2"]);
}

#[test]
fn an_unhealthy_node_does_not_count_as_reserve() {
    let mut sim = Sim::new(config(24, 1, 1));
    sim.join_all(&["n1", "n2"]);
    sim.unhealthy("n2");
    sim.join("n3");
    assert_eq!(state(&sim, "n3"), NodeState::Reserve);
    sim.lose("n1");
    assert_eq!(sim.slots(), ["n3"]);
}

#[test]
fn with_as_many_slots_as_routes_a_node_waits() {
    let mut sim = Sim::new(config(2, 2, 0));
    sim.join_all(&["n1", "n2", "n3"]);
    assert_eq!(state(&sim, "n3"), NodeState::Reserve);
}

#[test]
fn a_lost_node_that_returns_keeps_its_number_and_hears_where_its_routes_are() {
    let mut sim = Sim::new(config(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    let id = sim.cluster.node_named(&name("n2")).expect("known").id;
    // Its link is cut: it knows nothing of its loss.
    sim.pass(350, &["n2"]);
    assert_eq!(state(&sim, "n2"), NodeState::Lost);
    assert_eq!(sim.agent("n2").held.len(), 12);
    sim.join_all(&["n3"]);
    let actions = sim.join("n2");
    assert_eq!(sim.cluster.node_named(&name("n2")).expect("known").id, id);
    let told = actions.iter().any(|action| match action {
        halod_cluster::Action::Send {
            message: FromHalod::RouteMoved { moves, .. },
            ..
        } => moves
            .iter()
            .any(|moved| moved.to == Some(name("n3")) && moved.routes.to_string() == "13-20"),
        _ => false,
    });
    assert!(told, "{actions:?}");
}

#[test]
fn a_hello_that_breaks_a_rule_is_refused_and_harms_nobody() {
    let mut sim = Sim::new(config(24, 2, 1));
    sim.join("n1");
    let refused = |sim: &mut Sim, change: &dyn Fn(&mut halod_cluster::Hello), says: &str| {
        let mut hello = sim.hello_of("n2");
        change(&mut hello);
        let actions = sim.hello(hello);
        let reason = close_reason(&actions).expect("refused");
        assert!(reason.contains(says), "{reason}");
        assert_eq!(actions.len(), 1);
    };
    refused(&mut sim, &|h| h.version = 2, "2");
    refused(&mut sim, &|h| h.addresses.clear(), "0 IPv4");
    refused(
        &mut sim,
        &|h| h.addresses = vec!["198.51.100.1".parse().expect("ip")],
        "that of the listener \"browsers\"",
    );
    refused(
        &mut sim,
        &|h| h.addresses = vec!["192.0.2.11".parse().expect("ip")],
        "that of node n1 already",
    );
    refused(
        &mut sim,
        &|h| {
            h.ports.insert("nobody".into(), 1);
        },
        "there are: browsers, apps",
    );
    refused(
        &mut sim,
        &|h| {
            h.ports.insert("apps".into(), 65_530);
        },
        "at most 65512",
    );
    refused(
        &mut sim,
        &|h| {
            h.ports.insert("apps".into(), 8_023);
        },
        "overlap on this node",
    );
    assert_eq!(sim.slots(), ["n1"]);
}

#[test]
fn two_nodes_share_an_address_with_ports_of_their_own() {
    let mut sim = Sim::new(config(24, 2, 0));
    sim.join("n1");
    let mut hello = sim.hello_of("n2");
    hello.addresses = vec!["192.0.2.11".parse().expect("an address")];
    hello.ports = [("browsers".to_owned(), 8_100), ("apps".to_owned(), 9_100)].into();
    sim.hello(hello);
    assert_eq!(sim.slots(), ["n1", "n2"]);
}

#[test]
fn beyond_max_nodes_the_oldest_lost_one_is_forgotten_and_else_the_node_is_refused() {
    let mut sim = Sim::new({
        let mut config = config(24, 3, 0);
        config.max_nodes = 3;
        config
    });
    sim.join_all(&["n1", "n2", "n3"]);
    let actions = sim.join("n4");
    assert!(close_reason(&actions).expect("refused").contains("3 nodes"));
    sim.lose("n2");
    sim.lose("n1");
    let actions = sim.join("n4");
    let forgotten = Notice::NodeForgotten { node: name("n2") };
    assert!(notices(&actions).contains(&&forgotten));
    assert_eq!(state(&sim, "n1"), NodeState::Lost);
}

#[test]
fn packets_that_stay_as_they_are_keep_their_port() {
    let mut config = config(24, 1, 1);
    // Apps as they are, on the browsers' port of another VIP: nothing to be told apart.
    config.listeners[2].deliver = Deliver::Ipip;
    config.listeners[2].address = "198.51.100.2".parse().expect("an address");
    config.listeners[2].port = 8_000;
    let mut sim = Sim::new(config);
    let mut hello = sim.hello_of("n1");
    hello.ports.insert("apps".into(), 9_100);
    let actions = sim.hello(hello.clone());
    let expected = "\"apps\" leaves packets as they are (ipip), on port 8000";
    assert!(close_reason(&actions).expect("refused").contains(expected));
    hello.ports.clear();
    let actions = sim.hello(hello);
    assert_eq!(close_reason(&actions), None);
    assert_eq!(state(&sim, "n1"), NodeState::Active);
}
