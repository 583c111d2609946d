//! Nodes register, get routes, and are lost: on real sockets, to the kernel's table.

use std::time::{Duration, Instant};

use crate::common::{Node, Rig, event, hello, hello_at, own_address, until};
use halod_control::Request;
use halod_proto::NodeState;
use tokio::net::TcpListener;

#[tokio::test]
async fn nodes_register_and_routes_move_as_the_algorithm_says() {
    let rig = Rig::started(&[("active_min = 2", "active_min = 3")]).await;
    assert_eq!(
        rig.kernel.map(),
        vec!["-"; 24],
        "fail closed before anybody joins"
    );

    let mut n1 = rig.join(1).await;
    assert_eq!(n1.assigned().await, "1-24");
    assert_eq!(rig.kernel.share("n1"), 24);
    let welcome = n1.welcome.clone().expect("a welcome");
    assert_eq!((welcome.cluster.as_str(), welcome.routes), ("push", 24));
    assert_eq!(welcome.listeners.len(), 3);

    let mut n2 = rig.join(2).await;
    assert_eq!(n2.assigned().await, "13-24");
    assert_eq!(n1.moved().await, [("13-24".to_owned(), "n2".to_owned())]);
    let mut n3 = rig.join(3).await;
    assert_eq!(n3.assigned().await, "9-12,21-24");
    assert_eq!(n1.moved().await, [("9-12".to_owned(), "n3".to_owned())]);
    assert_eq!(n2.moved().await, [("21-24".to_owned(), "n3".to_owned())]);
    let mut n4 = rig.join(4).await;
    n4.reserved().await;
    assert_eq!(n4.welcome.expect("a welcome").state, NodeState::Reserve);

    let mut expected = vec!["n1"; 8];
    expected.extend(["n3"; 4]);
    expected.extend(["n2"; 8]);
    expected.extend(["n3"; 4]);
    assert_eq!(rig.kernel.map(), expected);

    let status = rig.status().await;
    assert_eq!((status.active, status.reserve, status.slots), (3, 1, 3));
    assert_eq!(status.generation, rig.kernel.generation());
    assert_eq!(status.kernel.generation, status.generation);
    assert_eq!((status.connections, status.handshakes), (4, 0));
    let routes = rig.routes().await;
    let runs: Vec<String> = routes.runs.iter().map(|r| r.routes.to_string()).collect();
    assert_eq!(runs, ["1-8", "13-20", "9-12,21-24"]);
    let n3 = rig.node("n3").await;
    assert_eq!((n3.slot, n3.routes.len(), n3.connected), (Some(3), 8, true));
}

#[tokio::test]
async fn a_nodes_own_ports_are_its_targets() {
    let rig = Rig::started(&[]).await;
    let hello = r#"{"type":"hello","version":1,"name":"n1","addresses":["192.0.2.1","2001:db8::1"],"ports":{"browsers":8100}}"#;
    let mut n1 = Node::join(rig.address, hello).await;
    n1.assigned().await;
    let table = rig.kernel.table();
    assert_eq!(table.nodes[0].targets, [(0, 8100), (1, 8100)]);
    assert_eq!(table.nodes[0].addresses.len(), 2);
    assert_eq!(table.listeners.len(), 3);
}

