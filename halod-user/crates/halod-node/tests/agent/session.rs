//! What the agent says to HaloD, and how it comes back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{Agent, Halod, LIMIT, TOKEN, welcome};
use halod_proto::{FromHalod, ToHalod, VERSION};
use rustix::process::Signal;

#[test]
fn registers_with_what_it_was_told() {
    let halod = Halod::new();
    let more = [
        "--address",
        "2001:db8::11",
        "--port",
        "browsers=8100",
        "--port",
        "apps=9100",
    ];
    let _agent = Agent::start(halod.address(), &more);
    let (_peer, hello) = halod.hello();
    assert_eq!(hello.version, VERSION);
    assert_eq!(hello.name.as_str(), "n1");
    let addresses: Vec<String> = hello.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.11", "2001:db8::11"]);
    let ports: Vec<(&str, u16)> = hello.ports.iter().map(|(l, &p)| (l.as_str(), p)).collect();
    assert_eq!(ports, [("apps", 9100), ("browsers", 8100)]);
    assert_eq!(hello.resume, None);
    assert!(hello.healthy);
    assert!(hello.agent.is_some_and(|a| a.starts_with("halod-node ")));
}

#[test]
fn beats_at_the_interval_of_the_welcome() {
    let halod = Halod::new();
    let _agent = Agent::start(halod.address(), &[]);
    let (mut peer, _) = halod.welcome(50);
    let mut at = Vec::new();
    for seq in 0..40 {
        match peer.next() {
            Some(ToHalod::Heartbeat { seq: said, .. }) => assert_eq!(said, seq),
            other => panic!("{other:?} instead of heartbeat {seq}"),
        }
        at.push(Instant::now());
    }
    // 39 intervals of 50 ms; a busy machine may be late, but nothing may be early.
    let took = at[39] - at[0];
    assert!(
        took >= Duration::from_millis(1850),
        "40 heartbeats in {took:?}"
    );
    assert!(
        took <= Duration::from_millis(6000),
        "40 heartbeats in {took:?}"
    );
    let mut gaps: Vec<Duration> = at.windows(2).map(|w| w[1] - w[0]).collect();
    gaps.sort();
    let median = gaps[gaps.len() / 2];
    assert!(
        (40..=100).contains(&median.as_millis()),
        "median gap {median:?}"
    );
}

#[test]
fn comes_back_with_its_token() {
    let halod = Halod::new();
    let _agent = Agent::start(halod.address(), &[]);
    let (mut peer, hello) = halod.welcome(50);
    assert_eq!(hello.resume, None);
    for _ in 0..3 {
        peer.next().unwrap(); // it has read the welcome
        let closed = Instant::now();
        drop(peer);
        let hello;
        (peer, hello) = halod.welcome(50);
        assert_eq!(hello.resume.as_deref(), Some(TOKEN));
        let away = closed.elapsed();
        assert!(away < Duration::from_secs(1), "back after {away:?}");
    }
}

#[test]
fn waits_for_a_halod_that_is_not_there() {
    let halod = Halod::new();
    let address = halod.address();
    drop(halod);
    let agent = Agent::start(address, &[]);
    agent.logs("cannot connect: Connection refused");
    let halod = Halod::at(address);
    let (mut peer, _) = halod.welcome(50);
    assert!(matches!(peer.next(), Some(ToHalod::Heartbeat { .. })));
}

#[test]
fn a_restarted_agent_presents_its_token() {
    let scratch = tempfile::tempdir().unwrap();
    let state = scratch.path().join("state");
    let arguments = ["--state-dir", state.to_str().unwrap()];
    let halod = Halod::new();
    let mut agent = Agent::start(halod.address(), &arguments);
    let (mut peer, hello) = halod.welcome(50);
    assert_eq!(hello.resume, None);
    peer.next().unwrap();
    let file = state.join("n1.resume");
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), TOKEN);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );

    agent.signal(Signal::KILL);
    agent.wait();
    while peer.next().is_some() {}
    let _agent = Agent::start(halod.address(), &arguments);
    let (_peer, hello) = halod.hello();
    assert_eq!(hello.resume.as_deref(), Some(TOKEN));
}

/// It goes on beating until HaloD lets it go: by a message, or by closing the connection.
#[test]
fn leaves_on_sigterm() {
    for (signal, says) in [(Signal::TERM, true), (Signal::INT, false)] {
        let halod = Halod::new();
        let mut agent = Agent::start(halod.address(), &[]);
        let (mut peer, _) = halod.welcome(50);
        peer.next().unwrap();
        agent.signal(signal);
        assert_eq!(peer.news(), Some(ToHalod::Leaving));
        for _ in 0..3 {
            assert!(matches!(peer.next(), Some(ToHalod::Heartbeat { .. })));
        }
        if says {
            peer.send(&FromHalod::MayStop { generation: 1 });
            assert_eq!(peer.news(), None);
        }
        drop(peer);
        assert_eq!(agent.wait().code(), Some(0));
    }
}

