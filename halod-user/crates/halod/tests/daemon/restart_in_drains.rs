//! The daemon ends and starts again while routes drain: nothing moves, and drains go on and end in
//! their time.

use std::time::Duration;

use crate::common::{Node, Rig, event, hello, until};
use halod_control::Request;
use halod_proto::NodeState;

/// [`Rig::of_three`] with n3 put to work just now: 9-12 of n1 and 21-24 of n2 drain.
async fn draining(drain: &str) -> (Rig, Vec<Node>) {
    let (rig, mut nodes) = Rig::of_three(drain).await;
    let name = "n3".to_owned();
    let done = rig.ask(Request::NodeActivate { name }).await;
    done.expect("active");
    for node in &mut nodes[..2] {
        node.drained().await;
    }
    (rig, nodes)
}

async fn again(rig: &mut Rig, nodes: &mut [Node]) {
    rig.kill().await;
    for node in nodes {
        while node.hear().await.is_some() {}
    }
    rig.start().await.expect("started again");
}

#[tokio::test]
async fn a_kill_in_the_midst_of_drains_disturbs_none_of_them() {
    let (mut rig, mut nodes) = draining("3s").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (map, commits) = (rig.kernel.map(), rig.kernel.commits());
    again(&mut rig, &mut nodes).await;
    assert_eq!(
        (rig.kernel.map(), rig.kernel.commits()),
        (map.clone(), commits)
    );
    assert_eq!(rig.status().await.draining_routes, 8);
    let mut n1 = Node::join(rig.address, &hello(1, Some(nodes[0].token()))).await;
    let (moves, deadline_ms) = n1.drained().await;
    assert_eq!(moves, [("9-12".to_owned(), "n3".to_owned())]);
    assert!(
        deadline_ms <= 2500,
        "{deadline_ms}: as much as the kernel says"
    );
    assert_eq!(n1.assigned().await, "1-8");
    n1.say(r#"{"type":"drained","routes":[[9,12]]}"#).await;
    until("n1 to keep nothing", || rig.kernel.kept_by("n1").is_empty()).await;
    until("the rest to end", || rig.kernel.table().drains.is_empty()).await;
    assert_eq!((rig.kernel.map(), rig.kernel.commits()), (map, commits + 2));
}

#[tokio::test]
async fn what_has_ended_while_no_daemon_ran_is_over() {
    let (mut rig, mut nodes) = draining("300ms").await;
    rig.kill().await;
    for node in &mut nodes {
        while node.hear().await.is_some() {}
    }
    let map = rig.kernel.map();
    tokio::time::sleep(Duration::from_millis(400)).await;
    rig.start().await.expect("started again");
    assert_eq!(rig.status().await.draining_routes, 0);
    assert_eq!(rig.kernel.map(), map);
    assert!(
        rig.kernel.table().drains.is_empty(),
        "the kernel hears of it"
    );
    assert_eq!(rig.kernel.generation(), rig.status().await.generation);
}

#[tokio::test]
async fn without_the_store_the_kernels_drains_are_taken_up() {
    let (mut rig, mut nodes) = Rig::of_three("60s").await;
    let name = "n1".to_owned();
    let done = rig.ask(Request::NodeReserve { name }).await;
    done.expect("in reserve");
    assert_eq!(nodes[2].assigned().await, "1-12");
    let (map, commits) = (rig.kernel.map(), rig.kernel.commits());
    rig.stop().await;
    rig.lose_store();
    rig.start().await.expect("started again");
    assert_eq!((rig.kernel.map(), rig.kernel.commits()), (map, commits));
    let n1 = rig.node("n1").await;
    assert_eq!(
        (n1.state, n1.draining.to_string()),
        (NodeState::Reserve, "1-12".into())
    );
    let mut n1 = Node::join(rig.address, &hello(1, None)).await;
    assert_eq!(n1.drained().await.0, [("1-12".to_owned(), "n3".to_owned())]);
}

#[tokio::test]
async fn a_kill_between_store_and_kernel_is_made_good_with_its_drains() {
    let (mut rig, mut nodes) = Rig::of_three("60s").await;
    rig.kernel.set(|k| k.refuse = Some("not now"));
    let mut watch = rig.watch().await;
    let name = "n3".to_owned();
    let done = rig.ask(Request::NodeActivate { name }).await;
    done.expect_err("the kernel does not take it");
    event(&mut watch, "kernel_failed").await;
    rig.kernel.set(|k| k.refuse = None);
    again(&mut rig, &mut nodes).await;
    assert_eq!(rig.kernel.share("n3"), 8);
    assert_eq!(rig.kernel.kept_by("n1"), "9-12");
    assert_eq!(rig.kernel.kept_by("n2"), "21-24");
}

#[tokio::test]
async fn a_module_that_is_new_drains_nothing() {
    let (mut rig, mut nodes) = draining("60s").await;
    let map = rig.kernel.map();
    rig.kernel.set(|k| k.table = Default::default());
    rig.kill().await;
    for node in &mut nodes {
        while node.hear().await.is_some() {}
    }
    rig.kernel.set(|k| k.table = Default::default());
    rig.start().await.expect("started again");
    assert_eq!(rig.kernel.map(), map);
    assert!(
        rig.kernel.drains().is_empty(),
        "it cannot tell old connections from new ones"
    );
    assert_eq!(rig.status().await.draining_routes, 0);
}
