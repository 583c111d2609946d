//! The keyed choice of a route: as another's SipHash has it, even, and as the docs say.

use crate::common::select::route_of;
use halod_packet::{Address, Select, SelectKey};
use proptest::prelude::*;

const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(Address::V4),
        any::<[u8; 16]>().prop_map(Address::V6),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn as_by_another_implementation(
        key in any::<[u8; 16]>(),
        address in address(),
        port in any::<u16>(),
        routes in prop_oneof![1u32..40, Just(32_768)],
    ) {
        let ours = SelectKey::from_bytes(key);
        prop_assert_eq!(ours.to_bytes(), key);
        for select in [Select::Source, Select::Flow] {
            let route = ours.route(select, &address, port, routes as usize);
            prop_assert_eq!(usize::from(route), route_of(key, select, (address, port), routes));
            prop_assert!(u32::from(route) < routes);
        }
        prop_assert_eq!(ours.route(Select::Port, &address, port, routes as usize), 0);
    }
}

/// What docs/node-protocol.md tells implementers to try theirs with.
#[test]
fn the_examples_of_the_docs() {
    let key = SelectKey::from_bytes(KEY);
    let of = |select, address: &Address| key.route(select, address, 40_001, 24) + 1;
    let v4 = Address::V4([203, 0, 113, 9]);
    let v6 = Address::V6([0x20, 1, 0xd, 0xb8, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    let routes = [
        of(Select::Source, &v4),
        of(Select::Flow, &v4),
        of(Select::Source, &v6),
        of(Select::Flow, &v6),
    ];
    assert_eq!(routes, [16, 13, 13, 15]);
}

/// 24,000 clients, neighbours by address or by port: each of 24 routes has its share, give or take
/// a fifth (six standard deviations).
#[test]
fn shares_are_even() {
    for (select, v6) in [
        (Select::Source, false),
        (Select::Flow, false),
        (Select::Source, true),
    ] {
        let mut shares = [0u32; 24];
        for n in 0..24_000u32 {
            let (host, port) = match select {
                Select::Flow => (7, 32_768 + n as u16),
                _ => (n, 40_001),
            };
            let address = if v6 {
                let mut bytes = [0x20, 1, 0xd, 0xb8, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                bytes[12..].copy_from_slice(&host.to_be_bytes());
                Address::V6(bytes)
            } else {
                Address::V4((0x0a00_0000 + host).to_be_bytes())
            };
            let route = SelectKey::from_bytes(KEY).route(select, &address, port, 24);
            shares[usize::from(route)] += 1;
        }
        let within = shares.iter().all(|share| (800..=1_200).contains(share));
        assert!(within, "{select:?}: {shares:?}");
    }
}