#[tokio::test]
async fn a_silent_node_is_lost_and_the_reserve_takes_its_routes() {
    let rig = Rig::started(&[
        ("heartbeat = \"20s\"", "heartbeat = \"100ms\""),
        ("active_min = 2", "active_min = 1"),
    ])
    .await;
    let mut watch = rig.watch().await;
    let mut n1 = rig.join(1).await;
    n1.assigned().await;
    let mut n2 = rig.join(2).await;
    n2.reserved().await;
    event(&mut watch, "committed").await;

    let beating = tokio::spawn(async move {
        // As soon as this says more than a heartbeat, the failover has happened.
        let mut beat = tokio::time::interval(Duration::from_millis(50));
        for seq in 0.. {
            tokio::select! {
                _ = beat.tick() => n2.say(&format!(r#"{{"type":"heartbeat","seq":{seq}}}"#)).await,
                heard = n2.hear() => return (n2, heard),
            }
        }
        unreachable!()
    });
    let reason = n1.refused().await;
    assert!(reason.contains("300 ms"), "{reason}");
    let lost = event(&mut watch, "committed").await;
    let took = Duration::from_micros(lost.took_us.expect("a duration"));
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(rig.kernel.share("n2"), 24);
    let (_n2, heard) = beating.await.expect("n2");
    assert!(format!("{heard:?}").contains("Assign"), "{heard:?}");
}

#[tokio::test]
async fn a_node_that_comes_back_with_its_token_moves_nothing() {
    // Without a TCP listener there is nothing to probe, so that it has the whole time.
    let rig = Rig::started(&[("\"tcp\"", "\"udp\"")]).await;
    let mut watch = rig.watch().await;
    let mut n1 = rig.join(1).await;
    n1.assigned().await;
    let mut n2 = rig.join(2).await;
    n2.assigned().await;
    let before = rig.kernel.commits();
    let token = n1.token().to_owned();
    drop(n1);
    event(&mut watch, "node_away").await;

    let wrong = [None, Some("0123456789abcdef0123456789abcdef")];
    for resume in wrong {
        let mut other = Node::connect(rig.address).await;
        other.say(&hello(1, resume)).await;
        assert!(other.refused().await.contains("name in use"));
    }
    let mut n1 = Node::join(rig.address, &hello(1, Some(&token))).await;
    assert_eq!(n1.assigned().await, "1-12");
    event(&mut watch, "node_back").await;
    assert_eq!(rig.kernel.commits(), before);
    assert!(rig.node("n1").await.connected);

    // While it is connected, a second one with the token takes its place: a half-open
    // connection must not lock a node out.
    let _n1b = Node::join(rig.address, &hello(1, Some(&token))).await;
    n1.refused().await;
    assert_eq!(rig.kernel.commits(), before);
}

#[tokio::test]
async fn a_closed_connection_and_a_dead_application_move_the_routes_at_once() {
    let own = own_address().expect("an address of this machine other than 127.0.0.1, to be probed");
    let rig = Rig::started(&[
        ("port = 8000", "port = 21000"),
        ("port = 9000", "port = 22000"),
    ])
    .await;
    let mut watch = rig.watch().await;
    let mut n1 = Node::join(rig.address, &hello_at(1, own, None)).await;
    n1.assigned().await;
    let mut n2 = rig.join(2).await;
    n2.assigned().await;
    let mut n3 = rig.join(3).await;
    n3.reserved().await;
    for _ in 0..2 {
        event(&mut watch, "committed").await;
    }

    // Its application answers: it has the whole time to come back.
    let application = TcpListener::bind((own, 21000))
        .await
        .expect("the port of route 1");
    let token = n1.token().to_owned();
    drop(n1);
    event(&mut watch, "node_away").await;
    let (_probe, _) = application.accept().await.expect("a probe");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(rig.kernel.share("n1"), 12, "nothing has moved");
    let mut n1 = Node::join(rig.address, &hello_at(1, own, Some(&token))).await;
    n1.assigned().await;
    drop(application);

    // It does not: no need to wait.
    let started = Instant::now();
    drop(n1);
    assert_eq!(n3.assigned().await, "1-12");
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(rig.kernel.share("n3"), 12);
    let event = event(&mut watch, "committed").await;
    assert!(event.took_us.expect("a duration") < 3_000_000);
    assert_eq!(rig.node("n1").await.state, NodeState::Lost);
}

#[tokio::test]
async fn without_a_reserve_the_last_slot_is_handed_back() {
    let rig = Rig::started(&[("active_min = 2", "active_min = 3"), ("\"10s\"", "\"0s\"")]).await;
    let mut nodes = Vec::new();
    for n in 1..=3 {
        nodes.push(rig.join(n).await);
    }
    until("three nodes", || rig.kernel.share("n3") == 8).await;
    // Slot 1 of three: n3 of slot 3 fills it, and its own routes go back to assignment(24, 2).
    drop(nodes.remove(0));
    until("two nodes", || rig.kernel.share("n3") == 12).await;
    let mut expected = vec!["n3"; 12];
    expected.extend(["n2"; 12]);
    assert_eq!(rig.kernel.map(), expected);

    drop(nodes);
    until("none", || rig.kernel.share("-") == 24).await;
    let mut n5 = rig.join(5).await;
    assert_eq!(n5.assigned().await, "1-24");
}

#[tokio::test]
async fn unhealthy_and_leaving_nodes_lose_their_routes() {
    let rig = Rig::started(&[("active_min = 2", "active_min = 1")]).await;
    let mut n1 = rig.join(1).await;
    n1.assigned().await;
    let mut n2 = rig.join(2).await;
    n2.reserved().await;
    n1.say(r#"{"type":"unhealthy","reason":"no answer on 8000"}"#)
        .await;
    assert_eq!(n2.assigned().await, "1-24");
    assert_eq!(n1.moved().await, [("1-24".to_owned(), "n2".to_owned())]);
    n1.reserved().await;
    n1.say(r#"{"type":"healthy"}"#).await;
    n1.say(r#"{"type":"heartbeat","seq":1,"load":{"connections":7}}"#)
        .await;
    // A message is done when the answer to a later question comes over the same heart.
    n2.say(r#"{"type":"leaving"}"#).await;
    assert_eq!(n1.assigned().await, "1-24");
    assert_eq!(rig.node("n1").await.load.expect("a load").connections, 7);
}

#[tokio::test]
async fn operators_move_nodes() {
    let rig = Rig::started(&[("active_min = 2", "active_min = 1")]).await;
    let mut n1 = rig.join(1).await;
    n1.assigned().await;
    let mut n2 = rig.join(2).await;
    n2.reserved().await;
    let name = |name: &str| name.to_owned();

    rig.ask(Request::NodeActivate { name: name("n2") })
        .await
        .expect("activated");
    assert_eq!(n2.assigned().await, "13-24");
    rig.ask(Request::NodeReserve { name: name("n1") })
        .await
        .expect("reserved");
    assert_eq!(rig.kernel.share("n2"), 24);
    let error = rig.ask(Request::NodeReserve { name: name("n2") }).await;
    // n1 waits in reserve and is there to fill the slot.
    error.expect("n1 takes over");
    assert_eq!(rig.kernel.share("n1"), 24);
    rig.ask(Request::NodeRemove { name: name("n2") })
        .await
        .expect("removed");
    let error = rig
        .ask(Request::NodeReserve { name: name("n1") })
        .await
        .expect_err("the last");
    assert!(error.contains("n1"), "{error}");
    let error = rig
        .ask(Request::NodeActivate { name: name("n9") })
        .await
        .expect_err("unknown");
    assert!(error.contains("n9"), "{error}");
    let error = rig
        .ask(Request::NodeActivate { name: name("N 9") })
        .await
        .expect_err("no name");
    assert!(error.contains("1 to 63 characters"), "{error}");
    assert_eq!(rig.nodes().await.len(), 1);
}
