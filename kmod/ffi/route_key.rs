// SPDX-License-Identifier: GPL-2.0

//! What a packet's route depends on, by which routes are kept.

use core::ffi::c_void;

use super::netfilter::Family;
use super::route::LINES;
use super::skb::Skb;
use crate::packet::Address;

/// The two bits of congestion control in the type of service.
const CONGESTION: u8 = 0b11;

/// An IPv6 address in the order of memory.
#[inline(always)]
fn halves(address: &[u8; 16]) -> [u64; 2] {
    let whole = u128::from_ne_bytes(*address);
    let (high, low) = ((whole >> 64) as u64, whole as u64);
    if cfg!(target_endian = "little") {
        [low, high]
    } else {
        [high, low]
    }
}

/// What a route depends on, while there are no rules for routing but the usual ones. Packed, or a
/// line would not fit into one of the processor's cache.
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
pub(super) struct Key {
    /// Source and destination, as they are in the packet.
    addresses: [u64; 4],
    /// The device that the packet came in by; 0 in a line without a route; `TUNNEL`.
    device: u32,
    mark: u32,
    /// IPv4: type of service, without the two bits of congestion control. IPv6: nothing else. Of
    /// routes to neighbours more: see `to_neighbour`.
    service: u32,
}

/// No device has this number: in its place where it does not matter, for ways to a node from here.
const TUNNEL: u32 = u32::MAX;

/// A packet's way, as it will be.
#[derive(Clone, Copy)]
pub(crate) struct Trip {
    /// Two addresses of one IP version.
    pub(crate) source: Address,
    pub(crate) destination: Address,
    /// IPv4: the type of service.
    pub(crate) service: u8,
    /// The packet's length, without padding.
    pub(crate) len: usize,
}

impl Key {
    /// Of no packet.
    pub(super) const NONE: Self = Self {
        addresses: [0; 4],
        device: 0,
        mark: 0,
        service: 0,
    };

    /// Of a packet whose IP header is in one piece.
    #[inline(always)]
    pub(super) fn of(family: Family, skb: &Skb<'_>) -> Option<Self> {
        let mut key = Self {
            device: skb.device(),
            mark: skb.mark(),
            ..Self::NONE
        };
        let mut addresses: &[u8] = match family {
            Family::V4 => {
                let header: &[u8; 20] = skb.head()?;
                key.service = u32::from(header[1] & !CONGESTION);
                &header[12..]
            }
            Family::V6 => {
                // Apart from all of IPv4.
                key.service = u32::MAX;
                &skb.head::<40>()?[8..]
            }
        };
        let mut words = [0; 4];
        for word in &mut words {
            let Some((bytes, rest)) = addresses.split_first_chunk() else {
                break;
            };
            (*word, addresses) = (u64::from_ne_bytes(*bytes), rest);
        }
        key.addresses = words;
        Some(key)
    }

    /// The same of a trip.
    #[inline(always)]
    pub(super) fn of_trip(skb: &Skb<'_>, trip: &Trip) -> Self {
        let (mut addresses, mut kind) = ([0; 4], u32::MAX);
        match (&trip.source, &trip.destination) {
            (Address::V4(source), Address::V4(destination)) => {
                let source = u64::from(u32::from_ne_bytes(*source));
                let destination = u64::from(u32::from_ne_bytes(*destination));
                // In the order of memory, whichever that is.
                addresses[0] = if cfg!(target_endian = "little") {
                    source | destination << 32
                } else {
                    source << 32 | destination
                };
                kind = u32::from(trip.service & !CONGESTION);
            }
            (Address::V6(source), Address::V6(destination)) => {
                let ([a, b], [c, d]) = (halves(source), halves(destination));
                addresses = [a, b, c, d];
            }
            _ => {}
        }
        Self {
            addresses,
            device: skb.device(),
            mark: skb.mark(),
            service: kind,
        }
    }

    /// The same of the route to a neighbour that is not the packet's destination.
    #[inline(always)]
    pub(super) fn to_neighbour(family: Family, skb: &Skb<'_>, node: &Address) -> Option<Self> {
        const NEIGHBOUR: u32 = 0x100;
        let mut key = Self::of(family, skb)?.towards(node);
        key.service ^= NEIGHBOUR;
        Some(key)
    }

    /// Of a packet that goes to a node inside another one, whatever its own addresses.
    #[inline(always)]
    pub(super) fn to_tunnel(family: Family, skb: &Skb<'_>, node: &Address) -> Option<Self> {
        let service = match family {
            Family::V4 => u32::from(skb.head::<20>()?[1] & !CONGESTION),
            Family::V6 => u32::MAX,
        };
        let key = Self {
            device: TUNNEL,
            mark: skb.mark(),
            service,
            ..Self::NONE
        };
        Some(key.towards(node))
    }

    /// The same, but to another destination.
    #[inline(always)]
    fn towards(mut self, destination: &Address) -> Self {
        let mut addresses = self.addresses;
        let [source, _, to @ ..] = &mut addresses;
        match destination {
            Address::V4([a, b, c, d]) => {
                let [w, x, y, z, ..] = source.to_ne_bytes();
                *source = u64::from_ne_bytes([w, x, y, z, *a, *b, *c, *d]);
            }
            Address::V6(bytes) => *to = halves(bytes),
        }
        self.addresses = addresses;
        self
    }

    /// Its source and destination, in network byte order.
    pub(super) fn ends(&self, family: Family) -> [*const c_void; 2] {
        let source: *const u8 = (&raw const self.addresses).cast();
        let size = match family {
            Family::V4 => 4,
            Family::V6 => 16,
        };
        [source.cast(), source.wrapping_add(size).cast()]
    }

    /// Whether both are the same, this one being of an IP version. Written out, since a comparison
    /// of arrays is a call.
    #[inline(always)]
    pub(super) fn is(&self, family: Family, other: &Self) -> bool {
        let ([a, b, c, d], [e, f, g, h]) = (self.addresses, other.addresses);
        let numbers = (self.device ^ other.device)
            | (self.mark ^ other.mark)
            | (self.service ^ other.service);
        let first = (a ^ e) | u64::from(numbers);
        match family {
            // The service tells that the other is of the same version, and so has no more.
            Family::V4 => first == 0,
            Family::V6 => first | (b ^ f) | (c ^ g) | (d ^ h) == 0,
        }
    }

    /// The line of a CPU that it belongs in. The product's highest bits spread addresses one after
    /// another evenly, where these are numbers.
    #[inline(always)]
    pub(super) fn line(&self, family: Family) -> usize {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        const SHIFT: u32 = u64::BITS - LINES.trailing_zeros();
        let [a, b, c, d] = self.addresses;
        let folded = match family {
            Family::V4 => u64::from((a as u32).swap_bytes()) ^ (a >> 32),
            Family::V6 => {
                let folded = a ^ b.swap_bytes() ^ c.rotate_left(32) ^ d.swap_bytes();
                // What differs must be in the lower half to reach all bits that are taken.
                folded ^ (folded >> 32)
            }
        };
        (folded.wrapping_mul(GOLDEN) >> SHIFT) as usize
    }
}
