//! Heartbeats wake nobody each, and nothing is missed for it.

use std::time::{Duration, Instant};

use crate::common::{Node, Rig, beat};

/// Often enough to wait, and no silence for as long as a test takes.
const FREQUENT: (&str, &str) = (
    "heartbeat = \"20s\"",
    "heartbeat = \"250ms\"\nheartbeat_misses = 1000",
);

/// So many make up the length of an urgent message, and one less do not.
const ENOUGH: u8 = 10;

fn heartbeat(seq: u8, connections: u8) -> String {
    format!(r#"{{"type":"heartbeat","seq":{seq},"load":{{"connections":{connections}}}}}"#)
}

async fn connections(rig: &Rig) -> Option<u64> {
    rig.node("n1").await.load.map(|load| load.connections)
}

async fn until_connections(rig: &Rig, expected: u64) {
    let end = Instant::now() + Duration::from_secs(20);
    while connections(rig).await != Some(expected) {
        assert!(Instant::now() < end, "{:?}", connections(rig).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn some_heartbeats_wait_for_another() {
    let rig = Rig::started(&[FREQUENT]).await;
    let mut n1 = rig.join(1).await;
    n1.assigned().await;
    for seq in 1..ENOUGH {
        n1.say(&heartbeat(seq, 1)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(connections(&rig).await, None, "they lie unread");
    n1.say(&heartbeat(ENOUGH, 2)).await;
    until_connections(&rig, 2).await;
}

#[tokio::test]
async fn rare_heartbeats_are_read_at_once() {
    let rig = Rig::started(&[(
        "heartbeat = \"20s\"",
        "heartbeat = \"251ms\"\nheartbeat_misses = 1000",
    )])
    .await;
    let mut n1 = rig.join(1).await;
    n1.assigned().await;
    n1.say(&heartbeat(1, 1)).await;
    until_connections(&rig, 1).await;
}

#[tokio::test]
async fn a_node_is_silent_from_its_last_heartbeat_on_read_or_not() {
    let rig = Rig::started(&[
        (
            "heartbeat = \"20s\"",
            "heartbeat = \"250ms\"\nheartbeat_misses = 6",
        ),
        ("active_min = 2", "active_min = 1"),
    ])
    .await;
    let mut n1 = rig.join(1).await;
    n1.assigned().await;
    let mut n2 = rig.join(2).await;
    n2.reserved().await;
    let n2 = beat(n2);
    n1.say(&heartbeat(1, 1)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let last = Instant::now();
    n1.say(&heartbeat(2, 2)).await;
    let reason = n1.refused().await;
    assert!(reason.contains("1500 ms"), "{reason}");
    // The kernel says to a tick of its own when it came.
    assert!(
        last.elapsed() > Duration::from_millis(1_400),
        "{:?}",
        last.elapsed()
    );
    let heard = n2.await.expect("n2");
    assert!(heard.contains("Assign"), "{heard}");
}

#[tokio::test]
async fn other_messages_are_heard_at_once() {
    let rig = Rig::started(&[FREQUENT, ("active_min = 2", "active_min = 1")]).await;
    let mut n1 = rig.join(1).await;
    n1.assigned().await;
    let mut n2 = rig.join(2).await;
    n2.reserved().await;
    for seq in 1..=ENOUGH {
        n1.say(&heartbeat(seq, 1)).await;
    }
    until_connections(&rig, 1).await;
    // Silence would be after a minute, and a heartbeat does not come.
    n1.say(r#"{"type":"unhealthy","reason":"x"}"#).await;
    assert_eq!(n2.assigned().await, "1-24");
    n1.moved().await;
    n1.reserved().await;

    // One that is not filled up comes with the next heartbeats.
    n1.send(b"{\"type\":\"healthy\"}\n").await;
    for seq in 1..=ENOUGH {
        n1.say(&heartbeat(ENOUGH + seq, 1)).await;
    }
    n2.say(r#"{"type":"leaving"}"#).await;
    assert_eq!(n1.assigned().await, "1-24");
}

#[tokio::test]
async fn an_end_is_seen_behind_what_is_unread() {
    let rig = Rig::started(&[
        FREQUENT,
        ("active_min = 2", "active_min = 1"),
        ("\"10s\"", "\"0s\""),
    ])
    .await;
    let mut n1 = rig.join(1).await;
    n1.assigned().await;
    let mut n2: Node = rig.join(2).await;
    n2.reserved().await;
    n1.say(&heartbeat(1, 1)).await;
    drop(n1);
    assert_eq!(n2.assigned().await, "1-24");
}

#[tokio::test]
async fn no_heartbeat_is_heard_after_a_later_one() {
    let rig = Rig::started(&[]).await;
    let mut n1 = rig.join(1).await;
    n1.assigned().await;
    // Whatever is to be done each second is due together with all that was said meanwhile.
    rig.kernel.set(|k| k.slow = Duration::from_millis(1_100));
    let end = Instant::now() + Duration::from_secs(8);
    let mut seq = 0;
    while Instant::now() < end {
        seq += 1;
        n1.say(r#"{"type":"healthy"}"#).await;
        n1.say(&format!(r#"{{"type":"heartbeat","seq":{seq}}}"#))
            .await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    rig.kernel.set(|k| k.slow = Duration::ZERO);
    n1.say(&format!(
        r#"{{"type":"heartbeat","seq":{},"load":{{"connections":7}}}}"#,
        seq + 1
    ))
    .await;
    until_connections(&rig, 7).await;
}
