//! How nodes are lost, and who takes their routes.

use std::net::SocketAddr;

use halod_cluster::{Action, Event, LossCause, NodeState, Notice, Protocol, Time};
use halod_proto::{FromHalod, ToHalod};

use crate::sim::{Sim, close_reason, config, moved, name, notices};

fn cause(actions: &[Action]) -> Option<LossCause> {
    notices(actions)
        .into_iter()
        .find_map(|notice| match notice {
            Notice::NodeLost { cause, .. } => Some(*cause),
            _ => None,
        })
}

fn probe(actions: &[Action]) -> Option<(SocketAddr, u32)> {
    actions.iter().find_map(|action| match action {
        Action::Probe {
            address,
            timeout_ms,
            ..
        } => Some((*address, *timeout_ms)),
        _ => None,
    })
}

#[test]
fn a_node_that_comes_back_in_time_moves_nothing() {
    let mut sim = Sim::new(config(24, 2, 1));
    sim.join_all(&["n1", "n2", "n3"]);
    sim.close("n2");
    assert_eq!(moved(&sim.answer_probe(true)), None);
    assert_eq!(moved(&sim.pass(1_950, &[])), None);
    assert_eq!(moved(&sim.join("n2")), None);
    assert_eq!(sim.slots(), ["n1", "n2"]);
    assert_eq!(sim.generation, 2);
    assert_eq!(
        sim.agent("n2").held.len(),
        12,
        "it is told again what it holds"
    );
}

#[test]
fn a_node_that_does_not_come_back_is_lost_at_the_end_of_the_window() {
    let mut sim = Sim::new(config(24, 2, 1));
    sim.join_all(&["n1", "n2", "n3"]);
    sim.close("n2");
    assert_eq!(moved(&sim.pass(1_950, &[])), None);
    let actions = sim.pass(50, &[]);
    assert_eq!(moved(&actions), Some(12));
    assert_eq!(cause(&actions), Some(LossCause::Closed));
}

