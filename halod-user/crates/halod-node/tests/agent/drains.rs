//! Routes drain: users are asked or closed, HaloD hears when none is left. Each test runs in a
//! network namespace of its own, with real connections on the node's address.

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::follower::{Follower, peers};
use crate::common::users::{Server, User};
use crate::common::{Agent, Halod, LIMIT, Peer, namespace, until};
use halod_proto::{FromHalod, MovedRoutes, ToHalod};
use halod_routes::RouteSet;
use rustix::process::Signal;
use serde_json::json;

fn set(text: &str) -> RouteSet {
    text.parse().unwrap()
}

fn drain(generation: u64, routes: &str, to: &str, deadline_ms: u64) -> FromHalod {
    let (routes, to) = (set(routes), to.parse().ok());
    FromHalod::Drain {
        generation,
        moves: vec![MovedRoutes { routes, to }],
        deadline_ms,
    }
}

/// A server, an agent with an event stream that holds all 24 routes, and a follower after its assign.
struct Lab {
    server: Server,
    halod: Halod,
    peer: Peer,
    agent: Agent,
    follower: Follower,
    closes: bool,
    events: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Lab {
    fn new(arguments: &[&str]) -> Lab {
        Lab::with(Command::new(env!("CARGO_BIN_EXE_halod-node")), arguments)
    }

    fn with(mut command: Command, arguments: &[&str]) -> Lab {
        let scratch = tempfile::tempdir().unwrap();
        // For an agent that is not root.
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o777)).unwrap();
        let (server, halod) = (Server::start(), Halod::new());
        let events = scratch.path().join("events");
        command.args(["--name", "n1", "--address", "192.0.2.11", "--log", "debug"]);
        command.args(["--halod", &halod.address().to_string(), "--events"]);
        let agent = Agent::run({
            command.arg(&events).args(arguments);
            command
        });
        let mut peer = halod.welcome_to_browsers(50);
        peer.send(&FromHalod::Assign {
            generation: 1,
            slot: 1,
            routes: set("1-24"),
        });
        agent.logs("assigned");
        let follower = Follower::start(&events);
        let state = follower.next().unwrap();
        let closes = state["closes"].as_bool().unwrap();
        let policy = if closes || !arguments.contains(&"close") {
            arguments
                .iter()
                .find(|&&a| a == "close")
                .unwrap_or(&"notify")
        } else {
            &"notify"
        };
        assert_eq!(
            state,
            json!({"event": "state", "generation": 1, "state": "active", "connected": true, "slot": 1,
                "routes": [[1, 24]], "draining": [], "policy": policy, "closes": closes})
        );
        eprintln!("connections can be closed here: {closes}");
        Lab {
            server,
            halod,
            peer,
            agent,
            follower,
            closes,
            events,
            _scratch: scratch,
        }
    }

    /// The next load that is said.
    fn load(&mut self) -> halod_proto::Load {
        loop {
            if let Some(ToHalod::Heartbeat { load, .. }) = self.peer.next()
                && let Some(load) = load
            {
                return load;
            }
        }
    }

    /// Waits until HaloD has heard of so many connections.
    fn counts(&mut self, connections: u64) {
        let start = Instant::now();
        while self.load().connections != connections {
            assert!(start.elapsed() < LIMIT, "never {connections} connections");
        }
    }

    /// Waits until HaloD has heard of these routes that they are drained.
    fn drained(&mut self, routes: &str) {
        let mut missing: HashSet<u32> = set(routes).iter().collect();
        while !missing.is_empty() {
            match self.peer.news() {
                Some(ToHalod::Drained { routes }) => {
                    let told = routes.iter().all(|route| missing.remove(&route));
                    assert!(told, "{routes} too");
                }
                other => panic!("{other:?} instead of drained"),
            }
        }
    }

    /// Reads lines of an event until they named that many users, each once; many not in one line, for
    /// those are spread over a second.
    fn told(&self, event: &str, count: usize) -> HashSet<String> {
        let mut told = HashSet::new();
        let mut lines = 0;
        while told.len() < count {
            for peer in peers(&self.follower.find(event)) {
                assert!(told.insert(peer.clone()), "{peer} twice");
            }
            lines += 1;
        }
        assert!(lines > 1 || count < 40, "all in the same moment");
        told
    }
}

fn names(users: &[User]) -> HashSet<String> {
    users.iter().map(User::peer).collect()
}

