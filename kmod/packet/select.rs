// SPDX-License-Identifier: GPL-2.0
//! Which route a packet of a listener is of: by its port, or, where all routes share one port, by
//! a keyed hash of who the client is.
//!
//! The hash is SipHash-1-3 (Aumasson and Bernstein, 2012; what the kernel's hsiphash is on 64-bit
//! machines): a few dozen instructions for so little, and without the key nobody can choose
//! addresses or ports that all lead to one node. Kernel, daemon and agents reckon by this file.

use core::fmt;

use super::address::Address;

/// What a listener's packets are told apart into routes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Select {
    /// Each route has a port of its own.
    #[default]
    Port,
    /// One port for all; a client's address has one route.
    Source,
    /// One port for all; a client's address and port have one route.
    Flow,
}

impl Select {
    /// From the number in the netlink spec.
    pub fn from_number(number: u8) -> Option<Select> {
        match number {
            0 => Some(Select::Port),
            1 => Some(Select::Source),
            2 => Some(Select::Flow),
            _ => None,
        }
    }

    /// The number in the netlink spec.
    pub fn number(self) -> u8 {
        match self {
            Select::Port => 0,
            Select::Source => 1,
            Select::Flow => 2,
        }
    }

    /// How many ports so many routes need.
    pub fn ports(self, routes: u32) -> u32 {
        match self {
            Select::Port => routes,
            Select::Source | Select::Flow => 1,
        }
    }
}

/// The key of the hash: random, and the same for a cluster's whole life.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SelectKey(u64, u64);

impl SelectKey {
    /// Stands where no listener needs one.
    pub const NONE: SelectKey = SelectKey(0, 0);

    /// From its 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> SelectKey {
        let whole = u128::from_le_bytes(bytes);
        SelectKey(whole as u64, (whole >> 64) as u64)
    }

    /// Its 16 bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.1) << 64 | u128::from(self.0)).to_le_bytes()
    }

    /// The route, from 0, of a client's address and port; `routes` is at most 32,768. Of
    /// [`Select::Port`] it is 0: there the port is all that counts.
    ///
    /// Hashed are the address's 4 or 16 bytes, and with [`Select::Flow`] after them the port's 2, all
    /// as they are in the packet. The hash's upper half, taken as a fraction, is the route's place
    /// among all.
    pub fn route(&self, select: Select, address: &Address, port: u16, routes: usize) -> u16 {
        let (port, bytes): (u64, u64) = match select {
            Select::Port => return 0,
            Select::Source => (0, 0),
            Select::Flow => (u64::from(port.swap_bytes()), 2),
        };
        let hash = match *address {
            Address::V4(address) => {
                let last = u64::from(u32::from_le_bytes(address)) | port << 32;
                Sip::new(self).finish(last, bytes | 4)
            }
            Address::V6(address) => {
                let address = u128::from_le_bytes(address);
                Sip::new(self)
                    .word(address as u64)
                    .word((address >> 64) as u64)
                    .finish(port, bytes | 16)
            }
        };
        // Cannot overflow, and is less than `routes`.
        ((hash >> 32).wrapping_mul(routes as u64) >> 32) as u16
    }
}

/// A secret: it is in no log.
impl fmt::Debug for SelectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SelectKey(..)")
    }
}

/// The state of SipHash, with the paper's names.
struct Sip {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl Sip {
    #[inline(always)]
    fn new(key: &SelectKey) -> Sip {
        Sip {
            v0: key.0 ^ 0x736f_6d65_7073_6575,
            v1: key.1 ^ 0x646f_7261_6e64_6f6d,
            v2: key.0 ^ 0x6c79_6765_6e65_7261,
            v3: key.1 ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline(always)]
    fn round(mut self) -> Sip {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
        self
    }

    /// Eight bytes of the message, the first the lowest.
    #[inline(always)]
    fn word(mut self, word: u64) -> Sip {
        self.v3 ^= word;
        self = self.round();
        self.v0 ^= word;
        self
    }

    /// The rest of the message, fewer than eight bytes, and the whole one's length.
    #[inline(always)]
    fn finish(self, rest: u64, len: u64) -> u64 {
        let mut sip = self.word(rest | len << 56);
        sip.v2 ^= 0xff;
        let sip = sip.round().round().round();
        sip.v0 ^ sip.v1 ^ sip.v2 ^ sip.v3
    }
}
