//! The daemon ends and starts again, with and without its store and the kernel's table.

use std::time::Duration;

use crate::common::{Node, Rig, event, hello, until};
use halod::daemon::DaemonError;
use halod_proto::NodeState;

/// A rig with n1 and n2 active and n3 in reserve, without TCP listeners, so without probes.
async fn rig() -> (Rig, Vec<Node>) {
    let rig = Rig::started(&[("\"tcp\"", "\"udp\"")]).await;
    let mut nodes = Vec::new();
    for n in 1..=3 {
        let mut node = rig.join(n).await;
        // assign, assign, reserve
        node.hear().await;
        nodes.push(node);
    }
    assert_eq!(rig.kernel.share("n2"), 12);
    (rig, nodes)
}

/// Every node comes back with its token and keeps what it has.
async fn all_come_back(rig: &Rig, nodes: &[Node]) -> Vec<Node> {
    let mut back = Vec::new();
    for (n, held) in (1..).zip([Some("1-12"), Some("13-24"), None]) {
        let before = nodes[usize::from(n) - 1].token();
        let mut node = Node::join(rig.address, &hello(n, Some(before))).await;
        match held {
            Some(routes) => assert_eq!(node.assigned().await, routes),
            None => node.reserved().await,
        }
        back.push(node);
    }
    back
}

#[tokio::test]
async fn a_clean_stop_and_a_kill_move_nothing() {
    let (mut rig, mut nodes) = rig().await;
    let (table, commits) = (rig.kernel.table(), rig.kernel.commits());
    for kill in [false, true] {
        if kill {
            rig.kill().await;
        } else {
            rig.stop().await;
            assert!(!rig.control_path().exists(), "the socket is removed");
        }
        for node in &mut nodes {
            while node.hear().await.is_some() {}
        }
        rig.start().await.expect("started again");
        nodes = all_come_back(&rig, &nodes).await;
    }
    assert_eq!(rig.kernel.table(), table);
    assert_eq!(rig.kernel.commits(), commits);
}

#[tokio::test]
async fn a_node_that_does_not_come_back_after_a_restart_is_lost_after_the_grace() {
    let (mut rig, nodes) = rig().await;
    rig.stop().await;
    rig.replace(&[("restart_grace = \"10s\"", "restart_grace = \"300ms\"")]);
    rig.start().await.expect("started again");
    let _n1 = Node::join(rig.address, &hello(1, Some(nodes[0].token()))).await;
    let _n3 = Node::join(rig.address, &hello(3, Some(nodes[2].token()))).await;
    until("n3 has the routes of n2", || rig.kernel.share("n3") == 12).await;
    assert_eq!(rig.kernel.share("n1"), 12);
    assert_eq!(rig.node("n2").await.state, NodeState::Lost);
}

#[tokio::test]
async fn a_new_module_gets_the_table_of_the_store() {
    let (mut rig, nodes) = rig().await;
    let before = rig.kernel.table();
    rig.stop().await;
    rig.kernel.set(|k| k.table = Default::default());
    rig.start().await.expect("started again");
    assert_eq!(rig.kernel.table(), before, "the generation too");
    all_come_back(&rig, &nodes).await;
}

#[tokio::test]
async fn a_kill_between_store_and_kernel_is_made_good() {
    let (mut rig, _nodes) = rig().await;
    rig.kernel.set(|k| k.refuse = Some("not now"));
    let mut watch = rig.watch().await;
    let mut n4 = rig.join(4).await;
    event(&mut watch, "kernel_failed").await;
    let (before, behind) = (rig.status().await, rig.kernel.table());
    assert_eq!(before.generation, behind.generation + 1);
    rig.kill().await;
    while n4.hear().await.is_some() {}

    rig.kernel.set(|k| k.refuse = None);
    rig.start().await.expect("started again");
    assert_eq!(rig.kernel.generation(), before.generation);
    assert_eq!(rig.kernel.share("n4"), 8, "what the store had is in force");
}

