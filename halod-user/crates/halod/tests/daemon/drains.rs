//! Moves that drain: what the kernel gets, what nodes and operators hear, and how drains end.

use std::time::Duration;

use crate::common::{Rig, event, until};
use halod_control::{Going, PlanReport, Request};
use halod_proto::{FromHalod, NodeState};

fn name(name: &str) -> String {
    name.to_owned()
}

#[tokio::test]
async fn a_move_keeps_connections_where_they_are_until_the_node_has_none() {
    let (rig, mut nodes) = Rig::of_three("60s").await;
    let mut watch = rig.watch().await;
    rig.ask(Request::NodeActivate { name: name("n3") })
        .await
        .expect("active");
    assert_eq!(nodes[2].assigned().await, "9-12,21-24");
    for (node, routes) in [(0, "9-12"), (1, "21-24")] {
        let (moves, deadline_ms) = nodes[node].drained().await;
        assert_eq!(moves, [(name(routes), name("n3"))]);
        assert!((50_000..=60_000).contains(&deadline_ms), "{deadline_ms}");
    }
    assert_eq!(rig.kernel.share("n3"), 8);
    assert_eq!(rig.kernel.kept_by("n1"), "9-12");
    assert_eq!(rig.kernel.kept_by("n2"), "21-24");
    let left = rig.kernel.drains().iter().map(|(_, _, left)| *left).max();
    assert!(left.is_some_and(|left| (50_000..=60_000).contains(&left)));

    let n1 = rig.node("n1").await;
    assert_eq!(n1.draining.to_string(), "9-12");
    assert!(n1.drain_left_ms.is_some_and(|left| left > 50_000));
    let drains = rig.routes().await.drains;
    let drains: Vec<(String, &str)> = drains
        .iter()
        .map(|run| (run.routes.to_string(), run.formers[0].node.as_str()))
        .collect();
    assert_eq!(drains, [(name("9-12"), "n1"), (name("21-24"), "n2")]);
    let status = rig.status().await;
    assert_eq!(status.draining_routes, 8);

    nodes[0]
        .say(r#"{"type":"drained","routes":[[9,12]]}"#)
        .await;
    let ended = event(&mut watch, "drain_ended").await;
    assert_eq!(ended.details["node"], "n1");
    until("n1 to keep nothing", || rig.kernel.kept_by("n1").is_empty()).await;
    assert_eq!(rig.kernel.kept_by("n2"), "21-24", "not concerned");
    assert_eq!(rig.node("n1").await.drain_left_ms, None);
}

#[tokio::test]
async fn a_drain_ends_in_time() {
    let (rig, mut nodes) = Rig::of_three("400ms").await;
    let before = rig.kernel.commits();
    rig.ask(Request::NodeActivate { name: name("n3") })
        .await
        .expect("active");
    nodes[0].drained().await;
    until("the drains to be over", || {
        rig.kernel.table().drains.is_empty()
    })
    .await;
    assert_eq!(
        rig.kernel.commits(),
        before + 2,
        "a move, and its drains' end"
    );
    assert_eq!(rig.status().await.draining_routes, 0);
    assert_eq!(rig.kernel.share("n3"), 8);
}

#[tokio::test]
async fn an_operator_takes_a_node_out_and_back() {
    let (rig, mut nodes) = Rig::of_three("60s").await;
    let done = rig.ask(Request::NodeDrain { name: name("n1") }).await;
    assert!(done.expect("drained").contains("it left slot 1"));
    assert_eq!(nodes[2].assigned().await, "1-12");
    let (moves, _) = nodes[0].drained().await;
    assert_eq!(moves, [(name("1-12"), name("n3"))]);
    let n1 = rig.node("n1").await;
    assert_eq!((n1.state, n1.slot), (NodeState::Draining, None));
    assert_eq!(n1.why.as_deref(), Some("an operator drains it"));
    let table = rig.kernel.table();
    assert!(
        table.nodes.iter().any(|n| n.name == "n1"),
        "for its connections"
    );

    nodes[0]
        .say(r#"{"type":"drained","routes":[[1,12]]}"#)
        .await;
    let heard = nodes[0].hear().await;
    assert!(
        matches!(heard, Some(FromHalod::MayStop { .. })),
        "{heard:?}"
    );
    let n1 = rig.node("n1").await;
    assert_eq!(n1.why.as_deref(), Some("drained: it may stop"));
    let table = rig.kernel.table();
    assert!(
        table.nodes.iter().all(|n| n.name != "n1"),
        "of no use there"
    );

    rig.ask(Request::NodeActivate { name: name("n1") })
        .await
        .expect("taken back");
    assert_eq!(nodes[0].assigned().await, "9-12,21-24");
    let error = rig.ask(Request::NodeDrain { name: name("n9") }).await;
    assert!(error.expect_err("unknown").contains("n9"));
}

#[tokio::test]
async fn a_node_that_leaves_is_let_go_when_it_is_empty() {
    let (rig, mut nodes) = Rig::of_three("60s").await;
    nodes[1].say(r#"{"type":"leaving"}"#).await;
    assert_eq!(nodes[2].assigned().await, "13-24");
    nodes[1].drained().await;
    let n2 = rig.node("n2").await;
    assert_eq!((n2.state, n2.leaving), (NodeState::Draining, true));
    assert_eq!(rig.kernel.kept_by("n2"), "13-24");
    nodes[1]
        .say(r#"{"type":"drained","routes":[[13,24]]}"#)
        .await;
    let heard = nodes[1].hear().await;
    assert!(
        matches!(heard, Some(FromHalod::MayStop { .. })),
        "{heard:?}"
    );
    assert_eq!(nodes[1].refused().await, "the node leaves");
    assert_eq!(rig.node("n2").await.state, NodeState::Lost);
}

#[tokio::test]
async fn a_lost_node_keeps_nothing() {
    let (rig, mut nodes) = Rig::of_three("60s").await;
    rig.ask(Request::NodeReserve { name: name("n1") })
        .await
        .expect("in reserve");
    assert_eq!(nodes[2].assigned().await, "1-12");
    assert_eq!(rig.kernel.kept_by("n1"), "1-12");
    rig.ask(Request::NodeRemove { name: name("n1") })
        .await
        .expect("removed");
    assert!(rig.kernel.table().drains.is_empty());
    assert!(rig.kernel.table().nodes.iter().all(|n| n.name != "n1"));
}

#[tokio::test]
async fn a_plan_is_what_happens_then() {
    let (rig, _nodes) = Rig::of_three("60s").await;
    rig.ask(Request::NodeRemove { name: name("n3") })
        .await
        .expect("removed");
    let plan = |how| Request::Plan {
        name: name("n1"),
        how,
    };
    let mut client = rig.client().await;
    let before = rig.kernel.table();
    for (how, drain_ms) in [(Going::Drain, 60_000), (Going::Lose, 0)] {
        let report: PlanReport = client.request(&plan(how)).await.expect("a plan");
        let [it] = &report.moves[..] else {
            panic!("{report:?}")
        };
        assert_eq!(it.routes.to_string(), "1-12");
        assert_eq!(
            (it.from.as_deref(), it.to.as_deref()),
            (Some("n1"), Some("n2"))
        );
        assert_eq!(it.drain_ms, drain_ms);
    }
    assert_eq!(rig.kernel.table(), before, "nothing was moved");
    rig.ask(Request::NodeDrain { name: name("n1") })
        .await
        .expect("drained");
    assert_eq!(rig.kernel.share("n2"), 24);
    let report: PlanReport = client.request(&plan(Going::Lose)).await.expect("a plan");
    assert_eq!(
        (report.moves.len(), report.ended.to_string()),
        (0, name("1-12"))
    );
    let again = client.request::<PlanReport>(&plan(Going::Drain)).await;
    assert!(
        again
            .expect_err("draining")
            .to_string()
            .contains("n1 is draining")
    );
}

#[tokio::test]
async fn a_commit_that_is_tried_again_gives_the_time_that_is_left() {
    let (rig, mut nodes) = Rig::of_three("60s").await;
    let mut watch = rig.watch().await;
    rig.kernel.set(|k| k.refuse = Some("not now"));
    rig.ask(Request::NodeActivate { name: name("n3") })
        .await
        .expect_err("the kernel does not take it");
    event(&mut watch, "kernel_failed").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.kernel.set(|k| k.refuse = None);
    event(&mut watch, "kernel_back").await;
    nodes[0].drained().await;
    let drains = rig.kernel.drains();
    assert_eq!(drains.len(), 8);
    assert!(
        drains.iter().all(|(_, _, left)| *left <= 59_700),
        "{drains:?}"
    );
}

#[tokio::test]
async fn a_full_set_of_flows_is_told() {
    let (rig, _nodes) = Rig::of_three("60s").await;
    let mut watch = rig.watch().await;
    rig.ask(Request::NodeActivate { name: name("n3") })
        .await
        .expect("active");
    while rig.status().await.kernel.draining == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rig.kernel.set(|k| k.full = 5);
    let full = event(&mut watch, "flows_full").await;
    assert!(full.text.starts_with("5 new connections"), "{}", full.text);
    let kernel = rig.status().await.kernel;
    assert_eq!((kernel.forward_full, kernel.draining), (5, 8));
    assert_eq!(kernel.flow_slots, 65_536);
}
