//! Messages: the documented form, round trips, and errors that say what is wrong.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use halod_proto::{
    Deliver, FromHalod, Hello, ListenerInfo, Load, MAX_LINE_TO_NODE, MovedRoutes, NodeName,
    NodeState, Protocol, Select, SelectKey, ToHalod, URGENT, VERSION, Welcome,
};
use halod_routes::RouteSet;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

fn name() -> impl Strategy<Value = NodeName> {
    "[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?".prop_map(|n| n.parse().expect("a name"))
}

fn v4() -> impl Strategy<Value = IpAddr> {
    (11u8..=126, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d).into())
}

fn v6() -> impl Strategy<Value = IpAddr> {
    any::<[u16; 6]>()
        .prop_map(|[a, b, c, d, e, f]| Ipv6Addr::new(0x2001, 0xdb8, a, b, c, d, e, f).into())
}

fn addresses() -> impl Strategy<Value = Vec<IpAddr>> {
    prop_oneof![
        v4().prop_map(|a| vec![a]),
        v6().prop_map(|a| vec![a]),
        (v4(), v6()).prop_map(|(a, b)| vec![a, b]),
    ]
}

fn routes() -> impl Strategy<Value = RouteSet> {
    vec(1u32..=2000, 0..200).prop_map(|r| r.into_iter().collect())
}

fn finite() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("JSON has only finite numbers", |f| f.is_finite())
}

fn hello() -> impl Strategy<Value = Hello> {
    (
        name(),
        addresses(),
        btree_map(name().prop_map(String::from), 1u16.., 0..4),
        option::of("[0-9a-f]{32}"),
        option::of("\\PC{0,30}"),
        any::<bool>(),
    )
        .prop_map(|(name, addresses, ports, resume, agent, healthy)| Hello {
            version: VERSION,
            name,
            addresses,
            ports,
            resume,
            agent,
            healthy,
        })
}

fn to_halod() -> impl Strategy<Value = ToHalod> {
    let by_route = vec((any::<u32>(), any::<u64>()), 0..4);
    let load =
        (any::<u64>(), option::of(finite()), by_route).prop_map(|(connections, value, routes)| {
            Load {
                connections,
                value,
                routes,
            }
        });
    prop_oneof![
        hello().prop_map(ToHalod::Hello),
        (any::<u64>(), option::of(load)).prop_map(|(seq, load)| ToHalod::Heartbeat { seq, load }),
        Just(ToHalod::Healthy),
        any::<String>().prop_map(|reason| ToHalod::Unhealthy { reason }),
        routes().prop_map(|routes| ToHalod::Drained { routes }),
        Just(ToHalod::Leaving),
    ]
}

fn listener() -> impl Strategy<Value = ListenerInfo> {
    let select = prop_oneof![Just(Select::Port), Just(Select::Source), Just(Select::Flow)];
    let deliver = prop_oneof![Just(Deliver::Nat), Just(Deliver::Dsr), Just(Deliver::Ipip)];
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    (
        any::<String>(),
        v6(),
        protocol,
        any::<u16>(),
        any::<Option<u16>>(),
        select,
        deliver,
    )
        .prop_map(
            |(name, address, protocol, port, node_port, select, deliver)| ListenerInfo {
                name,
                address,
                protocol,
                port,
                node_port,
                select,
                deliver,
            },
        )
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let state = prop_oneof![
        Just(NodeState::Reserve),
        Just(NodeState::Active),
        Just(NodeState::Draining),
        Just(NodeState::Lost)
    ];
    let numbers = any::<(u32, u32, u32, u32)>();
    (
        numbers,
        any::<String>(),
        state,
        "[0-9a-f]{32}",
        vec(listener(), 0..4),
        any::<Option<[u8; 16]>>(),
    )
        .prop_map(
            |(
                (version, routes, heartbeat_ms, heartbeat_misses),
                cluster,
                state,
                resume,
                listeners,
                key,
            )| {
                Welcome {
                    version,
                    cluster,
                    routes,
                    state,
                    heartbeat_ms,
                    heartbeat_misses,
                    resume,
                    listeners,
                    select_key: key.map(SelectKey),
                }
            },
        )
}

