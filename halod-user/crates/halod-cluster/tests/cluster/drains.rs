//! Moved routes keep their connections.

use halod_cluster::{Action, Command, Config, DrainEnd, Event, Failover, NodeState, Notice, Time};
use halod_proto::ToHalod;

use crate::sim::{Sim, config, moved, name, notices};

pub fn draining(routes: u32, active_min: u32, reserve: u32) -> Config {
    Config {
        drain_ms: 60_000,
        ..config(routes, active_min, reserve)
    }
}

/// The routes whose connections a node keeps.
pub fn kept(sim: &Sim, node: &str) -> String {
    let id = sim.cluster.node_named(&name(node)).expect("known").id;
    let routes = sim.cluster.drains().filter(|(route, formers)| {
        sim.cluster.node_of(*route) != Some(id) && formers.iter().any(|f| f.node == id)
    });
    let routes: halod_cluster::RouteSet = routes.map(|(route, _)| route).collect();
    routes.to_string()
}

pub fn state(sim: &Sim, node: &str) -> NodeState {
    sim.cluster.node_named(&name(node)).expect("known").state
}

/// What is said to a node, and whether it is closed at the end.
pub fn told(sim: &Sim, node: &str, actions: &[Action]) -> Vec<String> {
    let conns = [sim.agents[node].conn, sim.dead.last().copied()];
    let line = |action: &Action| match action {
        Action::Send { conn, message } if conns.contains(&Some(*conn)) => {
            Some(message.to_line().trim_end().to_owned())
        }
        Action::Close { conn, .. } if conns.contains(&Some(*conn)) => Some("closed".to_owned()),
        _ => None,
    };
    actions.iter().filter_map(line).collect()
}

pub fn drained(sim: &mut Sim, node: &str, routes: &str) -> Vec<Action> {
    let routes = routes.parse().expect("routes");
    sim.say(node, ToHalod::Drained { routes })
}

#[test]
fn a_node_that_joins_takes_new_connections_and_the_others_keep_theirs() {
    let mut sim = Sim::new(draining(24, 3, 1));
    sim.join_all(&["n1", "n2"]);
    sim.open();
    let actions = sim.join("n3");
    assert_eq!(
        told(&sim, "n1", &actions),
        [
            "{\"type\":\"drain\",\"generation\":3,\"moves\":[{\"routes\":[[9,12]],\"to\":\"n3\"}],\"deadline_ms\":60000}"
        ]
    );
    assert_eq!(kept(&sim, "n1"), "9-24", "12 of them since n2 joined");
    assert_eq!(kept(&sim, "n2"), "21-24");
}

