//! Rewriting: the outcome is what summing everything anew would give.

use crate::common::packets::{any_address, any_spec, checksum, sum, Spec};
use halod_packet::{
    need, ordinary_v4, ordinary_v6, rewrite, send_on_v4, send_on_v6, Address, Csum, Protocol, Side,
};
use proptest::prelude::*;

/// A packet and what one of its sides is to become.
fn any_task() -> impl Strategy<Value = (Spec, Side, (Address, u16))> {
    let side = prop_oneof![Just(Side::Source), Just(Side::Destination)];
    (any_spec(), side, any::<u16>()).prop_flat_map(|(spec, side, port)| {
        let address = any_address(spec.is_v4());
        address.prop_map(move |address| (spec.clone(), side, (address, port)))
    })
}

/// The same packet made with the other side.
fn remade(spec: &Spec, side: Side, to: (Address, u16)) -> Spec {
    let mut spec = spec.clone();
    match side {
        Side::Source => (spec.src, spec.sport) = to,
        Side::Destination => (spec.dst, spec.dport) = to,
    }
    spec
}

/// A sum as the kernel keeps it, in the machine's byte order, reduced.
fn native(sum: u16) -> u32 {
    u32::from(u16::from_ne_bytes(sum.to_be_bytes()))
}

/// Equal as one's complement numbers, which have two zeros.
fn congruent(one: u32, other: u32) -> bool {
    one % 0xffff == other % 0xffff
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn equals_full_recomputation((spec, side, to) in any_task()) {
        let mut bytes = spec.full();
        let before = sum(&bytes);
        let delta = rewrite(&mut bytes, &spec.packet(), side, to, Csum::Full);
        let expected = remade(&spec, side, to).full();
        prop_assert_eq!(&bytes, &expected);
        // What CHECKSUM_COMPLETE says stays true.
        let Some(delta) = delta else {
            return Err(TestCaseError::fail("not rewritten"));
        };
        prop_assert!(congruent(delta.apply(native(before)), native(sum(&expected))));
    }

    #[test]
    fn sent_on_equals_rewritten_and_older((spec, side, to) in any_task(), partial: bool) {
        let (spec, csum) = (Spec { options: vec![], extensions: vec![], ..spec }, if partial { Csum::Partial } else { Csum::Full });
        let bytes = if partial { spec.partial() } else { spec.full() };
        let mut remade = bytes.clone();
        prop_assert!(rewrite(&mut remade, &spec.packet(), side, to, csum).is_some());
        let (mut sent, mut old) = (bytes, remade);
        let done = if spec.is_v4() {
            old[8] -= 1;
            old[10..12].fill(0);
            let sum = checksum(&old[..20]);
            old[10..12].copy_from_slice(&sum.to_be_bytes());
            sent.first_chunk_mut().map(|head| {
                assert!(ordinary_v4(head).is_some());
                send_on_v4(head, spec.protocol, side, to, csum)
            })
        } else {
            old[7] -= 1;
            sent.first_chunk_mut().map(|head| {
                assert!(ordinary_v6(head).is_some());
                send_on_v6(head, spec.protocol, side, to, csum)
            })
        };
        // Too short for an ordinary one otherwise.
        if let Some(done) = done {
            prop_assert_eq!(done, Some(()));
            prop_assert_eq!(sent, old);
        }
    }

    #[test]
    fn partial_equals_the_new_pseudo_header((spec, side, to) in any_task()) {
        let mut bytes = spec.partial();
        let delta = rewrite(&mut bytes, &spec.packet(), side, to, Csum::Partial);
        prop_assert!(delta.is_some());
        prop_assert_eq!(bytes, remade(&spec, side, to).partial());
    }

    #[test]
    fn back_again_is_where_it_was((spec, side, to) in any_task()) {
        let before = spec.full();
        let mut bytes = before.clone();
        let from = match side {
            Side::Source => (spec.src, spec.sport),
            Side::Destination => (spec.dst, spec.dport),
        };
        rewrite(&mut bytes, &spec.packet(), side, to, Csum::Full);
        let there = remade(&spec, side, to).packet();
        prop_assert!(rewrite(&mut bytes, &there, side, from, Csum::Full).is_some());
        prop_assert_eq!(bytes, before);
    }

    #[test]
    fn a_wrong_checksum_stays_wrong((spec, side, to) in any_task(), error in 1u16..0xffff) {
        let mut spec = spec;
        spec.protocol = Protocol::Tcp;
        let at = spec.l4() + 16;
        let mut bytes = spec.full();
        let right = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let wrong = ((u32::from(right) + u32::from(error)) % 0xffff) as u16;
        bytes[at..at + 2].copy_from_slice(&wrong.to_be_bytes());
        rewrite(&mut bytes, &spec.packet(), side, to, Csum::Full);
        prop_assert_ne!(bytes, remade(&spec, side, to).full());
    }

    #[test]
    fn what_is_needed_is_enough_and_no_less((spec, side, to) in any_task()) {
        let packet = spec.packet();
        let needed = need(&packet);
        let mut expected = remade(&spec, side, to).full();
        expected.truncate(needed);
        let mut bytes = spec.full();
        bytes.truncate(needed);
        prop_assert!(rewrite(&mut bytes, &packet, side, to, Csum::Full).is_some());
        prop_assert_eq!(bytes, expected);
        for short in [needed - 1, needed - 2, usize::from(packet.l4), 39, 19, 0] {
            let mut bytes = spec.full();
            bytes.truncate(short.min(needed - 1));
            let before = bytes.clone();
            prop_assert_eq!(rewrite(&mut bytes, &packet, side, to, Csum::Full), None);
            prop_assert_eq!(bytes, before);
        }
    }

    #[test]
    fn other_bytes_are_left_alone(
        (spec, side, to) in any_task(),
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        partial in any::<bool>(),
    ) {
        let csum = if partial { Csum::Partial } else { Csum::Full };
        let before = bytes.clone();
        prop_assert_eq!(rewrite(&mut bytes, &spec.packet(), side, to, csum), None);
        prop_assert_eq!(&bytes, &before);
        // Any offset at all.
        let mut packet = spec.packet();
        packet.l4 = u16::from_ne_bytes([before.first().copied().unwrap_or(0), 3]);
        prop_assert_eq!(rewrite(&mut bytes, &packet, side, to, csum), None);
        let family = match to.0 {
            Address::V4(_) => Address::V6([1; 16]),
            Address::V6(_) => Address::V4([1; 4]),
        };
        // The right address, but another port.
        let mut other = spec.packet();
        (other.sport, other.dport) = (!other.sport, !other.dport);
        let mut whole = spec.full();
        prop_assert_eq!(rewrite(&mut whole, &other, side, to, csum), None);
        prop_assert_eq!(&whole, &spec.full());
        prop_assert_eq!(rewrite(&mut whole, &spec.packet(), side, (family, 1), csum), None);
        prop_assert_eq!(whole, spec.full());
    }

    /// About one in 65,536 by chance, so made on purpose.
    #[test]
    fn udp_computed_as_zero_is_all_ones((spec, side, to) in any_task()) {
        let mut spec = spec;
        spec.protocol = Protocol::Udp;
        spec.no_checksum = false;
        spec.rest = vec![0, 0];
        let at = spec.l4() + 6;
        let target = remade(&spec, side, to).full();
        // The word that brings the new checksum from `field` to 0.
        let field = [target[at], target[at + 1]];
        spec.rest = field.to_vec();
        let mut bytes = spec.full();
        rewrite(&mut bytes, &spec.packet(), side, to, Csum::Full);
        prop_assert_eq!(&bytes[at..at + 2], &[0xff, 0xff]);
        prop_assert_eq!(bytes, remade(&spec, side, to).full());
    }
}
