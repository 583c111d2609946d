//! What the fuzz targets share: bytes as choices, sums by the book, and the table of the packet
//! vectors.

use halod_packet::{Address, Drain, Former, Input, Listener, Node, Protocol, Table};

/// Input as a series of choices; 0 after its end.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u16) -> u16 {
        self.number() % end.max(1)
    }

    /// Any 16 bits.
    pub fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Whether there is more.
    pub fn more(&self) -> bool {
        !self.0.is_empty()
    }
}

/// The one's complement sum of bytes, an odd one padded with 0 (RFC 1071), not complemented.
pub fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2);
    let whole: u64 = words
        .map(|word| {
            u64::from(u16::from_be_bytes([
                word[0],
                word.get(1).copied().unwrap_or(0),
            ]))
        })
        .sum();
    (whole % 0xffff) as u32
}

/// The sum of a pseudo-header (RFC 9293, section 3.1; RFC 8200, section 8.1).
pub fn pseudo(src: &Address, dst: &Address, protocol: u8, len: usize) -> u32 {
    let bytes = |address: &Address| match address {
        Address::V4(bytes) => bytes.to_vec(),
        Address::V6(bytes) => bytes.to_vec(),
    };
    let len = (len as u32).to_be_bytes();
    sum(&[&bytes(src)[..], &bytes(dst), &len, &[0, protocol]].concat())
}

/// 2001:db8:NETWORK::HOST.
pub fn v6(network: u16, host: u16) -> Address {
    let mut bytes = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[4..6].copy_from_slice(&network.to_be_bytes());
    bytes[14..].copy_from_slice(&host.to_be_bytes());
    Address::V6(bytes)
}

/// N of [`vectors`].
pub const ROUTES: u32 = 24;

/// The table that most packet vectors are for (`tests/vectors/make.py`). With `drains`, every third
/// route is on its way from node 1 to node 2.
pub fn vectors(drains: bool) -> Table {
    let vips = [Address::V4([198, 51, 100, 1]), v6(0x100, 1)];
    let listener = |address, protocol, port| Listener {
        address,
        protocol,
        port,
        node_port: port,
        ..Listener::default()
    };
    let listeners: Vec<Listener> = vips
        .iter()
        .flat_map(|vip| {
            [
                listener(*vip, Protocol::Tcp, 8000),
                listener(*vip, Protocol::Tcp, 9000),
                listener(*vip, Protocol::Udp, 8000),
            ]
        })
        .collect();
    let node = |id: u32| {
        let Address::V6(v6) = v6(2, 0x10 + id as u16) else {
            unreachable!()
        };
        Node {
            id,
            v4: Some([192, 0, 2, 10 + id as u8]),
            v6: Some(v6),
        }
    };
    let nodes = [node(1), node(2)];
    let route_nodes: Vec<u32> = (0..ROUTES)
        .map(|route| {
            if drains && route % 3 == 0 {
                2
            } else {
                1 + route % 2
            }
        })
        .collect();
    let formers: Vec<Former> = (1..=ROUTES)
        .filter(|route| drains && route % 3 == 1)
        .map(|route| Former {
            route,
            node: 1,
            deadline: 1_000,
            udp: 500,
        })
        .collect();
    let input = Input {
        routes: ROUTES,
        listeners: &listeners,
        nodes: &nodes,
        targets: &[],
        route_nodes: &route_nodes,
        formers: &formers,
        select_key: None,
    };
    let previous: &[Drain] = &[];
    Table::replace(&input, previous).expect("the table is right")
}
