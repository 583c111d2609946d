//! Commands that ask the daemon, against a socket that speaks its API.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::common::{Daemon, Script, code, json, stderr, stdout};
use halod_control::{
    Answer, DrainRun, Event, Failover, FormerReport, Going, KernelReport, KernelState,
    ListenerReport, NodeReport, PlanReport, PlannedMove, Request, RouteReport, RouteRun,
    ScalingReport, StatusReport,
};
use halod_proto::{Deliver, Load, NodeState, Select};
use serde::Serialize;

fn ok<T: Serialize>(report: T) -> Option<Vec<String>> {
    Some(vec![
        serde_json::to_string(&Answer::Ok(report)).expect("JSON"),
    ])
}

fn refusal(text: &str) -> Option<Vec<String>> {
    Some(vec![
        serde_json::to_string(&Answer::<()>::Error(text.into())).expect("JSON"),
    ])
}

fn status() -> StatusReport {
    StatusReport {
        cluster: "push".into(),
        version: "0.1.0".into(),
        generation: 7,
        kernel: KernelReport {
            state: KernelState::OutOfStep,
            generation: 6,
            version: "0.1.0".into(),
            draining: 8,
            flows: 120,
            flow_slots: 65_536,
            forward_full: 3,
            reason: Some("another hand \u{1b}[2J".into()),
        },
        routes: 24,
        routes_without_node: 8,
        draining_routes: 8,
        slots: 3,
        active: 2,
        reserve: 1,
        draining: 0,
        lost: 1,
        held_back: 1,
        scaling: Some("nothing to do: 100 connections".into()),
        uptime_ms: 61_500,
        connections: 3,
        handshakes: 0,
        pid: 42,
        store: "/var/lib/halod/halod.db".into(),
        store_error: None,
    }
}

fn run(slot: u32, node: Option<&str>, routes: &str) -> RouteRun {
    RouteRun {
        routes: routes.parse().expect("routes"),
        node: node.map(str::to_owned),
        slot: Some(slot),
    }
}

fn routes() -> RouteReport {
    RouteReport {
        generation: 7,
        routes: 24,
        failover: Failover::Replace,
        runs: vec![
            run(1, Some("n1"), "1-8"),
            run(2, None, "13-20"),
            run(3, Some("n3"), "9-12,21-24"),
        ],
        drains: Vec::new(),
    }
}

fn node() -> NodeReport {
    NodeReport {
        name: "n1".into(),
        id: 1,
        state: NodeState::Active,
        slot: Some(1),
        addresses: vec![IpAddr::from([192, 0, 2, 11])],
        routes: "1-8".parse().expect("routes"),
        draining: "9-12".parse().expect("routes"),
        drain_left_ms: Some(51_300),
        leaving: false,
        losses: 2,
        held_ms: None,
        why: None,
        connected: false,
        healthy: true,
        since_ms: 3_000,
        load: Some(Load {
            connections: 12,
            value: None,
            routes: Vec::new(),
        }),
        peer: None,
    }
}

