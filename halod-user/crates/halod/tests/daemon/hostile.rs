//! Peers that do what they should not. Each is refused with a reason, and a good node beside
//! them notices nothing.

use crate::common;

use std::time::Duration;

use crate::common::{Node, Rig, SOON, beat, until};
use halod_control::Request;
use halod_proto::{FromHalod, MAX_HELLO, MAX_LINE_TO_HALOD};
use tokio::task::JoinHandle;

/// A rig with one good node that is lost if it is not heard for 500 ms.
async fn rig() -> (Rig, JoinHandle<String>) {
    let rig = Rig::started(&[
        (
            "heartbeat = \"20s\"",
            "heartbeat = \"100ms\"\nheartbeat_misses = 5",
        ),
        ("active_min = 2", "active_min = 1"),
    ])
    .await;
    let mut good = rig.join(1).await;
    good.assigned().await;
    (rig, beat(good))
}

#[track_caller]
fn unharmed(rig: &Rig, good: &JoinHandle<String>, commits: u32) {
    assert!(!good.is_finished(), "the good node still beats");
    assert_eq!(rig.kernel.commits(), commits);
    assert_eq!(rig.kernel.share("n1"), 24);
}

#[tokio::test]
async fn wrong_first_messages() {
    let (rig, good) = rig().await;
    let commits = rig.kernel.commits();
    let long = format!(
        "{{\"type\":\"hello\",\"agent\":\"{}\"}}",
        "a".repeat(MAX_HELLO)
    );
    let cases: &[(&[u8], &str)] = &[
        (b"GET / HTTP/1.1\r\n\r\n", "one JSON object"),
        (b"{}\n", "missing field `type`"),
        (b"{\"type\":\"hello\"\n", "EOF while parsing"),
        (b"{\"type\":\"shutdown\"}\n", "unknown variant `shutdown`"),
        (b"{\"type\":\"heartbeat\",\"seq\":1}\n", "the first message must be a hello; this is heartbeat"),
        (b"\xff\xfe\n", "not UTF-8"),
        (b"{\"type\":\"hello\",\"version\":2,\"name\":\"n2\",\"addresses\":[\"203.0.113.2\"]}\n", "version 2 is not spoken here; 1 is"),
        (b"{\"type\":\"hello\",\"version\":1,\"name\":\"N2\",\"addresses\":[\"203.0.113.2\"]}\n", "1 to 63 characters"),
        (b"{\"type\":\"hello\",\"version\":1,\"name\":\"n2\",\"addresses\":[]}\n", "there are 0 IPv4 and 0 IPv6"),
        (b"{\"type\":\"hello\",\"version\":1,\"name\":\"n2\",\"addresses\":[\"127.0.0.1\"]}\n", "127.0.0.1 is a loopback address"),
        (b"{\"type\":\"hello\",\"version\":1,\"name\":\"n2\",\"addresses\":[\"198.51.100.1\"]}\n", "198.51.100.1 is that of the listener"),
        (b"{\"type\":\"hello\",\"version\":1,\"name\":\"n2\",\"addresses\":[\"203.0.113.1\"]}\n", "is that of node n1 already"),
        (b"{\"type\":\"hello\",\"version\":1,\"name\":\"n2\",\"addresses\":[\"203.0.113.2\"],\"ports\":{\"chat\":1}}\n", "there is no listener \"chat\""),
        (b"{\"type\":\"hello\",\"version\":1,\"name\":\"n1\",\"addresses\":[\"203.0.113.1\"]}\n", "name in use"),
        (long.as_bytes(), "longer than 4096 bytes"),
    ];
    for (bytes, says) in cases {
        let mut peer = Node::connect(rig.address).await;
        peer.send(bytes).await;
        let reason = peer.refused().await;
        assert!(reason.contains(says), "{reason}\nshould say: {says}");
        assert!(reason.len() < 1024, "{} bytes", reason.len());
    }
    unharmed(&rig, &good, commits);
}

