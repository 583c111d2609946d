// SPDX-License-Identifier: GPL-2.0
//! From bytes to the few facts that decisions need.

use super::address::{Address, Protocol};
use super::exit::Exit;
use super::icmp::{self, IcmpError};
use super::rewrite::Side;

/// Bytes from the network header on that parsing looks at; fewer are enough
/// where the packet is shorter.
pub const WINDOW: usize = 128;

/// A whole TCP or UDP packet whose transport header is complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Source address.
    pub src: Address,
    /// Destination address.
    pub dst: Address,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Source port, host byte order.
    pub sport: u16,
    /// Destination port, host byte order.
    pub dport: u16,
    /// Whether it opens a connection: TCP with SYN, and without ACK, RST and FIN.
    pub opening: bool,
    /// Offset of the transport header from the network header, in bytes.
    pub l4: u16,
}

/// What the bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// A packet that the table can be asked about.
    Packet(Packet),
    /// An ICMP error, to be decided about by what it quotes.
    Error(IcmpError),
    /// What an ICMP error quotes is a packet with another of its IP version inside.
    Outer {
        /// Source address.
        src: Address,
        /// Destination address.
        dst: Address,
    },
    /// Nothing that HaloD ever touches: another protocol, or no IP header at all.
    Other,
    /// TCP or UDP (or possibly so) between known addresses, but not readable as
    /// a whole packet: a fragment, truncated, malformed. Dropped with `exit`
    /// where `dst` is a VIP, since it cannot be sent to the right node.
    Unreadable {
        /// Source address.
        src: Address,
        /// Destination address.
        dst: Address,
        /// Transport protocol, where one could be seen.
        protocol: Option<Protocol>,
        /// The name of what is wrong with it.
        exit: Exit,
    },
}

/// Most IPv6 extension headers that are walked over.
const MAX_EXTENSIONS: usize = 8;

/// The protocol number of an IPv4 packet inside another one.
const IPIP: u8 = 4;

/// Of an IPv4 header's fragment field: more to come, or an offset; and the offset alone.
const MORE_OR_OFFSET: u16 = 0x3fff;
const OFFSET: u16 = 0x1fff;

/// Bytes of a transport header that an ICMP error quotes at least.
const QUOTED: u16 = 8;

/// Where the flags are in a TCP header, and what they are (RFC 9293, section 3.1).
const TCP_FLAGS: usize = 13;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// IPv6 next header values (RFC 8200, section 4).
mod next_header {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const IPV6: u8 = 41;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const DESTINATION: u8 = 60;
}

/// Parses an IPv4 packet of `len` bytes from its network header on, `window`
/// being its first [`WINDOW`] bytes or all of them.
///
/// The total length field is not looked at: it is 0 in a BIG TCP packet, and
/// the kernel has trimmed a packet to it before any hook runs.
#[inline(always)]
pub fn parse_v4(window: &[u8], len: usize) -> Parsed {
    read_v4::<false>(window, len)
}

/// The same for IPv6. The payload length field is not looked at either.
#[inline(always)]
pub fn parse_v6(window: &[u8], len: usize) -> Parsed {
    read_v6::<false>(window, len)
}

/// The packet that nearly all are, of which `head` is the beginning: whole, without IP options,
/// TCP or UDP. [`parse_v4`] gives the same, and reads all others.
#[inline(always)]
pub fn ordinary_v4(head: &[u8; 40]) -> Option<Packet> {
    let protocol = protocol_v4(head)?;
    let header = head.first_chunk()?;
    let (src, dst) = (
        address_v4(header, Side::Source),
        address_v4(header, Side::Destination),
    );
    transport::<false>(head, head.len(), src, dst, protocol, 20).ok()
}

/// The protocol of such a packet. What else [`ordinary_v4`] reads of it is [`end_v4`]'s.
#[inline(always)]
pub fn protocol_v4(head: &[u8; 40]) -> Option<Protocol> {
    let (&[first, ..], rest) = head.split_first_chunk::<6>()?;
    let (&fragment, rest) = rest.split_first_chunk::<2>()?;
    let (&[_, number], _) = rest.split_first_chunk::<2>()?;
    if first != 0x45 || u16::from_ne_bytes(fragment) & MORE_OR_OFFSET.to_be() != 0 {
        return None;
    }
    Protocol::from_number(number)
}