#[test]
fn status_says_what_is_wrong_and_harms_no_terminal() {
    let daemon = Daemon::start(Script::from([("status", ok(status()))]));
    let output = daemon.ctl(&["status"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains("Routes        24 in 3 slots, 8 WITHOUT NODE\n"),
        "{text}"
    );
    assert!(text.contains("OUT OF STEP, generation 6, module 0.1.0: another hand \\u{1b}[2J\n"));
    assert!(text.contains("up 1m 1s"), "{text}");
    for line in [
        "Drains        8 routes, 120 of 65536 new connections remembered, 3 found NO ROOM\n",
        "Held back     1 node, lost too often; see `halodctl nodes`\n",
        "Scaling       nothing to do: 100 connections\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(!text.contains('\u{1b}'));

    let output = daemon.ctl(&["status", "--json"]);
    assert_eq!(json(&output), serde_json::to_value(status()).expect("JSON"));
}

const ROUTES: &str = "\
Generation 7, 24 routes

 1 111111113333........3333 24

MAP  SLOT  NODE  COUNT  ROUTES
1    1     n1    8      1-8
.    2     -     8      13-20
3    3     n3    8      9-12,21-24
";

#[test]
fn routes_are_drawn_and_listed() {
    let daemon = Daemon::start(Script::from([("routes", ok(routes()))]));
    assert_eq!(stdout(&daemon.ctl(&["routes"])), ROUTES);
    assert_eq!(stdout(&daemon.ctl(&["routes", "--color", "never"])), ROUTES);
    let coloured = stdout(&daemon.ctl(&["routes", "--color", "always"]));
    assert!(
        coloured.contains("\u{1b}[30m\u{1b}[48;5;114m11111111\u{1b}[0m"),
        "{coloured:?}"
    );
    let plain = stdout(&daemon.ctl(&["routes", "--map", "never"]));
    assert!(!plain.contains("11111111"), "{plain}");
    let output = daemon.ctl(&["--json", "routes"]);
    assert_eq!(json(&output), serde_json::to_value(routes()).expect("JSON"));
}

const DRAINS: &str = "
Connections from before a move:
KEPT BY  FOR    COUNT  ROUTES
n1       51s    4      9-12
n2       250ms  2      3,5
n1       1m     2      3,5
";

#[test]
fn routes_that_drain_are_listed_with_the_nodes_they_have_left() {
    let former = |node: &str, left_ms| FormerReport {
        node: node.into(),
        left_ms,
    };
    let mut report = routes();
    report.drains = vec![
        DrainRun {
            routes: "9-12".parse().expect("routes"),
            formers: vec![former("n1", 51_300)],
        },
        DrainRun {
            routes: "3,5".parse().expect("routes"),
            formers: vec![former("n2", 250), former("n1", 60_000)],
        },
    ];
    let daemon = Daemon::start(Script::from([("routes", ok(report.clone()))]));
    assert_eq!(
        stdout(&daemon.ctl(&["routes"])),
        format!("{ROUTES}{DRAINS}")
    );
    let output = daemon.ctl(&["--json", "routes"]);
    assert_eq!(json(&output), serde_json::to_value(report).expect("JSON"));
}

#[test]
fn nodes_and_listeners() {
    let listener = ListenerReport {
        name: "browsers".into(),
        address: "2001:db8:1::1".parse().expect("address"),
        protocol: "tcp".into(),
        port: 8000,
        last_port: 8023,
        node_port: 9000,
        select: Select::Port,
        deliver: Deliver::Nat,
    };
    let one_port = ListenerReport {
        name: "web".into(),
        port: 443,
        last_port: 443,
        node_port: 8443,
        select: Select::Source,
        deliver: Deliver::Dsr,
        ..listener.clone()
    };
    let listeners = ("listeners", ok([listener, one_port]));
    let script = Script::from([("nodes", ok([node()])), listeners]);
    let daemon = Daemon::start(script);
    let text = stdout(&daemon.ctl(&["nodes"]));
    let row: Vec<&str> = text
        .lines()
        .nth(1)
        .expect("a row")
        .split("  ")
        .map(str::trim)
        .collect();
    let row: Vec<&str> = row.into_iter().filter(|cell| !cell.is_empty()).collect();
    let note = "not connected, lost 2 times lately";
    assert_eq!(
        row,
        [
            "n1",
            "1",
            "active",
            "3s",
            "1",
            "8",
            "1-8",
            "9-12",
            "51s",
            "12",
            "192.0.2.11",
            note
        ]
    );
    assert_eq!(
        json(&daemon.ctl(&["nodes", "--json"]))[0]["state"],
        "active"
    );

    let text = stdout(&daemon.ctl(&["listeners"]));
    assert!(
        text.contains("browsers  2001:db8:1::1  tcp       8000-8023  9000-9023  port      nat\n")
            && text.contains(
                "web       2001:db8:1::1  tcp       443        8443       source    dsr\n"
            ),
        "{text}"
    );
    assert_eq!(
        json(&daemon.ctl(&["listeners", "--json"]))[0]["node_port"],
        9000
    );
}

#[test]
fn operators_commands_and_refusals() {
    let script = Script::from([
        ("node_activate", ok("n2 is active in slot 3")),
        ("node_reserve", refusal("it would leave no active node")),
        ("node_remove", ok("n2 is forgotten")),
        ("node_drain", ok("n1 drains")),
    ]);
    let daemon = Daemon::start(script);
    let output = daemon.ctl(&["node", "activate", "n2"]);
    assert_eq!(
        (code(&output), stdout(&output)),
        (0, "n2 is active in slot 3\n".into())
    );
    let output = daemon.ctl(&["node", "remove", "n2", "--json"]);
    assert_eq!(json(&output)["done"], "n2 is forgotten");
    let output = daemon.ctl(&["node", "reserve", "n1"]);
    assert_eq!(code(&output), 1);
    assert_eq!(stderr(&output), "halodctl: it would leave no active node\n");

    assert_eq!(stdout(&daemon.ctl(&["node", "drain", "n1"])), "n1 drains\n");

    let name = |name: &str| name.to_owned();
    let asked = daemon.requests.lock().expect("no panic").clone();
    let expected = [
        Request::NodeActivate { name: name("n2") },
        Request::NodeRemove { name: name("n2") },
        Request::NodeReserve { name: name("n1") },
        Request::NodeDrain { name: name("n1") },
    ];
    assert_eq!(asked, expected);
}

#[test]
fn a_plan_starts_from_the_present() {
    let daemon = Daemon::start(Script::from([("routes", ok(routes()))]));
    let output = daemon.ctl(&["plan", "--to", "2"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.starts_with("24 routes, from 3 to 2 slots: 8 in another slot"),
        "{text}"
    );
    assert!(
        text.contains("\n1     n1        12     1-12\n2     -         12     13-24\n"),
        "{text}"
    );

    // Not the algorithm's table: no plan is better than a wrong one ...
    let mut other = routes();
    other.runs.swap(0, 1);
    for (run, slot) in other.runs.iter_mut().zip(1..) {
        run.slot = Some(slot);
    }
    let daemon = Daemon::start(Script::from([("routes", ok(other.clone()))]));
    let output = daemon.ctl(&["plan"]);
    assert_eq!(code(&output), 1);
    let error = stderr(&output);
    assert!(error.contains("not the algorithm's for 3 slots"), "{error}");

    // ... but where losses spread their routes, any table is a start.
    other.failover = Failover::Minimal;
    let daemon = Daemon::start(Script::from([("routes", ok(other))]));
    let text = stdout(&daemon.ctl(&["plan", "--to", "2"]));
    assert!(
        text.contains("Slot 3 is removed: 8 routes move to the others.\n"),
        "{text}"
    );
    assert!(
        text.contains("1     -         12     9,11,13-21,23\n"),
        "{text}"
    );
}

const DRAINED: &str = "\
If n1 were drained now: 12 routes would move, 12 stay.
FROM  TO  COUNT  ROUTES  CONNECTIONS
n1    n3  8      1-8     stay for 1m
n3    n2  4      21-24   end

The connections that n1 keeps of routes 9-12 would end with it.
";

#[test]
fn a_plan_without_a_node_is_the_daemons() {
    let planned = |routes: &str, from: &str, to: &str, drain_ms| PlannedMove {
        routes: routes.parse().expect("routes"),
        from: Some(from.into()),
        to: Some(to.into()),
        drain_ms,
    };
    let report = PlanReport {
        generation: 7,
        routes: 24,
        moves: vec![
            planned("1-8", "n1", "n3", 60_000),
            planned("21-24", "n3", "n2", 0),
        ],
        ended: "9-12".parse().expect("routes"),
    };
    let daemon = Daemon::start(Script::from([("plan", ok(report.clone()))]));
    let output = daemon.ctl(&["plan", "--drain", "n1"]);
    assert_eq!(stdout(&output), DRAINED);
    let output = daemon.ctl(&["plan", "--lose", "n1", "--json"]);
    assert_eq!(json(&output), serde_json::to_value(report).expect("JSON"));
    let name = || "n1".to_owned();
    let asked = daemon.requests.lock().expect("no panic").clone();
    let [drain, lose] = [Going::Drain, Going::Lose].map(|how| Request::Plan { name: name(), how });
    assert_eq!(asked, [drain, lose]);
    for arguments in [
        &["plan", "--drain", "n1", "--lose", "n1"][..],
        &["plan", "--drain", "n1", "--to", "3"],
    ] {
        assert_eq!(code(&daemon.ctl(arguments)), 2, "{arguments:?}");
    }
}

#[test]
fn scaling_says_why() {
    let mut report = ScalingReport {
        by: "connections".into(),
        total: 1200.0,
        up_at: 1000.0,
        down_at: 400.0,
        why: "600 connections each: nothing to do".into(),
        last_step_ms: None,
        last_why: None,
    };
    let say = |report: &ScalingReport| {
        let daemon = Daemon::start(Script::from([("scaling", ok(Some(report.clone())))]));
        let json = json(&daemon.ctl(&["scaling", "--json"]));
        assert_eq!(json, serde_json::to_value(report).expect("JSON"));
        stdout(&daemon.ctl(&["scaling"]))
    };
    let now = "\
600 connections each: nothing to do

Connections   1200 in all; up above 1000 a node, down below 400
Last step     ";
    assert_eq!(say(&report), format!("{now}none yet\n"));
    report.last_step_ms = Some(65_300);
    report.last_why = Some("1100 connections each".into());
    assert_eq!(
        say(&report),
        format!("{now}1m 5s ago: 1100 connections each\n")
    );

    let daemon = Daemon::start(Script::from([("scaling", ok(None::<ScalingReport>))]));
    let output = daemon.ctl(&["scaling"]);
    assert!(stdout(&output).starts_with("Scaling is off"), "{output:?}");
}

#[test]
fn watch_prints_until_the_daemon_ends() {
    let event = Event {
        time: "2026-01-02T03:04:05.000006Z".into(),
        generation: 8,
        kind: "committed".into(),
        text: "n3 is lost".into(),
        took_us: Some(1_500),
        details: serde_json::Map::from_iter([("cause".to_owned(), "closed".into())]),
    };
    let line = serde_json::to_string(&Answer::<()>::Event(event.clone())).expect("JSON");
    let daemon = Daemon::start(Script::from([("watch", Some(vec![line.clone(), line]))]));
    let output = daemon.ctl(&["watch"]);
    assert_eq!(code(&output), 3, "the daemon has gone");
    let expected = "2026-01-02T03:04:05.000006Z      8 committed      n3 is lost (1.500 ms)\n";
    assert_eq!(stdout(&output), expected.repeat(2));
    let output = daemon.ctl(&["watch", "--json"]);
    let text = stdout(&output);
    let lines: Vec<Event> = text
        .lines()
        .map(|it| serde_json::from_str(it).expect("event"))
        .collect();
    assert_eq!(lines, [event.clone(), event]);
}

#[test]
fn a_daemon_that_misbehaves_is_told_apart() {
    let script = Script::from([
        ("status", None),
        ("nodes", Some(vec!["{\"ok\": 7}".to_owned()])),
        ("listeners", Some(vec!["not JSON".to_owned()])),
    ]);
    let daemon = Daemon::start(script);
    // Closes without an answer.
    assert_eq!(code(&daemon.ctl(&["routes"])), 3);
    for command in ["nodes", "listeners"] {
        let output = daemon.ctl(&[command]);
        assert_eq!(code(&output), 1);
        assert!(
            stderr(&output).contains("not understood"),
            "{}",
            stderr(&output)
        );
    }
    let start = Instant::now();
    let output = daemon.ctl(&["status", "--timeout", "200ms"]);
    assert_eq!(code(&output), 3);
    assert!(
        stderr(&output).contains("did not answer within 200ms"),
        "{}",
        stderr(&output)
    );
    assert!(start.elapsed() < Duration::from_secs(5));
}
