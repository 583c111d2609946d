//! What the kernel holds, as values.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::uapi::{deliver, device_state, fast_path, select};

/// The table's generation and size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The module's version; empty in an event.
    pub version: String,
    /// Number of the table's version; 0 before the first commit.
    pub generation: u64,
    /// Number of routes; 0 where the table is empty.
    pub routes: u32,
    /// Number of listeners in the table.
    pub listeners: u32,
    /// Number of nodes in the table.
    pub nodes: u32,
    /// Number of routes that drain.
    #[serde(default)]
    pub draining: u32,
    /// Connections of draining routes that are remembered, more or less; 0 in an event.
    #[serde(default)]
    pub flows: u32,
    /// Room for such connections; 0 while nothing drains, and in an event.
    #[serde(default)]
    pub flow_slots: u32,
}

/// The transport protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// IP protocol 6.
    Tcp,
    /// IP protocol 17.
    Udp,
}

impl Protocol {
    /// The IP protocol number.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        }
    }

    /// The protocol of an IP protocol number, where it is one that can be balanced.
    pub fn from_number(number: u8) -> Option<Protocol> {
        match number {
            6 => Some(Protocol::Tcp),
            17 => Some(Protocol::Udp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Protocol, String> {
        match text {
            "tcp" => Ok(Protocol::Tcp),
            "udp" => Ok(Protocol::Udp),
            other => Err(format!("{other:?} is not a protocol; it is tcp or udp")),
        }
    }
}

/// What a listener's packets are told apart into routes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    /// The number in the netlink spec.
    pub fn number(self) -> u8 {
        match self {
            Select::Port => select::PORT,
            Select::Source => select::SOURCE,
            Select::Flow => select::FLOW,
        }
    }

    /// From that number.
    pub fn from_number(number: u8) -> Option<Select> {
        match number {
            select::PORT => Some(Select::Port),
            select::SOURCE => Some(Select::Source),
            select::FLOW => Some(Select::Flow),
            _ => None,
        }
    }
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Select::Port => "port",
            Select::Source => "source",
            Select::Flow => "flow",
        })
    }
}

/// How a listener's packets get to their node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deliver {
    /// Rewritten to the node's address and port.
    #[default]
    Nat,
    /// Unchanged, to the node's link address.
    Dsr,
    /// Inside another packet, to a node on any network.
    Ipip,
}

impl Deliver {
    /// The number in the netlink spec.
    pub fn number(self) -> u8 {
        match self {
            Deliver::Nat => deliver::NAT,
            Deliver::Dsr => deliver::DSR,
            Deliver::Ipip => deliver::IPIP,
        }
    }

    /// From that number.
    pub fn from_number(number: u8) -> Option<Deliver> {
        match number {
            deliver::NAT => Some(Deliver::Nat),
            deliver::DSR => Some(Deliver::Dsr),
            deliver::IPIP => Some(Deliver::Ipip),
            _ => None,
        }
    }
}

impl fmt::Display for Deliver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deliver::Nat => "nat",
            Deliver::Dsr => "dsr",
            Deliver::Ipip => "ipip",
        })
    }
}

/// Which packets are sent on where they arrive, before the kernel's IP layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FastPath {
    /// None.
    #[default]
    Off,
    /// Ordinary ones, as long as no hooks of others would see them.
    Auto,
    /// Ordinary ones, also past the hooks of others.
    On,
}

impl FastPath {
    /// The number in the netlink spec.
    pub fn number(self) -> u8 {
        match self {
            FastPath::Off => fast_path::OFF,
            FastPath::Auto => fast_path::AUTO,
            FastPath::On => fast_path::ON,
        }
    }

    /// From that number.
    pub fn from_number(number: u8) -> Option<FastPath> {
        match number {
            fast_path::OFF => Some(FastPath::Off),
            fast_path::AUTO => Some(FastPath::Auto),
            fast_path::ON => Some(FastPath::On),
            _ => None,
        }
    }
}

