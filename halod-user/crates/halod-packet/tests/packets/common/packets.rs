//! Packets put together from their parts, with checksums summed in full.

use halod_packet::{Address, Packet, Protocol};
use proptest::prelude::*;

/// All that a test packet is made of.
#[derive(Clone, Debug)]
pub struct Spec {
    pub src: Address,
    pub dst: Address,
    pub protocol: Protocol,
    pub sport: u16,
    pub dport: u16,
    /// IPv4 options (a multiple of 4, at most 40 bytes), unused in IPv6.
    pub options: Vec<u8>,
    /// IPv6 extension headers, unused in IPv4.
    pub extensions: Vec<Extension>,
    /// What follows the ports (and, in TCP, fills the header first).
    pub rest: Vec<u8>,
    /// TCP only: the flags.
    pub flags: u8,
    /// UDP only: no checksum.
    pub no_checksum: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Extension {
    HopByHop(u8),
    Destination(u8),
    Routing(u8),
    AtomicFragment,
}

impl Spec {
    pub fn is_v4(&self) -> bool {
        matches!(self.src, Address::V4(_))
    }

    pub fn l4(&self) -> usize {
        match self.is_v4() {
            true => 20 + self.options.len(),
            false => 40 + self.extensions.iter().map(|e| e.size()).sum::<usize>(),
        }
    }

    /// What parsing should give.
    pub fn packet(&self) -> Packet {
        Packet {
            src: self.src,
            dst: self.dst,
            protocol: self.protocol,
            sport: self.sport,
            dport: self.dport,
            opening: self.protocol == Protocol::Tcp && opens(self.flags),
            l4: self.l4() as u16,
        }
    }

    /// The packet's bytes, all checksums complete.
    pub fn full(&self) -> Vec<u8> {
        let mut transport = self.transport();
        let sum = checksum(&[self.pseudo_header(transport.len()), transport.clone()].concat());
        self.put_checksum(&mut transport, sum);
        [self.network(transport.len()), transport].concat()
    }

