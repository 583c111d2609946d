//! What HaloD says to a node.

use std::fmt;
use std::net::IpAddr;

use halod_routes::RouteSet;
use serde::{Deserialize, Serialize};

use crate::{Deliver, MessageError, NodeName, Select, SelectKey, json};

/// A message from HaloD. The first is a [`FromHalod::Welcome`] or a [`FromHalod::Error`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromHalod {
    /// The hello is accepted.
    Welcome(Welcome),
    /// Everything that the node holds now; packets of these routes are on their way to it.
    Assign {
        /// Version of the route table.
        generation: u64,
        /// The slot that the node fills, from 1.
        slot: u32,
        /// All routes of the node, not only new ones.
        routes: RouteSet,
    },
    /// The node has lost routes: their users should reconnect, and will reach other nodes.
    RouteMoved {
        /// Version of the route table.
        generation: u64,
        /// What went where.
        moves: Vec<MovedRoutes>,
    },
    /// The node has lost routes, and keeps the connections that they have until the deadline. Said in
    /// place of [`FromHalod::RouteMoved`] where that is so.
    Drain {
        /// Version of the route table.
        generation: u64,
        /// What went where.
        moves: Vec<MovedRoutes>,
        /// How long from now, in milliseconds.
        deadline_ms: u64,
    },
    /// The node holds no routes, and waits.
    Reserve {
        /// Version of the route table.
        generation: u64,
    },
    /// A node on its way out has no connection left that HaloD leads to it, or their time is over.
    MayStop {
        /// Version of the route table.
        generation: u64,
    },
    /// What the node did wrong. HaloD closes the connection after it.
    Error {
        /// What was wrong, with which value, and what would be right.
        reason: String,
    },
}

/// The answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Version of the protocol that HaloD speaks on this connection.
    pub version: u32,
    /// Name of the cluster.
    pub cluster: String,
    /// N, the number of routes of the cluster.
    pub routes: u32,
    /// What the node is now.
    pub state: NodeState,
    /// Interval of heartbeats, in milliseconds, from 1.
    pub heartbeat_ms: u32,
    /// After how many intervals without any message HaloD takes the node for lost.
    pub heartbeat_misses: u32,
    /// Token for the next hello: 32 hexadecimal characters.
    pub resume: String,
    /// On what addresses and ports the cluster is reached.
    #[serde(default)]
    pub listeners: Vec<ListenerInfo>,
    /// The key by which listeners with one port for all routes tell them apart; absent where
    /// there is none of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_key: Option<SelectKey>,
}

/// Routes that went to one node, or to none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedRoutes {
    /// The routes.
    pub routes: RouteSet,
    /// The node that has them now; absent where none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<NodeName>,
}

/// An address, and a port or a range of ports, on which routes are exposed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ListenerInfo {
    /// The listener's name; a listener with several addresses is several of these.
    pub name: String,
    /// The address that clients connect to.
    pub address: IpAddr,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Port of route 1, route r being `port + r - 1`; or of all routes, by `select`.
    pub port: u16,
    /// The same on nodes that do not name their own; absent where it is `port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_port: Option<u16>,
    /// What routes are told apart by; absent where it is the port.
    #[serde(default, skip_serializing_if = "Select::is_port")]
    pub select: Select,
    /// How packets get to nodes; absent where they are rewritten.
    #[serde(default, skip_serializing_if = "Deliver::is_nat")]
    pub deliver: Deliver,
}

/// Protocol of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// What a node is to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Registered, without routes, waiting.
    Reserve,
    /// Fills a slot.
    Active,
    /// Has lost its routes and still serves their existing connections.
    Draining,
    /// Gone, and remembered.
    Lost,
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            NodeState::Reserve => "reserve",
            NodeState::Active => "active",
            NodeState::Draining => "draining",
            NodeState::Lost => "lost",
        })
    }
}

impl FromHalod {
    /// Reads one line, with or without its `\n`.
    ///
    /// # Errors
    /// The line is not a message.
    pub fn parse(line: &str) -> Result<FromHalod, MessageError> {
        json::parse(line)
    }

    /// The message as a line, with its `\n`.
    pub fn to_line(&self) -> String {
        json::to_line(self)
    }

    /// The message's name on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            FromHalod::Welcome(_) => "welcome",
            FromHalod::Assign { .. } => "assign",
            FromHalod::RouteMoved { .. } => "route_moved",
            FromHalod::Drain { .. } => "drain",
            FromHalod::Reserve { .. } => "reserve",
            FromHalod::MayStop { .. } => "may_stop",
            FromHalod::Error { .. } => "error",
        }
    }
}
