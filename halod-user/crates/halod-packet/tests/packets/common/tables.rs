//! Route tables as maps of every single port, and random ones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use halod_packet::{
    Address, Deliver, Forward, Input, Listener, Node, Protocol, Select, SelectKey, Target,
};
use halod_packet::{Exit, Packet};
use proptest::prelude::*;

use super::select::route_of;

/// VIP and port that each address, protocol and port of a node stands for.
pub type Replies = BTreeMap<(Address, Protocol, u32), (Address, u16)>;

/// An [`Input`] that owns its parts.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub routes: u32,
    pub listeners: Vec<Listener>,
    pub nodes: Vec<Node>,
    pub targets: Vec<Target>,
    pub route_nodes: Vec<u32>,
    pub key: Option<[u8; 16]>,
}

impl Given {
    pub fn input(&self) -> Input<'_> {
        Input {
            routes: self.routes,
            listeners: &self.listeners,
            nodes: &self.nodes,
            targets: &self.targets,
            route_nodes: &self.route_nodes,
            formers: &[],
            select_key: self.key.map(SelectKey::from_bytes),
        }
    }

    /// How many ports a listener has.
    pub fn ports(&self, listener: &Listener) -> u32 {
        match listener.select {
            Select::Port => self.routes,
            _ => 1,
        }
    }

    /// The node's port for a listener's port, as a number that may be no port.
    fn node_port(&self, node: usize, listener: usize, offset: u32) -> u32 {
        let own = self
            .targets
            .iter()
            .find(|t| t.node as usize == node && t.listener as usize == listener);
        let base = own.map_or(self.listeners[listener].node_port, |t| t.port);
        u32::from(base) + offset
    }

    /// Whether the table may be accepted.
    pub fn is_valid(&self) -> bool {
        let is_port = |port: u16, listener: &Listener| {
            port != 0 && u32::from(port) + self.ports(listener) - 1 <= 65_535
        };
        if self.routes == 0 || self.routes > 32_768 {
            return false;
        }
        if self.route_nodes.len() != self.routes as usize {
            return false;
        }
        if self.listeners.len() > 64 || self.nodes.len() > 4_096 {
            return false;
        }
        let mut exposed = BTreeSet::new();
        for listener in &self.listeners {
            if !routable(listener.address) || !is_port(listener.port, listener) {
                return false;
            }
            if listener.select != Select::Port && self.key.is_none() {
                return false;
            }
            if !is_port(listener.node_port, listener) {
                return false;
            }
            if listener.deliver != Deliver::Nat && listener.node_port != listener.port {
                return false;
            }
            for offset in 0..self.ports(listener) {
                let port = u32::from(listener.port) + offset;
                if !exposed.insert((listener.address, listener.protocol, port)) {
                    return false;
                }
            }
        }
        let ids: BTreeSet<u32> = self.nodes.iter().map(|node| node.id).collect();
        if ids.len() != self.nodes.len() || ids.contains(&0) {
            return false;
        }
        for node in &self.nodes {
            let addresses = addresses(node);
            if addresses.is_empty() || !addresses.iter().all(|address| routable(*address)) {
                return false;
            }
            if self
                .listeners
                .iter()
                .any(|l| addresses.contains(&l.address))
            {
                return false;
            }
        }
        let mut targeted = BTreeSet::new();
        for target in &self.targets {
            if target.node as usize >= self.nodes.len() {
                return false;
            }
            let Some(listener) = self.listeners.get(target.listener as usize) else {
                return false;
            };
            if !is_port(target.port, listener) {
                return false;
            }
            if listener.deliver != Deliver::Nat && target.port != listener.port {
                return false;
            }
            if !targeted.insert((target.node, target.listener)) {
                return false;
            }
        }
        if self
            .route_nodes
            .iter()
            .any(|id| *id != 0 && !ids.contains(id))
        {
            return false;
        }
        self.replies().is_some()
    }

    /// What each port of each node is in truth; None where one is two things.
    pub fn replies(&self) -> Option<Replies> {
        let mut replies = BTreeMap::new();
        for (n, node) in self.nodes.iter().enumerate() {
            for (l, listener) in self.listeners.iter().enumerate() {
                for address in addresses(node) {
                    // What arrives as it is is not answered by way of HaloD.
                    if listener.deliver != Deliver::Nat || v4(address) != v4(listener.address) {
                        continue;
                    }
                    for offset in 0..self.ports(listener) {
                        let from = (address, listener.protocol, self.node_port(n, l, offset));
                        let truth = (listener.address, listener.port + offset as u16);
                        if *replies.entry(from).or_insert(truth) != truth {
                            return None;
                        }
                    }
                }
            }
        }
        Some(replies)
    }

    /// Where a packet goes, by looking through everything.
    pub fn forward(&self, packet: &Packet) -> Forward {
        for (l, listener) in self.listeners.iter().enumerate() {
            for offset in 0..self.ports(listener) {
                let exposed = listener.port + offset as u16;
                if (listener.address, listener.protocol, exposed)
                    != (packet.dst, packet.protocol, packet.dport)
                {
                    continue;
                }
                let client = (packet.src, packet.sport);
                let key = self.key.unwrap_or_default();
                let route = match listener.select {
                    Select::Port => offset as usize,
                    select => route_of(key, select, client, self.routes),
                };
                let id = self.route_nodes[route];
                let Some(n) = self.nodes.iter().position(|node| node.id == id) else {
                    return Forward::Drop(Exit::DropNoNode);
                };
                let mut addresses = addresses(&self.nodes[n]);
                addresses.retain(|address| v4(*address) == v4(packet.dst));
                let Some(address) = addresses.first() else {
                    return Forward::Drop(Exit::DropNoAddress);
                };
                if listener.deliver != Deliver::Nat {
                    return Forward::As {
                        address: *address,
                        deliver: listener.deliver,
                    };
                }
                return Forward::To {
                    address: *address,
                    port: self.node_port(n, l, offset) as u16,
                };
            }
        }
        Forward::NotOurs
    }
}

