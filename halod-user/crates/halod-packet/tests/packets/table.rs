//! The table: it answers and refuses as a map of every port would.

use crate::common;

use std::time::{Duration, Instant};

use crate::common::tables::{any_given, valid_given, Given};
use halod_packet::refusal::TEXT_MAX;
use halod_packet::{
    decide, usual_node, usual_vip, Address, AtomicCell, Decision, Deliver, Draining, Exit, Forward,
    Hook, Listener, Node, Packet, Parsed, Protocol, Select, Table, Target, View,
};
use proptest::prelude::*;

const CLIENT_V4: Address = Address::V4([203, 0, 113, 9]);
const CLIENT_V6: Address = Address::V6([0x20, 1, 0xd, 0xb8, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);

const IDLE: Draining<'_, AtomicCell> = Draining {
    flows: None,
    now: 0,
};

fn client(of: Address) -> Address {
    match of {
        Address::V4(_) => CLIENT_V4,
        Address::V6(_) => CLIENT_V6,
    }
}

fn to(dst: Address, protocol: Protocol, dport: u16) -> Packet {
    Packet {
        src: client(dst),
        dst,
        protocol,
        sport: 50_000,
        dport,
        opening: false,
        l4: 40,
    }
}

fn from(src: Address, protocol: Protocol, sport: u16) -> Packet {
    let there = to(src, protocol, sport);
    Packet {
        src: there.dst,
        dst: there.src,
        sport: there.dport,
        dport: there.sport,
        ..there
    }
}

