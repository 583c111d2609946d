//! Requests and the envelope of their answers.

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
    /// Forget a node: its routes go elsewhere, its connection is closed. Answer: a text.
    NodeRemove {
        /// The node's name.
        name: String,
    },
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
