use halod_proto::{Hello, NodeName, ToHalod};

use crate::{ConnId, ProbeId};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first message of a new connection.
    Hello {
        /// The connection.
        conn: ConnId,
        /// What it says.
        hello: Hello,
        /// A fresh random resume token, 32 hexadecimal characters. Used if the node is new.
        token: String,
    },
    /// Any later message of a connection.
    Message {
        /// The connection.
        conn: ConnId,
        /// What it says.
        message: ToHalod,
    },
    /// Something came of a connection that is not read yet: the node lives.
    Heard {
        /// The connection.
        conn: ConnId,
    },
    /// A connection ended or was reset by the other side. None follows an [`crate::Action::Close`]
    /// by need; one that does is ignored.
    Closed {
        /// The connection.
        conn: ConnId,
    },
    /// The answer to [`crate::Action::Probe`].
    Probe {
        /// The probe's number.
        probe: ProbeId,
        /// Whether its application took the connection.
        reachable: bool,
    },
    /// Time passed. Due at [`crate::Cluster::next_deadline`].
    Tick,
    /// An operator wants something.
    Operator {
        /// The caller's number of the request, given back in [`crate::Action::Reply`].
        request: u64,
        /// What is wanted.
        command: Command,
    },
}

/// What an operator may want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Put a reserve node to work.
    Activate(NodeName),
    /// Take an active node's routes away and let it wait.
    Reserve(NodeName),
    /// Take an active node's routes away for good; it keeps its connections until they end or their
    /// time is over, and is told then that it may stop.
    Drain(NodeName),
    /// Forget a node; if it is active, its slot is filled as if it were lost.
    Remove(NodeName),
}
