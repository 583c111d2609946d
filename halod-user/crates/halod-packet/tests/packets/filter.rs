//! The filter: what it lets pass at once would pass after the long way too.

use crate::common::packets::{any_spec, Spec};
use crate::common::tables::{addresses, valid_given, Given};
use halod_packet::{
    concern_v4, concern_v6, decide, parse_v4, parse_v6, Address, AtomicCell, Concern, Decision,
    Draining, Exit, Hook, Input, Listener, Node, Protocol, Table, WINDOW,
};
use proptest::prelude::*;
use proptest::sample::Index;

const HOOKS: [Hook; 4] = [
    Hook::PreRouting,
    Hook::LocalIn,
    Hook::LocalOut,
    Hook::PostRouting,
];

fn concern(table: &Table, hook: Hook, bytes: &[u8]) -> Concern {
    match (bytes[0] >> 4, bytes.first_chunk(), bytes.first_chunk()) {
        (4, Some(header), _) => concern_v4(table.filter(), hook, header),
        (_, _, Some(header)) => concern_v6(table.filter(), hook, header),
        _ => Concern::Perhaps,
    }
}

/// What becomes of a packet the long way, where it is not an ICMP error.
fn decision(table: &Table, hook: Hook, bytes: &[u8]) -> Decision {
    let window = &bytes[..bytes.len().min(WINDOW)];
    let parsed = match bytes[0] >> 4 {
        4 => parse_v4(window, bytes.len()),
        _ => parse_v6(window, bytes.len()),
    };
    let idle = Draining::<AtomicCell> {
        flows: None,
        now: 0,
    };
    decide(&(table.view(), idle), hook, &parsed)
}

/// Gives the packet addresses and ports of the table's, as far as there are any of its family.
fn aim(spec: &mut Spec, given: &Given, from: Option<Index>, to: Option<Index>, port: Index) {
    let mut all: Vec<Address> = given.listeners.iter().map(|l| l.address).collect();
    all.extend(given.nodes.iter().flat_map(addresses));
    all.retain(|address| matches!(address, Address::V4(_)) == spec.is_v4());
    let ports: Vec<u16> = given.listeners.iter().map(|l| l.port).collect();
    if all.is_empty() {
        return;
    }
    if let Some(from) = from {
        (spec.src, spec.sport) = (*from.get(&all), *port.get(&ports));
    }
    if let Some(to) = to {
        (spec.dst, spec.dport) = (*to.get(&all), *port.get(&ports));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn stops_nothing_that_is_ours(
        given in valid_given(),
        mut spec in any_spec(),
        (from, to, port) in any::<(Option<Index>, Option<Index>, Index)>(),
        number in prop::option::of(any::<u8>()),
    ) {
        if !given.listeners.is_empty() {
            aim(&mut spec, &given, from, to, port);
        }
        let mut bytes = spec.full();
        if let Some(number) = number {
            let at = if spec.is_v4() { 9 } else { 6 };
            bytes[at] = number;
        }
        let Ok(table) = Table::build(&given.input()) else {
            return Err(TestCaseError::fail("refused"));
        };
        for hook in HOOKS {
            let decision = decision(&table, hook, &bytes);
            match concern(&table, hook, &bytes) {
                Concern::No => prop_assert_eq!(decision, Decision::Exit(Exit::Pass)),
                Concern::Answer => prop_assert!(
                    matches!(hook, Hook::PreRouting | Hook::LocalOut)
                        && matches!(decision, Decision::Untrack | Decision::Exit(Exit::Pass)),
                    "{hook:?}: {decision:?}"
                ),
                Concern::Perhaps => {}
            }
        }
    }
}

/// A table of so many nodes, with two addresses each.
fn table(nodes: u32) -> Table {
    let node = |n: u32| Node {
        id: n + 1,
        v4: Some([10, 1, (n >> 8) as u8, n as u8]),
        v6: Some([
            0x20,
            1,
            0xd,
            0xb8,
            0,
            2,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            (n >> 8) as u8,
            n as u8,
        ]),
    };
    let nodes: Vec<Node> = (0..nodes).map(node).collect();
    let listeners = [Listener {
        address: Address::V4([198, 51, 100, 1]),
        protocol: Protocol::Tcp,
        port: 8000,
        node_port: 8000,
        ..Listener::default()
    }];
    let built = Table::build(&Input {
        routes: 24,
        listeners: &listeners,
        nodes: &nodes,
        targets: &[],
        route_nodes: &[1; 24],
        formers: &[],
        select_key: None,
    });
    built.unwrap_or_else(|refusal| panic!("{refusal}"))
}

#[test]
fn lets_nearly_all_others_pass() {
    for (nodes, most) in [(3, 300), (4_096, 2_500)] {
        let table = table(nodes);
        // 10,000 pairs of addresses that have nothing to do with the table.
        let taken = (0..10_000u32).filter(|n| {
            let mut header = [0; 20];
            header[0] = 0x45;
            header[9] = 6;
            let (src, dst) = (n.wrapping_mul(0x9e37_79b1), n.wrapping_mul(0x85eb_ca6b));
            header[12..16].copy_from_slice(&(src | 0x8000_0000).to_be_bytes());
            header[16..20].copy_from_slice(&(dst | 0x8000_0000).to_be_bytes());
            concern_v4(table.filter(), Hook::PreRouting, &header) != Concern::No
        });
        let taken = taken.count();
        assert!(
            taken <= most,
            "{nodes} nodes: {taken} of 10,000 took the long way"
        );
    }
}