#[tokio::test]
async fn wrong_later_messages() {
    let (rig, good) = rig().await;
    let long = "a".repeat(MAX_LINE_TO_HALOD + 1);
    let cases = [
        ("garbage", "one JSON object"),
        (
            r#"{"type":"drained","routes":[[1,4000000000]]}"#,
            "there is no route 4000000000",
        ),
        (
            r#"{"type":"hello","version":1,"name":"n2","addresses":["203.0.113.2"]}"#,
            "second hello",
        ),
        (&long, "longer than 65536 bytes"),
    ];
    let commits = rig.kernel.commits();
    for (n, (line, says)) in (2..).zip(cases) {
        let mut peer = rig.join(n).await;
        peer.reserved().await;
        peer.say(line).await;
        let reason = peer.refused().await;
        assert!(reason.contains(says), "{reason}\nshould say: {says}");
        // The reserve is free for the next one.
        let name = format!("n{n}");
        rig.ask(Request::NodeRemove { name })
            .await
            .expect("removed");
    }
    unharmed(&rig, &good, commits);
}

#[tokio::test]
async fn the_error_comes_last_even_after_a_hello_in_the_same_breath() {
    let (rig, good) = rig().await;
    let commits = rig.kernel.commits();
    for n in 2..12 {
        let mut peer = Node::connect(rig.address).await;
        peer.send(format!("{}\ngarbage\n", common::hello(n, None)).as_bytes())
            .await;
        let welcome = peer.hear().await;
        assert!(
            matches!(welcome, Some(FromHalod::Welcome(_))),
            "{welcome:?}"
        );
        peer.reserved().await;
        assert!(peer.refused().await.contains("one JSON object"));
        // The reserve is free for the next one.
        let name = format!("n{n}");
        rig.ask(Request::NodeRemove { name })
            .await
            .expect("removed");
    }
    unharmed(&rig, &good, commits);
}

#[tokio::test]
async fn peers_that_say_nothing() {
    let (rig, good) = rig().await;
    let commits = rig.kernel.commits();
    // As many as may be silent, and a few more.
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(Node::connect(rig.address).await);
    }
    let before = std::time::Instant::now();
    until("8 handshakes", || {
        before.elapsed() > Duration::from_millis(100)
    })
    .await;
    assert_eq!(rig.status().await.handshakes, 8);
    let mut ninth = Node::connect(rig.address).await;
    assert!(
        ninth
            .refused()
            .await
            .contains("8 connections have not said hello yet")
    );
    // Half a hello is none.
    silent[0].send(b"{\"type\":\"hello\",").await;
    for peer in &mut silent {
        assert!(peer.refused().await.contains("no hello within 500 ms"));
    }
    drop(silent);
    until("free again", || {
        before.elapsed() > Duration::from_millis(700)
    })
    .await;
    assert_eq!(rig.status().await.handshakes, 0);
    unharmed(&rig, &good, commits);
}

#[tokio::test]
async fn a_peer_of_another_range_is_told_so() {
    let rig = Rig::started(&[("127.0.0.0/8", "192.0.2.0/24")]).await;
    let mut peer = Node::connect(rig.address).await;
    let reason = peer.refused().await;
    assert!(
        reason.contains("127.0.0.1") && reason.contains("plaintext_from"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_half_open_node_is_lost_by_its_silence() {
    let (rig, good) = rig().await;
    let mut half_open = rig.join(2).await;
    half_open.reserved().await;
    // It neither beats nor closes.
    let reason = half_open.refused().await;
    assert!(reason.contains("500 ms"), "{reason}");
    assert!(!good.is_finished());
    assert_eq!(rig.kernel.share("n1"), 24);
}

#[tokio::test]
async fn floods_do_not_starve_a_good_node() {
    let (rig, good) = rig().await;
    let commits = rig.kernel.commits();
    let mut flood = rig.join(2).await;
    flood.reserved().await;
    // From another thread, as fast as the socket takes it.
    let stream = flood.stream.into_inner().into_std().expect("a stream");
    stream.set_nonblocking(false).expect("a blocking stream");
    let flooding = std::thread::spawn(move || {
        let end = std::time::Instant::now() + Duration::from_millis(1500);
        let mut seq = 0;
        while std::time::Instant::now() < end {
            let line = |seq| format!("{{\"type\":\"heartbeat\",\"seq\":{seq}}}\n");
            let lines: String = (seq..seq + 1000).map(line).collect();
            std::io::Write::write_all(&mut &stream, lines.as_bytes()).expect("still connected");
            seq += 1000;
        }
        (stream, seq)
    });
    until("the flood has ended", || flooding.is_finished()).await;
    let (_stream, sent) = flooding.join().expect("a flood");
    assert!(sent > 10_000, "{sent} is no flood");
    unharmed(&rig, &good, commits);
    // The answer to a request comes in time too.
    tokio::time::timeout(SOON, rig.status())
        .await
        .expect("a status");
}