/// Every port in or next to a range of the table, with every address in it.
fn interesting(given: &Given) -> Vec<(Address, Protocol, u16)> {
    let mut addresses: Vec<Address> = given.listeners.iter().map(|l| l.address).collect();
    addresses.extend(given.nodes.iter().flat_map(common::tables::addresses));
    addresses.extend([CLIENT_V4, CLIENT_V6]);
    addresses.sort();
    addresses.dedup();
    let mut ports = vec![0, u16::MAX];
    let bases = given.listeners.iter().flat_map(|l| [l.port, l.node_port]);
    for base in bases.chain(given.targets.iter().map(|t| t.port)) {
        ports.extend(base - 1..=base.saturating_add(given.routes as u16));
    }
    ports.sort_unstable();
    ports.dedup();
    let mut all = Vec::new();
    for address in addresses {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            all.extend(ports.iter().map(|port| (address, protocol, *port)));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn refuses_what_the_twin_refuses(given in any_given()) {
        match Table::build(&given.input()) {
            Ok(_) => prop_assert!(given.is_valid(), "accepted"),
            Err(refusal) => {
                let text = refusal.to_string();
                prop_assert!(!given.is_valid(), "refused: {}", text);
                prop_assert!((1..=TEXT_MAX).contains(&text.len()), "{}", text);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn answers_as_the_twin_does(given in valid_given()) {
        let table = Table::build(&given.input());
        prop_assert!(table.is_ok(), "{:?}", table);
        let Ok(table) = table else { return Ok(()) };
        let Some(replies) = given.replies() else {
            return Err(TestCaseError::fail("an invalid table"));
        };
        for (address, protocol, port) in interesting(&given) {
            let packet = to(address, protocol, port);
            prop_assert_eq!(table.view().forward(&packet), given.forward(&packet));
            let truth = replies.get(&(address, protocol, u32::from(port))).copied();
            prop_assert_eq!(table.view().reverse(&from(address, protocol, port)), truth);
            let rest = (table.view(), IDLE);
            let ports = |l: &Listener| l.port..=l.port.saturating_add(given.routes as u16 - 1);
            let node = match given.forward(&packet) {
                Forward::To { address, port } => Some((address, port)),
                _ => None,
            };
            let of_protocol = || given.listeners.iter().filter(|l| l.protocol == protocol);
            let mut usual: Vec<_> = of_protocol()
                .filter(|l| l.address == address)
                .filter(|l| l.select == Select::Port && l.deliver == Deliver::Nat)
                .collect();
            usual.sort_by_key(|l| l.port);
            let usual = usual.iter().take(2).any(|l| ports(l).contains(&port));
            let end = (address, port);
            let found = usual_node(&rest, protocol, end, address.hash());
            prop_assert_eq!(found, node.filter(|_| usual));
            let nodes = given.nodes.iter().flat_map(common::tables::addresses);
            let nodes = nodes.filter(|node| *node == address).count();
            let usual = usual_vip(&rest, protocol, end, address.hash());
            // A node has a range of ports for each listener, where they are not the same.
            let few = nodes * of_protocol().count() <= 2;
            prop_assert!(usual == truth || usual.is_none() && !few, "{:?}, not {:?}", usual, truth);
            let vip = given.listeners.iter().any(|l| l.address == address);
            prop_assert_eq!(table.view().is_vip(&address), vip);
            let mut nodes = given.nodes.iter().flat_map(common::tables::addresses);
            prop_assert_eq!(table.view().is_node(&address), nodes.any(|node| node == address));
            let mut exposing = given.listeners.iter().filter(|l| l.address == address);
            prop_assert_eq!(table.view().exposes(&address, None), vip);
            let exposed = exposing.any(|l| l.protocol == protocol);
            prop_assert_eq!(table.view().exposes(&address, Some(protocol)), exposed);
        }
        for (route, id) in (1..).zip(&given.route_nodes) {
            let node = table.view().node_of(route).and_then(|n| given.nodes.get(n));
            prop_assert_eq!(node.map_or(0, |node| node.id), *id);
        }
        prop_assert_eq!(table.view().node_of(0), None);
        prop_assert_eq!(table.view().node_of(given.routes + 1), None);
    }

    #[test]
    fn a_reply_comes_from_where_the_packet_went(given in valid_given()) {
        let Ok(table) = Table::build(&given.input()) else {
            return Err(TestCaseError::fail("refused"));
        };
        for listener in &given.listeners {
            for offset in 0..given.ports(listener) as u16 {
                let packet = to(listener.address, listener.protocol, listener.port + offset);
                match table.view().forward(&packet) {
                    Forward::To { address, port } => {
                        let reply = from(address, listener.protocol, port);
                        let truth = Some((packet.dst, packet.dport));
                        prop_assert_eq!(table.view().reverse(&reply), truth);
                    }
                    Forward::NotOurs => prop_assert!(false, "not ours: {packet:?}"),
                    // The other answers to no packet by way of HaloD.
                    Forward::As { .. } | Forward::Drop(_) => {}
                }
            }
        }
    }
}

fn small() -> Given {
    Given {
        routes: 24,
        listeners: vec![Listener {
            address: Address::V4([198, 51, 100, 1]),
            protocol: Protocol::Tcp,
            port: 8_000,
            node_port: 8_000,
            ..Listener::default()
        }],
        nodes: vec![Node {
            id: 7,
            v4: Some([192, 0, 2, 11]),
            v6: None,
        }],
        targets: vec![],
        route_nodes: vec![7; 24],
        key: None,
    }
}

fn refusal(given: &Given) -> String {
    match Table::build(&given.input()) {
        Ok(_) => "accepted".to_string(),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn refusals_name_what_is_wrong() {
    let mut given = small();
    given.listeners[0].port = 65_530;
    assert_eq!(
        refusal(&given),
        "listener 0: ports 65530-65553 exceed 65535"
    );

    let mut given = small();
    given.route_nodes[11] = 9;
    assert_eq!(refusal(&given), "node 9: unknown (route 12)");

    let mut given = small();
    given.listeners.push(given.listeners[0]);
    given.listeners[1].port = 8_023;
    assert_eq!(refusal(&given), "listeners 0 and 1 overlap");

    // The same of packets that are left as they are, with or without a node's own port.
    let mut direct = small();
    direct.listeners[0].deliver = Deliver::Dsr;
    direct.targets.clear();
    direct.listeners[0].node_port = direct.listeners[0].port;
    assert_eq!(refusal(&direct), "accepted");
    direct.targets.push(Target {
        node: 0,
        listener: 0,
        port: 18_000,
    });
    assert_eq!(
        refusal(&direct),
        "node 7, listener 0: packets keep their port"
    );
    direct.listeners[0].node_port = 18_000;
    assert_eq!(
        refusal(&direct),
        "listener 0: node-port 18000, but packets keep their port"
    );

    // Another VIP with the same ports on the nodes.
    given.listeners[1].address = Address::V4([198, 51, 100, 2]);
    assert_eq!(
        refusal(&given),
        "node 7: listeners 0 and 1 share tcp port 8000: replies ambiguous"
    );
    // One port for all routes is one place: not within the other's range, here or there.
    let mut one = given.clone();
    one.listeners[1].select = Select::Source;
    one.listeners[1].node_port = 8_023;
    assert_eq!(
        refusal(&one),
        "listener 1: one port for all routes needs a select-key"
    );
    one.key = Some([7; 16]);
    assert_eq!(
        refusal(&one),
        "node 7: listeners 0 and 1 share tcp port 8023: replies ambiguous"
    );
    one.listeners[1].node_port = 8_024;
    assert_eq!(refusal(&one), "accepted");
    one.listeners[1].address = one.listeners[0].address;
    assert_eq!(refusal(&one), "listeners 0 and 1 overlap");
    one.listeners[1].port = 8_024;
    assert_eq!(refusal(&one), "accepted");
    one.listeners[1].port = 65_535;
    assert_eq!(refusal(&one), "accepted");
    one.listeners[0].port = 65_535;
    assert_eq!(refusal(&one), "listener 0: ports 65535-65558 exceed 65535");

    // It does not matter to nodes that it cannot reach, or for the other protocol.
    given.listeners[1].protocol = Protocol::Udp;
    assert_eq!(refusal(&given), "accepted");

    let mut given = small();
    given.nodes.push(Node {
        id: 9,
        ..given.nodes[0]
    });
    assert_eq!(refusal(&given), "accepted"); // the same server twice
    given.targets.push(halod_packet::Target {
        node: 1,
        listener: 0,
        port: 8_010,
    });
    assert_eq!(
        refusal(&given),
        "nodes 7 and 9 share address, tcp port 8010: replies ambiguous"
    );
    given.targets[0].port = 8_024;
    assert_eq!(refusal(&given), "accepted");

    let mut given = small();
    given.nodes[0].v4 = Some([198, 51, 100, 1]);
    assert_eq!(refusal(&given), "node 7: 198.51.100.1 is a listener's");

    let mut given = small();
    given.routes = 32_769;
    assert_eq!(refusal(&given), "32769 routes, must be 1 to 32768");
    given.routes = 23;
    assert_eq!(refusal(&given), "nodes of 24 routes given, of 23");
}

#[test]
fn counts_are_bounded() {
    let mut given = small();
    given.listeners = vec![given.listeners[0]; 65];
    assert_eq!(refusal(&given), "65 listeners, at most 64");
    let mut given = small();
    given.nodes = vec![given.nodes[0]; 4_097];
    assert_eq!(refusal(&given), "4097 nodes, at most 4096");
}

#[test]
fn an_address_is_its_bits() {
    for (v6, address) in [(false, CLIENT_V4), (true, CLIENT_V6)] {
        assert_eq!(Address::of_bits(v6, address.bits()), address);
    }
}

/// Of many listeners of an address and protocol two are found at once, and all in the end.
#[test]
fn the_first_two_listeners_are_usual() {
    let vip = Address::V4([198, 51, 100, 1]);
    let mut given = Given {
        routes: 3,
        nodes: vec![Node {
            id: 1,
            v4: Some([192, 0, 2, 1]),
            v6: None,
        }],
        route_nodes: vec![1; 3],
        ..Given::default()
    };
    // The second has one port for all routes; the others are in the order of their ports.
    for (port, select) in [
        (8_100, Select::Port),
        (8_000, Select::Source),
        (8_200, Select::Port),
        (8_300, Select::Port),
    ] {
        given.listeners.push(Listener {
            address: vip,
            port,
            node_port: port,
            select,
            ..Listener::default()
        });
    }
    given.key = Some([7; 16]);
    let table = Table::build(&given.input()).expect("a good table");
    let rest = (table.view(), IDLE);
    let node = Address::V4([192, 0, 2, 1]);
    for (port, usual) in [(8_000, false), (8_102, true), (8_202, true), (8_302, false)] {
        let there = Some((node, port));
        let found = usual_node(&rest, Protocol::Tcp, (vip, port), vip.hash());
        assert_eq!(found, there.filter(|_| usual), "{port}");
        assert_eq!(
            table.view().forward(&to(vip, Protocol::Tcp, port)),
            Forward::To {
                address: node,
                port
            }
        );
        assert_eq!(
            usual_node(&rest, Protocol::Udp, (vip, port), vip.hash()),
            None
        );
        assert_eq!(
            usual_node(&rest, Protocol::Tcp, (vip, port), vip.hash() + 1),
            None
        );
        let back = table.view().reverse(&from(node, Protocol::Tcp, port));
        assert_eq!(back, Some((vip, port)));
    }
    for (port, usual) in [(8_000, true), (8_102, true), (8_202, false)] {
        let found = usual_vip(&rest, Protocol::Tcp, (node, port), node.hash());
        assert_eq!(found, usual.then_some((vip, port)), "{port}");
    }
}

#[test]
fn an_empty_table_has_nothing_to_say() {
    let packet = to(CLIENT_V4, Protocol::Tcp, 8_000);
    assert_eq!(View::EMPTY.forward(&packet), Forward::NotOurs);
    assert_eq!(View::EMPTY.reverse(&packet), None);
    assert!(!View::EMPTY.is_vip(&CLIENT_V4));
}

/// 4,096 nodes x 64 listeners, and N = 32,768: what one commit may hold.
#[test]
fn the_largest_tables_are_built_in_bounded_time() {
    let mut given = Given {
        routes: 2_000,
        route_nodes: (0..2_000).map(|route| route * 2 + 1).collect(),
        ..Given::default()
    };
    for n in 0..64u16 {
        let base = 1 + (n / 2) * 2_000;
        given.listeners.push(Listener {
            address: Address::V4([198, 51, 100, 1]),
            protocol: [Protocol::Tcp, Protocol::Udp][usize::from(n % 2)],
            port: base,
            node_port: 1 + (31 - n / 2) * 2_000,
            ..Listener::default()
        });
    }
    for id in 1..=4_096u32 {
        let [_, _, high, low] = id.to_be_bytes();
        let v4 = Some([10, 7, high, low]);
        given.nodes.push(Node { id, v4, v6: None });
    }
    let started = Instant::now();
    let table = Table::build(&given.input()).map_err(|refusal| refusal.to_string());
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    let Ok(table) = table else {
        panic!("{table:?}");
    };
    for (route, id) in (0..2_000u16).zip(&given.route_nodes) {
        let [_, _, high, low] = id.to_be_bytes();
        for listener in &given.listeners {
            let packet = to(listener.address, listener.protocol, listener.port + route);
            let Forward::To { address, port } = table.view().forward(&packet) else {
                panic!("route {route} leads nowhere");
            };
            assert_eq!(address, Address::V4([10, 7, high, low]));
            assert_eq!(port, listener.node_port + route);
            let reply = from(address, listener.protocol, port);
            assert_eq!(
                table.view().reverse(&reply),
                Some((packet.dst, packet.dport))
            );
        }
    }

    let mut given = small();
    given.routes = 32_768;
    given.route_nodes = vec![7; 32_768];
    assert_eq!(refusal(&given), "accepted");
    given.listeners[0].port = 32_769;
    assert_eq!(
        refusal(&given),
        "listener 0: ports 32769-65536 exceed 65535"
    );
}

#[test]
fn hooks_touch_only_their_direction() {
    let given = small();
    let Ok(table) = Table::build(&given.input()) else {
        panic!("refused");
    };
    let node = Address::V4([192, 0, 2, 11]);
    let request = Parsed::Packet(to(given.listeners[0].address, Protocol::Tcp, 8_003));
    let reply = Parsed::Packet(from(node, Protocol::Tcp, 8_003));
    let exits = |parsed: &Parsed| {
        [
            Hook::PreRouting,
            Hook::LocalIn,
            Hook::LocalOut,
            Hook::PostRouting,
        ]
        .map(|hook| match decide(&(table.view(), IDLE), hook, parsed) {
            Decision::Exit(exit)
            | Decision::Rewrite { exit, .. }
            | Decision::Deliver { exit, .. } => Some(exit),
            Decision::Untrack => None,
            Decision::Translate { .. } | Decision::Learn { .. } => {
                panic!("no packet here is an ICMP error")
            }
        })
    };
    use Exit::{Forward, LocalIn, LocalOut, Pass, Reverse};
    assert_eq!(exits(&request), [Forward, Pass, LocalOut, Pass].map(Some));
    assert_eq!(exits(&reply), [None, Some(LocalIn), None, Some(Reverse)]);
    assert_eq!(exits(&Parsed::Other), [Pass; 4].map(Some));
}

#[test]
fn exits_have_their_names() {
    let names: Vec<&str> = Exit::ALL.iter().map(|exit| exit.name()).collect();
    let contract = "forward forward_former forward_full reverse local_out local_in \
        icmp_to_node icmp_to_client icmp_tunnel pass \
        drop_no_node drop_no_address drop_truncated drop_malformed drop_fragment drop_extension \
        drop_icmp_quote drop_not_writable drop_no_route drop_far_node drop_source \
        drop_expired drop_too_big drop_own_vip drop_stale";
    assert_eq!(names.join(" "), contract);
    for (index, exit) in Exit::ALL.into_iter().enumerate() {
        assert_eq!(exit.index(), index);
        assert_eq!(Exit::from_index(index), Some(exit));
        assert_eq!(exit.c_name().to_str(), Ok(exit.name()));
        assert_eq!(exit.is_drop(), exit.name().starts_with("drop_"));
    }
    assert_eq!(Exit::from_index(Exit::COUNT), None);
}
