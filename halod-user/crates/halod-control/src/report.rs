//! What the daemon reports.

use std::net::IpAddr;

use halod_proto::{Deliver, Load, NodeState, Select};
use halod_routes::RouteSet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The daemon and its cluster at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The cluster's name in the configuration.
    pub cluster: String,
    /// The daemon's version.
    pub version: String,
    /// Generation of the table that the daemon decided on last.
    pub generation: u64,
    /// The kernel's side of the same table.
    pub kernel: KernelReport,
    /// Number of routes, N.
    pub routes: u32,
    /// Routes that no node holds; their packets are dropped.
    pub routes_without_node: u32,
    /// Routes of which connections stay with a node that they have left.
    #[serde(default)]
    pub draining_routes: u32,
    /// Number of slots in use, M.
    pub slots: u32,
    /// Nodes in each state.
    pub active: u32,
    /// See `active`.
    pub reserve: u32,
    /// See `active`.
    pub draining: u32,
    /// See `active`.
    pub lost: u32,
    /// Nodes that were lost too often, and are not put to work for a while.
    #[serde(default)]
    pub held_back: u32,
    /// What the scaling by load does or not and why, in a sentence; none where it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<String>,
    /// Time since the daemon started, in milliseconds.
    pub uptime_ms: u64,
    /// Connections of nodes that have said hello.
    pub connections: u32,
    /// Connections that have not said hello yet.
    pub handshakes: u32,
    /// The daemon's process id.
    pub pid: u32,
    /// Path of the store.
    pub store: String,
    /// Why the store was not written last time; the daemon goes on and tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_error: Option<String>,
}

/// The kernel's table as the daemon knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelReport {
    /// Whether the kernel has the daemon's table.
    pub state: KernelState,
    /// Generation in force in the kernel; 0 where nothing was committed yet.
    pub generation: u64,
    /// The module's version.
    pub version: String,
    /// Routes that drain in the kernel. This and what follows is up to a second old.
    #[serde(default)]
    pub draining: u32,
    /// Connections that the set of flows remembers while routes drain.
    #[serde(default)]
    pub flows: u32,
    /// How many it can remember; 0 while nothing drains.
    #[serde(default)]
    pub flow_slots: u32,
    /// New connections that it had no room for, since the namespace was made: they went to the
    /// node that their route had left. Counted while something drains.
    #[serde(default)]
    pub forward_full: u64,
    /// Why the state is not `in_step`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether the kernel has the daemon's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelState {
    /// The kernel forwards by the daemon's table.
    InStep,
    /// The kernel has another table; the daemon is putting its own there.
    OutOfStep,
    /// The last commit failed or the module is gone; see the reason.
    Failed,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The name in its hello.
    pub name: String,
    /// Its id in the kernel's table.
    pub id: u32,
    /// What it is doing.
    pub state: NodeState,
    /// The slot that it fills; only active nodes have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// Where its packets go: at most one IPv4 and one IPv6 address.
    pub addresses: Vec<IpAddr>,
    /// The routes that it holds.
    pub routes: RouteSet,
    /// The routes that it has left and keeps connections of.
    #[serde(default)]
    pub draining: RouteSet,
    /// How long it keeps the last of these at most, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_left_ms: Option<u64>,
    /// Whether it said that it leaves.
    #[serde(default)]
    pub leaving: bool,
    /// How often it was lost lately.
    #[serde(default)]
    pub losses: u32,
    /// How long it is held back for that yet, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_ms: Option<u64>,
    /// Why it is not put to work, in words; none of an active or lost node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether it has a connection to the daemon now.
    pub connected: bool,
    /// What it last said of its application.
    pub healthy: bool,
    /// How long it has been in this state, in milliseconds.
    pub since_ms: u64,
    /// The load in its last heartbeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// Where the connection comes from, `address:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