#[tokio::test]
async fn without_the_store_the_kernels_table_is_taken_up() {
    let (mut rig, nodes) = rig().await;
    let (table, commits) = (rig.kernel.table(), rig.kernel.commits());
    rig.stop().await;
    rig.lose_store();
    rig.start().await.expect("started again");
    assert_eq!(rig.kernel.commits(), commits);
    // Their tokens are not known any more, and they need not be.
    let mut n1 = Node::join(rig.address, &hello(1, Some(nodes[0].token()))).await;
    assert_eq!(n1.assigned().await, "1-12");
    let mut n2 = Node::join(rig.address, &hello(2, None)).await;
    assert_eq!(n2.assigned().await, "13-24");
    assert_eq!(rig.kernel.table(), table);
    // From now on they are.
    let mut other = Node::connect(rig.address).await;
    other.say(&hello(1, None)).await;
    assert!(other.refused().await.contains("name in use"));
}

#[tokio::test]
async fn a_table_that_the_algorithm_does_not_make_is_kept_until_the_next_change() {
    let (mut rig, nodes) = rig().await;
    rig.stop().await;
    rig.lose_store();
    rig.kernel.intrude(|table| {
        table.generation += 1;
        table.routes.swap(0, 23);
    });
    let (table, commits) = (rig.kernel.table(), rig.kernel.commits());
    rig.start().await.expect("started again");
    assert_eq!((rig.kernel.table(), rig.kernel.commits()), (table, commits));
    let mut n1 = Node::join(rig.address, &hello(1, Some(nodes[0].token()))).await;
    assert_eq!(n1.assigned().await, "2-12,24");
    let mut n2 = Node::join(rig.address, &hello(2, Some(nodes[1].token()))).await;
    assert_eq!(n2.assigned().await, "1,13-23");
    let mut n3 = rig.join(3).await;
    n3.reserved().await;
    let _n4 = rig.join(4).await;
    let mut expected = vec!["n1"; 8];
    expected.extend(["n4"; 4]);
    expected.extend(["n2"; 8]);
    expected.extend(["n4"; 4]);
    until("the algorithm's table", || rig.kernel.map() == expected).await;
}

#[tokio::test]
async fn other_listeners_are_committed_and_move_nothing() {
    let (mut rig, nodes) = rig().await;
    let before = rig.kernel.table();
    rig.stop().await;
    rig.replace(&[("port = 9000", "port = 9100")]);
    rig.start().await.expect("started again");
    let after = rig.kernel.table();
    assert_eq!(after.generation, before.generation + 1);
    assert_eq!(
        (after.listeners[2].port, &after.routes),
        (9100, &before.routes)
    );
    all_come_back(&rig, &nodes).await;
}

