// SPDX-License-Identifier: GPL-2.0
//! Addresses and transport protocols, as the route table compares them.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

/// An IPv4 or IPv6 address in network byte order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Address {
    /// IPv4.
    V4([u8; 4]),
    /// IPv6.
    V6([u8; 16]),
}

impl Address {
    /// The hash that places the address in the table's buckets: its low 16
    /// bits are good for masking.
    ///
    /// Multiplicative: only bits above those of the input's variation are
    /// mixed well, hence the shift. The bytes are taken as they are in
    /// memory: the hash is this machine's alone. Colliding on purpose needs control over the
    /// table, so no key is needed.
    #[inline(always)]
    pub fn hash(&self) -> usize {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let folded = match *self {
            Address::V4(bytes) => u64::from(u32::from_ne_bytes(bytes)),
            Address::V6(bytes) => {
                let whole = u128::from_ne_bytes(bytes);
                (whole as u64) ^ ((whole >> 64) as u64).rotate_left(32)
            }
        };
        (folded.wrapping_mul(GOLDEN) >> 48) as usize
    }

    /// Its bytes as a number, which [`of_bits`](Address::of_bits) makes an address again.
    #[inline(always)]
    pub fn bits(&self) -> u128 {
        match *self {
            Address::V4(bytes) => u32::from_ne_bytes(bytes).into(),
            Address::V6(bytes) => u128::from_ne_bytes(bytes),
        }
    }

    /// The address, of an IP version, with these bytes.
    #[inline(always)]
    pub fn of_bits(v6: bool, bits: u128) -> Address {
        if v6 {
            Address::V6(bits.to_ne_bytes())
        } else {
            Address::V4((bits as u32).to_ne_bytes())
        }
    }

    /// Whether both are of the same family.
    #[inline]
    pub fn same_family(&self, other: &Address) -> bool {
        matches!(
            (self, other),
            (Address::V4(_), Address::V4(_)) | (Address::V6(_), Address::V6(_))
        )
    }

    /// Whether packets can be routed to it from anywhere: unicast, neither
    /// unspecified nor loopback, and with a meaning beyond one link.
    pub fn is_routable(&self) -> bool {
        match *self {
            Address::V4([first, ..]) => !matches!(first, 0 | 127 | 224..=255),
            Address::V6(bytes) => {
                let address = Ipv6Addr::from(bytes);
                !(address.is_unspecified()
                    || address.is_loopback()
                    || address.is_multicast()
                    || matches!(bytes, [0xfe, 0x80..=0xbf, ..])
                    || address.to_ipv4_mapped().is_some())
            }
        }
    }
}

impl Default for Address {
    fn default() -> Self {
        Address::V4([0; 4])
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Address::V4(bytes) => Ipv4Addr::from(bytes).fmt(f),
            Address::V6(bytes) => Ipv6Addr::from(bytes).fmt(f),
        }
    }
}

/// A transport protocol that HaloD rewrites.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub enum Protocol {
    /// IP protocol 6.
    #[default]
    Tcp,
    /// IP protocol 17.
    Udp,
}

impl Protocol {
    /// From the IP protocol number.
    #[inline]
    pub fn from_number(number: u8) -> Option<Protocol> {
        match number {
            6 => Some(Protocol::Tcp),
            17 => Some(Protocol::Udp),
            _ => None,
        }
    }

    /// The IP protocol number.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        }
    }

    /// `tcp` or `udp`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }

    /// Bytes of the shortest header.
    #[inline]
    pub fn header(self) -> u16 {
        match self {
            Protocol::Tcp => 20,
            Protocol::Udp => 8,
        }
    }
}
