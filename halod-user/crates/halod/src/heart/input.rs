//! What other tasks send to the heart.

use std::net::SocketAddr;
use std::sync::Arc;

use halod_cluster::{ConnId, Hello, ProbeId};
use halod_control::{Answer, Request};
use halod_proto::ToHalod;
use serde::Serialize;
use tokio::sync::{broadcast, oneshot};
use tokio::time::Instant;

use super::Outbox;

/// Something that happened, and when.
#[derive(Debug)]
pub enum Input {
    /// A node's connection has said hello.
    Hello {
        /// The connection.
        conn: ConnId,
        /// The hello.
        hello: Hello,
        /// A fresh resume token.
        token: String,
        /// Where the connection comes from.
        peer: SocketAddr,
        /// The way to it.
        outbox: Outbox,
        /// When.
        at: Instant,
    },
    /// A node's connection has said something else.
    Message {
        /// The connection.
        conn: ConnId,
        /// The message.
        message: ToHalod,
        /// When.
        at: Instant,
    },
    /// A node's connection has ended.
    Closed {
        /// The connection.
        conn: ConnId,
        /// What the node said wrong, where that is why: it hears it after all that was sent before.
        wrong: Option<String>,
        /// When.
        at: Instant,
    },
    /// A probe has ended.
    Probed {
        /// The probe.
        probe: ProbeId,
        /// Whether its application took the connection.
        reachable: bool,
        /// When.
        at: Instant,
    },
    /// Somebody asks over the control socket.
    Control {
        /// What.
        request: Request,
        /// Where the answer goes.
        reply: oneshot::Sender<Reply>,
        /// When.
        at: Instant,
    },
}

/// An answer to the control socket.
#[derive(Debug)]
pub enum Reply {
    /// A line, without its newline.
    Line(String),
    /// A first line, and all that follow.
    Watch(Arc<str>, broadcast::Receiver<Arc<str>>),
}

impl Reply {
    /// `{"ok": ...}`
    pub fn ok(report: &(impl Serialize + ?Sized)) -> Reply {
        Reply::line(&Answer::Ok(report))
    }

    /// `{"error": ...}`
    pub fn refused(reason: &str) -> Reply {
        Reply::line(&Answer::<()>::Error(reason.to_owned()))
    }

    fn line<T: Serialize>(answer: &Answer<T>) -> Reply {
        Reply::Line(serde_json::to_string(answer).unwrap_or_else(|error| {
            format!("{{\"error\":\"halod cannot write its answer: {error}\"}}")
        }))
    }
}