fn from_halod() -> impl Strategy<Value = FromHalod> {
    let moved =
        || (routes(), option::of(name())).prop_map(|(routes, to)| MovedRoutes { routes, to });
    prop_oneof![
        welcome().prop_map(FromHalod::Welcome),
        (any::<u64>(), any::<u32>(), routes()).prop_map(|(generation, slot, routes)| {
            FromHalod::Assign {
                generation,
                slot,
                routes,
            }
        }),
        (any::<u64>(), vec(moved(), 0..4))
            .prop_map(|(generation, moves)| FromHalod::RouteMoved { generation, moves }),
        (any::<u64>(), vec(moved(), 0..4), any::<u64>()).prop_map(
            |(generation, moves, deadline_ms)| {
                FromHalod::Drain {
                    generation,
                    moves,
                    deadline_ms,
                }
            }
        ),
        any::<u64>().prop_map(|generation| FromHalod::Reserve { generation }),
        any::<u64>().prop_map(|generation| FromHalod::MayStop { generation }),
        any::<String>().prop_map(|reason| FromHalod::Error { reason }),
    ]
}

/// One line, and only one, whatever the strings in the message hold.
fn one_line(line: &str) -> bool {
    line.ends_with('\n') && line.matches('\n').count() == 1
}

fn is_of_type(line: &str, kind: &str) -> bool {
    line.starts_with(&format!("{{\"type\":\"{kind}\""))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn to_halod_round_trip(message in to_halod()) {
        let line = message.to_line();
        prop_assert!(one_line(&line));
        prop_assert!(is_of_type(&line, message.kind()));
        prop_assert_eq!(ToHalod::parse(&line), Ok(message));
    }

    #[test]
    fn from_halod_round_trip(message in from_halod()) {
        let line = message.to_line();
        prop_assert!(one_line(&line));
        prop_assert!(is_of_type(&line, message.kind()));
        prop_assert_eq!(FromHalod::parse(&line), Ok(message));
    }

    /// Members that this version does not know are ignored, at any place.
    #[test]
    fn unknown_members_are_ignored(message in to_halod(), key in "x[a-z]{1,8}", n in any::<i64>()) {
        let line = message.to_line().replacen('{', &format!("{{\"{key}\":[{n},{{}}],"), 1);
        prop_assert_eq!(ToHalod::parse(&line), Ok(message));
    }

    /// Whatever text comes: a message that writes and reads as itself, or a short error
    /// that is safe to print.
    #[test]
    fn any_text(line in any::<String>()) { never_panics(&line)?; }

    /// The same for text that looks like a message.
    #[test]
    fn broken_messages(
        message in prop_oneof![
            to_halod().prop_map(|m| m.to_line()),
            from_halod().prop_map(|m| m.to_line()),
        ],
        at in any::<prop::sample::Index>(),
        put in "[\\]\\[{}\",:0-9a-z\\-\\x00-\\x1f]{0,3}",
        cut in 0usize..4,
    ) {
        let chars: Vec<char> = message.chars().collect();
        let at = at.index(chars.len());
        let rest = chars.iter().skip(at + cut);
        let line: String = chars[..at].iter().copied().chain(put.chars()).chain(rest.copied()).collect();
        never_panics(&line)?;
    }
}

fn never_panics(line: &str) -> Result<(), TestCaseError> {
    match ToHalod::parse(line) {
        Ok(message) => prop_assert_eq!(ToHalod::parse(&message.to_line()), Ok(message)),
        Err(error) => printable(&error.to_string())?,
    }
    match FromHalod::parse(line) {
        Ok(message) => prop_assert_eq!(FromHalod::parse(&message.to_line()), Ok(message)),
        Err(error) => printable(&error.to_string())?,
    }
    Ok(())
}

fn printable(error: &str) -> Result<(), TestCaseError> {
    prop_assert!(
        !error.is_empty() && error.len() < 4096,
        "{} bytes: {error}",
        error.len()
    );
    prop_assert!(!error.chars().any(char::is_control), "{error:?}");
    Ok(())
}

