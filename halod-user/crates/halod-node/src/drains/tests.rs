use std::collections::{BTreeSet, HashSet};

use halod_sockets::Socket;
use proptest::prelude::*;

use super::*;

fn client(route: RouteId, cookie: u64) -> Client {
    Client {
        route,
        listener: "browsers".into(),
        socket: Socket {
            local: "192.0.2.11:8000".parse().expect("an address"),
            peer: "203.0.113.9:40001".parse().expect("an address"),
            interface: 0,
            cookie,
            listens: false,
            inode: 1,
        },
    }
}

fn moved(routes: &str, to: &str) -> MovedRoutes {
    MovedRoutes {
        routes: set(routes),
        to: to.parse().ok(),
    }
}

fn set(text: &str) -> RouteSet {
    text.parse().expect("routes")
}

/// Connections (route, cookie) on ports that are all served.
fn view(clients: impl IntoIterator<Item = (RouteId, u64)>) -> View {
    View {
        clients: clients.into_iter().map(|(r, c)| client(r, c)).collect(),
        served: set("1-100"),
    }
}

fn drains(policy: Policy, spread: u64) -> Drains {
    let mut drains = Drains::new(policy, spread, fastrand::Rng::with_seed(1));
    drains.hold(&set("1-24"));
    drains
}

/// Actions as (what, cookies or routes).
fn told(actions: Vec<Action>) -> Vec<(&'static str, Vec<u64>)> {
    let cookies = |users: Users| users.clients.iter().map(|c| c.socket.cookie).collect();
    let one = |action| match action {
        Action::Reconnect(users) => ("reconnect", cookies(users)),
        Action::Close(users) => ("close", cookies(users)),
        Action::Drained { routes, .. } => ("drained", routes.iter().map(u64::from).collect()),
    };
    actions.into_iter().map(one).collect()
}

#[test]
fn users_are_spread_over_the_window_and_the_rest_is_closed() {
    for (policy, first) in [(Policy::Notify, "reconnect"), (Policy::Close, "close")] {
        let mut drains = drains(policy, 10_000);
        assert_eq!(drains.lost(1_000, 7, &moved("1-8", "n3"), 60_000), 10_000);
        let all = || view((0..1000).map(|c| (1 + c as u32 % 8, c)));
        let mut seen = BTreeSet::new();
        for now in (1_000..=11_000).step_by(100) {
            for (what, cookies) in told(drains.looked(now, &all())) {
                assert_eq!(what, first);
                // 10 on average.
                assert!(cookies.len() < 40, "{} at {now}", cookies.len());
                assert!(cookies.iter().all(|&c| seen.insert(c)), "told twice");
            }
        }
        assert_eq!(seen.len(), 1000);
        assert_eq!(drains.looked(60_999, &all()), []);
        let left = told(drains.looked(61_000, &view([(1, 0), (8, 999), (9, 5000)])));
        assert_eq!(left, [("close", vec![0, 999])]);
        assert_eq!(drains.routes(), RouteSet::new());
        assert_eq!(drains.looked(61_100, &all()), []);
    }
}

#[test]
fn a_short_drain_has_a_shorter_window() {
    let mut drains = drains(Policy::Notify, 10_000);
    assert_eq!(drains.lost(0, 1, &moved("1", "n2"), 5_000), 4_000);
    assert_eq!(drains.lost(0, 1, &moved("2", "n2"), 0), 8_000);
    assert_eq!(drains.lost(0, 1, &moved("3", "n2"), 1), 0);
}

#[test]
fn who_comes_late_is_told_at_once() {
    let mut drains = drains(Policy::Notify, 1_000);
    drains.lost(0, 1, &moved("1", "n2"), 60_000);
    assert_eq!(drains.looked(0, &view([])), []);
    assert_eq!(
        told(drains.looked(1_500, &view([(1, 7)]))),
        [("reconnect", vec![7])]
    );
    // One listing left it out, the next has it again.
    assert_eq!(drains.looked(1_600, &view([])), []);
    assert_eq!(drains.looked(1_650, &view([(1, 7)])), []);
}

#[test]
fn a_connection_under_way_is_waited_for() {
    let mut drains = drains(Policy::Notify, 500);
    drains.lost(50, 1, &moved("1", "n2"), 60_000);
    for now in [60, 500, 900, 1_049] {
        assert_eq!(drains.looked(now, &view([])), []);
    }
    let late = view([(1, 7)]);
    assert_eq!(told(drains.looked(1_050, &late)), [("reconnect", vec![7])]);
    assert_eq!(drains.looked(1_100, &view([])), []);
    assert_eq!(
        told(drains.looked(1_200, &view([]))),
        [("drained", vec![1])]
    );
}

