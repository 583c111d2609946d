// SPDX-License-Identifier: GPL-2.0

//! Netlink attributes in bytes (`include/uapi/linux/netlink.h`, `struct nlattr`).

const HEADER: usize = 4;
/// Type bits that are flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
const TYPE_MASK: u16 = 0x3fff;

/// One attribute.
#[derive(Clone, Copy)]
pub(crate) struct Attr<'a> {
    kind: u16,
    whole: &'a [u8],
}

impl<'a> Attr<'a> {
    /// Its type, without flags.
    pub(crate) fn kind(&self) -> u16 {
        self.kind
    }

    /// Header and payload: the piece of the request to blame in an error.
    pub(crate) fn whole(&self) -> &'a [u8] {
        self.whole
    }

    /// What it holds.
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.whole.get(HEADER..).unwrap_or_default()
    }

    /// The attributes it holds.
    pub(crate) fn nested(&self) -> Attrs<'a> {
        Attrs::new(self.payload())
    }

    /// The payload where it has exactly `N` bytes.
    fn array<const N: usize>(&self) -> Option<[u8; N]> {
        self.payload().try_into().ok()
    }

    pub(crate) fn u8(&self) -> Option<u8> {
        self.array().map(u8::from_ne_bytes)
    }

    pub(crate) fn u16(&self) -> Option<u16> {
        self.array().map(u16::from_ne_bytes)
    }

    pub(crate) fn u32(&self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    pub(crate) fn u64(&self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }
}

/// Attributes one after the other. Ends at the first that does not fit.
#[derive(Clone)]
pub(crate) struct Attrs<'a>(&'a [u8]);

impl<'a> Attrs<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Attr<'a>;

    fn next(&mut self) -> Option<Attr<'a>> {
        let (len, kind) = match self.0 {
            [l0, l1, k0, k1, ..] => (
                usize::from(u16::from_ne_bytes([*l0, *l1])),
                u16::from_ne_bytes([*k0, *k1]),
            ),
            _ => return None,
        };
        if len < HEADER {
            return None;
        }
        let whole = self.0.get(..len)?;
        // The last one need not be padded to 4 bytes.
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Attr {
            kind: kind & TYPE_MASK,
            whole,
        })
    }
}