#[test]
fn a_time_that_is_over_is_a_commit_without_moves_and_no_message() {
    let mut sim = Sim::new(draining(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    assert_eq!(kept(&sim, "n1"), "13-24");
    assert_eq!(moved(&sim.pass(59_950, &[])), None);
    sim.now += 50;
    let actions = sim.tick();
    assert_eq!(moved(&actions), Some(0));
    assert!(!actions.iter().any(|a| matches!(a, Action::Send { .. })));
    let over = Notice::DrainEnded {
        node: name("n1"),
        routes: "13-24".parse().expect("routes"),
        cause: DrainEnd::Time,
    };
    assert!(notices(&actions).contains(&&over));
    assert_eq!(sim.cluster.drains().count(), 0);
}

#[test]
fn what_a_node_says_is_empty_ends_at_once() {
    let mut sim = Sim::new(draining(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    assert_eq!(moved(&drained(&mut sim, "n1", "1-14")), Some(0));
    assert_eq!(kept(&sim, "n1"), "15-24");
    assert_eq!(drained(&mut sim, "n1", "1-14"), [], "said again");
    assert_eq!(drained(&mut sim, "n2", "13-24"), [], "its own");
    assert_eq!(drained(&mut sim, "n1", "65000-65536"), []);
}

#[test]
fn udp_keeps_an_empty_leg_until_its_own_time() {
    let mut sim = Sim::new(Config {
        udp_stay_ms: 5_000,
        ..draining(24, 2, 0)
    });
    sim.join_all(&["n1", "n2"]);
    drained(&mut sim, "n1", "13-24");
    assert_eq!(kept(&sim, "n1"), "13-24");
    sim.pass(5_000, &[]);
    assert_eq!(kept(&sim, "n1"), "");
}

#[test]
fn the_routes_of_a_lost_node_do_not_drain_and_its_legs_are_cut() {
    let mut sim = Sim::new(draining(24, 2, 1));
    sim.join_all(&["n1", "n2", "n3"]);
    assert_eq!(kept(&sim, "n1"), "13-24");
    sim.lose("n1");
    assert_eq!(sim.slots(), ["n3", "n2"]);
    assert_eq!(sim.cluster.drains().count(), 0);
}

#[test]
fn the_highest_slots_routes_drain_when_they_are_handed_back() {
    let mut sim = Sim::new(draining(24, 4, 0));
    sim.join_all(&["n1", "n2", "n3", "n4"]);
    sim.pass(60_000, &[]);
    let had = sim.routes("n4");
    sim.lose("n2");
    assert_eq!(sim.slots(), ["n1", "n4", "n3"]);
    assert_eq!(had, "7-8,19-20,23-24");
    // 19-20 stay with it; nothing of n2 drains.
    assert_eq!(kept(&sim, "n4"), "7-8,23-24");
    assert_eq!(kept(&sim, "n2"), "");
}

#[test]
fn an_unhealthy_node_keeps_what_lives_on() {
    let mut sim = Sim::new(draining(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    sim.unhealthy("n2");
    assert_eq!(kept(&sim, "n2"), "13-24");
    sim.say("n2", ToHalod::Healthy);
    assert_eq!(kept(&sim, "n2"), "");
}

#[test]
fn a_node_that_is_away_for_a_moment_keeps_its_connections() {
    let mut sim = Sim::new(draining(24, 2, 0));
    sim.join("n1");
    sim.close("n1");
    sim.join("n2");
    assert_eq!(kept(&sim, "n1"), "13-24");
    let actions = sim.join("n1");
    let told = told(&sim, "n1", &actions);
    assert!(told[0].starts_with("{\"type\":\"welcome\""));
    assert!(told[1].starts_with("{\"type\":\"drain\""), "{told:?}");
    assert!(told[2].starts_with("{\"type\":\"assign\""));
    assert_eq!(told.len(), 3);
}

#[test]
fn a_route_without_a_node_keeps_its_connections() {
    let mut sim = Sim::new(draining(24, 1, 0));
    sim.join("n1");
    let actions = sim.unhealthy("n1");
    assert_eq!(sim.slots(), ["-"]);
    assert_eq!(kept(&sim, "n1"), "1-24");
    let lines = told(&sim, "n1", &actions);
    assert_eq!(
        lines,
        [
            "{\"type\":\"drain\",\"generation\":2,\"moves\":[{\"routes\":[[1,24]]}],\"deadline_ms\":60000}",
            "{\"type\":\"reserve\",\"generation\":2}"
        ]
    );
}

/// Route 1 of one: n1, n2, n3, n4 and n5 have it in turn.
#[test]
fn a_route_that_moves_too_often_cuts_the_oldest() {
    let mut sim = Sim::new(draining(1, 1, 4));
    sim.join_all(&["n1", "n2", "n3", "n4", "n5"]);
    for node in ["n1", "n2", "n3"] {
        sim.open();
        sim.operator(Command::Reserve(name(node)))
            .0
            .expect("others wait");
        sim.pass(50, &[]);
    }
    assert_eq!(sim.cluster.formers(1).len(), 3);
    sim.open();
    let (_, actions) = sim.operator(Command::Reserve(name("n4")));
    assert_eq!(sim.slots(), ["n5"]);
    let cut = Notice::DrainEnded {
        node: name("n1"),
        routes: "1".parse().expect("a route"),
        cause: DrainEnd::Moved,
    };
    assert!(notices(&actions).contains(&&cut));
    let generation = sim.generation;
    assert_eq!(
        told(&sim, "n1", &actions),
        [format!(
            "{{\"type\":\"route_moved\",\"generation\":{generation},\"moves\":[{{\"routes\":[[1,1]],\"to\":\"n5\"}}]}}"
        )]
    );
    assert_eq!((kept(&sim, "n1"), sim.ledger.cut), (String::new(), 1));
}

#[test]
fn what_drains_survives_a_restart() {
    let mut sim = Sim::new(draining(24, 3, 0));
    sim.join_all(&["n1", "n2"]);
    sim.open();
    sim.pass(20_000, &[]);
    sim.operator(Command::Drain(name("n2")))
        .0
        .expect("n1 is left");
    sim.open();
    sim.restart();
    assert_eq!(state(&sim, "n2"), NodeState::Draining);
    let actions = sim.join("n1");
    let lines = told(&sim, "n1", &actions);
    assert_eq!(lines.len(), 2, "it has all routes again: {lines:?}");
    let actions = sim.join("n2");
    let lines = told(&sim, "n2", &actions);
    assert!(
        lines[1]
            .ends_with("\"moves\":[{\"routes\":[[13,24]],\"to\":\"n1\"}],\"deadline_ms\":60000}"),
        "{lines:?}"
    );
    sim.pass(60_000, &[]);
    assert_eq!(sim.cluster.drains().count(), 0);
    assert!(sim.agent("n2").may_stop);
}

#[test]
fn a_node_that_does_not_come_back_after_a_restart_loses_its_legs() {
    let mut sim = Sim::new(draining(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    sim.say("n2", ToHalod::Leaving);
    sim.restart();
    assert_eq!(
        state(&sim, "n2"),
        NodeState::Reserve,
        "it has to say so again"
    );
    sim.join("n1");
    sim.pass(5_000, &[]);
    assert_eq!(state(&sim, "n2"), NodeState::Lost);
    assert_eq!(sim.cluster.drains().count(), 0);
}

#[test]
fn minimal_failover_moves_just_the_lost_nodes_routes() {
    let mut sim = Sim::new(Config {
        failover: Failover::Minimal,
        ..draining(24, 4, 0)
    });
    sim.join_all(&["n1", "n2", "n3", "n4"]);
    assert_eq!(moved(&sim.lose("n2")), Some(6));
    assert_eq!(sim.slots(), ["n1", "n4", "n3"]);
    assert_eq!(sim.routes("n1"), "1-6,13,16");
    assert_eq!(sim.routes("n4"), "7-8,15,18-20,23-24");
    assert_eq!(sim.routes("n3"), "9-12,14,17,21-22");
    // A planned removal is the same, with drains.
    sim.pass(60_000, &[]);
    let (_, actions) = sim.operator(Command::Drain(name("n1")));
    assert_eq!(moved(&actions), Some(8));
    assert_eq!(kept(&sim, "n1"), "1-6,13,16");
    // In the other mode the table stays until the number of slots changes.
    sim.restart_otherwise();
    let before = sim.table.clone();
    for node in ["n1", "n3", "n4"] {
        assert_eq!(moved(&sim.join(node)), None);
    }
    assert_eq!(sim.table, before);
    sim.operator(Command::Activate(name("n1")))
        .0
        .expect("it is there");
    assert_eq!(sim.slots(), ["n3", "n4", "n1"]);
    assert_eq!(sim.routes("n3"), "1-8");
}

#[test]
fn a_tick_is_due_when_a_time_is_over() {
    let mut sim = Sim::new(Config {
        drain_ms: 100,
        ..config(24, 2, 0)
    });
    sim.join_all(&["n1", "n2"]);
    assert_eq!(sim.cluster.next_deadline(), Some(Time(sim.now + 100)));
    sim.now += 100;
    assert_eq!(moved(&sim.handle(Event::Tick)), Some(0));
}
