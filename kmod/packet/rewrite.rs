// SPDX-License-Identifier: GPL-2.0
//! Changing one side of a packet, with its checksums, in place.

use super::address::{Address, Protocol};
use super::checksum::{Change, ChecksumDelta, Csum};
use super::parse::Packet;

/// Which end of a packet is rewritten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Source address and port.
    Source,
    /// Destination address and port.
    Destination,
}

impl Side {
    /// The one that this is not.
    pub(super) fn other(self) -> Side {
        match self {
            Side::Source => Side::Destination,
            Side::Destination => Side::Source,
        }
    }
}

/// Bytes from the network header on that [`rewrite`] reads or writes.
#[inline(always)]
pub fn need(packet: &Packet) -> usize {
    usize::from(packet.l4).saturating_add(checksum_end(packet.protocol))
}

/// Where the checksum field ends in a transport header.
#[inline(always)]
fn checksum_end(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Tcp => 18,
        Protocol::Udp => 8,
    }
}

/// Rewrites one side of `packet` in `bytes`, which start at the network header
/// and reach at least [`need`] bytes. Gives what a CHECKSUM_COMPLETE sum must
/// be changed by, or None, nothing having been changed, where `bytes` do not
/// hold what `packet` says or `to` is of another family.
///
/// A UDP checksum of 0, which means that there is none, stays 0; one that is
/// computed as 0 is written as 0xffff (RFC 768).
#[inline(always)]
pub fn rewrite(
    bytes: &mut [u8],
    packet: &Packet,
    side: Side,
    to: (Address, u16),
    csum: Csum,
) -> Option<ChecksumDelta> {
    if bytes.len() < need(packet) {
        return None;
    }
    rewrite_part(bytes, packet, side, to, csum)
}

/// The same for a packet that an ICMP error quotes: its checksum may be cut off.
pub(super) fn rewrite_quote(
    bytes: &mut [u8],
    packet: &Packet,
    side: Side,
    to: (Address, u16),
) -> Option<ChecksumDelta> {
    rewrite_part(bytes, packet, side, to, Csum::Full)
}

#[inline(always)]
fn rewrite_part(
    bytes: &mut [u8],
    packet: &Packet,
    side: Side,
    to: (Address, u16),
    csum: Csum,
) -> Option<ChecksumDelta> {
    let from = match side {
        Side::Source => (packet.src, packet.sport),
        Side::Destination => (packet.dst, packet.dport),
    };
    let ports = (from.1.to_be_bytes(), to.1.to_be_bytes());
    match (from.0, to.0) {
        (Address::V4(old), Address::V4(new)) => {
            rewrite_v4(bytes, packet, side, (old, new), ports, csum)
        }
        (Address::V6(old), Address::V6(new)) => {
            rewrite_v6(bytes, packet, side, (old, new), ports, csum)
        }
        _ => None,
    }
}

/// The address of an IPv4 header's side, its checksum, and all that follows its addresses.
#[inline(always)]
pub(super) fn address_v4(
    bytes: &mut [u8],
    side: Side,
) -> Option<(&mut [u8; 4], &mut [u8; 2], &mut [u8])> {
    let (_, rest) = bytes.split_first_chunk_mut::<10>()?;
    let (checksum, rest) = rest.split_first_chunk_mut::<2>()?;
    let (address, rest) = side_of(rest, side)?;
    Some((address, checksum, rest))
}

/// The address of an IPv6 header's side, and all that follows its addresses.
#[inline(always)]
pub(super) fn address_v6(bytes: &mut [u8], side: Side) -> Option<(&mut [u8; 16], &mut [u8])> {
    let (_, rest) = bytes.split_first_chunk_mut::<8>()?;
    side_of(rest, side)
}

/// The address of a side where both begin, and all that follows them.
#[inline(always)]
pub(super) fn side_of<const N: usize>(
    bytes: &mut [u8],
    side: Side,
) -> Option<(&mut [u8; N], &mut [u8])> {
    let (source, rest) = bytes.split_first_chunk_mut()?;
    let (destination, rest) = rest.split_first_chunk_mut()?;
    let address = match side {
        Side::Source => source,
        Side::Destination => destination,
    };
    Some((address, rest))
}

