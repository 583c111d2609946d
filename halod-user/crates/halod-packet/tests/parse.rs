//! Parsing: what was put into a packet is what is read out of it.

mod common;

use common::packets::{any_spec, Spec};
use halod_packet::{parse_v4, parse_v6, Address, Exit, Parsed, WINDOW};
use proptest::prelude::*;

fn parse(bytes: &[u8]) -> Parsed {
    let window = &bytes[..bytes.len().min(WINDOW)];
    match bytes.first() {
        Some(first) if first >> 4 == 4 => parse_v4(window, bytes.len()),
        _ => parse_v6(window, bytes.len()),
    }
}

/// Where the packet's transport header must end for it to be taken.
fn enough(spec: &Spec) -> usize {
    spec.l4() + usize::from(spec.protocol.header())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn reads_what_was_written(spec in any_spec()) {
        prop_assert_eq!(parse(&spec.full()), Parsed::Packet(spec.packet()));
    }

    #[test]
    fn cut_short_it_is_truncated(spec in any_spec(), cut in any::<prop::sample::Index>()) {
        let bytes = spec.full();
        let network = if spec.is_v4() { 20 } else { 40 };
        let kept = cut.index(enough(&spec));
        match parse(&bytes[..kept]) {
            Parsed::Other => prop_assert!(kept < network),
            Parsed::Unreadable { src, dst, exit, .. } => {
                prop_assert!(kept >= network);
                prop_assert_eq!((src, dst), (spec.src, spec.dst));
                prop_assert_eq!(exit, Exit::DropTruncated);
            }
            other => prop_assert!(false, "{other:?} of {kept} bytes"),
        }
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), len in 0usize..300) {
        let window = &bytes[..bytes.len().min(WINDOW)];
        for parsed in [parse_v4(window, len), parse_v6(window, len)] {
            if let Parsed::Packet(packet) = parsed {
                prop_assert!(usize::from(packet.l4) + 4 <= window.len());
                prop_assert!(usize::from(packet.l4) + 8 <= len);
            }
        }
    }

    /// Nearly right packets reach further than random bytes do.
    #[test]
    fn changed_bytes_do_no_harm(
        spec in any_spec(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = spec.full();
        for (at, value) in changes {
            let at = at.index(bytes.len().min(WINDOW));
            bytes[at] = value;
        }
        let _ = parse(&bytes);
    }
}

fn v6_with(next: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0, 0, rest.len() as u8, next, 64];
    bytes.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    bytes.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    bytes.extend(rest);
    bytes
}

fn exit_of(bytes: &[u8]) -> Option<Exit> {
    match parse(bytes) {
        Parsed::Unreadable { exit, .. } => Some(exit),
        _ => None,
    }
}

#[test]
fn a_route_not_travelled_to_its_end_is_not_ours() {
    // Type 4 (segment routing), one segment left.
    let rest = [&[6, 0, 4, 1, 0, 0, 0, 0][..], &[0; 20]].concat();
    assert_eq!(parse(&v6_with(43, &rest)), Parsed::Other);
}

#[test]
fn fragments_are_named_only_where_they_may_be_ours() {
    // First fragment of TCP; a later one; first of ICMPv6; of unknown extensions.
    let cases = [
        ([6, 0, 0, 1], Some(Exit::DropFragment)),
        ([17, 0, 0, 8], Some(Exit::DropFragment)),
        ([58, 0, 0, 1], None),
        ([60, 0, 0, 1], Some(Exit::DropFragment)),
    ];
    for (header, exit) in cases {
        let rest = [&header[..], &[0, 0, 0, 9], &[0; 24]].concat();
        assert_eq!(exit_of(&v6_with(44, &rest)), exit, "{header:?}");
    }
}

#[test]
fn the_ninth_extension_header_is_too_many() {
    let chain = |count: usize| {
        let mut rest = Vec::new();
        for n in 1..=count {
            rest.extend([if n == count { 6 } else { 60 }, 0, 0, 0, 0, 0, 0, 0]);
        }
        rest.extend([0; 20]);
        v6_with(60, &rest)
    };
    assert!(matches!(parse(&chain(8)), Parsed::Packet(packet) if packet.l4 == 104));
    assert_eq!(exit_of(&chain(9)), Some(Exit::DropExtension));
}

#[test]
fn what_lies_beyond_the_window_is_not_read() {
    // One extension header of 96 bytes: the ports are at 136.
    let mut rest = vec![17, 11];
    rest.resize(96 + 8, 0);
    assert_eq!(exit_of(&v6_with(0, &rest)), Some(Exit::DropExtension));
}

#[test]
fn an_ipv4_header_shorter_than_any_is_malformed() {
    let mut bytes = [0; 40];
    bytes[0] = 0x44;
    bytes[9] = 6;
    let Parsed::Unreadable { exit, src, .. } = parse_v4(&bytes, 40) else {
        panic!("taken for a packet");
    };
    assert_eq!((exit, src), (Exit::DropMalformed, Address::V4([0; 4])));
}