fn v4(address: Address) -> bool {
    matches!(address, Address::V4(_))
}

pub fn addresses(node: &Node) -> Vec<Address> {
    let mut all = Vec::new();
    all.extend(node.v4.map(Address::V4));
    all.extend(node.v6.map(Address::V6));
    all
}

/// By the standard library's notions rather than by prefixes.
fn routable(address: Address) -> bool {
    let ip = match address {
        Address::V4(bytes) => IpAddr::from(bytes),
        Address::V6(bytes) => IpAddr::from(bytes),
    };
    if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() {
        return false;
    }
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] != 0 && ip.octets()[0] < 240,
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && ip.to_ipv4_mapped().is_none(),
    }
}

/// One of few addresses, so that they meet; `spoilt` adds useless ones.
pub fn few_v4(spoilt: bool, first: u8) -> BoxedStrategy<[u8; 4]> {
    let good = (first..first + 4).prop_map(|last| [192, 0, 2, last]);
    if !spoilt {
        return good.boxed();
    }
    let bad = prop_oneof![
        Just([0, 0, 0, 0]),
        Just([127, 0, 0, 1]),
        Just([224, 0, 0, 5]),
        Just([255; 4]),
        Just([0, 1, 2, 3]),
    ];
    prop_oneof![120 => good, 1 => bad].boxed()
}

pub fn few_v6(spoilt: bool, first: u8) -> BoxedStrategy<[u8; 16]> {
    let good = (first..first + 4).prop_map(|last| v6(0x2001, 0xdb8, last));
    if !spoilt {
        return good.boxed();
    }
    let mut mapped = [0; 16];
    mapped[10..].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 1]);
    let bad = prop_oneof![
        Just([0; 16]),
        Just(v6(0, 0, 1)),
        Just(v6(0xfe80, 0, 1)),
        Just(v6(0xfebf, 0, 1)),
        Just(v6(0xff02, 0, 1)),
        Just(mapped),
    ];
    prop_oneof![120 => good, 1 => bad].boxed()
}

fn v6(first: u16, second: u16, last: u8) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&first.to_be_bytes());
    bytes[2..4].copy_from_slice(&second.to_be_bytes());
    bytes[15] = last;
    bytes
}

/// Ports close to each other; `spoilt` adds 0 and ones near the end.
fn few_ports(spoilt: bool) -> BoxedStrategy<u16> {
    let good = (0u16..8).prop_map(|n| 8_000 + n * 12);
    match spoilt {
        true => {
            prop_oneof![60 => good, 60 => 8_000u16..8_100, 1 => Just(0), 1 => 65_500..=65_535u16]
                .boxed()
        }
        false => prop_oneof![good, 1_000u16..60_000].boxed(),
    }
}

