// SPDX-License-Identifier: GPL-2.0
//! What a router asks of an ordinary packet before it sends it on, and does to it.
//!
//! For packets that do not pass the kernel's own IP layers. Whatever is not as it should be goes there,
//! to be refused and counted (`ip_rcv_core`, `ip6_rcv_core`, `ip_forward`, `ip6_forward`).

/// The length of the IPv4 packet with this header, of which `len` bytes are there, padding
/// included. None where its checksum or its length is wrong, it is too short for [`ordinary_v4`],
/// or this machine is the last it may reach.
///
/// [`ordinary_v4`]: super::ordinary_v4
#[inline(always)]
pub fn passable_v4(head: &[u8; 40], len: usize) -> Option<usize> {
    let (first, rest) = word(head)?;
    let (second, rest) = word(rest)?;
    let (third, rest) = word(rest)?;
    let (source, rest) = word(rest)?;
    let (destination, _) = word(rest)?;
    let sum = u64::from(first)
        .wrapping_add(u64::from(second))
        .wrapping_add(u64::from(third))
        .wrapping_add(u64::from(source))
        .wrapping_add(u64::from(destination));
    let total = (u32::from_be(first) & 0xffff) as usize;
    let ttl = u32::from_be(third) >> 24;
    // One's complement: the sum of all is 2^16 - 1 where the checksum is right.
    let right = sum % 0xffff == 0;
    (right && total <= len && total >= head.len() && ttl > 1).then_some(total)
}

/// The first four bytes, and the others.
#[inline(always)]
fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&word, rest) = bytes.split_first_chunk()?;
    Some((u32::from_ne_bytes(word), rest))
}

/// The same for IPv6, whose header has no checksum.
#[inline(always)]
pub fn passable_v6(head: &[u8; 60], len: usize) -> Option<usize> {
    let &[_, _, _, _, p0, p1, _, hops, ..] = head;
    let total = usize::from(u16::from_be_bytes([p0, p1])).wrapping_add(40);
    (total <= len && total >= head.len() && hops > 1).then_some(total)
}

/// Takes one off the time to live of the IPv4 packet with this header, which is more than 1.
#[inline(always)]
pub fn age_v4(head: &mut [u8; 40]) {
    let [_, _, _, _, _, _, _, _, ttl, _, c0, c1, ..] = head;
    *ttl = ttl.wrapping_sub(1);
    // The field is the sum's complement: what is taken off the sum is added to it. Never 0xffff, as
    // the kernel writes it (`ip_decrease_ttl`).
    let one = u32::from(0x0100_u16.to_be());
    let checksum = u32::from(u16::from_ne_bytes([*c0, *c1])).wrapping_add(one);
    let carry = u32::from(checksum >= 0xffff);
    [*c0, *c1] = (checksum.wrapping_add(carry) as u16).to_ne_bytes();
}

/// The same for IPv6.
#[inline(always)]
pub fn age_v6(head: &mut [u8; 60]) {
    let [_, _, _, _, _, _, _, hops, ..] = head;
    *hops = hops.wrapping_sub(1);
}