#[test]
fn users_are_asked_and_the_rest_is_closed() {
    if !namespace::enter("users_are_asked_and_the_rest_is_closed") {
        return;
    }
    let mut lab = Lab::new(&["--spread", "1s"]);
    let mut moved = lab.server.users(2, 30);
    let mut staying = lab.server.users(3, 10);
    let mut others = lab.server.users(9, 5);
    lab.counts(45);
    assert_eq!(lab.load().routes, [(2, 30), (3, 10), (9, 5)]);

    let start = Instant::now();
    lab.peer.send(&drain(2, "1-4", "n3", 4_000));
    assert_eq!(
        lab.follower.find("route_moved"),
        json!({"event": "route_moved", "generation": 2, "routes": [[1, 4]], "to": "n3",
            "left_ms": 4000, "window_ms": 1000})
    );
    lab.drained("1,4");
    let told = lab.told("reconnect", 40);
    let expected: HashSet<_> = names(&moved).union(&names(&staying)).cloned().collect();
    assert_eq!(told, expected);
    assert!(
        start.elapsed() < Duration::from_millis(3_000),
        "told within the window"
    );

    // Some come late, accepted before the move; and most do as asked.
    moved.clear();
    let late = lab.server.user(3);
    assert_eq!(lab.told("reconnect", 1), HashSet::from([late.peer()]));
    lab.drained("2");
    staying.push(late);

    if lab.closes {
        assert!(
            staying
                .iter_mut()
                .all(|user| user.is_reset(Duration::from_secs(4)))
        );
        assert_eq!(peers(&lab.follower.find("closed")).len(), 11);
    } else {
        std::thread::sleep(Duration::from_secs(4).saturating_sub(start.elapsed()));
        assert!(!staying[0].is_reset(Duration::from_millis(500)));
    }
    assert!(
        start.elapsed() >= Duration::from_millis(3_900),
        "not before the deadline"
    );
    assert!(
        others
            .iter_mut()
            .all(|user| !user.is_reset(Duration::from_millis(1)))
    );
    lab.counts(if lab.closes { 5 } else { 16 });
}

#[test]
fn users_are_closed_over_the_window() {
    if !namespace::enter("users_are_closed_over_the_window") {
        return;
    }
    let mut lab = Lab::new(&["--policy", "close", "--spread", "1s"]);
    let mut users = lab.server.users(24, 40);
    let mut other = lab.server.user(23);
    let names = names(&users);
    let start = Instant::now();
    lab.peer.send(&drain(2, "24", "", 3_000));
    if lab.closes {
        assert_eq!(lab.told("closed", 40), names);
        assert!(
            users
                .iter_mut()
                .all(|user| user.is_reset(Duration::from_secs(1)))
        );
        lab.drained("24");
        assert!(start.elapsed() < Duration::from_millis(2_900));
    } else {
        assert_eq!(lab.told("reconnect", 40), names);
    }
    assert!(!other.is_reset(Duration::from_millis(1)));
}

/// Where the agent may not close anything, users are asked instead, and that is said.
#[test]
fn without_the_capability_users_are_asked() {
    if !namespace::enter("without_the_capability_users_are_asked") {
        return;
    }
    let mut command = Command::new("setpriv");
    command.args([
        "--bounding-set=-net_admin",
        env!("CARGO_BIN_EXE_halod-node"),
    ]);
    let mut lab = Lab::with(command, &["--policy", "close", "--spread", "500ms"]);
    assert!(!lab.closes);
    let mut users = lab.server.users(1, 10);
    let start = Instant::now();
    lab.peer.send(&drain(2, "1", "n3", 1_000));
    assert_eq!(lab.told("reconnect", 10), names(&users));
    // They stay beyond the deadline.
    std::thread::sleep(Duration::from_millis(1_500).saturating_sub(start.elapsed()));
    assert!(
        users
            .iter_mut()
            .all(|user| !user.is_reset(Duration::from_millis(1)))
    );
    let log = lab.agent.log();
    assert_eq!(log.matches("connections cannot be closed").count(), 1);
    assert!(log.contains("CAP_NET_ADMIN") || log.contains("CONFIG_INET_DIAG_DESTROY"));
}