/// A random table, `spoilt` or mostly sound.
fn given(spoilt: bool) -> impl Strategy<Value = Given> {
    // VIPs and nodes from one pool if spoilt.
    let nodes_from = if spoilt { 4 } else { 10 };
    let vip = prop_oneof![
        few_v4(spoilt, 1).prop_map(Address::V4),
        few_v6(spoilt, 1).prop_map(Address::V6),
    ];
    let listener = (
        vip,
        super::packets::any_protocol(),
        few_ports(spoilt),
        few_ports(spoilt),
        prop::sample::select(vec![
            Select::Port,
            Select::Port,
            Select::Source,
            Select::Flow,
        ]),
        prop::sample::select(vec![
            Deliver::Nat,
            Deliver::Nat,
            Deliver::Dsr,
            Deliver::Ipip,
        ]),
        prop::bool::weighted(if spoilt { 0.02 } else { 0.0 }),
    )
        .prop_map(
            |(address, protocol, port, node_port, select, deliver, wrong)| Listener {
                address,
                protocol,
                port,
                node_port: match deliver {
                    Deliver::Nat => node_port,
                    _ => port + u16::from(wrong),
                },
                select,
                deliver,
            },
        );
    let odds = if spoilt { 0.85 } else { 0.9 };
    let id = if spoilt { 0u32..60 } else { 1..2_000_000_000 };
    let node = (
        id,
        prop::option::weighted(odds, few_v4(spoilt, nodes_from)),
        prop::option::weighted(odds, few_v6(spoilt, nodes_from)),
    )
        .prop_map(|(id, v4, v6)| Node { id, v4, v6 });
    // Weight of what makes a table invalid.
    let over = if spoilt { 1 } else { 0 };
    (
        1u32..14,
        prop::collection::vec(listener, 0..6),
        prop::collection::vec(node, 0..5),
    )
        .prop_flat_map(move |(routes, listeners, nodes)| {
            let index = |len: usize| {
                let len = len as u32;
                prop_oneof![40 => 0..len.max(1), over as u32 => 0..len + 1]
            };
            let target = (
                index(nodes.len()),
                index(listeners.len()),
                few_ports(spoilt),
            )
                .prop_map(|(node, listener, port)| Target {
                    node,
                    listener,
                    port,
                });
            let targets = match nodes.is_empty() || listeners.is_empty() {
                true => 0..1 + over,
                false => 0..5,
            };
            let mut ids: Vec<u32> = nodes.iter().map(|node| node.id).collect();
            ids.push(0);
            let counts = routes as usize - over.min(routes as usize)..=routes as usize;
            let counts = prop_oneof![30 => Just(routes as usize), over as u32 => counts];
            let route = prop_oneof![60 => prop::sample::select(ids), over as u32 => 1u32..30];
            (
                Just((routes, listeners, nodes)),
                prop::collection::vec(target, targets),
                counts.prop_flat_map(move |count| prop::collection::vec(route.clone(), count)),
                prop::option::weighted(0.98, any::<[u8; 16]>()),
            )
        })
        .prop_map(
            move |((routes, listeners, nodes), mut targets, route_nodes, key)| {
                if !spoilt || routes > 1 {
                    let mut seen = BTreeSet::new();
                    targets.retain(|target| seen.insert((target.node, target.listener)));
                }
                Given {
                    routes,
                    listeners,
                    nodes,
                    targets,
                    route_nodes,
                    key,
                }
            },
        )
}

/// Tables of which about half are to be refused, for all kinds of reasons.
pub fn any_given() -> impl Strategy<Value = Given> {
    prop_oneof![given(true), given(false)]
}

/// Tables that are to be accepted.
pub fn valid_given() -> impl Strategy<Value = Given> {
    given(false)
        .prop_map(|mut given| {
            // Leave out what does not fit rather than reject nearly everything.
            given.targets.retain(|target| {
                (target.node as usize) < given.nodes.len()
                    && (target.listener as usize) < given.listeners.len()
            });
            while !given.is_valid() {
                let dropped = given.targets.pop().is_some() || given.listeners.pop().is_some();
                if !dropped {
                    given.nodes.clear();
                    given.route_nodes.fill(0);
                }
            }
            given
        })
        .prop_filter("nothing left", |given| {
            !given.listeners.is_empty() && !given.nodes.is_empty()
        })
}
