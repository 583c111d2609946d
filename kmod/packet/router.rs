// SPDX-License-Identifier: GPL-2.0
//! What a router asks of an ordinary packet before it sends it on, and does to it.
//!
//! For packets that do not pass the kernel's own IP layers. Whatever is not as it should be goes there,
//! to be refused and counted (`ip_rcv_core`, `ip6_rcv_core`, `ip_forward`, `ip6_forward`).

use super::address::{Address, Protocol};
use super::checksum::{Change, Csum};
use super::rewrite::{side_of, Side, Transport};

/// The length of the IPv4 packet with this header, of which `len` bytes are there, padding
/// included. None where its checksum or its length is wrong, it is too short for [`ordinary_v4`],
/// or this machine is the last it may reach.
///
/// [`ordinary_v4`]: super::ordinary_v4
#[inline(always)]
pub fn passable_v4(head: &[u8; 40], len: usize) -> Option<usize> {
    let total = length_v4(head);
    (is_sound_v4(head) && total <= len && total >= head.len()).then_some(total)
}

/// The length that an IPv4 header says, in bytes.
#[inline(always)]
pub fn length_v4(head: &[u8; 40]) -> usize {
    let &[_, _, t0, t1, ..] = head;
    u16::from_be_bytes([t0, t1]).into()
}

/// Whether an IPv4 header's checksum is right, and this machine is not the last it may reach.
#[inline(always)]
pub fn is_sound_v4(head: &[u8; 40]) -> bool {
    let words = || {
        let (first, rest) = word(head)?;
        let (second, rest) = word(rest)?;
        let (third, rest) = word(rest)?;
        let (source, rest) = word(rest)?;
        let (destination, _) = word(rest)?;
        Some([first, second, third, source, destination])
    };
    let Some([first, second, third, source, destination]) = words() else {
        return false;
    };
    let sum = u64::from(first)
        .wrapping_add(u64::from(second))
        .wrapping_add(u64::from(third))
        .wrapping_add(u64::from(source))
        .wrapping_add(u64::from(destination));
    let ttl = u32::from_be(third) >> 24;
    // One's complement: the sum of all is a multiple of 2^16 - 1 where the checksum is right. Just
    // those, times that number's inverse modulo 2^64, are no more than this.
    const MOST: u64 = u64::MAX / 0xffff;
    sum.wrapping_mul(MOST).wrapping_neg() <= MOST && ttl > 1
}

/// The first four bytes, and the others.
#[inline(always)]
fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&word, rest) = bytes.split_first_chunk()?;
    Some((u32::from_ne_bytes(word), rest))
}

/// The same as [`passable_v4`] for IPv6.
#[inline(always)]
pub fn passable_v6(head: &[u8; 60], len: usize) -> Option<usize> {
    let total = length_v6(head);
    (is_sound_v6(head) && total <= len && total >= head.len()).then_some(total)
}

/// The length that an IPv6 header says, its own included, in bytes.
#[inline(always)]
pub fn length_v6(head: &[u8; 60]) -> usize {
    let &[_, _, _, _, p0, p1, ..] = head;
    usize::from(u16::from_be_bytes([p0, p1])).wrapping_add(40)
}

/// Whether this machine is not the last that an IPv6 packet may reach. Its header has no checksum.
#[inline(always)]
pub fn is_sound_v6(head: &[u8; 60]) -> bool {
    let &[_, _, _, _, _, _, _, hops, ..] = head;
    hops > 1
}

/// Rewrites one side of the ordinary packet with these headers, and takes one off its time to live,
/// which is more than 1. [`rewrite`](super::rewrite) has the rules. What changes a sum over the whole
/// packet is not told: none goes on with it. None, nothing having been changed, where the address
/// is of another family.
#[inline(always)]
pub fn send_on_v4(
    head: &mut [u8; 40],
    protocol: Protocol,
    side: Side,
    to: (Address, u16),
    csum: Csum,
) -> Option<()> {
    // The word with the time to live, and how it changes.
    const OLDER: ([u8; 2], [u8; 2]) = ([1, 0], [0, 0]);
    let Address::V4(new) = to.0 else {
        return None;
    };
    let (_, rest) = head.split_first_chunk_mut::<8>()?;
    let (ttl, rest) = rest.split_first_chunk_mut::<1>()?;
    let (_, rest) = rest.split_first_chunk_mut::<1>()?;
    let (checksum, rest) = rest.split_first_chunk_mut::<2>()?;
    let (address, rest) = side_of::<4>(rest, side)?;
    let mut transport = Transport::of(rest, protocol, side)?;
    let change = Change::default().word(*address, new);
    *address = new;
    *ttl = [u8::from_ne_bytes(*ttl).wrapping_sub(1)];
    *checksum = change.half(OLDER.0, OLDER.1).complete(*checksum);
    let ports = (*transport.port, to.1.to_be_bytes());
    transport.update(change, ports, csum);
    Some(())
}

/// The same for IPv6.
#[inline(always)]
pub fn send_on_v6(
    head: &mut [u8; 60],
    protocol: Protocol,
    side: Side,
    to: (Address, u16),
    csum: Csum,
) -> Option<()> {
    let Address::V6(new) = to.0 else {
        return None;
    };
    let (_, rest) = head.split_first_chunk_mut::<7>()?;
    let (hops, rest) = rest.split_first_chunk_mut::<1>()?;
    let (address, rest) = side_of::<16>(rest, side)?;
    let mut transport = Transport::of(rest, protocol, side)?;
    let change = Change::default().address(*address, new);
    *address = new;
    *hops = [u8::from_ne_bytes(*hops).wrapping_sub(1)];
    let ports = (*transport.port, to.1.to_be_bytes());
    transport.update(change, ports, csum);
    Some(())
}
