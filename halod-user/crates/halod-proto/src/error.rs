//! What can be wrong with a line, and how it is said to whoever sent it.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::{MAX_AGENT, MAX_REASON, VERSION};

/// How much of a wrong input an error quotes, in characters.
const QUOTED: usize = 80;

/// The bytes that came are not a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// More than the allowed number of bytes came without a `\n`. Nothing can be read
    /// from this stream any more.
    #[error("line is longer than {max} bytes; it begins {begins}")]
    Oversized {
        /// The bound, in bytes without the `\n`.
        max: usize,
        /// Its first characters, quoted.
        begins: String,
    },
    /// The line is not UTF-8.
    #[error("line is not UTF-8 at byte {at}; it begins {begins}")]
    NotUtf8 {
        /// Offset of the first wrong byte in the line.
        at: usize,
        /// The line's first characters, quoted.
        begins: String,
    },
}

/// The line is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The line does not begin with `{`.
    #[error("a line must hold one JSON object, {{\"type\": ...}}; this one is {0}")]
    NotAnObject(String),
    /// Not JSON, or not a message of this protocol.
    #[error("{what}, in {line}")]
    Json {
        /// What the JSON parser found wrong.
        what: String,
        /// The line's first characters, quoted.
        line: String,
    },
    /// A hello that breaks a rule.
    #[error("hello: {0}")]
    Hello(#[from] HelloError),
    /// A reason that is too long.
    #[error("reason has {0} bytes; at most {MAX_REASON} are allowed")]
    LongReason(usize),
}

/// A hello breaks a rule of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Another version of the protocol.
    #[error("version {0} is not spoken here; {VERSION} is")]
    Version(u32),
    /// No address, or two of one family.
    #[error(
        "addresses must be one IPv4 address, one IPv6 address, or one of each; there are {v4} IPv4 and {v6} IPv6"
    )]
    Addresses {
        /// How many IPv4 addresses were given.
        v4: usize,
        /// How many IPv6 addresses were given.
        v6: usize,
    },
    /// An address to which HaloD cannot send packets.
    #[error("address {address} is {kind}; a unicast address that HaloD can reach is needed")]
    Address {
        /// The address.
        address: IpAddr,
        /// What it is instead.
        kind: &'static str,
    },
    /// Port 0.
    #[error("port of listener {0} is 0; ports are 1 to 65535")]
    Port(String),
    /// The name of a listener in `ports` cannot be one.
    #[error("{0} in ports is not a listener's name; those are {rule}", rule = crate::name::RULE)]
    Listener(String),
    /// A resume token of a wrong form.
    #[error("resume is not 32 hexadecimal characters; give the one of the last welcome, or none")]
    Resume,
    /// `agent` is too long.
    #[error("agent has {0} bytes; at most {MAX_AGENT} are allowed")]
    LongAgent(usize),
}

/// Not a node's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{quoted} is not a node's name; names are {rule}", rule = crate::name::RULE)]
pub struct NameError {
    pub(crate) quoted: String,
}

/// Not the key of listeners with one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a select key is 32 hexadecimal digits")]
pub struct SelectKeyError;

/// The first characters of `text` in quotes, without anything that could harm a log.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for (count, c) in text.chars().enumerate() {
        if count == QUOTED {
            // Writing to a String cannot fail.
            let _ = write!(out, "\"... ({} bytes)", text.len());
            return out;
        }
        match c {
            // A quote in quotes would be escaped; JSON is easier to read without.
            '"' | '\'' => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    out.push('"');
    out
}

/// As [`quote`], for bytes that may not be UTF-8.
pub(crate) fn quote_bytes(bytes: &[u8]) -> String {
    // Four bytes a character at most, so this is enough for QUOTED of them.
    let head = &bytes[..bytes.len().min(4 * QUOTED + 4)];
    quote(&String::from_utf8_lossy(head))
}

/// Cuts a parser's own message: it may quote as much of the input as it likes.
pub(crate) fn cut(text: &str) -> String {
    const LONGEST: usize = 300;
    let mut out: String = text.chars().take(LONGEST).flat_map(printable).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push_str("...");
    }
    out
}

fn printable(c: char) -> Option<char> {
    if c.is_control() {
        Some('\u{fffd}')
    } else {
        Some(c)
    }
}