#[test]
fn silence_counts_from_when_the_last_message_came_however_late_it_is_told() {
    let mut sim = Sim::new(config(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    let silence_ms = sim.cluster.config().silence_ms();
    let conn = sim.agent("n1").conn.expect("connected");
    sim.pass(100, &["n1"]);
    let came = Time(sim.now);
    sim.pass(150, &["n1"]);
    let due = sim.cluster.next_deadline().expect("a deadline");
    assert_eq!(sim.cluster.expected(Time(due.0 - 1)), []);
    assert_eq!(sim.cluster.expected(due), [conn]);
    let message = ToHalod::Heartbeat { seq: 1, load: None };
    assert_eq!(
        sim.cluster.handle(came, Event::Message { conn, message }),
        []
    );
    assert_eq!(sim.cluster.expected(due), []);
    assert_eq!(sim.cluster.expected(came.after(silence_ms)), [conn]);
}

#[test]
fn a_closed_connection_is_probed_at_the_port_of_the_first_route() {
    let mut sim = Sim::new(config(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    let address = "192.0.2.12:8012".parse().expect("an address");
    assert_eq!(probe(&sim.close("n2")), Some((address, 300)));
}

#[test]
fn an_unreachable_application_is_lost_at_once() {
    let mut sim = Sim::new(config(24, 2, 1));
    sim.join_all(&["n1", "n2", "n3"]);
    assert_eq!(moved(&sim.close("n2")), None);
    let actions = sim.answer_probe(false);
    assert_eq!(moved(&actions), Some(12));
    assert_eq!(cause(&actions), Some(LossCause::Unreachable));
    assert_eq!(sim.slots(), ["n1", "n3"]);
}

#[test]
fn answers_to_probes_of_an_absence_that_is_over_are_ignored() {
    let mut sim = Sim::new(config(24, 1, 0));
    sim.join("n1");
    sim.close("n1");
    sim.join("n1");
    sim.close("n1");
    assert_eq!(sim.probes.len(), 2);
    assert_eq!(sim.answer_probe(false), [], "about the first absence");
    let probe = sim.probes[0];
    sim.join("n1");
    assert_eq!(sim.answer_probe(false), [], "it is back");
    assert_eq!(
        sim.handle(Event::Probe {
            probe,
            reachable: false
        }),
        [],
        "nobody asked"
    );
    assert_eq!(sim.slots(), ["n1"]);
}

#[test]
fn without_a_tcp_listener_of_the_nodes_family_there_is_just_the_window() {
    let mut sim = Sim::new({
        let mut config = config(24, 1, 0);
        config
            .listeners
            .retain(|listener| listener.address.is_ipv4());
        config.listeners[1].protocol = Protocol::Udp;
        config
    });
    let mut hello = sim.hello_of("n1");
    hello.addresses = vec!["2001:db8::1".parse().expect("an address")];
    sim.hello(hello);
    sim.join("n2");
    assert_eq!(probe(&sim.close("n1")), None);
    sim.pass(2_000, &[]);
    assert_eq!(sim.slots(), ["n2"]);
}

#[test]
fn a_silent_node_is_closed_and_lost_at_once() {
    let mut sim = Sim::new(config(24, 2, 1));
    sim.join_all(&["n1", "n2", "n3"]);
    sim.beat_all(&[]);
    assert_eq!(moved(&sim.pass(250, &["n2"])), None);
    let actions = sim.pass(50, &["n2"]);
    assert_eq!(moved(&actions), Some(12));
    assert_eq!(cause(&actions), Some(LossCause::Silent));
    assert!(close_reason(&actions).expect("closed").contains("300 ms"));
    assert_eq!(sim.slots(), ["n1", "n3"]);
}

#[test]
fn any_message_counts_as_life() {
    let mut sim = Sim::new(config(24, 1, 0));
    sim.join("n1");
    for _ in 0..5 {
        sim.pass(250, &["n1"]);
        sim.say("n1", ToHalod::Healthy);
    }
    assert_eq!(sim.slots(), ["n1"]);
}

#[test]
fn a_late_tick_puts_off_each_loss_once() {
    let mut sim = Sim::new(config(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    sim.now += 10_000;
    let actions = sim.tick();
    assert_eq!(moved(&actions), None);
    assert!(notices(&actions).contains(&&Notice::TickLate { late_ms: 9_700 }));
    assert_eq!(sim.cluster.next_deadline(), Some(Time(sim.now + 100)));
    sim.beat("n1");
    // Late again; n1 has spoken since.
    sim.now += 10_000;
    sim.tick();
    assert_eq!(sim.slots(), ["n1"]);
}

#[test]
fn an_unhealthy_active_node_waits_in_reserve_without_routes() {
    let mut sim = Sim::new(config(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    let actions = sim.unhealthy("n2");
    assert_eq!(moved(&actions), Some(12));
    assert_eq!(cause(&actions), Some(LossCause::Unhealthy));
    assert_eq!(close_reason(&actions), None);
    assert_eq!(sim.unhealthy("n2"), [], "said again");
    let state = |sim: &Sim| sim.cluster.node_named(&name("n2")).expect("known").state;
    assert_eq!(state(&sim), NodeState::Reserve);
    assert_eq!(moved(&sim.say("n2", ToHalod::Healthy)), Some(12));
    assert_eq!(state(&sim), NodeState::Active);
}

#[test]
fn a_leaving_node_is_told_where_its_routes_went_and_closed() {
    let mut sim = Sim::new(config(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    let conn = sim.agent("n2").conn.expect("connected");
    let actions = sim.say("n2", ToHalod::Leaving);
    assert_eq!(cause(&actions), Some(LossCause::Leaving));
    let to_it: Vec<&Action> = actions
        .iter()
        .filter(|action| match action {
            Action::Send { conn: c, .. } | Action::Close { conn: c, .. } => *c == conn,
            _ => false,
        })
        .collect();
    assert!(matches!(
        to_it[0],
        Action::Send {
            message: FromHalod::RouteMoved { .. },
            ..
        }
    ));
    assert!(matches!(
        to_it[1],
        Action::Send {
            message: FromHalod::MayStop { .. },
            ..
        }
    ));
    assert!(matches!(to_it[2], Action::Close { .. }));
    assert_eq!(to_it.len(), 3);
    assert_eq!(sim.slots(), ["n1"]);
}

#[test]
fn the_longest_waiting_reserve_node_fills_the_slot_and_only_its_routes_move() {
    let mut sim = Sim::new(config(24, 3, 2));
    sim.join_all(&["n1", "n2", "n3", "n4", "n5"]);
    let (n1, n3) = (sim.routes("n1"), sim.routes("n3"));
    let n2 = sim.routes("n2");
    assert_eq!(moved(&sim.lose("n2")), Some(8));
    assert_eq!(sim.slots(), ["n1", "n4", "n3"]);
    assert_eq!(
        (sim.routes("n1"), sim.routes("n4"), sim.routes("n3")),
        (n1, n2, n3)
    );
}

#[test]
fn a_reserve_node_that_is_away_fills_no_slot() {
    let mut sim = Sim::new(config(24, 2, 2));
    sim.join_all(&["n1", "n2", "n3", "n4"]);
    sim.close("n3");
    sim.close("n2");
    sim.answer_probe(false);
    assert_eq!(sim.slots(), ["n1", "n4"]);
    sim.join("n3");
    sim.lose("n1");
    assert_eq!(sim.slots(), ["n3", "n4"], "back, and waiting as before");
}

#[test]
fn without_reserve_the_node_of_the_highest_slot_fills_it_and_its_routes_go_back() {
    let mut sim = Sim::new(config(24, 4, 0));
    sim.join_all(&["n1", "n2", "n3", "n4"]);
    // n2's 6 routes go to n4. Of n4's 6 of slot 4, two each go back to slots 1 and 3; the two that
    // go back to slot 2 stay with n4.
    assert_eq!(moved(&sim.lose("n2")), Some(10));
    assert_eq!(sim.slots(), ["n1", "n4", "n3"]);
    assert_eq!(sim.routes("n1"), "1-8");
    assert_eq!(sim.routes("n4"), "13-20");
    assert_eq!(sim.routes("n3"), "9-12,21-24");
}

#[test]
fn the_loss_of_the_highest_slot_is_the_reverse_process_alone() {
    let mut sim = Sim::new(config(24, 4, 0));
    sim.join_all(&["n1", "n2", "n3", "n4"]);
    assert_eq!(moved(&sim.lose("n4")), Some(6));
    assert_eq!(sim.slots(), ["n1", "n2", "n3"]);
}

#[test]
fn several_losses_at_once_are_one_commit() {
    let mut sim = Sim::new(config(24, 5, 1));
    sim.join_all(&["n1", "n2", "n3", "n4", "n5", "n6"]);
    sim.beat_all(&[]);
    let actions = sim.pass(300, &["n2", "n3", "n5"]);
    assert_eq!(
        actions
            .iter()
            .filter(|a| matches!(a, Action::Commit(_)))
            .count(),
        1
    );
    assert_eq!(sim.slots(), ["n1", "n6", "n4"]);
}

#[test]
fn the_last_loss_leaves_slot_1_without_a_node_until_one_joins() {
    let mut sim = Sim::new(config(24, 2, 1));
    sim.join_all(&["n1", "n2"]);
    sim.lose("n1");
    let actions = sim.lose("n2");
    assert_eq!(moved(&actions), Some(24));
    assert!(notices(&actions).contains(&&Notice::SlotVacant { slot: 1 }));
    assert_eq!(sim.slots(), ["-"]);
    assert_eq!(sim.cluster.node_of(1), None);
    assert_eq!(moved(&sim.join("n3")), Some(24));
    assert_eq!(sim.slots(), ["n3"]);
}

#[test]
fn the_last_node_unhealthy_and_healthy_again() {
    let mut sim = Sim::new(config(24, 1, 1));
    sim.join("n1");
    sim.unhealthy("n1");
    assert_eq!(sim.slots(), ["-"]);
    sim.say("n1", ToHalod::Healthy);
    assert_eq!(sim.slots(), ["n1"]);
}

#[test]
fn below_active_min_reserve_nodes_are_promoted() {
    let mut sim = Sim::new(config(24, 2, 2));
    sim.join_all(&["n1", "n2", "n3"]);
    sim.close("n3");
    sim.lose("n2");
    assert_eq!(sim.slots(), ["n1"], "n3 was away, and is lost");
    sim.unhealthy("n1");
    assert_eq!(sim.slots(), ["-"]);
    sim.join("n4");
    assert_eq!(sim.slots(), ["n4"]);
    sim.say("n1", ToHalod::Healthy);
    assert_eq!(sim.slots(), ["n4", "n1"]);
}

#[test]
fn a_rejoin_of_zero_is_no_window_at_all() {
    let mut sim = Sim::new({
        let mut config = config(24, 2, 0);
        config.rejoin_ms = 0;
        config
    });
    sim.join_all(&["n1", "n2"]);
    let actions = sim.close("n1");
    assert_eq!(moved(&actions), Some(12));
    assert_eq!(probe(&actions), None);
}

#[test]
fn a_node_that_comes_back_unhealthy_is_lost() {
    let mut sim = Sim::new(config(24, 2, 0));
    sim.join_all(&["n1", "n2"]);
    sim.close("n1");
    let mut hello = sim.hello_of("n1");
    hello.healthy = false;
    assert_eq!(cause(&sim.hello(hello)), Some(LossCause::Unhealthy));
    assert_eq!(sim.slots(), ["n2"]);
}

#[test]
fn an_absent_node_is_probed_until_it_is_back_or_lost() {
    let mut sim = Sim::new(config(24, 2, 1));
    sim.join_all(&["n1", "n2", "n3"]);
    let delays = |actions: &[Action]| {
        let probes = actions.iter().filter_map(|action| match action {
            Action::Probe { delay_ms, .. } => Some(*delay_ms),
            _ => None,
        });
        probes.collect::<Vec<_>>()
    };
    assert_eq!(delays(&sim.close("n2")), [0]);
    assert_eq!(delays(&sim.answer_probe(true)), [50]);
    assert_eq!(delays(&sim.answer_probe(true)), [50]);
    let actions = sim.answer_probe(false);
    assert_eq!(cause(&actions), Some(LossCause::Unreachable));
    assert!(delays(&actions).is_empty());

    sim.close("n1");
    sim.join("n1");
    assert!(delays(&sim.answer_probe(true)).is_empty(), "it is back");
}
