// SPDX-License-Identifier: GPL-2.0
//! The first question about a packet: can it be HaloD's at all?
//!
//! A set answers it for nearly all traffic that is not, by the packet's
//! addresses and a dozen instructions; all else takes the long way, which gives
//! the same answer. It has two bits for each value of [`Address::hash`]: whether
//! a listener has such an address, and whether a node has. They have a byte of
//! their own, which takes fewer instructions to find than bits of a word.

use super::address::{Address, Protocol};
use super::decide::Hook;
use super::icmp;
use super::table::{Bucket, Owner};

/// Of the addresses of a small cluster one in a hundred others has the same bits.
const SLOTS_MIN: usize = 512;
/// All that a hash can tell apart.
const SLOTS_MAX: usize = 1 << 16;

/// Bytes of the filter for so many addresses: in at most one in eight is one.
pub(super) fn slots(addresses: usize) -> usize {
    let slots = addresses
        .saturating_mul(8)
        .checked_next_power_of_two()
        .unwrap_or(SLOTS_MAX);
    slots.clamp(SLOTS_MIN, SLOTS_MAX)
}

/// Sets the bits of the addresses in `buckets`.
pub(super) fn fill(buckets: &[Bucket], filter: &mut [u8]) {
    filter.fill(0);
    for bucket in buckets {
        let bits = match bucket.owner {
            Owner::Nobody => continue,
            Owner::Listener => VIP,
            Owner::Node => NODE,
        };
        let at = place(filter.len(), &bucket.address);
        if let Some(slot) = filter.get_mut(at) {
            *slot |= bits;
        }
    }
}

/// The bits of one place.
const VIP: u8 = 1;
const NODE: u8 = 2;

/// The place of an address.
#[inline(always)]
fn place(slots: usize, address: &Address) -> usize {
    address.hash() & slots.wrapping_sub(1)
}

/// Who may have an address.
#[inline(always)]
fn owners(filter: &[u8], address: &Address) -> u8 {
    let at = place(filter.len(), address);
    filter.get(at).copied().unwrap_or(0)
}

/// What the addresses say of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Concern {
    /// It is not the table's business: [`decide`](super::decide) would say
    /// [`Exit::Pass`](super::Exit::Pass).
    No,
    /// It may be an answer from a node, and is not for a listener: PRE_ROUTING and LOCAL_OUT need
    /// not look at it but to keep connection tracking off it.
    Answer,
    /// It may be anything.
    Perhaps,
}

/// What the packet with this IPv4 header can be at a hook.
#[inline(always)]
pub fn concern_v4(filter: &[u8], hook: Hook, header: &[u8; 20]) -> Concern {
    let [_, _, _, _, _, _, _, _, _, number, _, _, addresses @ ..] = header;
    match (Protocol::from_number(*number), addresses) {
        (Some(_), &[s0, s1, s2, s3, d0, d1, d2, d3]) => {
            let (src, dst) = ([s0, s1, s2, s3], [d0, d1, d2, d3]);
            concern(filter, hook, &Address::V4(src), &Address::V4(dst))
        }
        // By what an error quotes.
        (None, _) if *number == icmp::V4 => Concern::Perhaps,
        (None, _) => Concern::No,
    }
}

/// The same for IPv6.
#[inline(always)]
pub fn concern_v6(filter: &[u8], hook: Hook, header: &[u8; 40]) -> Concern {
    let [_, _, _, _, _, _, next, _, addresses @ ..] = header;
    let (src, dst) = addresses.split_at(16);
    match (
        Protocol::from_number(*next),
        src.first_chunk(),
        dst.first_chunk(),
    ) {
        (Some(_), Some(src), Some(dst)) => {
            concern(filter, hook, &Address::V6(*src), &Address::V6(*dst))
        }
        // An error, or extension headers with TCP or UDP behind them.
        _ => Concern::Perhaps,
    }
}

#[inline(always)]
fn concern(filter: &[u8], hook: Hook, src: &Address, dst: &Address) -> Concern {
    let forward = matches!(hook, Hook::PreRouting | Hook::LocalOut);
    if forward && owners(filter, dst) & VIP != 0 {
        Concern::Perhaps
    } else if owners(filter, src) & NODE == 0 {
        Concern::No
    } else if forward {
        Concern::Answer
    } else {
        Concern::Perhaps
    }
}
