//! The control socket: who may use it, wrong requests, watchers.

use crate::common;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::common::{Rig, event};
use halod_control::{MAX_REQUEST, Request, ScalingReport};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// The answers to raw bytes, one a line.
async fn raw(rig: &Rig, bytes: &[u8]) -> Vec<String> {
    let mut stream = UnixStream::connect(rig.control_path())
        .await
        .expect("connected");
    stream.write_all(bytes).await.expect("sent");
    stream.shutdown().await.expect("sent");
    let mut text = String::new();
    let read = tokio::time::timeout(common::SOON, stream.read_to_string(&mut text));
    read.await.expect("in time").expect("answers");
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn only_its_own_user_may_use_the_socket() {
    let rig = Rig::started(&[]).await;
    let mode = std::fs::metadata(rig.control_path())
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_a_file_is_not() {
    let mut rig = Rig::new();
    drop(std::os::unix::net::UnixListener::bind(rig.control_path()).expect("a socket"));
    rig.start().await.expect("started");
    assert_eq!(rig.status().await.cluster, "push");
    rig.stop().await;
    std::fs::write(rig.control_path(), "precious").expect("a file");
    let error = rig.start().await.expect_err("a file").to_string();
    assert!(
        error.contains("control.sock") && error.contains("not a socket"),
        "{error}"
    );
}

#[tokio::test]
async fn wrong_requests_are_refused_and_the_next_one_is_answered() {
    let rig = Rig::started(&[]).await;
    let answers = raw(
        &rig,
        b"hello\n{\"command\":\"stop\"}\n{\"command\":\"node_remove\"}\n{\"command\":\"listeners\"}\n",
    )
    .await;
    assert_eq!(answers.len(), 4, "{answers:?}");
    assert!(answers[0].contains("not a request"), "{}", answers[0]);
    assert!(
        answers[1].contains("unknown variant `stop`"),
        "{}",
        answers[1]
    );
    assert!(
        answers[2].contains("missing field `name`"),
        "{}",
        answers[2]
    );
    assert!(
        answers[3].starts_with("{\"ok\":[{\"name\":\"browsers\""),
        "{}",
        answers[3]
    );

    let answers = raw(&rig, &vec![b'a'; MAX_REQUEST + 1]).await;
    assert_eq!(answers.len(), 1);
    assert!(
        answers[0].contains("longer than 4096 bytes"),
        "{}",
        answers[0]
    );
}

#[tokio::test]
async fn listeners_are_reported() {
    let rig = Rig::started(&[]).await;
    let listeners: Vec<halod_control::ListenerReport> = rig
        .client()
        .await
        .request(&Request::Listeners)
        .await
        .expect("listeners");
    let last = &listeners[2];
    assert_eq!(
        (last.name.as_str(), last.protocol.as_str()),
        ("apps", "udp")
    );
    assert_eq!(
        (last.port, last.last_port, last.node_port),
        (9000, 9023, 9000)
    );
}

#[tokio::test]
async fn watchers_see_a_change_with_its_duration() {
    let rig = Rig::started(&[]).await;
    let mut watch = rig.watch().await;
    let mut n1 = rig.join(1).await;
    n1.assigned().await;
    let committed = event(&mut watch, "committed").await;
    assert_eq!(committed.generation, rig.kernel.generation());
    assert!(committed.took_us.expect("a duration") > 0);
    assert_eq!(committed.details["moved"], 24);
    assert!(
        humantime::parse_rfc3339(&committed.time).is_ok(),
        "{}",
        committed.time
    );
    let moved = event(&mut watch, "routes_moved").await;
    assert_eq!(moved.details["moves"][0]["to"], "n1");
    assert_eq!(moved.details["moves"][0]["routes"][0][1], 24);
}

#[tokio::test]
async fn scaling_is_reported_with_its_reason() {
    let mut rig = Rig::new();
    // The load is looked at once a heartbeat.
    rig.replace(&[
        ("active_min = 2", "active_min = 1"),
        ("reserve = 1", "reserve = 9"),
        (
            "heartbeat = \"20s\"",
            "heartbeat = \"100ms\"\nheartbeat_misses = 1000",
        ),
    ]);
    let scale = "[scale]\nby = \"connections\"\nup_at = 100\ndown_at = 10\nhold = \"0s\"\n";
    rig.config += scale;
    rig.start().await.expect("started");
    let mut n1 = rig.join(1).await;
    n1.assigned().await;
    let mut n2 = rig.join(2).await;
    n2.reserved().await;
    let mut watch = rig.watch().await;
    for (node, connections) in [(&mut n2, 0), (&mut n1, 500)] {
        // Enough of them to be read.
        for seq in 1..=10 {
            node.say(&format!(
                r#"{{"type":"heartbeat","seq":{seq},"load":{{"connections":{connections}}}}}"#
            ))
            .await;
        }
    }
    let step = event(&mut watch, "scaled").await;
    assert_eq!(step.details["node"], "n2");
    assert_eq!(n2.assigned().await, "13-24");
    let mut client = rig.client().await;
    let report: Option<ScalingReport> = client.request(&Request::Scaling).await.expect("a report");
    let report = report.expect("scaling");
    assert_eq!((report.by.as_str(), report.total), ("connections", 500.0));
    let why = report.last_why.expect("a step");
    assert!(why.contains("500"), "{why}");
    assert_eq!(rig.status().await.scaling, Some(report.why));

    let rig = Rig::started(&[]).await;
    let mut client = rig.client().await;
    let report: Option<ScalingReport> = client.request(&Request::Scaling).await.expect("a report");
    assert_eq!(report, None);
}

#[tokio::test]
async fn a_nodes_words_cannot_forge_lines() {
    let rig = Rig::started(&[("active_min = 2", "active_min = 1")]).await;
    let mut n1 = rig.join(1).await;
    n1.assigned().await;
    let mut n2 = rig.join(2).await;
    n2.reserved().await;
    let mut watch = rig.watch().await;
    n2.say(r#"{"type":"unhealthy","reason":"x\n2026-01-01T00:00:00Z n1 is lost\u001b[2J"}"#)
        .await;
    let said = event(&mut watch, "node_unhealthy").await;
    assert!(said.text.contains("n1 is lost"), "{}", said.text);
    assert!(!said.text.contains(char::is_control), "{:?}", said.text);
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_dropped_and_holds_nobody_up() {
    let rig = Rig::started(&[("active_min = 2", "active_min = 1")]).await;
    let mut n1 = rig.join(1).await;
    n1.assigned().await;
    let mut n2 = rig.join(2).await;
    n2.reserved().await;
    let mut slow = UnixStream::connect(rig.control_path())
        .await
        .expect("connected");
    slow.write_all(b"{\"command\":\"watch\"}\n")
        .await
        .expect("sent");
    let mut slow = BufReader::new(slow);
    let mut line = String::new();
    slow.read_line(&mut line).await.expect("watching");
    // More events than the socket and the daemon keep for it.
    let mut client = rig.client().await;
    for _ in 0..500 {
        for request in [
            Request::NodeActivate { name: "n2".into() },
            Request::NodeReserve { name: "n2".into() },
        ] {
            let done = client.request::<String>(&request);
            tokio::time::timeout(Duration::from_secs(5), done)
                .await
                .expect("in time")
                .expect("done");
            n2.hear().await;
            n1.hear().await;
        }
    }
    let mut rest = String::new();
    let read = slow.read_to_string(&mut rest);
    tokio::time::timeout(common::SOON, read)
        .await
        .expect("ended")
        .expect("text");
    let last = rest.lines().last().expect("a last line");
    assert!(last.contains("events were missed"), "{last}");
}