#[test]
fn drained_needs_two_looks_and_a_server() {
    let mut drains = drains(Policy::Notify, 1_000);
    drains.lost(0, 3, &moved("1-3", "n2"), 60_000);
    drains.lost(0, 4, &moved("4", ""), 60_000);
    drains.lost(0, 4, &moved("5", ""), 0);
    let mut nobody = view([(3, 1)]);
    nobody.served = set("2-5");
    drains.looked(1_010, &nobody);
    assert_eq!(drains.looked(1_109, &nobody), []);
    let all = told(drains.looked(1_110, &nobody));
    assert_eq!(all, [("drained", vec![2]), ("drained", vec![4])]);
    assert_eq!(drains.routes(), set("1,3"));
    let late = told(drains.looked(1_300, &view([(1, 2), (3, 1)])));
    assert_eq!(late, [("reconnect", vec![2])]);
    drains.looked(1_400, &view([]));
    assert_eq!(
        told(drains.looked(1_500, &view([]))),
        [("drained", vec![1, 3])]
    );
}

#[test]
fn a_route_that_comes_back_is_left_alone() {
    let mut drains = drains(Policy::Close, 1_000);
    drains.lost(0, 3, &moved("1-8", "n2"), 10_000);
    assert_eq!(drains.hold(&set("1-4,9-24")), RouteSet::new());
    assert_eq!(drains.routes(), set("5-8"));
    let left = told(drains.looked(20_000, &view([(1, 1), (5, 5)])));
    assert_eq!(left, [("close", vec![5])]);
    // Without a word it lost 9 to 24.
    assert_eq!(drains.hold(&set("1-4")), set("9-24"));
}

#[test]
fn said_again_the_last_word_counts() {
    let mut drains = drains(Policy::Notify, 1_000);
    drains.lost(0, 3, &moved("1", "n2"), 60_000);
    assert_eq!(
        told(drains.looked(1_000, &view([(1, 1)]))),
        [("reconnect", vec![1])]
    );
    drains.lost(2_000, 4, &moved("1", "n3"), 30_000);
    let leg = Leg {
        generation: 4,
        routes: set("1"),
        to: "n3".parse().ok(),
        left_ms: 29_000,
    };
    assert_eq!(drains.legs(3_000), [leg]);
    assert_eq!(drains.looked(3_000, &view([(1, 1)])), []);
    assert_eq!(
        told(drains.looked(32_000, &view([(1, 1)]))),
        [("close", vec![1])]
    );
}

#[test]
fn what_cannot_be_closed_is_asked() {
    let mut drains = drains(Policy::Close, 1_000);
    drains.lost(0, 3, &moved("1", "n2"), 10_000);
    drains.cannot_close();
    assert_eq!(drains.policy(), (Policy::Notify, false));
    assert_eq!(
        told(drains.looked(1_000, &view([(1, 1)]))),
        [("reconnect", vec![1])]
    );
    assert_eq!(drains.looked(10_000, &view([(1, 1)])), []);
    assert_eq!(drains.routes(), RouteSet::new());
}

#[test]
fn many_users_are_several_lines() {
    let mut drains = drains(Policy::Notify, 1_000);
    drains.lost(0, 3, &moved("1", "n2"), 10_000);
    let actions = told(drains.looked(2_000, &view((0..1200).map(|c| (1, c)))));
    let sizes: Vec<usize> = actions.iter().map(|(_, users)| users.len()).collect();
    assert_eq!(sizes, [500, 500, 200]);
}

