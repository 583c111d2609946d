//! Attributes: writing them within the limits of their format, and reading
//! them with exact lengths.

use std::net::IpAddr;

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NLA_HEADER_SIZE, NlasIterator};

use crate::error::{Error, Result};

/// Attributes that are being written.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Adds an attribute of any bytes.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) -> Result<()> {
        // The length field has 16 bits, and counts the header.
        if value.len() + NLA_HEADER_SIZE > usize::from(u16::MAX) {
            return Err(Error::Unspeakable(format!(
                "attribute {} of {} bytes: a netlink attribute holds at most {} bytes",
                kind & !NLA_F_NESTED,
                value.len(),
                usize::from(u16::MAX) - NLA_HEADER_SIZE
            )));
        }
        let nla = DefaultNla::new(kind, value.to_vec());
        let start = self.0.len();
        self.0.resize(start + nla.buffer_len(), 0);
        nla.emit(&mut self.0[start..]);
        Ok(())
    }

    /// Adds a string, with its final NUL.
    pub(crate) fn string(&mut self, kind: u16, value: &str) -> Result<()> {
        if value.contains('\0') {
            return Err(Error::Unspeakable(format!(
                "{value:?}: a name cannot contain NUL"
            )));
        }
        self.bytes(kind, &[value.as_bytes(), b"\0"].concat())
    }

    /// Adds an 8-bit number.
    pub(crate) fn u8(&mut self, kind: u16, value: u8) -> Result<()> {
        self.bytes(kind, &[value])
    }

    /// Adds a 16-bit number.
    pub(crate) fn u16(&mut self, kind: u16, value: u16) -> Result<()> {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Adds a 32-bit number.
    pub(crate) fn u32(&mut self, kind: u16, value: u32) -> Result<()> {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Adds a 64-bit number.
    pub(crate) fn u64(&mut self, kind: u16, value: u64) -> Result<()> {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Adds numbers of 32 bits as one attribute.
    pub(crate) fn u32s(&mut self, kind: u16, values: impl Iterator<Item = u32>) -> Result<()> {
        let bytes: Vec<u8> = values.flat_map(u32::to_ne_bytes).collect();
        self.bytes(kind, &bytes)
    }

    /// Adds an address in network byte order.
    pub(crate) fn address(&mut self, kind: u16, value: IpAddr) -> Result<()> {
        match value {
            IpAddr::V4(address) => self.bytes(kind, &address.octets()),
            IpAddr::V6(address) => self.bytes(kind, &address.octets()),
        }
    }

    /// Adds a nest of the attributes that `fill` writes.
    pub(crate) fn nest(
        &mut self,
        kind: u16,
        fill: impl FnOnce(&mut Writer) -> Result<()>,
    ) -> Result<()> {
        let mut inner = Writer::default();
        fill(&mut inner)?;
        self.bytes(kind | NLA_F_NESTED, &inner.0)
    }

    /// How many bytes are written.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes written.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// One attribute that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attr<'a> {
    /// Its number in its set, without flags.
    pub(crate) kind: u16,
    /// Its value.
    pub(crate) value: &'a [u8],
}

/// What is wrong with an attribute, in words.
pub(crate) type Wrong = String;

/// The attributes in `bytes`; ends after the first that is malformed.
pub(crate) fn read(bytes: &[u8]) -> impl Iterator<Item = std::result::Result<Attr<'_>, Wrong>> {
    NlasIterator::new(bytes).map(|nla| {
        let nla = nla.map_err(|error| error.to_string())?;
        let (kind, end) = (nla.kind(), usize::from(nla.length()));
        let value = nla.into_inner().get(NLA_HEADER_SIZE..end);
        value
            .map(|value| Attr { kind, value })
            .ok_or_else(|| format!("attribute {kind} has a length of {end} bytes"))
    })
}

impl<'a> Attr<'a> {
    /// The value, of exactly so many bytes.
    pub(crate) fn exactly<const N: usize>(&self) -> std::result::Result<[u8; N], Wrong> {
        self.value.try_into().map_err(|_| {
            format!(
                "attribute {} has {} bytes in place of {N}",
                self.kind,
                self.value.len()
            )
        })
    }

    /// The value as an 8-bit number.
    pub(crate) fn u8(&self) -> std::result::Result<u8, Wrong> {
        self.exactly().map(u8::from_ne_bytes)
    }

    /// The value as a 16-bit number.
    pub(crate) fn u16(&self) -> std::result::Result<u16, Wrong> {
        self.exactly().map(u16::from_ne_bytes)
    }

    /// The value as a 32-bit number.
    pub(crate) fn u32(&self) -> std::result::Result<u32, Wrong> {
        self.exactly().map(u32::from_ne_bytes)
    }

    /// The value as a 64-bit number.
    pub(crate) fn u64(&self) -> std::result::Result<u64, Wrong> {
        self.exactly().map(u64::from_ne_bytes)
    }

    /// The value as numbers of 32 bits.
    pub(crate) fn u32s(&self) -> std::result::Result<impl Iterator<Item = u32> + 'a, Wrong> {
        let (chunks, rest) = self.value.as_chunks::<4>();
        if rest.is_empty() {
            Ok(chunks.iter().map(|&chunk| u32::from_ne_bytes(chunk)))
        } else {
            Err(format!(
                "attribute {} has {} bytes, not a multiple of 4",
                self.kind,
                self.value.len()
            ))
        }
    }

    /// The value as an address.
    pub(crate) fn address(&self) -> std::result::Result<IpAddr, Wrong> {
        match self.value.len() {
            4 => self.exactly::<4>().map(IpAddr::from),
            16 => self.exactly::<16>().map(IpAddr::from),
            len => Err(format!(
                "attribute {} has {len} bytes; an address has 4 or 16",
                self.kind
            )),
        }
    }

    /// The value as a string, which ends in its only NUL.
    pub(crate) fn string(&self) -> std::result::Result<String, Wrong> {
        match self.value.split_last() {
            Some((0, text)) if !text.contains(&0) => String::from_utf8(text.to_vec())
                .map_err(|_| format!("attribute {} is not UTF-8", self.kind)),
            _ => Err(format!(
                "attribute {} is no string: one NUL has to be its last byte",
                self.kind
            )),
        }
    }
}
