//! Parsing: what was put into a packet is what is read out of it.

use crate::common::packets::{any_spec, Extension, Spec};
use halod_packet::{
    ordinary_v4, ordinary_v6, parse_v4, parse_v6, Address, Exit, Packet, Parsed, Protocol, WINDOW,
};
use proptest::prelude::*;

fn parse(bytes: &[u8]) -> Parsed {
    let window = &bytes[..bytes.len().min(WINDOW)];
    match bytes.first() {
        Some(first) if first >> 4 == 4 => parse_v4(window, bytes.len()),
        _ => parse_v6(window, bytes.len()),
    }
}

/// The packet, if it is an ordinary one.
fn ordinary(bytes: &[u8]) -> Option<Packet> {
    match bytes[0] >> 4 {
        4 => ordinary_v4(bytes.first_chunk()?),
        _ => ordinary_v6(bytes.first_chunk()?),
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
        let bytes = spec.full();
        prop_assert_eq!(parse(&bytes), Parsed::Packet(spec.packet()));
        let (plain, least) = match spec.is_v4() {
            true => (spec.options.is_empty(), 40),
            false => (spec.extensions.is_empty(), 60),
        };
        let expected = (plain && bytes.len() >= least).then(|| spec.packet());
        prop_assert_eq!(ordinary(&bytes), expected);
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
        let parsed = parse(&bytes);
        if let Some(packet) = ordinary(&bytes) {
            prop_assert_eq!(parsed, Parsed::Packet(packet));
        }
    }
}

#[test]
fn a_syn_alone_opens_a_connection() {
    let spec = |v4, protocol, flags| {
        let (low, high) = match v4 {
            true => (Address::V4([192, 0, 2, 1]), Address::V4([192, 0, 2, 2])),
            false => (Address::V6([1; 16]), Address::V6([2; 16])),
        };
        Spec {
            src: low,
            dst: high,
            protocol,
            sport: 50_000,
            dport: 8_000,
            options: vec![1; 8],
            extensions: vec![Extension::Destination(1)],
            rest: vec![0xff; 32],
            flags,
            no_checksum: false,
        }
    };
    for v4 in [true, false] {
        let opening = |protocol, flags| match parse(&spec(v4, protocol, flags).full()) {
            Parsed::Packet(packet) => packet.opening,
            other => panic!("{other:?}"),
        };
        // FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
        let open: Vec<u8> = (0..=255)
            .filter(|flags| opening(Protocol::Tcp, *flags))
            .collect();
        let written = [
            2u8, 10, 34, 42, 66, 74, 98, 106, 130, 138, 162, 170, 194, 202, 226, 234,
        ];
        assert_eq!(open, written);
        assert!((0..=255).all(|flags| !opening(Protocol::Udp, flags)));
    }
}

/// TCP's flags must be looked at, its ports alone are not enough.
#[test]
fn the_flags_of_tcp_must_be_within_the_window() {
    let at = |l4: usize, number: u8| {
        let mut rest = vec![number, ((l4 - 40) / 8 - 1) as u8];
        rest.resize(l4 - 40 + 20, 0);
        parse(&v6_with(60, &rest))
    };
    assert!(matches!(at(112, 6), Parsed::Packet(_)));
    for (l4, number, found) in [(120, 6, false), (120, 17, true)] {
        let parsed = at(l4, number);
        match parsed {
            Parsed::Packet(_) => assert!(found),
            Parsed::Unreadable { exit, .. } => {
                assert!(!found);
                assert_eq!(exit, Exit::DropExtension);
            }
            Parsed::Other | Parsed::Error(_) | Parsed::Outer { .. } => panic!("{parsed:?}"),
        }
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
