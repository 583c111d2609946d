use std::net::SocketAddr;

use halod_proto::FromHalod;
use halod_routes::RouteId;

use crate::{ConnId, NodeId, Notice, ProbeId};

/// Something for the caller to do. Actions are carried out in their order, each finished before
/// the next.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send a message.
    Send {
        /// To this connection.
        conn: ConnId,
        /// The message.
        message: FromHalod,
    },
    /// Send [`FromHalod::Error`] with the reason and close. The cluster has forgotten the
    /// connection: whatever still comes from it is ignored.
    Close {
        /// The connection.
        conn: ConnId,
        /// Why, with what would have been right where something was wrong.
        reason: String,
    },
    /// The table has changed: make [`crate::Cluster::saved`] durable, then commit the table to the
    /// kernel. At most one per event, and always the first action.
    Commit(Change),
    /// What must survive a restart has changed, and the table has not: make
    /// [`crate::Cluster::saved`] durable. At most one per event, first, and never beside a commit.
    Save,
    /// Find out whether the application of an absent node still answers: connect to it over TCP,
    /// and report as [`crate::Event::Probe`]. Not to be awaited.
    Probe {
        /// Its number, for the answer.
        probe: ProbeId,
        /// The node.
        node: NodeId,
        /// The node's port of one of its routes.
        address: SocketAddr,
        /// To be done after so many milliseconds: 0 the first time, then again and again, since a
        /// machine that is dying ends its programs one by one.
        delay_ms: u32,
        /// After this time without an answer it is not reachable; milliseconds.
        timeout_ms: u32,
    },
    /// Answer an operator.
    Reply {
        /// The number that came with the command.
        request: u64,
        /// What was done, or why not, in a sentence.
        result: Result<String, String>,
    },
    /// Something that people may want to know.
    Notice(Notice),
}

/// A change of the route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table's new generation: that before plus one.
    pub generation: u64,
    /// What led to it, in words.
    pub cause: String,
    /// Which routes changed their node, by route, each at most once. Empty where only the
    /// address of an active node changed.
    pub moves: Vec<Move>,
}

/// A route changes its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The route.
    pub route: RouteId,
    /// The node that had it, if any.
    pub from: Option<NodeId>,
    /// The node that has it now, if any.
    pub to: Option<NodeId>,
}
