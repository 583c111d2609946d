//! What followers of the event stream read: one JSON object a line. `docs/agent.md` describes them.

use std::net::SocketAddr;

use halod_proto::{NodeName, NodeState};
use halod_routes::{RouteId, RouteSet};
use serde::Serialize;

use crate::drains::{Leg, Policy, Users};
use crate::ports::Client;

/// A line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// How things are: to each follower first, and to all after a reconnect to HaloD.
    State {
        generation: u64,
        state: NodeState,
        /// Whether there is a connection to HaloD.
        connected: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        slot: Option<u32>,
        routes: &'a RouteSet,
        draining: Vec<Draining>,
        policy: Policy,
        /// Whether the agent closes what is left at a deadline.
        closes: bool,
    },
    /// All that the node holds now.
    Assign {
        generation: u64,
        slot: u32,
        routes: &'a RouteSet,
    },
    /// The node holds nothing.
    Reserve { generation: u64 },
    /// Routes went to another node.
    RouteMoved {
        generation: u64,
        routes: &'a RouteSet,
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'a NodeName>,
        /// How long their connections are kept; 0 if they are cut.
        left_ms: u64,
        /// Within how long their users are told.
        window_ms: u64,
    },
    /// Exactly these users are to be asked to reconnect, now.
    Reconnect(UsersLine<'a>),
    /// The agent has closed these connections.
    Closed(UsersLine<'a>),
    /// No connection is left on these routes.
    Drained {
        generation: u64,
        routes: &'a RouteSet,
    },
    /// The node may stop.
    MayStop,
    /// The connection to HaloD is there, or not.
    Halod { connected: bool },
    /// The last line of a follower that is cut off.
    Cut { reason: &'a str },
}

/// Routes that drain.
#[derive(Debug, Serialize)]
pub struct Draining {
    routes: RouteSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<NodeName>,
    left_ms: u64,
}

/// Connections of routes that went the same way.
#[derive(Debug, Serialize)]
pub struct UsersLine<'a> {
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a NodeName>,
    connections: Vec<Connection<'a>>,
}

#[derive(Debug, Serialize)]
struct Connection<'a> {
    route: RouteId,
    listener: &'a str,
    local: SocketAddr,
    peer: SocketAddr,
}

impl Event<'_> {
    /// With its `\n`.
    pub fn to_line(&self) -> String {
        // Fails only for maps whose keys are not strings; there are none.
        let mut line = serde_json::to_string(self).expect("events can be written as JSON");
        line.push('\n');
        line
    }
}

impl From<Leg> for Draining {
    fn from(leg: Leg) -> Draining {
        Draining {
            routes: leg.routes,
            to: leg.to,
            left_ms: leg.left_ms,
        }
    }
}

impl<'a> From<&'a Users> for UsersLine<'a> {
    fn from(users: &'a Users) -> UsersLine<'a> {
        let connection = |client: &'a Client| Connection {
            route: client.route,
            listener: &client.listener,
            local: client.socket.local,
            peer: client.socket.peer,
        };
        UsersLine {
            generation: users.generation,
            to: users.to.as_ref(),
            connections: users.clients.iter().map(connection).collect(),
        }
    }
}