/// The address of one side of an IPv4 header.
#[inline(always)]
pub fn address_v4(header: &[u8; 20], side: Side) -> Address {
    let &[_, _, _, _, _, _, _, _, _, _, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = header;
    Address::V4(match side {
        Side::Source => [s0, s1, s2, s3],
        Side::Destination => [d0, d1, d2, d3],
    })
}

/// The port of one side of a TCP or UDP header.
#[inline(always)]
fn port(header: &[u8; 20], side: Side) -> u16 {
    let &[s0, s1, d0, d1, ..] = header;
    u16::from_be_bytes(match side {
        Side::Source => [s0, s1],
        Side::Destination => [d0, d1],
    })
}

/// The address and port of one side of such a packet.
#[inline(always)]
pub fn end_v4(head: &[u8; 40], side: Side) -> Option<(Address, u16)> {
    let (header, rest) = head.split_first_chunk()?;
    Some((address_v4(header, side), port(rest.first_chunk()?, side)))
}

/// The same for IPv6, without extension headers.
#[inline(always)]
pub fn ordinary_v6(head: &[u8; 60]) -> Option<Packet> {
    let protocol = protocol_v6(head)?;
    let header = head.first_chunk()?;
    let (src, dst) = (
        address_v6(header, Side::Source),
        address_v6(header, Side::Destination),
    );
    transport::<false>(head, head.len(), src, dst, protocol, 40).ok()
}

/// The protocol of such a packet. What else [`ordinary_v6`] reads of it is [`end_v6`]'s.
#[inline(always)]
pub fn protocol_v6(head: &[u8; 60]) -> Option<Protocol> {
    let &[first, _, _, _, _, _, next, ..] = head;
    if first >> 4 != 6 {
        return None;
    }
    Protocol::from_number(next)
}

/// The address of one side of an IPv6 header.
#[inline(always)]
pub fn address_v6(header: &[u8; 40], side: Side) -> Address {
    let addresses = header.last_chunk::<32>().and_then(|both| {
        let (source, destination) = both.split_at(16);
        Some((source.first_chunk()?, destination.first_chunk()?))
    });
    // The one that there is no other of.
    let (source, destination) = addresses.unwrap_or((&[0; 16], &[0; 16]));
    Address::V6(*match side {
        Side::Source => source,
        Side::Destination => destination,
    })
}

/// The address and port of one side of such a packet.
#[inline(always)]
pub fn end_v6(head: &[u8; 60], side: Side) -> Option<(Address, u16)> {
    let (header, rest) = head.split_first_chunk()?;
    Some((address_v6(header, side), port(rest.first_chunk()?, side)))
}

/// Parses what an ICMP error quotes of an IPv4 packet: `len` bytes from the packet's network
/// header on, of which 8 of the transport header are enough (RFC 792). So is the first fragment.
pub fn parse_quote_v4(window: &[u8], len: usize) -> Parsed {
    read_v4::<true>(window, len)
}

/// The same for IPv6.
pub fn parse_quote_v6(window: &[u8], len: usize) -> Parsed {
    read_v6::<true>(window, len)
}

#[inline(always)]
fn read_v4<const QUOTE: bool>(window: &[u8], len: usize) -> Parsed {
    let Some((&[first, _, _, _, _, _, f0, f1, _, number, _, _], rest)) =
        window.split_first_chunk::<12>()
    else {
        return Parsed::Other;
    };
    let Some((&src, rest)) = rest.split_first_chunk::<4>() else {
        return Parsed::Other;
    };
    let Some(&dst) = rest.first_chunk::<4>() else {
        return Parsed::Other;
    };
    if first >> 4 != 4 {
        return Parsed::Other;
    }
    let (src, dst) = (Address::V4(src), Address::V4(dst));
    let l4 = u16::from(first & 0xf) << 2;
    let fragment = u16::from_be_bytes([f0, f1]);
    let Some(protocol) = Protocol::from_number(number) else {
        if QUOTE && number == IPIP {
            return Parsed::Outer { src, dst };
        }
        let whole = !QUOTE && number == icmp::V4 && l4 >= 20 && fragment & MORE_OR_OFFSET == 0;
        return match IcmpError::parse(window, len, src, dst, l4).filter(|_| whole) {
            Some(error) => Parsed::Error(error),
            None => Parsed::Other,
        };
    };
    let unreadable = |exit| Parsed::Unreadable {
        src,
        dst,
        protocol: Some(protocol),
        exit,
    };
    if l4 < 20 {
        return unreadable(Exit::DropMalformed);
    }
    if fragment & if QUOTE { OFFSET } else { MORE_OR_OFFSET } != 0 {
        return unreadable(Exit::DropFragment);
    }
    match transport::<QUOTE>(window, len, src, dst, protocol, l4) {
        Ok(packet) => Parsed::Packet(packet),
        Err(exit) => unreadable(exit),
    }
}

#[inline(always)]
fn read_v6<const QUOTE: bool>(window: &[u8], len: usize) -> Parsed {
    let Some((&[first, _, _, _, _, _, next, _], rest)) = window.split_first_chunk::<8>() else {
        return Parsed::Other;
    };
    let Some((&src, rest)) = rest.split_first_chunk::<16>() else {
        return Parsed::Other;
    };
    let Some(&dst) = rest.first_chunk::<16>() else {
        return Parsed::Other;
    };
    if first >> 4 != 6 {
        return Parsed::Other;
    }
    let (src, dst) = (Address::V6(src), Address::V6(dst));
    let unreadable = |protocol, exit| Parsed::Unreadable {
        src,
        dst,
        protocol,
        exit,
    };
    let (protocol, l4) = match Protocol::from_number(next) {
        Some(protocol) => (protocol, 40),
        None => match walk::<QUOTE>(window, len, next) {
            Chain::Transport(protocol, l4) => (protocol, l4),
            Chain::Icmp(l4) => {
                return match IcmpError::parse(window, len, src, dst, l4) {
                    Some(error) => Parsed::Error(error),
                    None => Parsed::Other,
                }
            }
            Chain::Outer => return Parsed::Outer { src, dst },
            Chain::Other => return Parsed::Other,
            Chain::Unreadable(protocol, exit) => return unreadable(protocol, exit),
        },
    };
    match transport::<QUOTE>(window, len, src, dst, protocol, l4) {
        Ok(packet) => Parsed::Packet(packet),
        Err(exit) => unreadable(Some(protocol), exit),
    }
}

/// Where a chain of extension headers leads.
enum Chain {
    Transport(Protocol, u16),
    Icmp(u16),
    Outer,
    Other,
    Unreadable(Option<Protocol>, Exit),
}

/// Walks the extension headers of an IPv6 packet, `next` being the first one's kind.
fn walk<const QUOTE: bool>(window: &[u8], len: usize, mut next: u8) -> Chain {
    let mut at: u16 = 40;
    if next == icmp::V6 && !QUOTE {
        return Chain::Icmp(at);
    }
    for _ in 0..MAX_EXTENSIONS {
        let extension = window
            .get(usize::from(at)..)
            .and_then(|rest| rest.first_chunk::<4>());
        let bytes = match next {
            next_header::HOP_BY_HOP
            | next_header::ROUTING
            | next_header::FRAGMENT
            | next_header::DESTINATION => match extension {
                Some(&[following, words, b2, b3]) => [following, words, b2, b3],
                None => return Chain::Unreadable(None, beyond(len, at, 8)),
            },
            next_header::IPV6 if QUOTE => return Chain::Outer,
            _ => return Chain::Other,
        };
        let [following, words, b2, b3] = bytes;
        let size = match next {
            // Not at its destination yet, and its checksum is for another
            // address than the one in the header (RFC 8200, section 8.1).
            next_header::ROUTING if b3 != 0 => return Chain::Other,
            // A packet in one fragment is a whole one (RFC 6946). Of a quoted one the first is enough.
            next_header::FRAGMENT
                if u16::from_be_bytes([b2, b3]) & if QUOTE { 0xfff8 } else { 0xfff9 } == 0 =>
            {
                8
            }
            next_header::FRAGMENT => return fragment(following),
            _ => u16::from(words).wrapping_add(1) << 3,
        };
        // At most 40 + 8 * 2048.
        at = at.wrapping_add(size);
        if let Some(protocol) = Protocol::from_number(following) {
            return Chain::Transport(protocol, at);
        }
        if following == icmp::V6 && !QUOTE {
            return Chain::Icmp(at);
        }
        next = following;
    }
    Chain::Unreadable(None, Exit::DropExtension)
}

/// A fragment, `following` being the kind of what was cut up.
fn fragment(following: u8) -> Chain {
    match (Protocol::from_number(following), following) {
        (Some(protocol), _) => Chain::Unreadable(Some(protocol), Exit::DropFragment),
        (None, next_header::ROUTING | next_header::DESTINATION) => {
            Chain::Unreadable(None, Exit::DropFragment)
        }
        _ => Chain::Other,
    }
}

/// Why `size` bytes at `at` are not in the window: the packet of `len` bytes
/// ends before them, or there is too much before them.
fn beyond(len: usize, at: u16, size: u16) -> Exit {
    if len < usize::from(at).saturating_add(usize::from(size)) {
        Exit::DropTruncated
    } else {
        Exit::DropExtension
    }
}

/// The packet whose transport header is at `l4`, if it is all there.
#[inline(always)]
fn transport<const QUOTE: bool>(
    window: &[u8],
    len: usize,
    src: Address,
    dst: Address,
    protocol: Protocol,
    l4: u16,
) -> Result<Packet, Exit> {
    let header = window.get(usize::from(l4)..).unwrap_or_default();
    let size = if QUOTE { QUOTED } else { protocol.header() };
    let opening = match (protocol, header.get(TCP_FLAGS)) {
        _ if QUOTE => false,
        (Protocol::Tcp, Some(flags)) => flags & (SYN | ACK | RST | FIN) == SYN,
        (Protocol::Tcp, None) => return Err(beyond(len, l4, size)),
        (Protocol::Udp, _) => false,
    };
    let end = usize::from(l4).saturating_add(usize::from(size));
    match header.first_chunk::<4>() {
        Some(&[s0, s1, d0, d1]) if len >= end => Ok(Packet {
            src,
            dst,
            protocol,
            sport: u16::from_be_bytes([s0, s1]),
            dport: u16::from_be_bytes([d0, d1]),
            opening,
            l4,
        }),
        _ => Err(beyond(len, l4, size)),
    }
}