/// As the unit runs it: no root, this one capability, and none for what it starts.
#[test]
fn the_capability_is_enough_and_hooks_do_not_get_it() {
    if !namespace::enter("the_capability_is_enough_and_hooks_do_not_get_it") {
        return;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args([
        "--bounding-set=-all,+net_admin",
        "--inh-caps=-all,+net_admin",
    ]);
    command.args([
        "--ambient-caps=-all,+net_admin",
        env!("CARGO_BIN_EXE_halod-node"),
    ]);
    let hook = "grep CapPrm /proc/self/status";
    let arguments = ["--policy", "close", "--spread", "500ms", "--hook", hook];
    let mut lab = Lab::with(command, &arguments);
    lab.agent.logs(r"hook says: CapPrm:\t0000000000000000");
    let mut users = lab.server.users(1, 10);
    let names = names(&users);
    lab.peer.send(&drain(2, "1", "n3", 5_000));
    if lab.closes {
        assert_eq!(lab.told("closed", 10), names);
        assert!(
            users
                .iter_mut()
                .all(|user| user.is_reset(Duration::from_secs(1)))
        );
    } else {
        lab.agent.logs("the kernel needs CONFIG_INET_DIAG_DESTROY");
        assert_eq!(lab.told("reconnect", 10), names);
    }
}

/// A route that moved without a drain: its users are dead already, and are not left hanging.
#[test]
fn users_of_a_cut_route_are_told_too() {
    if !namespace::enter("users_of_a_cut_route_are_told_too") {
        return;
    }
    let mut lab = Lab::new(&["--spread", "500ms"]);
    let mut users = lab.server.users(1, 10);
    let moves = vec![MovedRoutes {
        routes: set("1-2"),
        to: "n2".parse().ok(),
    }];
    let generation = 2;
    lab.peer.send(&FromHalod::RouteMoved { generation, moves });
    assert_eq!(lab.follower.find("route_moved")["left_ms"], 0);
    assert_eq!(lab.told("reconnect", 10), names(&users));
    if lab.closes {
        assert!(
            users
                .iter_mut()
                .all(|user| user.is_reset(Duration::from_secs(1)))
        );
    }
    // HaloD does not wait for anybody here.
    let heard = (0..10).map(|_| lab.peer.next().unwrap());
    assert!(
        heard
            .into_iter()
            .all(|m| matches!(m, ToHalod::Heartbeat { .. }))
    );
}

#[test]
fn goes_on_over_a_reconnect_and_tells_nobody_twice() {
    if !namespace::enter("goes_on_over_a_reconnect_and_tells_nobody_twice") {
        return;
    }
    let mut lab = Lab::new(&["--spread", "500ms"]);
    let users = lab.server.users(1, 20);
    lab.peer.send(&drain(2, "1", "n3", 20_000));
    assert_eq!(lab.told("reconnect", 20), names(&users));

    lab.peer.close();
    lab.peer = lab.halod.welcome_to_browsers(50);
    assert_eq!(
        lab.follower.find("halod"),
        json!({"event": "halod", "connected": false})
    );
    let state = lab.follower.find("state");
    assert_eq!(state["routes"], json!([[2, 24]]));
    assert_eq!(state["draining"][0]["routes"], json!([[1, 1]]));
    assert_eq!(state["draining"][0]["to"], "n3");
    let left = state["draining"][0]["left_ms"].as_u64().unwrap();
    assert!((10_000..20_000).contains(&left), "{left}");
    // HaloD says it again.
    lab.peer.send(&drain(3, "1", "n3", 15_000));
    assert_eq!(lab.follower.find("route_moved")["generation"], 3);
    let newcomer = lab.server.user(1);
    assert_eq!(lab.told("reconnect", 1), HashSet::from([newcomer.peer()]));

    // A late follower learns what drains.
    let late = Follower::start(&lab.events).next().unwrap();
    assert_eq!(late["draining"][0]["routes"], json!([[1, 1]]));
    drop((users, newcomer));
    lab.drained("1");
}

#[test]
fn leaves_when_the_users_have_gone() {
    if !namespace::enter("leaves_when_the_users_have_gone") {
        return;
    }
    let mut lab = Lab::new(&["--spread", "500ms"]);
    let users = lab.server.users(5, 10);
    lab.agent.signal(Signal::TERM);
    assert_eq!(lab.peer.news(), Some(ToHalod::Leaving));
    lab.peer.send(&drain(2, "1-24", "n2", 60_000));
    assert_eq!(lab.told("reconnect", 10), names(&users));
    lab.drained("1-4,6-24");
    drop(users);
    lab.drained("5");
    lab.peer.send(&FromHalod::MayStop { generation: 3 });
    lab.follower.find("may_stop");
    assert_eq!(lab.peer.news(), None);
    assert_eq!(lab.agent.wait().code(), Some(0));
    assert!(!lab.events.exists());
}

#[test]
fn the_hook_is_told_too() {
    if !namespace::enter("the_hook_is_told_too") {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let hook = format!(
        r#"input=$(cat); printf '%s|%s|%s|%s|%s|%s\n' "$HALOD_EVENT" "$HALOD_GENERATION" "$HALOD_ROUTES" "$HALOD_TO" "$HALOD_LEFT_MS" "$input" >> {}"#,
        out.display()
    );
    let mut lab = Lab::new(&["--spread", "100ms", "--hook", &hook]);
    let user = lab.server.user(7);
    let peer = user.peer();
    lab.peer.send(&drain(2, "7", "n3", 60_000));
    let lines = |count| {
        until("the hook's lines", || {
            let text = fs::read_to_string(&out).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        })
    };
    lines(3);
    drop(user);
    lab.drained("7");
    lab.peer.send(&FromHalod::MayStop { generation: 3 });
    assert_eq!(
        lines(5)[1..],
        [
            r#"route_moved|2|7|n3|60000|{"type":"drain","generation":2,"moves":[{"routes":[[7,7]],"to":"n3"}],"deadline_ms":60000}"#.to_owned(),
            format!(r#"reconnect|2|7|n3||{{"event":"reconnect","generation":2,"to":"n3","connections":[{{"route":7,"listener":"browsers","local":"192.0.2.11:8006","peer":"{peer}"}}]}}"#),
            r#"drained|2|7|||{"event":"drained","generation":2,"routes":[[7,7]]}"#.to_owned(),
            r#"may_stop|3||||{"type":"may_stop","generation":3}"#.to_owned(),
        ]
    );
}
