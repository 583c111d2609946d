//! The node protocol: what a node and HaloD say to each other over TCP.
//!
//! One JSON object a line, UTF-8, ended by `\n`. The member `type` tells what the
//! message is; members that a reader does not know are ignored, a type that it does
//! not know is an error. `docs/node-protocol.md` is the same for implementers.
//!
//! This crate has no I/O and no clock: [`LineCodec`] takes bytes and gives lines,
//! [`ToHalod::parse`] and [`FromHalod::parse`] take a line and give a message that
//! keeps every rule stated on its fields, and `to_line` is the way back.

mod deliver;
mod error;
mod from_halod;
mod hello;
mod json;
mod line;
mod name;
mod select;
mod to_halod;

pub use deliver::Deliver;
pub use error::{HelloError, LineError, MessageError, NameError, SelectKeyError};
pub use from_halod::{FromHalod, ListenerInfo, MovedRoutes, NodeState, Protocol, Welcome};
pub use hello::{Hello, is_resume_token};
pub use line::LineCodec;
pub use name::NodeName;
pub use select::{Select, SelectKey};
pub use to_halod::{Load, ToHalod};

/// The version of the protocol that this crate speaks.
pub const VERSION: u32 = 1;

/// Longest first line (the hello) that HaloD reads, in bytes without the `\n`.
pub const MAX_HELLO: usize = 4096;

/// Longest later line that HaloD reads, in bytes without the `\n`.
pub const MAX_LINE_TO_HALOD: usize = 65_536;

/// Longest line that a node must be able to read, in bytes without the `\n`.
pub const MAX_LINE_TO_NODE: usize = 1_048_576;

/// Shortest line of a message that HaloD reads as soon as it comes, in bytes with the `\n`. HaloD may read
/// shorter ones, as heartbeats are, once so many bytes have come.
pub const URGENT: usize = 512;

/// Longest text of a reason (`unhealthy`, `error`), in bytes.
pub const MAX_REASON: usize = 1024;

/// Longest `agent` in a hello, in bytes.
pub const MAX_AGENT: usize = 128;