#[tokio::test]
async fn another_number_of_routes_is_refused_unless_asked_for() {
    let (mut rig, _nodes) = rig().await;
    let before = rig.kernel.table();
    rig.stop().await;
    rig.replace(&[("routes = 24", "routes = 32")]);
    for place in ["the store", "the kernel"] {
        let error = rig.start().await.expect_err("another number of routes");
        assert!(matches!(error, DaemonError::Adopt(_)));
        let error = error.to_string();
        for part in ["routes = 32", place, "routes = 24", "--reset-table"] {
            assert!(error.contains(part), "{error} should say {part}");
        }
        assert_eq!(rig.kernel.table(), before);
        rig.lose_store();
    }
    rig.start_with(true).await.expect("started anew");
    assert_eq!(rig.kernel.map(), vec!["-"; 32]);
    assert_eq!(rig.kernel.generation(), before.generation + 1);
    let mut n1 = rig.join(1).await;
    assert_eq!(n1.assigned().await, "1-32");
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_harms_nothing() {
    let (rig, nodes) = rig().await;
    let config = halod::config::Config::parse(&rig.config, std::path::Path::new("halod.toml"))
        .expect("a configuration");
    let second = halod::daemon::Daemon::start(&config, false, rig.kernel.clone()).await;
    let error = second.err().expect("refused").to_string();
    let pid = format!("another halod (pid {})", std::process::id());
    assert!(error.contains(&pid), "{error}");
    assert_eq!(rig.status().await.connections, 3);
    drop(nodes);
}

#[tokio::test]
async fn a_missing_module_is_said_so() {
    let mut rig = Rig::new();
    rig.kernel.set(|k| k.gone = true);
    let error = rig.start().await.expect_err("no module");
    assert!(matches!(error, DaemonError::Kernel(_)));
    assert!(error.to_string().contains("modprobe halod"), "{error}");
}

#[tokio::test]
async fn a_table_changed_by_another_hand_is_put_back() {
    let (rig, _nodes) = rig().await;
    let mut watch = rig.watch().await;
    let before = rig.kernel.table();
    rig.kernel.intrude(|table| {
        table.generation += 5;
        table.routes.fill(0);
    });
    let changed = event(&mut watch, "kernel_changed").await;
    assert!(
        changed.text.contains("other routes or nodes"),
        "{}",
        changed.text
    );
    until("ours is back", || {
        rig.kernel.table().routes == before.routes
    })
    .await;
    assert_eq!(rig.kernel.generation(), before.generation + 6);

    // The module is loaded anew: no event comes, the check finds it.
    rig.kernel.set(|k| k.table = Default::default());
    until("ours is back", || {
        rig.kernel.table().routes == before.routes
    })
    .await;
    let status = rig.status().await;
    assert_eq!(status.generation, rig.kernel.generation());
}

#[tokio::test]
async fn nodes_hear_of_routes_only_when_the_kernel_has_them() {
    let (rig, mut nodes) = rig().await;
    let mut watch = rig.watch().await;
    rig.kernel.set(|k| k.gone = true);
    // n3 would become active: the reserve is full.
    let mut n4 = rig.join(4).await;
    event(&mut watch, "kernel_failed").await;
    let silence = Duration::from_millis(300);
    assert!(
        tokio::time::timeout(silence, n4.hear()).await.is_err(),
        "nothing but the welcome"
    );
    let error = rig
        .ask(halod_control::Request::NodeActivate { name: "n3".into() })
        .await
        .expect_err("the kernel is gone");
    assert!(
        error.contains("the kernel does not have the new table"),
        "{error}"
    );

    rig.kernel.set(|k| k.gone = false);
    event(&mut watch, "kernel_back").await;
    assert_eq!(n4.assigned().await, "9-12,21-24");
    // The first is from when n2 joined.
    for (routes, to) in [("13-24", "n2"), ("9-12", "n4")] {
        assert_eq!(nodes[0].moved().await, [(routes.to_owned(), to.to_owned())]);
    }
    assert_eq!(rig.kernel.generation(), rig.status().await.generation);
}

#[tokio::test]
async fn a_failing_store_is_said_and_does_not_stop_a_failover() {
    let (rig, mut nodes) = rig().await;
    rig.kernel.set(|k| k.store = None);
    let mut watch = rig.watch().await;
    let db = rusqlite::Connection::open(rig.dir.path().join("halod.db")).expect("the store");
    db.execute_batch("ALTER TABLE cluster RENAME TO elsewhere")
        .expect("renamed");
    nodes[0].say(r#"{"type":"leaving"}"#).await;
    event(&mut watch, "store_failed").await;
    assert_eq!(nodes[2].assigned().await, "1-12");
    assert!(
        rig.status()
            .await
            .store_error
            .expect("an error")
            .contains("halod.db")
    );
    db.execute_batch("ALTER TABLE elsewhere RENAME TO cluster")
        .expect("renamed");
    event(&mut watch, "store_back").await;
    let generation: i64 = db
        .query_row("SELECT generation FROM cluster", [], |r| r.get(0))
        .expect("a generation");
    assert_eq!(generation as u64, rig.kernel.generation());
}