/// The whole route table, in runs of routes that one node holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteReport {
    /// The table's version.
    pub generation: u64,
    /// Number of routes, N.
    pub routes: u32,
    /// How the table changes where a slot goes.
    #[serde(default)]
    pub failover: Failover,
    /// One entry a slot in the order of the slots, then, where there are any,
    /// one for the routes without a node. Together they hold each route once.
    pub runs: Vec<RouteRun>,
    /// The routes that drain; each of them in one entry, and in no other.
    #[serde(default)]
    pub drains: Vec<DrainRun>,
}

/// What moves when a node goes and nobody is in reserve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failover {
    /// The table is always the routing algorithm's for the number of slots.
    #[default]
    Replace,
    /// Only the lost node's routes.
    Minimal,
}

/// The routes of one slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRun {
    /// The routes.
    pub routes: RouteSet,
    /// The node that holds them; none drops their packets.
    pub node: Option<String>,
    /// The slot that holds them.
    pub slot: Option<u32>,
}

/// What the scaling by load does or not, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalingReport {
    /// The figure of a node's load that counts: `connections` or `value`.
    pub by: String,
    /// Its sum over all connected nodes.
    pub total: f64,
    /// More than this for each active node asks for one node more.
    pub up_at: f64,
    /// Less than this for each active node, were there one node less, asks for that.
    pub down_at: f64,
    /// The result of the last look, in a sentence.
    pub why: String,
    /// How long ago the last step was, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_step_ms: Option<u64>,
    /// Why it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_why: Option<String>,
}

/// Routes that drain in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainRun {
    /// The routes.
    pub routes: RouteSet,
    /// The nodes that they have left and that keep connections of them, the oldest first.
    pub formers: Vec<FormerReport>,
}

/// A node that routes have left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerReport {
    /// Its name.
    pub node: String,
    /// How long it keeps their connections at most, in milliseconds.
    pub left_ms: u64,
}

/// What would move if a node went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReport {
    /// The table that this is about.
    pub generation: u64,
    /// Number of routes, N.
    pub routes: u32,
    /// What would move, by where from and where to.
    pub moves: Vec<PlannedMove>,
    /// Routes that the node has left already, and whose connections would end with it.
    pub ended: RouteSet,
}

/// Routes that would move from one node to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMove {
    /// The routes.
    pub routes: RouteSet,
    /// The node that has them.
    pub from: Option<String>,
    /// The node that would have them; none: their packets would be dropped.
    pub to: Option<String>,
    /// How long their connections could stay where they are, in milliseconds; 0 would cut them.
    pub drain_ms: u64,
}

/// One listener: one address, protocol and range of ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerReport {
    /// The name in the configuration; a listener with several addresses has one entry for each.
    pub name: String,
    /// The VIP.
    pub address: IpAddr,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Port of route 1, or of all routes, by `select`.
    pub port: u16,
    /// Port of route N; the same as `port` where all routes have that.
    pub last_port: u16,
    /// What is `port` here, on nodes that do not say otherwise.
    pub node_port: u16,
    /// What routes are told apart by.
    #[serde(default)]
    pub select: Select,
    /// How packets get to nodes.
    #[serde(default)]
    pub deliver: Deliver,
}

/// Something that happened. Fields beyond these depend on the kind and are in
/// `details`, at the same level of the JSON object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, RFC 3339 in UTC with microseconds.
    pub time: String,
    /// The table's version after it.
    pub generation: u64,
    /// What it is, one word: `watching` (the first of each stream), `committed`
    /// (the kernel has a new table), `kernel_changed` (by another hand; ours is put back),
    /// `kernel_failed`, `kernel_back`, `store_failed`, `store_back`, or that of a notice of the
    /// cluster: `node_joined`, `node_lost`, `slot_filled`, `routes_moved` and so on.
    pub kind: String,
    /// The same for people.
    pub text: String,
    /// Only in `committed` events: microseconds from the moment when the daemon saw the cause
    /// (the end of the connection, the deadline, the message) until the kernel had the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// What else the kind has.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}
