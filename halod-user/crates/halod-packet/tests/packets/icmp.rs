//! ICMP errors: rewritten, they are what they would be had the quoted packet never been rewritten.

use crate::common::packets::{any_address, any_spec, checksum, Spec};
use halod_packet::{
    parse_quote_v4, parse_quote_v6, parse_v4, parse_v6, Address, Csum, IcmpError, Parsed, Protocol,
    Side, Translation, WINDOW,
};
use proptest::prelude::*;

/// An ICMP error, put together from its parts.
#[derive(Clone, Debug)]
struct Error {
    src: Address,
    dst: Address,
    /// Type, code, and the second word.
    head: (u8, u8, [u8; 4]),
    quoted: Spec,
    /// How many bytes are quoted.
    keep: usize,
    /// Bytes of IPv4 options, or of an IPv6 destination options header.
    options: usize,
}

impl Error {
    fn quote(&self) -> Vec<u8> {
        self.quoted.full()[..self.keep].to_vec()
    }

    fn l4(&self) -> usize {
        match self.src {
            Address::V4(_) => 20 + self.options,
            Address::V6(_) => 40 + self.options,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let (kind, code, word) = self.head;
        let mut message = [&[kind, code, 0, 0][..], &word, &self.quote()].concat();
        let length = message.len();
        match (self.src, self.dst) {
            (Address::V4(src), Address::V4(dst)) => {
                let sum = checksum(&message);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
                let total = (self.l4() + length) as u16;
                let mut header = vec![0x40 | (self.l4() / 4) as u8, 0xc0];
                header.extend(total.to_be_bytes());
                header.extend([0, 1, 0, 0, 60, 1, 0, 0]);
                header.extend([&src[..], &dst, &vec![1; self.options]].concat());
                let sum = checksum(&header);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                [header, message].concat()
            }
            (Address::V6(src), Address::V6(dst)) => {
                let pseudo = [
                    &src[..],
                    &dst,
                    &(length as u32).to_be_bytes(),
                    &[0, 0, 0, 58],
                ];
                let sum = checksum(&[&pseudo.concat()[..], &message].concat());
                message[2..4].copy_from_slice(&sum.to_be_bytes());
                let mut header = vec![0x60, 0, 0, 0];
                header.extend(((self.options + length) as u16).to_be_bytes());
                header.extend([if self.options > 0 { 60 } else { 58 }, 60]);
                header.extend([&src[..], &dst].concat());
                if self.options > 0 {
                    header.extend([58, (self.options / 8 - 1) as u8]);
                    header.resize(self.l4(), 0);
                }
                [header, message].concat()
            }
            _ => panic!("addresses of two families"),
        }
    }

    /// The same about the packet as it was before its side became what it is.
    fn translated(&self, side: Side, to: (Address, u16)) -> Error {
        let mut error = self.clone();
        match side {
            Side::Destination => {
                (error.quoted.src, error.quoted.sport) = to;
                error.dst = to.0;
            }
            Side::Source => {
                (error.quoted.dst, error.quoted.dport) = to;
                if error.src == self.quoted.dst {
                    error.src = to.0;
                }
            }
        }
        error
    }
}

fn parse(bytes: &[u8]) -> Parsed {
    let window = &bytes[..bytes.len().min(WINDOW)];
    match bytes.first() {
        Some(first) if first >> 4 == 4 => parse_v4(window, bytes.len()),
        _ => parse_v6(window, bytes.len()),
    }
}

fn parse_quote(error: &IcmpError, bytes: &[u8]) -> Parsed {
    let quote = bytes.get(error.quote()..).unwrap_or_default();
    let window = &quote[..quote.len().min(WINDOW)];
    match error.src {
        Address::V4(_) => parse_quote_v4(window, error.quoted),
        Address::V6(_) => parse_quote_v6(window, error.quoted),
    }
}

/// Where a quoted packet's checksum ends.
fn checksum_end(spec: &Spec) -> usize {
    match spec.protocol {
        Protocol::Tcp => spec.l4() + 18,
        Protocol::Udp => spec.l4() + 8,
    }
}

/// An error to whoever sent the quoted packet, and what is to be rewritten.
fn any_task() -> impl Strategy<Value = (Error, Side, (Address, u16))> {
    let kinds = |v4| match v4 {
        true => vec![3u8, 11, 12],
        false => vec![1, 2, 3, 4],
    };
    (any_spec(), any::<bool>(), any::<bool>(), any::<u16>()).prop_flat_map(
        move |(quoted, to_node, itself, port)| {
            let v4 = quoted.is_v4();
            let (least, whole) = (quoted.l4() + 8, quoted.full().len());
            let keep = prop_oneof![Just(least), Just(whole), least..=whole];
            (
                (any_address(v4), any_address(v4)),
                (prop::sample::select(kinds(v4)), any::<u8>(), any::<u16>()),
                keep,
                prop::sample::select(vec![0usize, 8, 40]),
                Just(quoted),
            )
                .prop_map(
                    move |((router, new), (kind, code, word), keep, options, quoted)| {
                        let [high, low] = word.to_be_bytes();
                        // Half a checksum is left as it is: the twin knows only whole ones and none.
                        let end = checksum_end(&quoted);
                        let keep = if keep == end - 1 { end - 2 } else { keep };
                        let error = Error {
                            src: if itself { quoted.dst } else { router },
                            dst: quoted.src,
                            head: (kind, code, [0, 0, high, low]),
                            quoted,
                            keep,
                            options,
                        };
                        let side = if to_node {
                            Side::Destination
                        } else {
                            Side::Source
                        };
                        (error, side, (new, port))
                    },
                )
        },
    )
}

fn translation(error: &Error, side: Side, to: (Address, u16)) -> Translation {
    let bytes = error.bytes();
    let Parsed::Error(read) = parse(&bytes) else {
        panic!("not taken for an error: {error:?}");
    };
    let Parsed::Packet(quoted) = parse_quote(&read, &bytes) else {
        panic!("the quote was not understood: {error:?}");
    };
    Translation {
        error: read,
        quoted,
        side,
        to,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn reads_what_was_written((error, _, _) in any_task()) {
        let bytes = error.bytes();
        let Parsed::Error(read) = parse(&bytes) else {
            return Err(TestCaseError::fail("not taken for an error"));
        };
        let expected = IcmpError {
            src: error.src,
            dst: error.dst,
            l4: error.l4() as u16,
            quoted: error.keep,
        };
        prop_assert_eq!(read, expected);
        let mut quoted = error.quoted.packet();
        quoted.opening = false; // an error opens nothing
        prop_assert_eq!(parse_quote(&read, &bytes), Parsed::Packet(quoted));
    }

    #[test]
    fn equals_full_recomputation((error, side, to) in any_task()) {
        let translation = translation(&error, side, to);
        let mut bytes = error.bytes();
        let needed = translation.need();
        let delta = translation.apply(&mut bytes[..needed], Csum::Full);
        let expected = error.translated(side, to).bytes();
        prop_assert_eq!(&bytes, &expected);
        // Any sum over the whole packet is as it was.
        prop_assert_eq!(delta.map(|delta| delta.apply(1)), Some(1));
        prop_assert_eq!(checksum(&bytes) % 0xffff, checksum(&error.bytes()) % 0xffff);
    }

    #[test]
    fn less_than_is_needed_changes_nothing((error, side, to) in any_task(), cut in any::<prop::sample::Index>()) {
        let translation = translation(&error, side, to);
        let mut bytes = error.bytes();
        // Up to the ports, without which nothing can be done.
        bytes.truncate(cut.index(translation.error.quote() + error.quoted.l4() + 4));
        let before = bytes.clone();
        prop_assert_eq!(translation.apply(&mut bytes, Csum::Full), None);
        prop_assert_eq!(bytes, before);
    }

    #[test]
    fn other_bytes_are_left_alone(
        (error, side, to) in any_task(),
        other in any_task(),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let translation = translation(&error, side, to);
        for before in [bytes, other.0.bytes()] {
            let mut bytes = before.clone();
            prop_assert_eq!(translation.apply(&mut bytes, Csum::Full), None);
            prop_assert_eq!(&bytes, &before);
        }
        // Another packet quoted, or another receiver.
        for other in [(error.quoted.dst, !error.quoted.dport), (error.quoted.src, !error.quoted.sport)] {
            let mut changed = error.clone();
            (changed.quoted.dst, changed.quoted.dport) = (other.0, other.1);
            (changed.quoted.src, changed.quoted.sport) = (other.0, other.1);
            let before = changed.bytes();
            let mut bytes = before.clone();
            prop_assert_eq!(translation.apply(&mut bytes, Csum::Full), None);
            prop_assert_eq!(bytes, before);
        }
    }

    #[test]
    fn changed_bytes_do_no_harm(
        (error, side, to) in any_task(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = error.bytes();
        for (at, value) in changes {
            let at = at.index(bytes.len().min(2 * WINDOW));
            bytes[at] = value;
        }
        if let Parsed::Error(error) = parse(&bytes) {
            prop_assert!(error.quote() + error.quoted <= bytes.len());
            if let Parsed::Packet(quoted) = parse_quote(&error, &bytes) {
                prop_assert!(usize::from(quoted.l4) + 8 <= error.quoted);
                let translation = Translation { error, quoted, side, to };
                let needed = translation.need();
                prop_assert!(needed <= bytes.len());
                let _ = translation.apply(&mut bytes[..needed], Csum::Full);
            }
        }
    }
}

/// Redirects are the receiving machine's own, source quenches nobody's; the rest are no errors.
#[test]
fn only_errors_are_taken_for_errors() {
    let v4 = |kind| {
        let mut bytes = vec![
            0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8,
        ];
        bytes.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0; 28]);
        matches!(parse(&bytes), Parsed::Error(_))
    };
    let v6 = |kind| {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 56, 58, 64];
        bytes.extend([1; 32]);
        bytes.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0; 48]);
        matches!(parse(&bytes), Parsed::Error(_))
    };
    let taken =
        |test: &dyn Fn(u8) -> bool| (0..=255).filter(|kind| test(*kind)).collect::<Vec<u8>>();
    assert_eq!(taken(&v4), [3, 11, 12]);
    assert_eq!(taken(&v6), [1, 2, 3, 4]);
}
