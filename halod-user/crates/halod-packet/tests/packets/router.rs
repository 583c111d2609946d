//! What a router asks of a packet: against sums made another way.

use halod_packet::{ordinary_v4, passable_v4, passable_v6};
use proptest::prelude::*;

/// The checksum of a header whose own field is 0 (RFC 1071).
fn checksum(head: &[u8]) -> u16 {
    let mut sum: u32 = head
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A TCP packet's first 40 bytes, with a right checksum.
fn head(ends: [u8; 8], id: u16, total: u16, ttl: u8) -> [u8; 40] {
    let mut head = [0; 40];
    head[0] = 0x45;
    head[2..4].copy_from_slice(&total.to_be_bytes());
    head[4..6].copy_from_slice(&id.to_be_bytes());
    head[8] = ttl;
    head[9] = 6;
    head[12..20].copy_from_slice(&ends);
    let sum = checksum(&head[..20]);
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    head
}

proptest! {
    #[test]
    fn right_headers_pass(ends: [u8; 8], id: u16, total in 40_u16.., ttl in 2_u8.., padding in 0_usize..100) {
        let bytes = head(ends, id, total, ttl);
        let len = usize::from(total);
        prop_assert!(ordinary_v4(&bytes).is_some());
        prop_assert_eq!(passable_v4(&bytes, len + padding), Some(len));
        prop_assert_eq!(passable_v4(&bytes, len - 1), None);
    }

    #[test]
    fn a_changed_bit_does_not_pass(ends: [u8; 8], id: u16, bit in 0_usize..160) {
        let mut bytes = head(ends, id, 40, 64);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(passable_v4(&bytes, usize::MAX), None);
    }

    #[test]
    fn short_packets_and_the_last_hop_do_not_pass(ends: [u8; 8], total in 0_u16..40, ttl in 0_u8..2) {
        prop_assert_eq!(passable_v4(&head(ends, 1, total, 64), 1500), None);
        prop_assert_eq!(passable_v4(&head(ends, 1, 40, ttl), 1500), None);
    }

    #[test]
    fn ipv6_passes_by_length_and_hops(payload: u16, hops: u8, len in 0_usize..70_000) {
        let mut bytes = [0; 60];
        bytes[4..6].copy_from_slice(&payload.to_be_bytes());
        bytes[7] = hops;
        let total = usize::from(payload) + 40;
        let passes = total <= len && payload >= 20 && hops > 1;
        prop_assert_eq!(passable_v6(&bytes, len), passes.then_some(total));
    }
}
