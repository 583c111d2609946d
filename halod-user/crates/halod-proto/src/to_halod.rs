//! What a node says to HaloD.

use halod_routes::{RouteId, RouteSet};
use serde::{Deserialize, Serialize};

use crate::{Hello, MAX_REASON, MessageError, URGENT, json};

/// A message from a node. The first is a [`ToHalod::Hello`], later ones are anything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToHalod {
    /// Who the node is; HaloD answers with a welcome or an error.
    Hello(Hello),
    /// The node is alive. Sent at the interval that the welcome named.
    Heartbeat {
        /// Rises by one with each heartbeat of a connection; the first may be any number.
        seq: u64,
        /// How busy the node is, where it knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        load: Option<Load>,
    },
    /// The application answers again.
    Healthy,
    /// The application does not answer; the node wants no routes.
    Unhealthy {
        /// Why, for people; at most [`MAX_REASON`] bytes.
        reason: String,
    },
    /// No connection is left on these routes, which the node has lost.
    Drained {
        /// The routes. A set that would make the line too long is sent in parts.
        routes: RouteSet,
    },
    /// The node will close the connection and not come back soon.
    Leaving,
}

/// How busy a node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Connections of clients that the node holds.
    pub connections: u64,
    /// Any other figure that the deployment cares about; its unit is the deployment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Connections by route, where there are any: (route, connections). A node need not say them each
    /// time that it says its load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<(RouteId, u64)>,
}

impl ToHalod {
    /// Reads one line, with or without its `\n`.
    ///
    /// # Errors
    /// The line is not a message, or a hello that breaks a rule of [`Hello::check`].
    pub fn parse(line: &str) -> Result<ToHalod, MessageError> {
        if let Some(heartbeat) = Heartbeat::parse(line) {
            return Ok(heartbeat);
        }
        let message = json::parse(line)?;
        match &message {
            ToHalod::Hello(hello) => hello.check()?,
            ToHalod::Unhealthy { reason } if reason.len() > MAX_REASON => {
                return Err(MessageError::LongReason(reason.len()));
            }
            _ => {}
        }
        Ok(message)
    }

    /// The message as a line, with its `\n`. All but heartbeats are filled with spaces up to [`URGENT`].
    pub fn to_line(&self) -> String {
        let mut line = json::to_line(self);
        if !matches!(self, ToHalod::Heartbeat { .. }) {
            let missing = URGENT.saturating_sub(line.len());
            line.insert_str(line.len() - 1, &" ".repeat(missing));
        }
        line
    }

    /// The message's name on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            ToHalod::Hello(_) => "hello",
            ToHalod::Heartbeat { .. } => "heartbeat",
            ToHalod::Healthy => "healthy",
            ToHalod::Unhealthy { .. } => "unhealthy",
            ToHalod::Drained { .. } => "drained",
            ToHalod::Leaving => "leaving",
        }
    }
}

/// [`ToHalod::Heartbeat`], which is nearly all that is ever said: read straight from the line, where
/// the enum is read by way of a map. What is not one in every detail is left to the enum, for its
/// errors too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Heartbeat<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    seq: u64,
    #[serde(default)]
    load: Option<Load>,
}

impl Heartbeat<'_> {
    fn parse(line: &str) -> Option<ToHalod> {
        let Heartbeat { kind, seq, load } = json::parse_borrowed(line)?;
        (kind == "heartbeat").then_some(ToHalod::Heartbeat { seq, load })
    }
}
