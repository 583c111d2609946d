//! A table as a commit may ask for it: refused, or one that leads every port of every listener to
//! the node that was asked for, and that node's answers back.
#![no_main]

use halod_fuzz::{Choices, v6};
use halod_packet::{
    Address, AtomicCell, Decision, Deliver, Draining, Exit, Former, Hook, Input, Listener, Node,
    Packet, Parsed, Protocol, Select, SelectKey, Side, Table, Target, decide,
};
use libfuzzer_sys::fuzz_target;

/// Few enough to be quick, and to meet each other often.
const MOST: u16 = 6;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let routes = u32::from(choices.below(40));
    let listeners: Vec<Listener> = (0..choices.below(MOST))
        .map(|_| listener(&mut choices))
        .collect();
    let nodes: Vec<Node> = (0..choices.below(MOST))
        .map(|_| node(&mut choices))
        .collect();
    let targets: Vec<Target> = (0..choices.below(MOST))
        .map(|_| Target {
            node: u32::from(choices.below(MOST)),
            listener: u32::from(choices.below(MOST)),
            port: port(&mut choices),
        })
        .collect();
    let wrong = choices.byte() == 0;
    let described = if wrong {
        choices.below(40)
    } else {
        routes as u16
    };
    let route_nodes: Vec<u32> = (0..described)
        .map(|_| u32::from(choices.below(MOST + 1)))
        .collect();
    let mut formers: Vec<Former> = (0..choices.below(MOST))
        .map(|_| Former {
            route: u32::from(choices.below(41)),
            node: u32::from(choices.below(MOST + 1)),
            deadline: u64::from(choices.number()),
            udp: u64::from(choices.number()),
        })
        .collect();
    if choices.byte() != 0 {
        formers.sort_by_key(|former| former.route);
    }
    let input = Input {
        routes,
        listeners: &listeners,
        nodes: &nodes,
        targets: &targets,
        route_nodes: &route_nodes,
        formers: &formers,
        select_key: (choices.byte() != 0).then(|| SelectKey::from_bytes([7; 16])),
    };
    let Ok(table) = Table::build(&input) else {
        return;
    };
    // What is in force can be put in force again, after itself.
    let again = Table::replace(&input, table.view().drains);
    assert!(again.is_ok(), "refused after itself: {again:?}");
    assert_eq!(described, routes as u16);
    for (number, listener) in listeners.iter().enumerate() {
        for offset in 0..listener.select.ports(routes) as u16 {
            led(&input, &table, number, listener, offset);
        }
    }
});

fn address(choices: &mut Choices<'_>) -> Address {
    let last = choices.byte();
    match last & 1 {
        0 => Address::V4([192, 0, 2, last & 0xf]),
        _ => v6(1, u16::from(last & 0xf)),
    }
}

/// Ports near each other, and near the end.
fn port(choices: &mut Choices<'_>) -> u16 {
    match choices.byte() {
        near @ 0..=0x7f => 8_000 + u16::from(near),
        near @ 0x80..=0xbf => u16::MAX - u16::from(near & 0x3f),
        _ => choices.number(),
    }
}

fn listener(choices: &mut Choices<'_>) -> Listener {
    let protocol = [Protocol::Tcp, Protocol::Udp][usize::from(choices.byte() & 1)];
    Listener {
        address: address(choices),
        protocol,
        port: port(choices),
        node_port: port(choices),
        select: Select::from_number(choices.byte() & 3).unwrap_or_default(),
        deliver: Deliver::from_number(choices.byte() >> 6).unwrap_or_default(),
    }
}

fn node(choices: &mut Choices<'_>) -> Node {
    let mut node = Node {
        id: u32::from(choices.below(MOST + 1)),
        ..Node::default()
    };
    for _ in 0..choices.byte() & 3 {
        match address(choices) {
            Address::V4(bytes) => node.v4 = Some(bytes),
            Address::V6(bytes) => node.v6 = Some(bytes),
        }
    }
    node
}

/// A packet to one of a listener's ports, and the answer to it, unless its route drains.
fn led(input: &Input<'_>, table: &Table, number: usize, listener: &Listener, offset: u16) {
    let client = match listener.address {
        Address::V4(_) => Address::V4([203, 0, 113, 9]),
        Address::V6(_) => v6(3, 9),
    };
    let route = match listener.select {
        Select::Port => offset,
        select => {
            let key = input.select_key.expect("accepted without a key");
            key.route(select, &client, 40_000, input.routes as usize)
        }
    };
    let drains = |former: &Former| former.route == u32::from(route) + 1;
    if input.formers.iter().any(drains) {
        return;
    }
    let packet = Packet {
        src: client,
        dst: listener.address,
        protocol: listener.protocol,
        sport: 40_000,
        dport: listener.port + offset,
        opening: true,
        l4: 40,
    };
    let idle = || Draining::<AtomicCell> {
        flows: None,
        now: 0,
    };
    let decision = decide(
        &(table.view(), idle()),
        Hook::PreRouting,
        &Parsed::Packet(packet),
    );
    let id = input.route_nodes[usize::from(route)];
    let Some(index) = input.nodes.iter().position(|node| node.id == id && id != 0) else {
        return assert_eq!(decision, Decision::Exit(Exit::DropNoNode));
    };
    let node = &input.nodes[index];
    let to = match listener.address {
        Address::V4(_) => node.v4.map(Address::V4),
        Address::V6(_) => node.v6.map(Address::V6),
    };
    let Some(to) = to else {
        return assert_eq!(decision, Decision::Exit(Exit::DropNoAddress));
    };
    let own = input
        .targets
        .iter()
        .find(|target| target.node as usize == index && target.listener as usize == number);
    let base = own.map_or(listener.node_port, |target| target.port);
    if listener.deliver != Deliver::Nat {
        let expected = Decision::Deliver {
            node: to,
            deliver: listener.deliver,
            exit: Exit::Forward,
        };
        assert_eq!((decision, base), (expected, listener.port));
        return;
    }
    match decision {
        Decision::Rewrite {
            side,
            to: found,
            exit,
            ..
        } => {
            assert_eq!(
                (side, found, exit),
                (Side::Destination, (to, base + offset), Exit::Forward)
            );
        }
        other => panic!("port {offset} of listener {number}: {other:?}"),
    }
    let answer = Packet {
        src: to,
        sport: base + offset,
        dst: client,
        dport: 40_000,
        ..packet
    };
    match decide(
        &(table.view(), idle()),
        Hook::PostRouting,
        &Parsed::Packet(answer),
    ) {
        Decision::Rewrite { side, to, .. } => {
            assert_eq!(
                (side, to),
                (Side::Source, (listener.address, listener.port + offset))
            );
        }
        other => panic!("an answer of port {offset} of listener {number}: {other:?}"),
    }
}