    /// The packet's bytes as CHECKSUM_PARTIAL has them.
    pub fn partial(&self) -> Vec<u8> {
        let mut transport = self.transport();
        let sum = !checksum(&self.pseudo_header(transport.len()));
        let at = self.checksum_at();
        transport[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        [self.network(transport.len()), transport].concat()
    }

    fn checksum_at(&self) -> usize {
        match self.protocol {
            Protocol::Tcp => 16,
            Protocol::Udp => 6,
        }
    }

    fn put_checksum(&self, transport: &mut [u8], sum: u16) {
        let sum = match (self.protocol, self.no_checksum, sum) {
            (Protocol::Udp, true, _) => 0,
            (Protocol::Udp, false, 0) => 0xffff,
            _ => sum,
        };
        let at = self.checksum_at();
        transport[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }

    fn transport(&self) -> Vec<u8> {
        let ports = [self.sport.to_be_bytes(), self.dport.to_be_bytes()].concat();
        match self.protocol {
            Protocol::Tcp => {
                let mut header = [ports, vec![0; 16]].concat();
                header[12] = 5 << 4;
                header[13] = self.flags;
                for (to, from) in header[4..12].iter_mut().zip(&self.rest) {
                    *to = *from; // sequence numbers
                }
                [&header[..], self.rest.get(8..).unwrap_or(&[])].concat()
            }
            Protocol::Udp => {
                let len = (8 + self.rest.len()) as u16;
                [&ports[..], &len.to_be_bytes(), &[0, 0], &self.rest].concat()
            }
        }
    }

    fn pseudo_header(&self, len: usize) -> Vec<u8> {
        let number = self.protocol.number();
        let len = len as u32;
        match (self.src, self.dst) {
            (Address::V4(src), Address::V4(dst)) => {
                [&src[..], &dst, &[0, number], &(len as u16).to_be_bytes()].concat()
            }
            (Address::V6(src), Address::V6(dst)) => {
                [&src[..], &dst, &len.to_be_bytes(), &[0, 0, 0, number]].concat()
            }
            _ => panic!("addresses of two families"),
        }
    }

    fn network(&self, transport: usize) -> Vec<u8> {
        match (self.src, self.dst) {
            (Address::V4(src), Address::V4(dst)) => {
                let total = (self.l4() + transport) as u16;
                let mut header = vec![0x40 | (self.l4() / 4) as u8, 0];
                header.extend(total.to_be_bytes());
                header.extend([0x12, 0x34, 0x40, 0, 64, self.protocol.number(), 0, 0]);
                header.extend(src);
                header.extend(dst);
                header.extend(&self.options);
                let sum = checksum(&header);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                header
            }
            (Address::V6(src), Address::V6(dst)) => {
                let payload = (self.l4() - 40 + transport) as u16;
                let mut kinds: Vec<u8> = self.extensions.iter().map(|e| e.kind()).collect();
                kinds.push(self.protocol.number());
                let mut header = vec![0x60, 0, 0, 0];
                header.extend(payload.to_be_bytes());
                header.extend([kinds[0], 64]);
                header.extend(src);
                header.extend(dst);
                for (extension, next) in self.extensions.iter().zip(&kinds[1..]) {
                    let at = header.len();
                    header.resize(at + extension.size(), 0);
                    header[at] = *next;
                    if !matches!(extension, Extension::AtomicFragment) {
                        header[at + 1] = (extension.size() / 8 - 1) as u8;
                    }
                }
                header
            }
            _ => panic!("addresses of two families"),
        }
    }
}

impl Extension {
    fn kind(self) -> u8 {
        match self {
            Extension::HopByHop(_) => 0,
            Extension::Destination(_) => 60,
            Extension::Routing(_) => 43,
            Extension::AtomicFragment => 44,
        }
    }

    fn size(self) -> usize {
        match self {
            Extension::HopByHop(words)
            | Extension::Destination(words)
            | Extension::Routing(words) => 8 * (usize::from(words) + 1),
            Extension::AtomicFragment => 8,
        }
    }
}

/// Whether TCP flags open a connection: SYN alone of SYN, ACK, RST and FIN.
pub fn opens(flags: u8) -> bool {
    let [fin, syn, rst, _, ack, ..] = [0, 1, 2, 3, 4, 5, 6, 7].map(|bit| flags >> bit & 1 == 1);
    syn && !(ack || rst || fin)
}

/// The one's complement sum of all 16-bit words, not complemented.
pub fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The Internet checksum of bytes (RFC 1071).
pub fn checksum(bytes: &[u8]) -> u16 {
    !sum(bytes)
}

pub fn any_address(v4: bool) -> BoxedStrategy<Address> {
    match v4 {
        true => any::<[u8; 4]>().prop_map(Address::V4).boxed(),
        false => any::<[u8; 16]>().prop_map(Address::V6).boxed(),
    }
}

pub fn any_protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)]
}

fn any_extension() -> impl Strategy<Value = Extension> {
    prop_oneof![
        (0u8..3).prop_map(Extension::HopByHop),
        (0u8..3).prop_map(Extension::Destination),
        (0u8..3).prop_map(Extension::Routing),
        Just(Extension::AtomicFragment),
    ]
}

/// Any packet that parsing must understand.
pub fn any_spec() -> impl Strategy<Value = Spec> {
    any::<bool>().prop_flat_map(|v4| {
        (
            (any_address(v4), any_address(v4)),
            any_protocol(),
            any::<(u16, u16)>(),
            (0usize..=10).prop_flat_map(|words| prop::collection::vec(any::<u8>(), words * 4)),
            prop::collection::vec(any_extension(), 0..4),
            prop::collection::vec(any::<u8>(), 0..80),
            (any::<u8>(), any::<bool>()),
        )
            .prop_map(
                |(
                    (src, dst),
                    protocol,
                    (sport, dport),
                    options,
                    extensions,
                    rest,
                    (flags, zero),
                )| Spec {
                    src,
                    dst,
                    protocol,
                    sport,
                    dport,
                    options,
                    extensions,
                    rest,
                    flags,
                    no_checksum: zero,
                },
            )
            // What is looked at within the window: UDP's ports, TCP's ports and flags.
            .prop_filter("too many extension headers", |spec| match spec.protocol {
                Protocol::Tcp => spec.l4() <= 114,
                Protocol::Udp => spec.l4() <= 124,
            })
    })
}
