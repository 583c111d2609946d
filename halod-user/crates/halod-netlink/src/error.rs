//! Why a request to the kernel got no result.

use std::io;

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a request to the kernel got no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel has no family of this name.
    #[error(
        "kernel family \"halod\" is not there: load the module with `modprobe halod` \
         (or insmod its file), or see why it is not loaded with dmesg"
    )]
    NoModule,
    /// The process may not.
    #[error(
        "{what}: not permitted; this needs CAP_NET_ADMIN over the network namespace, try as root"
    )]
    Permission {
        /// The request.
        what: &'static str,
    },
    /// The table is not of the generation that was expected; nothing has changed.
    #[error("{what}: {}; nothing has changed, read the table again", stale(.expected, .message))]
    Stale {
        /// The request.
        what: &'static str,
        /// The generation that the request expected.
        expected: u64,
        /// The kernel's own words.
        message: Option<String>,
    },
    /// The kernel refused; nothing has changed.
    #[error("{what}: the kernel refuses{}{} ({})", after(.message), at(.attribute), io::Error::from_raw_os_error(*.errno))]
    Kernel {
        /// The request.
        what: &'static str,
        /// The error number, positive.
        errno: i32,
        /// The kernel's own words.
        message: Option<String>,
        /// Where in the request's message the attribute to blame starts, in bytes.
        attribute: Option<u32>,
    },
    /// The table changed in every attempt to read it.
    #[error("{what}: the table changed during each of {attempts} attempts to read it; try again")]
    Interrupted {
        /// The request.
        what: &'static str,
        /// How often it was tried.
        attempts: u32,
    },
    /// The kernel's message is not what the spec says.
    #[error(
        "{what}: the kernel's message is not understood: {reason}; is the module of another version?"
    )]
    Malformed {
        /// The request.
        what: &'static str,
        /// What is wrong with it, with the value.
        reason: String,
    },
    /// The value cannot be said in a message at all.
    #[error("{0}")]
    Unspeakable(String),
    /// Events were lost because they were not read fast enough: read the table again.
    #[error(
        "events of the kernel were lost because they came faster than they were read; read the table again"
    )]
    Lost,
    /// The socket failed.
    #[error("{what}: netlink socket: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { what, source }
    }

    pub(crate) fn malformed(what: &'static str) -> impl Fn(String) -> Error {
        move |reason| Error::Malformed { what, reason }
    }
}

fn after(message: &Option<String>) -> String {
    message
        .as_ref()
        .map_or(String::new(), |text| format!(": {text}"))
}

fn at(attribute: &Option<u32>) -> String {
    attribute.map_or(String::new(), |offset| {
        format!(", about the attribute at byte {offset}")
    })
}

fn stale(expected: &u64, message: &Option<String>) -> String {
    match message {
        Some(text) => text.clone(),
        None => format!("generation {expected} is not in force any more"),
    }
}