/// The examples of the protocol's documentation, byte for byte.
#[test]
fn the_documented_forms() {
    let set = |text: &str| text.parse::<RouteSet>().expect("a set of routes");
    let hello = Hello {
        version: 1,
        name: "n1".parse().expect("a name"),
        addresses: vec![
            "192.0.2.11".parse().expect("v4"),
            "2001:db8::11".parse().expect("v6"),
        ],
        ports: BTreeMap::from([("browsers".to_owned(), 8000)]),
        resume: Some("00112233445566778899aabbccddeeff".to_owned()),
        agent: Some("halod-node 0.1.0".to_owned()),
        healthy: true,
    };
    for (line, message) in [
        (
            r#"{"type":"hello","version":1,"name":"n1","addresses":["192.0.2.11","2001:db8::11"],"ports":{"browsers":8000},"resume":"00112233445566778899aabbccddeeff","agent":"halod-node 0.1.0","healthy":true}"#,
            ToHalod::Hello(hello),
        ),
        (
            r#"{"type":"heartbeat","seq":17,"load":{"connections":1200,"value":0.25,"routes":[[9,700],[10,500]]}}"#,
            ToHalod::Heartbeat {
                seq: 17,
                load: Some(Load {
                    connections: 1200,
                    value: Some(0.25),
                    routes: vec![(9, 700), (10, 500)],
                }),
            },
        ),
        (
            r#"{"type":"heartbeat","seq":18}"#,
            ToHalod::Heartbeat {
                seq: 18,
                load: None,
            },
        ),
        (r#"{"type":"healthy"}"#, ToHalod::Healthy),
        (
            r#"{"type":"unhealthy","reason":"192.0.2.11:8000: connection refused"}"#,
            ToHalod::Unhealthy {
                reason: "192.0.2.11:8000: connection refused".to_owned(),
            },
        ),
        (
            r#"{"type":"drained","routes":[[9,12]]}"#,
            ToHalod::Drained {
                routes: set("9-12"),
            },
        ),
        (r#"{"type":"leaving"}"#, ToHalod::Leaving),
    ] {
        let written = message.to_line();
        assert_eq!(written.trim_end(), line);
        let heartbeat = matches!(message, ToHalod::Heartbeat { .. });
        assert!(heartbeat || written.len() >= URGENT, "{written}");
        assert_eq!(ToHalod::parse(&written), Ok(message.clone()));
        assert_eq!(ToHalod::parse(line), Ok(message));
    }
    let listener = ListenerInfo {
        name: "browsers".to_owned(),
        address: "198.51.100.1".parse().expect("v4"),
        protocol: Protocol::Tcp,
        port: 8000,
        node_port: None,
        select: Select::Port,
        deliver: Deliver::Nat,
    };
    for (line, message) in [
        (
            r#"{"type":"welcome","version":1,"cluster":"push","routes":24,"state":"active","heartbeat_ms":100,"heartbeat_misses":3,"resume":"00112233445566778899aabbccddeeff","listeners":[{"name":"browsers","address":"198.51.100.1","protocol":"tcp","port":8000}]}"#,
            FromHalod::Welcome(Welcome {
                version: 1,
                cluster: "push".to_owned(),
                routes: 24,
                state: NodeState::Active,
                heartbeat_ms: 100,
                heartbeat_misses: 3,
                resume: "00112233445566778899aabbccddeeff".to_owned(),
                listeners: vec![listener],
                select_key: None,
            }),
        ),
        (
            r#"{"type":"assign","generation":3,"slot":3,"routes":[[9,12],[21,24]]}"#,
            FromHalod::Assign {
                generation: 3,
                slot: 3,
                routes: set("9-12,21-24"),
            },
        ),
        (
            r#"{"type":"route_moved","generation":3,"moves":[{"routes":[[9,12]],"to":"n3"}]}"#,
            FromHalod::RouteMoved {
                generation: 3,
                moves: vec![MovedRoutes {
                    routes: set("9-12"),
                    to: Some("n3".parse().expect("a name")),
                }],
            },
        ),
        (
            r#"{"type":"drain","generation":4,"moves":[{"routes":[[1,8]],"to":"n4"},{"routes":[[9,9]]}],"deadline_ms":60000}"#,
            FromHalod::Drain {
                generation: 4,
                moves: vec![
                    MovedRoutes {
                        routes: set("1-8"),
                        to: Some("n4".parse().expect("a name")),
                    },
                    MovedRoutes {
                        routes: set("9"),
                        to: None,
                    },
                ],
                deadline_ms: 60_000,
            },
        ),
        (
            r#"{"type":"may_stop","generation":6}"#,
            FromHalod::MayStop { generation: 6 },
        ),
        (
            r#"{"type":"reserve","generation":5}"#,
            FromHalod::Reserve { generation: 5 },
        ),
        (
            r#"{"type":"error","reason":"name in use"}"#,
            FromHalod::Error {
                reason: "name in use".to_owned(),
            },
        ),
    ] {
        assert_eq!(message.to_line().trim_end(), line);
        assert_eq!(FromHalod::parse(line), Ok(message));
    }
}

#[test]
fn absent_members_have_their_defaults() {
    let line = r#"{"type":"hello","version":1,"name":"n1","addresses":["192.0.2.11"]}"#;
    let Ok(ToHalod::Hello(hello)) = ToHalod::parse(line) else {
        panic!("a hello")
    };
    assert!(hello.healthy && hello.ports.is_empty());
    assert_eq!((hello.resume, hello.agent), (None, None));
}

#[test]
fn errors_name_the_value_and_what_is_right() {
    let long = format!(r#"{{"type":"unhealthy","reason":"{}"}}"#, "x".repeat(2000));
    for (line, says) in [
        ("", "one JSON object"),
        ("[\"healthy\"]", "one JSON object"),
        ("GET / HTTP/1.1", "\"GET / HTTP/1.1\""),
        ("{\"type\":\"healthy\"} {}", "trailing characters"),
        ("{\"type\":\"healthy\"", "EOF"),
        ("{}", "missing field `type`"),
        (
            r#"{"type":"hi"}"#,
            "unknown variant `hi`, expected one of `hello`",
        ),
        (
            r#"{"type":"healthy","type":"healthy"}"#,
            "duplicate field `type`",
        ),
        (r#"{"type":"heartbeat"}"#, "missing field `seq`"),
        (
            r#"{"type":"heartbeat","seq":-1}"#,
            "invalid value: integer `-1`, expected u64",
        ),
        (
            r#"{"type":"drained","routes":"1-4"}"#,
            "invalid type: string",
        ),
        (
            r#"{"type":"hello","version":1,"name":"N1","addresses":[]}"#,
            "\"N1\" is not a node's name",
        ),
        (
            r#"{"type":"hello","version":1,"name":"n1","addresses":["x"]}"#,
            "invalid IP address",
        ),
        (
            r#"{"type":"hello","version":9,"name":"n1","addresses":["192.0.2.1"]}"#,
            "version 9",
        ),
        (
            r#"{"type":"hello","version":1,"name":"n1","addresses":["::1"]}"#,
            "::1 is a loopback",
        ),
        (&long, "2000 bytes; at most 1024"),
    ] {
        let error = ToHalod::parse(line).expect_err(line).to_string();
        assert!(
            error.contains(says),
            "{line}\n  gives: {error}\n  should say: {says}"
        );
    }
}

/// The longest assign that 65,536 routes can need is a line that every node reads.
#[test]
fn the_longest_assign_fits() {
    let routes: RouteSet = (1..=65_536).step_by(2).collect();
    let line = FromHalod::Assign {
        generation: u64::MAX,
        slot: u32::MAX,
        routes,
    }
    .to_line();
    assert!(line.len() <= MAX_LINE_TO_NODE, "{} bytes", line.len());
}

/// However a heartbeat is written, it says the same.
#[test]
fn a_heartbeat_has_many_spellings() {
    let load = Load {
        connections: 5,
        value: None,
        routes: Vec::new(),
    };
    for (line, load) in [
        (r#"{"type":"heartbeat","seq":7}"#, None),
        (r#" {"seq":7,"type":"heartbeat"} "#, None),
        (r#"{"type":"heart\u0062eat","seq":7}"#, None),
        (r#"{"type":"heartbeat","seq":7,"load":null}"#, None),
        (
            r#"{"type":"heartbeat","seq":7,"of_a_later_version":[1]}"#,
            None,
        ),
        (
            r#"{"load":{"connections":5,"of_a_later_version":1},"type":"heartbeat","seq":7}"#,
            Some(load),
        ),
    ] {
        let heartbeat = ToHalod::Heartbeat { seq: 7, load };
        assert_eq!(ToHalod::parse(line), Ok(heartbeat), "{line}");
    }
    // serde's own way to write a struct as an array is none of the protocol's.
    assert!(ToHalod::parse(r#"["heartbeat",7,null]"#).is_err());
}
