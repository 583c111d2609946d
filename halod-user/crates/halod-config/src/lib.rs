//! The configuration of `halod`, read and checked as a whole before anything starts.

mod check;
mod error;
mod file;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use halod_cluster::{Failover, FastPath, Measure};
use halod_proto::{Deliver, Protocol, Select};
use halod_tls::Files;
use ipnet::IpNet;

pub use error::{ConfigError, Problem};

/// Most routes that the kernel's table can have (`max-routes` in its netlink spec).
pub const MAX_ROUTES: u32 = 32_768;
/// Most nodes that the kernel's table can have (`max-nodes`).
pub const MAX_NODES: u32 = 4096;
/// Most listeners that the kernel's table can have (`max-listeners`); one for each address.
pub const MAX_LISTENERS: usize = 64;

/// A configuration that keeps every rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The cluster's name.
    pub cluster: String,
    /// N, 1..=[`MAX_ROUTES`].
    pub routes: u32,
    /// Nodes are put to work until so many are, 1..=`routes`.
    pub active_min: u32,
    /// Nodes beyond `active_min` are kept in reserve until so many are.
    pub reserve: u32,
    /// How long the connections of a route that moves stay with the node that it leaves; zero
    /// cuts them.
    pub drain: Duration,
    /// The same for its UDP, at most `drain`.
    pub udp_stay: Duration,
    /// What moves where a node goes and the reserve is empty.
    pub failover: Failover,
    /// Which packets the kernel sends on where they arrive.
    pub fast_path: FastPath,
    /// The SQLite file.
    pub store: PathBuf,
    /// The control socket.
    pub control: PathBuf,
    /// At least one; ranges of ports fit and do not overlap.
    pub listeners: Vec<Listener>,
    /// How nodes register.
    pub nodes: Nodes,
    /// When nodes are put to work and back into reserve by their load; never without it.
    pub scale: Option<Scale>,
}

/// A `[[listener]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, unique.
    pub name: String,
    /// The VIPs: at most one of each address family.
    pub addresses: Vec<IpAddr>,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Port of route 1, or of all routes, by `select`.
    pub port: u16,
    /// The same on nodes that do not say otherwise, where it is not `port`.
    pub node_port: Option<u16>,
    /// What routes are told apart by.
    pub select: Select,
    /// How packets get to nodes.
    pub deliver: Deliver,
}

/// `[nodes]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// Where nodes connect to.
    pub listen: Vec<SocketAddr>,
    /// Who may do so without TLS.
    pub plaintext_from: Vec<IpNet>,
    /// The certificates, where nodes may use TLS.
    pub tls: Option<Files>,
    /// Interval of heartbeats.
    pub heartbeat: Duration,
    /// After how many intervals of silence a node is lost.
    pub heartbeat_misses: u32,
    /// How long a node whose connection ended may take to come back.
    pub rejoin: Duration,
    /// The same after a restart of the daemon.
    pub restart_grace: Duration,
    /// How long a new connection may take to say hello.
    pub hello_timeout: Duration,
    /// How long a node waits in reserve after its second loss; twice that after the third, and
    /// so on. Zero: not at all.
    pub hold_back: Duration,
    /// The longest such wait, not less than `hold_back`; losses further apart do not count.
    pub hold_back_max: Duration,
    /// Most nodes that are remembered.
    pub max_nodes: u32,
    /// Most connections that have not said hello yet.
    pub max_handshakes: u32,
    /// Connections a second that one address may make, ...
    pub handshake_rate: u32,
    /// ... and at once.
    pub handshake_burst: u32,
}

/// `[scale]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// What of a node's load counts.
    pub by: Measure,
    /// Above this mean of the active nodes one more is put to work; finite, positive.
    pub up_at: f64,
    /// Where the mean would stay below this with one node less, one is put into reserve; less
    /// than `up_at`, not negative.
    pub down_at: f64,
    /// How long it must be so without a break.
    pub hold: Duration,
    /// The least time between two steps.
    pub interval: Duration,
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// Every problem found, each with its line and what would be right.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Config::parse(&text, path)
    }

    /// Checks the text of a configuration; `path` is for the errors only.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        file::parse(text)
            .and_then(|file| check::check(text, file))
            .map_err(|problems| ConfigError::Wrong {
                path: path.to_owned(),
                problems,
            })
    }
}