#[test]
fn leaving_is_bounded() {
    let halod = Halod::new();
    let mut agent = Agent::start(halod.address(), &["--leave-timeout", "300ms"]);
    let (mut peer, _) = halod.welcome(50);
    peer.next().unwrap();
    agent.signal(Signal::TERM);
    assert_eq!(peer.news(), Some(ToHalod::Leaving));
    let left = Instant::now();
    assert_eq!(peer.news(), None);
    assert!(left.elapsed() >= Duration::from_millis(250));
    drop(peer);
    assert_eq!(agent.wait().code(), Some(0));
    agent.logs("HaloD does not let the node go in time");
}

#[test]
fn a_second_signal_ends_at_once() {
    let halod = Halod::new();
    let mut agent = Agent::start(halod.address(), &["--hook", "sleep 20"]);
    let (mut peer, _) = halod.welcome(50);
    peer.send(&FromHalod::Reserve { generation: 1 });
    agent.logs("hook starts");
    agent.signal(Signal::TERM);
    assert_eq!(peer.news(), Some(ToHalod::Leaving));
    agent.signal(Signal::TERM);
    let told = Instant::now();
    assert_eq!(agent.wait().code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(2));
}

#[test]
fn ends_on_sigterm_without_halod_too() {
    let halod = Halod::new();
    let address = halod.address();
    drop(halod);
    let mut agent = Agent::start(address, &[]);
    agent.logs("cannot connect");
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait().code(), Some(0));
}

#[test]
fn an_error_is_logged_and_tried_again() {
    let halod = Halod::new();
    let agent = Agent::start(halod.address(), &[]);
    for _ in 0..3 {
        let (mut peer, hello) = halod.hello();
        assert_eq!(hello.resume, None);
        peer.send(&FromHalod::Error {
            reason: "name in use\u{1b}[2J".to_owned(),
        });
    }
    // Nothing that HaloD says can play with a terminal.
    agent.logs(r"HaloD refuses: name in use\u{1b}[2J");
}

/// Whatever HaloD sends, the agent closes that connection, says why, and comes back.
#[test]
fn nonsense_ends_the_connection_only() {
    let halod = Halod::new();
    let agent = Agent::start(halod.address(), &[]);
    let endless = vec![b'x'; halod_proto::MAX_LINE_TO_NODE + 1];
    for (bytes, says) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], "one JSON object"),
        (b"\xff\xfe\n", "not UTF-8"),
        (b"{\"type\":\"dance\"}\n", "unknown variant `dance`"),
        (
            b"{\"type\":\"assign\",\"generation\":1,\"slot\":1,\"routes\":[[9,1]]}\n",
            "backwards",
        ),
        (&endless, "longer than 1048576 bytes"),
    ] {
        let (mut peer, _) = halod.welcome(50);
        peer.send_bytes(bytes);
        while peer.next().is_some() {}
        agent.logs(says);
    }
    for (message, says) in [
        (
            FromHalod::Reserve { generation: 1 },
            "HaloD sent reserve out of order",
        ),
        (welcome(0), "heartbeats every 0 ms"),
    ] {
        let (mut peer, _) = halod.hello();
        peer.send(&message);
        while peer.next().is_some() {}
        agent.logs(says);
    }
    let (mut peer, _) = halod.welcome(50);
    peer.send(&welcome(50));
    assert_eq!(peer.news(), None);
    agent.logs("HaloD sent welcome out of order");
    let (mut peer, _) = halod.welcome(50);
    assert!(matches!(peer.next(), Some(ToHalod::Heartbeat { .. })));
}

#[test]
fn a_halod_that_never_answers_is_given_up() {
    let halod = Halod::new();
    let agent = Agent::start(halod.address(), &[]);
    let (mut silent, _) = halod.hello();
    assert_eq!(silent.next(), None);
    agent.logs("no welcome within 5s");
    let (mut peer, _) = halod.welcome(50);
    assert!(matches!(peer.next(), Some(ToHalod::Heartbeat { .. })));
}

/// The agent of the documentation does what the documentation says.
#[test]
fn the_example_in_python_works() {
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../docs/examples/agent.py"
    );
    let halod = Halod::new();
    let mut command = Command::new("python3");
    command.args([example, &halod.address().to_string(), "n9", "192.0.2.19"]);
    command.stdout(std::process::Stdio::null());
    let _agent = Agent::run(command);
    let (mut peer, hello) = halod.welcome(50);
    assert_eq!((hello.name.as_str(), hello.resume), ("n9", None));
    let start = Instant::now();
    for seq in 0..10 {
        assert_eq!(peer.next(), Some(ToHalod::Heartbeat { seq, load: None }));
    }
    assert!((400..LIMIT.as_millis()).contains(&start.elapsed().as_millis()));
    peer.send(&FromHalod::Reserve { generation: 1 });
    assert!(matches!(peer.next(), Some(ToHalod::Heartbeat { .. })));
    drop(peer);
    let (_peer, hello) = halod.welcome(50);
    assert_eq!(hello.resume.as_deref(), Some(TOKEN));
}
