//! Anything in any order. What must hold is in `oracle`.

use halod_cluster::{Command, Config, ConnId, Event, Failover, Measure, ProbeId, Scale};
use halod_proto::ToHalod;
use proptest::prelude::*;

use crate::sim::{Sim, config, name};

const NODES: u32 = 7;

#[derive(Clone, Debug)]
enum Step {
    /// A new connection, with the node's token, none, or a wrong one.
    Hello {
        node: String,
        token: Token,
        healthy: bool,
        address: Option<u8>,
    },
    /// What a node says on its connection, if it has one.
    Say {
        node: String,
        said: Said,
    },
    /// Something that it says is seen, and not read yet.
    Heard {
        node: String,
    },
    /// The same on a connection that is gone.
    SayLate {
        conn: usize,
        said: Said,
    },
    Close {
        node: String,
    },
    CloseLate {
        conn: usize,
    },
    /// The answer to some probe, or to none.
    Probe {
        index: usize,
        reachable: bool,
    },
    ProbeUnasked {
        probe: u64,
        reachable: bool,
    },
    /// Time passes, all but the muted beat, ticks come in time.
    Pass {
        ms: u64,
        muted: u8,
    },
    /// Time passes and nothing comes in; then a tick.
    StandStill {
        ms: u64,
    },
    Operator(Command),
    /// A node's load from now on.
    Load {
        node: String,
        connections: u64,
    },
    /// HaloD stops and starts again, perhaps with another mode of failover.
    Restart {
        otherwise: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum Token {
    Right,
    None,
    Wrong,
}

#[derive(Clone, Copy, Debug)]
enum Said {
    Beat,
    BeatAgain,
    Healthy,
    Unhealthy,
    /// That some of what it keeps is empty.
    Drained(u32),
    /// The same of routes that it may never have had.
    DrainedAny(u32),
    Leaving,
    Hello,
}

fn node() -> impl Strategy<Value = String> {
    (1..=NODES).prop_map(|number| format!("n{number}"))
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        2 => Just(Said::Beat),
        1 => Just(Said::BeatAgain),
        3 => Just(Said::Healthy),
        3 => Just(Said::Unhealthy),
        2 => any::<u32>().prop_map(Said::Drained),
        1 => any::<u32>().prop_map(Said::DrainedAny),
        1 => Just(Said::Leaving),
        1 => Just(Said::Hello),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    (node(), 0..6).prop_map(|(node, kind)| match kind {
        0 | 1 => Command::Activate(name(&node)),
        2 => Command::Reserve(name(&node)),
        3 | 4 => Command::Drain(name(&node)),
        _ => Command::Remove(name(&node)),
    })
}

fn step() -> impl Strategy<Value = Step> {
    let token = prop_oneof![
        6 => Just(Token::Right),
        2 => Just(Token::None),
        1 => Just(Token::Wrong),
    ];
    // Now and then another address, which may be that of another node.
    let address = prop_oneof![8 => Just(None), 1 => (10..20u8).prop_map(Some)];
    prop_oneof![
        10 => (node(), token, prop::bool::weighted(0.85), address).prop_map(
            |(node, token, healthy, address)| Step::Hello { node, token, healthy, address }
        ),
        6 => (node(), said()).prop_map(|(node, said)| Step::Say { node, said }),
        2 => node().prop_map(|node| Step::Heard { node }),
        1 => (any::<usize>(), said()).prop_map(|(conn, said)| Step::SayLate { conn, said }),
        4 => node().prop_map(|node| Step::Close { node }),
        1 => any::<usize>().prop_map(|conn| Step::CloseLate { conn }),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(index, reachable)| Step::Probe { index, reachable }),
        1 => (0..20u64, any::<bool>()).prop_map(|(probe, reachable)| Step::ProbeUnasked { probe, reachable }),
        4 => (1..400u64, any::<u8>(), any::<u8>()).prop_map(|(ms, a, b)| Step::Pass { ms, muted: a & b }),
        1 => (1_000..6_000u64).prop_map(|ms| Step::StandStill { ms }),
        3 => command().prop_map(Step::Operator),
        2 => (node(), 0..100u64).prop_map(|(node, connections)| Step::Load { node, connections }),
        1 => prop::bool::weighted(0.3).prop_map(|otherwise| Step::Restart { otherwise }),
    ]
}

fn message(sim: &mut Sim, node: &str, said: Said) -> ToHalod {
    let agent = sim.agent(node);
    if matches!(said, Said::Beat) {
        agent.seq += 1;
    }
    match said {
        Said::Beat | Said::BeatAgain => ToHalod::Heartbeat {
            seq: agent.seq,
            load: None,
        },
        Said::Drained(which) => ToHalod::Drained {
            routes: agent
                .keeps
                .keys()
                .copied()
                .filter(|route| which >> (route % 32) & 1 == 1)
                .collect(),
        },
        Said::DrainedAny(which) => ToHalod::Drained {
            routes: (1..=30)
                .filter(|route| which >> (route % 32) & 1 == 1)
                .chain([65_536])
                .collect(),
        },
        Said::Healthy => ToHalod::Healthy,
        Said::Unhealthy => ToHalod::Unhealthy {
            reason: "refused".to_owned(),
        },
        Said::Leaving => ToHalod::Leaving,
        Said::Hello => ToHalod::Hello(sim.hello_of(node)),
    }
}

fn take(sim: &mut Sim, step: Step) {
    match step {
        Step::Hello {
            node,
            token,
            healthy,
            address,
        } => {
            let mut hello = sim.hello_of(&node);
            hello.healthy = healthy;
            match token {
                Token::Right => {}
                Token::None => hello.resume = None,
                Token::Wrong => hello.resume = Some("f".repeat(32)),
            }
            if let Some(address) = address {
                hello.addresses = vec![[192, 0, 2, address].into()];
            }
            sim.hello(hello);
        }
        Step::Say { node, said } => {
            if sim.agent(&node).conn.is_some() {
                let message = message(sim, &node, said);
                sim.say(&node, message);
            }
        }
        Step::Heard { node } => {
            if let Some(conn) = sim.agent(&node).conn {
                assert_eq!(sim.handle(Event::Heard { conn }), []);
            }
        }
        Step::SayLate { conn, said } => {
            let conn = gone(sim, conn);
            let message = message(sim, "n1", said);
            sim.handle(Event::Message { conn, message });
        }
        Step::Close { node } => {
            if sim.agent(&node).conn.is_some() {
                sim.close(&node);
            }
        }
        Step::CloseLate { conn } => {
            let conn = gone(sim, conn);
            sim.handle(Event::Closed { conn });
        }
        Step::Probe { index, reachable } => {
            if !sim.probes.is_empty() {
                let probe = sim.probes[index % sim.probes.len()];
                sim.handle(Event::Probe { probe, reachable });
            }
        }
        Step::ProbeUnasked { probe, reachable } => {
            let probe = ProbeId(probe);
            sim.handle(Event::Probe { probe, reachable });
        }
        Step::Pass { ms, muted } => {
            let muted: Vec<String> = (1..=NODES)
                .filter(|number| muted >> number & 1 == 1)
                .map(|number| format!("n{number}"))
                .collect();
            let muted: Vec<&str> = muted.iter().map(String::as_str).collect();
            sim.pass(ms, &muted);
        }
        Step::StandStill { ms } => {
            sim.now += ms;
            sim.tick();
        }
        Step::Operator(command) => {
            let _ = sim.operator(command);
        }
        Step::Load { node, connections } => {
            sim.loads.insert(node, connections);
        }
        Step::Restart { otherwise: false } => sim.restart(),
        Step::Restart { otherwise: true } => sim.restart_otherwise(),
    }
}

/// A connection that is gone, or never was.
fn gone(sim: &Sim, index: usize) -> ConnId {
    let dead = &sim.dead;
    dead.get(index % (dead.len() + 1))
        .copied()
        .unwrap_or(ConnId(u64::MAX))
}

fn scale() -> impl Strategy<Value = Scale> {
    (5..40u32, 5..30u32, 0..300u32, 0..500u32).prop_map(|(down_at, more, hold_ms, interval_ms)| {
        Scale {
            by: Measure::Connections,
            up_at: f64::from(down_at + more),
            down_at: f64::from(down_at),
            hold_ms,
            interval_ms,
        }
    })
}

/// What is told to nodes, kept for them, and held against them.
fn changed(config: Config) -> impl Strategy<Value = Config> {
    (
        prop_oneof![3 => Just(2_000), 1 => Just(0), 1 => Just(50)],
        prop_oneof![1 => Just(0), 1 => Just(200), 3 => Just(3_000), 1 => Just(60_000)],
        prop_oneof![2 => Just(0), 1 => 0..200u32],
        any::<bool>(),
        prop_oneof![2 => Just((0, 0)), 1 => Just((300, 2_000)), 1 => Just((200, 60_000))],
        prop::option::weighted(0.25, scale()),
    )
        .prop_map(
            move |(rejoin_ms, drain_ms, udp_ms, minimal, hold, scale)| Config {
                rejoin_ms,
                drain_ms,
                udp_stay_ms: udp_ms.min(drain_ms),
                failover: if minimal {
                    Failover::Minimal
                } else {
                    Failover::Replace
                },
                hold_back_ms: hold.0,
                hold_back_max_ms: hold.1,
                scale,
                ..config.clone()
            },
        )
}

fn any_config() -> impl Strategy<Value = Config> {
    (1..=24u32, 1..=4u32, 0..=2u32, 3..=8u32).prop_flat_map(
        |(routes, active_min, reserve, max_nodes)| {
            changed(Config {
                max_nodes,
                ..config(routes, active_min.min(routes), reserve)
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn anything_in_any_order(
        config in any_config(),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut sim = Sim::new(config);
        for step in steps {
            take(&mut sim, step);
            sim.open();
        }
    }
}