/// What happens at a step of the property test.
#[derive(Debug, Clone)]
enum Step {
    Lose {
        routes: Vec<RouteId>,
        left: u64,
    },
    Hold {
        routes: Vec<RouteId>,
    },
    Look {
        wait: u64,
        clients: Vec<(RouteId, u64)>,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let routes = || prop::collection::vec(1..=6u32, 0..4);
    // A cookie belongs to one route.
    let clients = prop::collection::btree_set(0..40u64, 0..12)
        .prop_map(|cookies| cookies.into_iter().map(|c| (1 + c as u32 % 6, c)).collect());
    let step = prop_oneof![
        1 => (routes(), 0..3_000u64).prop_map(|(routes, left)| Step::Lose { routes, left: left / 2 * 2 }),
        1 => routes().prop_map(|routes| Step::Hold { routes }),
        6 => (1..400u64, clients).prop_map(|(wait, clients)| Step::Look { wait, clients }),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #[test]
    fn users_are_told_once_and_nobody_hangs(
        steps in steps(),
        seed in any::<u64>(),
        policy in prop_oneof![Just(Policy::Notify), Just(Policy::Close), Just(Policy::None)],
    ) {
        const SPREAD: u64 = 1_000;
        let mut drains = Drains::new(policy, SPREAD, fastrand::Rng::with_seed(seed));
        let mut now = 0;
        // The naive twin: for each lost route its window's and its deadline's end.
        let mut lost: BTreeMap<RouteId, (Time, Time, bool)> = BTreeMap::new();
        let mut asked: HashSet<u64> = HashSet::new();
        let mut empty: BTreeMap<RouteId, Time> = BTreeMap::new();
        let mut moved_at: BTreeMap<RouteId, Time> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Lose { routes, left } => {
                    let routes: RouteSet = routes.into_iter().collect();
                    let window = drains.lost(now, 1, &MovedRoutes { routes: routes.clone(), to: None }, left);
                    prop_assert!(window <= SPREAD);
                    for id in routes.iter() {
                        let deadline = now + if left == 0 { SPREAD } else { left };
                        lost.insert(id, (now + window, deadline, left > 0));
                        empty.remove(&id);
                        moved_at.insert(id, now);
                    }
                }
                Step::Hold { routes } => {
                    let routes: RouteSet = routes.into_iter().collect();
                    drains.hold(&routes);
                    lost.retain(|id, _| !routes.contains(*id));
                    asked.retain(|c| lost.contains_key(&(1 + *c as u32 % 6)));
                    empty.retain(|id, _| lost.contains_key(id));
                }
                Step::Look { wait, clients } => {
                    now += wait;
                    let actions = told(drains.looked(now, &view(clients.clone())));
                    let of = |kind: &str| -> Vec<u64> {
                        let those = actions.iter().filter(|(what, _)| *what == kind);
                        those.flat_map(|(_, list)| list.clone()).collect()
                    };
                    let over: Vec<u64> = clients.iter()
                        .filter(|(id, _)| lost.get(id).is_some_and(|&(_, deadline, _)| deadline <= now))
                        .map(|&(_, c)| c).collect();
                    let closed = of("close");
                    let early = match policy {
                        Policy::Notify => of("reconnect"),
                        Policy::Close => closed.iter().copied().filter(|c| !over.contains(c)).collect(),
                        Policy::None => Vec::new(),
                    };
                    if policy == Policy::None {
                        prop_assert!(closed.is_empty() && of("reconnect").is_empty());
                    } else {
                        prop_assert!(over.iter().all(|c| closed.contains(c)), "left at the deadline");
                    }
                    for c in early {
                        prop_assert!(lost.contains_key(&(1 + c as u32 % 6)));
                        prop_assert!(asked.insert(c), "{c} told twice");
                    }
                    for &(id, c) in &clients {
                        let Some(&(window, deadline, _)) = lost.get(&id) else { continue };
                        if policy != Policy::None && window <= now && now < deadline {
                            prop_assert!(asked.contains(&c), "{c} not told in time");
                        }
                    }
                    let drained = of("drained");
                    let mut gone = Vec::new();
                    for (&id, &(_, deadline, kept)) in &lost {
                        if deadline <= now {
                            gone.push(id);
                        } else if clients.iter().any(|&(r, _)| r == id) {
                            empty.remove(&id);
                        } else if now - *empty.entry(id).or_insert(now) >= EMPTY_FOR && now - moved_at[&id] >= UNDER_WAY {
                            prop_assert_eq!(drained.contains(&u64::from(id)), kept);
                            gone.push(id);
                            continue;
                        }
                        prop_assert!(!drained.contains(&u64::from(id)));
                    }
                    for id in gone {
                        lost.remove(&id);
                        empty.remove(&id);
                    }
                    asked.retain(|c| lost.contains_key(&(1 + *c as u32 % 6)));
                    prop_assert_eq!(drains.routes(), lost.keys().copied().collect::<RouteSet>());
                }
            }
        }
    }
}
