//! The hook gets what the documentation promises, in order, and disturbs nothing.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::{Agent, Halod, until};
use halod_proto::{FromHalod, MovedRoutes, ToHalod};
use halod_routes::RouteSet;
use rustix::process::Signal;

fn set(text: &str) -> RouteSet {
    text.parse().unwrap()
}

fn assign(generation: u64, routes: &str) -> FromHalod {
    FromHalod::Assign {
        generation,
        slot: 3,
        routes: set(routes),
    }
}

/// Waits until a file has that many lines.
fn lines(file: &Path, count: usize) -> Vec<String> {
    until("the hook's lines", || {
        let text = fs::read_to_string(file).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count && text.ends_with('\n')).then_some(lines)
    })
}

#[test]
fn is_told_in_environment_and_input() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    // One write for each run; the input ends the run's line.
    let hook = format!(
        r#"input=$(cat); printf '%s|%s|%s|%s|%s\n' "$HALOD_EVENT" "$HALOD_GENERATION" "$HALOD_ROUTES" "$HALOD_TO" "$input" >> {}"#,
        out.display()
    );
    let halod = Halod::new();
    let _agent = Agent::start(halod.address(), &["--hook", &hook]);
    let (mut peer, _) = halod.welcome(50);
    let moved = |routes, to: &str| MovedRoutes {
        routes: set(routes),
        to: Some(to.parse().unwrap()),
    };
    peer.send(&assign(3, "9-10,12,24"));
    let moves = vec![moved("9-10", "n4"), moved("12,24", "n5")];
    peer.send(&FromHalod::RouteMoved {
        generation: 4,
        moves,
    });
    peer.send(&FromHalod::Reserve { generation: 5 });
    assert_eq!(
        lines(&out, 4),
        [
            r#"assign|3|9-10,12,24||{"type":"assign","generation":3,"slot":3,"routes":[[9,10],[12,12],[24,24]]}"#,
            r#"route_moved|4|9-10|n4|{"type":"route_moved","generation":4,"moves":[{"routes":[[9,10]],"to":"n4"}]}"#,
            r#"route_moved|4|12,24|n5|{"type":"route_moved","generation":4,"moves":[{"routes":[[12,12],[24,24]],"to":"n5"}]}"#,
            r#"reserve|5|||{"type":"reserve","generation":5}"#,
        ]
    );
}

#[test]
fn runs_in_order_and_never_holds_up_a_heartbeat() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    // The first is the slowest: side by side, the order would be another.
    let hook = format!(
        "echo start $HALOD_GENERATION >> {0}; [ $HALOD_GENERATION = 1 ] && sleep 2; echo end $HALOD_GENERATION >> {0}",
        out.display()
    );
    let halod = Halod::new();
    let _agent = Agent::start(halod.address(), &["--hook", &hook]);
    let (mut peer, _) = halod.welcome(50);
    for generation in 1..=3 {
        peer.send(&assign(generation, "1-24"));
    }
    lines(&out, 1);
    let start = Instant::now();
    for _ in 0..12 {
        assert!(matches!(peer.next(), Some(ToHalod::Heartbeat { .. })));
    }
    assert!(
        start.elapsed() < Duration::from_millis(1800),
        "12 beats took {:?}",
        start.elapsed()
    );
    assert_eq!(
        fs::read_to_string(&out).unwrap(),
        "start 1\n",
        "the first hook still runs"
    );
    assert_eq!(
        lines(&out, 6),
        ["start 1", "end 1", "start 2", "end 2", "start 3", "end 3"]
    );
}

#[test]
fn is_killed_with_all_it_started_when_it_takes_too_long() {
    let scratch = tempfile::tempdir().unwrap();
    let (alive, out) = (scratch.path().join("alive"), scratch.path().join("out"));
    let hook = format!(
        "[ $HALOD_GENERATION = 2 ] && echo 2 >> {1} && exit; (while :; do echo x >> {0}; sleep 0.02; done) & wait",
        alive.display(),
        out.display()
    );
    let halod = Halod::new();
    let arguments = ["--hook", &hook, "--hook-timeout", "300ms"];
    let agent = Agent::start(halod.address(), &arguments);
    let (mut peer, _) = halod.welcome(50);
    peer.send(&assign(1, "1"));
    peer.send(&assign(2, "1"));
    lines(&alive, 3);
    agent.logs("hook takes too long; killed");
    lines(&out, 1);
    // What the shell had started is gone too: its file grows no more.
    let size = fs::metadata(&alive).unwrap().len();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(fs::metadata(&alive).unwrap().len(), size);
}

#[test]
fn its_output_and_failure_are_logged() {
    let halod = Halod::new();
    let hook = r"echo to stdout; printf 'bell \007' >&2; exit 7";
    let agent = Agent::start(halod.address(), &["--hook", hook]);
    let (mut peer, _) = halod.welcome(50);
    peer.send(&assign(1, "1-24"));
    agent.logs("hook says: to stdout");
    agent.logs(r"hook says: bell \u{7}");
    agent.logs("exit status: 7");
}

/// A hook that never reads its input, and one that cannot be found, are no trouble; nor is a
/// set of routes that no environment variable holds.
#[test]
fn input_need_not_be_read() {
    let halod = Halod::new();
    let hook = "echo routes ${HALOD_ROUTES-absent}; exec no-such-command";
    let agent = Agent::start(halod.address(), &["--hook", hook]);
    let (mut peer, _) = halod.welcome(50);
    // More than a pipe holds.
    let routes: RouteSet = (1..=65_536).step_by(2).collect();
    peer.send(&FromHalod::Assign {
        generation: 1,
        slot: 1,
        routes,
    });
    agent.logs("hook says: routes absent");
    agent.logs("no-such-command");
    agent.logs("exit status: 127");
    assert!(matches!(peer.next(), Some(ToHalod::Heartbeat { .. })));
}

/// A hook that reads it gets all of it.
#[test]
fn a_long_input_arrives_whole() {
    let halod = Halod::new();
    let agent = Agent::start(halod.address(), &["--hook", "echo $(wc -c) bytes"]);
    let (mut peer, _) = halod.welcome(50);
    let routes: RouteSet = (1..=65_536).step_by(2).collect();
    let message = FromHalod::Assign {
        generation: 1,
        slot: 1,
        routes,
    };
    peer.send(&message);
    agent.logs(&format!("hook says: {} bytes", message.to_line().len()));
}

/// What was begun is finished before the agent ends, after the node has left.
#[test]
fn is_waited_for_at_the_end() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let hook = format!(
        "echo start >> {0}; sleep 0.5; echo end >> {0}",
        out.display()
    );
    let halod = Halod::new();
    let mut agent = Agent::start(halod.address(), &["--hook", &hook]);
    let (mut peer, _) = halod.welcome(50);
    peer.send(&assign(1, "1"));
    lines(&out, 1);
    agent.signal(Signal::TERM);
    assert_eq!(peer.news(), Some(ToHalod::Leaving));
    assert_eq!(
        fs::read_to_string(&out).unwrap(),
        "start\n",
        "the node leaves at once"
    );
    drop(peer);
    assert_eq!(agent.wait().code(), Some(0));
    assert_eq!(fs::read_to_string(&out).unwrap(), "start\nend\n");
}
