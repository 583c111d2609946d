//! The event stream: who follows it, and how.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::follower::Follower;
use crate::common::{Agent, Halod, until};
use halod_proto::{FromHalod, ToHalod};
use halod_routes::RouteSet;
use rustix::process::Signal;
use serde_json::{Value, json};

fn start(halod: &Halod, events: &Path) -> Agent {
    Agent::start(halod.address(), &["--events", events.to_str().unwrap()])
}

#[test]
fn followers_learn_the_state_and_what_happens() {
    let scratch = tempfile::tempdir().unwrap();
    let events = scratch.path().join("events");
    let halod = Halod::new();
    let _agent = start(&halod, &events);
    let early = Follower::start(&events);
    let state = early.next().unwrap();
    assert_eq!(
        (&state["state"], &state["connected"]),
        (&json!("reserve"), &json!(false))
    );
    let mode = fs::metadata(&events).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);

    let (mut peer, _) = halod.welcome(50);
    assert_eq!(early.next().unwrap()["connected"], true);
    let (generation, slot) = (3, 2);
    let routes: RouteSet = "1-12".parse().unwrap();
    peer.send(&FromHalod::Assign {
        generation,
        slot,
        routes,
    });
    peer.send(&FromHalod::Reserve { generation: 4 });
    peer.send(&FromHalod::MayStop { generation: 5 });
    for expected in [
        json!({"event": "assign", "generation": 3, "slot": 2, "routes": [[1, 12]]}),
        // Nobody said where they went.
        json!({"event": "route_moved", "generation": 4, "routes": [[1, 12]], "left_ms": 0, "window_ms": 8000}),
        json!({"event": "reserve", "generation": 4}),
        json!({"event": "may_stop"}),
    ] {
        assert_eq!(early.next(), Some(expected));
    }
    let late = Follower::start(&events).next().unwrap();
    assert_eq!(
        (&late["state"], &late["generation"]),
        (&json!("reserve"), &json!(5))
    );
    drop(peer);
    assert_eq!(
        early.next(),
        Some(json!({"event": "halod", "connected": false}))
    );
}

#[test]
fn a_slow_follower_is_cut_off_and_holds_up_nobody() {
    let scratch = tempfile::tempdir().unwrap();
    let events = scratch.path().join("events");
    let halod = Halod::new();
    let agent = start(&halod, &events);
    let fast = Follower::start(&events);
    let slow = UnixStream::connect(&events).unwrap();
    let (mut peer, _) = halod.welcome(50);
    let routes: RouteSet = (1..1000).step_by(2).collect();
    let message = FromHalod::Assign {
        generation: 1,
        slot: 1,
        routes,
    };
    let begin = Instant::now();
    let mut beats = 0;
    while !agent.log().contains("too slow; cut off") {
        for _ in 0..20 {
            peer.send(&message);
        }
        assert!(matches!(peer.next(), Some(ToHalod::Heartbeat { .. })));
        beats += 1;
        assert!(beats < 200, "never cut off");
    }
    let took = begin.elapsed();
    assert!(
        took < Duration::from_millis(50) * beats * 2,
        "{beats} beats took {took:?}"
    );
    // It gets what was queued for it, whole lines, and then is told.
    let lines: Vec<Value> = BufReader::new(slow)
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert_eq!(lines[0]["event"], "state");
    let last = lines.last().unwrap();
    assert_eq!(last["event"], "cut");
    assert!(
        last["reason"].as_str().unwrap().contains("too slow"),
        "{last}"
    );
    // The other one missed nothing.
    peer.send(&FromHalod::MayStop { generation: 2 });
    fast.find("may_stop");
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let scratch = tempfile::tempdir().unwrap();
    let events = scratch.path().join("events");
    let halod = Halod::new();
    let mut agent = start(&halod, &events);
    assert!(Follower::start(&events).next().is_some());
    let second = Command::new(env!("CARGO_BIN_EXE_halod-node"))
        .args([
            "--name",
            "n2",
            "--address",
            "192.0.2.12",
            "--halod",
            "127.0.0.1:1",
            "--events",
        ])
        .arg(&events)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(2));
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(error.contains("another program serves it"), "{error}");

    agent.signal(Signal::KILL);
    agent.wait();
    assert!(events.exists());
    let mut agent = start(&halod, &events);
    until("the new socket", || UnixStream::connect(&events).ok());
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait().code(), Some(0));
    assert!(!events.exists());
}

#[test]
fn followers_are_bounded() {
    let scratch = tempfile::tempdir().unwrap();
    let events = scratch.path().join("events");
    let halod = Halod::new();
    let _agent = start(&halod, &events);
    let mut followers: Vec<Follower> = (0..64).map(|_| Follower::start(&events)).collect();
    assert!(
        followers
            .iter()
            .all(|f| f.next().unwrap()["event"] == "state")
    );
    let refused = Follower::start(&events);
    assert_eq!(refused.next().unwrap()["event"], "cut");
    assert_eq!(refused.next(), None);
    // One that goes makes room.
    followers.pop();
    until("room", || {
        (Follower::start(&events).next().unwrap()["event"] == "state").then_some(())
    });
}
