//! Requests and the envelope of their answers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Event;

/// What a client asks of the daemon: `{"command": "node_remove", "name": "n1"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// How the daemon and its cluster are: [`crate::StatusReport`].
    Status,
    /// Every node known: a list of [`crate::NodeReport`], by name.
    Nodes,
    /// Who holds which routes: [`crate::RouteReport`].
    Routes,
    /// The listeners: a list of [`crate::ListenerReport`].
    Listeners,
    /// What the scaling by load does, and why: a [`crate::ScalingReport`]; `null` where the
    /// configuration has no `[scale]`.
    Scaling,
    /// What would move if a node went, as it is now: [`crate::PlanReport`]. Nothing is moved.
    Plan {
        /// The node's name.
        name: String,
        /// How it goes.
        how: Going,
    },
    /// Everything that happens from now on: a stream of [`Event`].
    Watch,
    /// Put a reserve node to work in a new slot. Answer: a text.
    NodeActivate {
        /// The node's name.
        name: String,
    },
    /// Take an active node out of work and keep it in reserve. Answer: a text.
    NodeReserve {
        /// The node's name.
        name: String,
    },
    /// Take a node out of work for good: its routes go elsewhere, the connections that it has may
    /// end by themselves, and it is told when it may stop. Answer: a text.
    NodeDrain {
        /// The node's name.
        name: String,
    },
    /// Forget a node: its routes go elsewhere, its connection is closed. Answer: a text.
    NodeRemove {
        /// The node's name.
        name: String,
    },
}

/// How a node goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Going {
    /// It is drained by an operator.
    Drain,
    /// It is lost.
    Lose,
}

impl fmt::Display for Going {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Going::Drain => "drained",
            Going::Lose => "lost",
        })
    }
}

/// A line from the daemon. `T` is the report that belongs to the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<T> {
    /// The request was done, with this result.
    Ok(T),
    /// The request was refused, with the reason; nothing has changed.
    Error(String),
    /// Something happened; only after [`Request::Watch`].
    Event(Event),
}
