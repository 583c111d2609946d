//! What the agent says of its load.

use std::time::{Duration, Instant};

use crate::common::{Agent, Halod, LIMIT, Peer};
use halod_proto::{Load, ToHalod};

fn load(peer: &mut Peer) -> Load {
    loop {
        match peer.next() {
            Some(ToHalod::Heartbeat { load, .. }) => {
                if let Some(load) = load {
                    return load;
                }
            }
            other => panic!("{other:?} instead of a heartbeat"),
        }
    }
}

/// Waits for a load with that value; counts heartbeats without any.
fn value(peer: &mut Peer, value: Option<f64>) {
    let start = Instant::now();
    while load(peer).value != value {
        assert!(start.elapsed() < LIMIT, "never {value:?}");
    }
}

#[test]
fn the_command_gives_the_value() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("load");
    let command = format!("cat {}", file.display());
    let halod = Halod::new();
    let arguments = ["--load-command", &command, "--load-interval", "50ms"];
    let agent = Agent::start(halod.address(), &arguments);
    let (mut peer, _) = halod.welcome(50);
    assert_eq!(load(&mut peer).value, None);
    agent.logs("the load command fails: exit status: 1");
    std::fs::write(&file, "0.25\n").unwrap();
    value(&mut peer, Some(0.25));
    std::fs::write(&file, "busy\n").unwrap();
    value(&mut peer, None);
    agent.logs(r#"the load command prints "busy\n", which is not a number"#);
}

#[test]
fn a_slow_command_is_killed_and_holds_up_no_heartbeat() {
    let halod = Halod::new();
    let arguments = [
        "--load-command",
        "sleep 60 & wait; echo 1",
        "--load-interval",
        "300ms",
    ];
    let agent = Agent::start(halod.address(), &arguments);
    let (mut peer, _) = halod.welcome(50);
    let start = Instant::now();
    for _ in 0..20 {
        assert!(matches!(peer.next(), Some(ToHalod::Heartbeat { .. })));
    }
    assert!(
        start.elapsed() < Duration::from_millis(2_000),
        "{:?}",
        start.elapsed()
    );
    agent.logs("the load command takes longer than 300ms; killed");
    assert_eq!(load(&mut peer).value, None);
}

/// Once a second, not with each heartbeat.
#[test]
fn is_said_once_a_second() {
    let halod = Halod::new();
    let _agent = Agent::start(halod.address(), &[]);
    let (mut peer, _) = halod.welcome(20);
    load(&mut peer);
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(load(&mut peer).connections, 0);
    }
    assert!(
        start.elapsed() >= Duration::from_millis(2_700),
        "{:?}",
        start.elapsed()
    );
}