#[inline(always)]
fn rewrite_v4(
    bytes: &mut [u8],
    packet: &Packet,
    side: Side,
    (old, new): ([u8; 4], [u8; 4]),
    ports: ([u8; 2], [u8; 2]),
    csum: Csum,
) -> Option<ChecksumDelta> {
    let transport = usize::from(packet.l4).checked_sub(20)?;
    let (address, header_checksum, rest) = address_v4(bytes, side)?;
    let mut transport = Transport::of(rest.get_mut(transport..)?, packet.protocol, side)?;
    if *address != old || *transport.port != ports.0 {
        return None;
    }
    let change = Change::default().word(old, new);
    *address = new;
    *header_checksum = change.complete(*header_checksum);
    Some(match transport.update(change, ports, csum) {
        // The header's checksum makes up for the address; the field for
        // address and port, so that the address is taken off once too often.
        Field::Changed => change.negated(),
        Field::None => Change::default().half(ports.0, ports.1).delta(),
        Field::Partial => ChecksumDelta::default(),
    })
}

#[inline(always)]
fn rewrite_v6(
    bytes: &mut [u8],
    packet: &Packet,
    side: Side,
    (old, new): ([u8; 16], [u8; 16]),
    ports: ([u8; 2], [u8; 2]),
    csum: Csum,
) -> Option<ChecksumDelta> {
    let transport = usize::from(packet.l4).checked_sub(40)?;
    let (address, rest) = address_v6(bytes, side)?;
    let mut transport = Transport::of(rest.get_mut(transport..)?, packet.protocol, side)?;
    if *address != old || *transport.port != ports.0 {
        return None;
    }
    let change = Change::default().address(old, new);
    *address = new;
    Some(match transport.update(change, ports, csum) {
        // The field makes up for both address and port.
        Field::Changed | Field::Partial => ChecksumDelta::default(),
        Field::None => change.half(ports.0, ports.1).delta(),
    })
}

/// What became of the transport's checksum field.
pub(super) enum Field {
    /// It makes up for the changes.
    Changed,
    /// There is no checksum, or it is out of sight.
    None,
    /// It makes up for the address; the rest is yet to be summed.
    Partial,
}

/// The parts of a transport header that are rewritten.
pub(super) struct Transport<'a> {
    pub(super) port: &'a mut [u8; 2],
    checksum: Option<&'a mut [u8; 2]>,
    protocol: Protocol,
}

impl<'a> Transport<'a> {
    #[inline(always)]
    pub(super) fn of(bytes: &'a mut [u8], protocol: Protocol, side: Side) -> Option<Transport<'a>> {
        let (source, rest) = bytes.split_first_chunk_mut::<2>()?;
        let (destination, rest) = rest.split_first_chunk_mut::<2>()?;
        // The ports are 4 bytes, the checksum 2.
        let between = checksum_end(protocol).wrapping_sub(6);
        let checksum = rest
            .get_mut(between..)
            .and_then(|rest| rest.first_chunk_mut::<2>());
        let port = match side {
            Side::Source => source,
            Side::Destination => destination,
        };
        Some(Transport {
            port,
            checksum,
            protocol,
        })
    }

    /// Writes the new one of `ports` (old, new), and a checksum for it and for
    /// the `change` of the address.
    #[inline(always)]
    pub(super) fn update(
        &mut self,
        change: Change,
        ports: ([u8; 2], [u8; 2]),
        csum: Csum,
    ) -> Field {
        *self.port = ports.1;
        let Some(field) = self.checksum.as_deref_mut() else {
            return Field::None;
        };
        if csum == Csum::Partial {
            *field = change.partial(*field);
            return Field::Partial;
        }
        let change = change.half(ports.0, ports.1);
        match self.protocol {
            Protocol::Udp if *field == [0, 0] => return Field::None,
            Protocol::Udp => {
                *field = match change.complete(*field) {
                    [0, 0] => [0xff, 0xff],
                    checksum => checksum,
                }
            }
            Protocol::Tcp => *field = change.complete(*field),
        }
        Field::Changed
    }
}