impl fmt::Display for FastPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FastPath::Off => "off",
            FastPath::Auto => "auto",
            FastPath::On => "on",
        })
    }
}

/// A network device, and whether packets that arrive by it can take the fast path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The kernel's number of it in its network namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// For IPv4.
    pub ipv4: DeviceState,
    /// For IPv6.
    pub ipv6: DeviceState,
}

/// Whether packets that arrive by a device can take the fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// They can.
    Fast,
    /// It is off, or there was no memory for a hook.
    Off,
    /// They are this machine's own.
    Loopback,
    /// The device is part of a bridge, bond or VRF.
    Enslaved,
    /// Somebody else takes packets off the device, as macvlan does.
    Taken,
    /// There are hooks of others, and the fast path is auto.
    Firewall,
    /// There are IPsec policies, or nothing is forwarded.
    Policy,
}

impl DeviceState {
    /// From the number in the netlink spec.
    pub fn from_number(number: u8) -> Option<DeviceState> {
        match number {
            device_state::FAST => Some(DeviceState::Fast),
            device_state::OFF => Some(DeviceState::Off),
            device_state::LOOPBACK => Some(DeviceState::Loopback),
            device_state::ENSLAVED => Some(DeviceState::Enslaved),
            device_state::TAKEN => Some(DeviceState::Taken),
            device_state::FIREWALL => Some(DeviceState::Firewall),
            device_state::POLICY => Some(DeviceState::Policy),
            _ => None,
        }
    }
}

/// An address, a protocol and the ports on which the routes are exposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The operator's name of it, at most 63 bytes; several listeners may share one.
    pub name: String,
    /// The VIP.
    pub address: IpAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// Port of route 1, route r being on port + r - 1; or of all routes, by `select`.
    pub port: u16,
    /// Port of route 1 on every node that does not say otherwise; none: the same as `port`. The
    /// kernel says it always, so a listener that is read has it even where none was committed.
    pub node_port: Option<u16>,
    /// What routes are told apart by.
    #[serde(default)]
    pub select: Select,
    /// How packets get to their node.
    #[serde(default)]
    pub deliver: Deliver,
}

/// A node of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its number, unique in the table, never 0.
    pub id: u32,
    /// Its name, at most 63 bytes.
    pub name: String,
    /// Where its packets go: at most one IPv4 and one IPv6 address.
    pub addresses: Vec<IpAddr>,
    /// (index of the listener from 0, port of route 1 on this node), where it differs from the
    /// listener's.
    pub targets: Vec<(u32, u16)>,
}

/// A route whose former nodes keep the TCP connections they have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// The route, from 1.
    pub route: u32,
    /// Its former nodes from the oldest on: 1 to [`MAX_FORMERS`](crate::uapi::MAX_FORMERS).
    pub formers: Vec<Former>,
    /// How long, in milliseconds, UDP packets of the route stay with the oldest of them; 0: they go
    /// to the route's node.
    pub udp_left_ms: u32,
}

/// A node that a route has left, and that keeps the TCP connections it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// The node's id, never 0.
    pub node: u32,
    /// For how long, in milliseconds. What it still has then goes to the route's node.
    pub left_ms: u32,
}

/// The whole table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Number of this version. In a commit, the generation that the table shall get; 0 leaves it
    /// to the kernel, which takes the expected one + 1.
    pub generation: u64,
    /// Node id of route 1, 2, ...; 0 where a route has no node and its packets are dropped.
    pub routes: Vec<u32>,
    /// The listeners.
    pub listeners: Vec<Listener>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The routes that drain, in ascending order.
    pub drains: Vec<Drain>,
    /// The key by which listeners with one port for all routes tell them apart; they need one. A
    /// secret, so it is in no report.
    #[serde(skip)]
    pub select_key: Option<[u8; 16]>,
    /// Which packets take the fast path.
    #[serde(default)]
    pub fast_path: FastPath,
}
