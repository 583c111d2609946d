use std::fmt;

use halod_proto::{ListenerInfo, SelectKey};
use halod_routes::MAX_ROUTES;
use serde::Serialize;

/// The most nodes that a cluster may know; the kernel's table has no room for more.
pub const MAX_NODES: u32 = 4_096;

/// The longest that a drain may be set to last: a day, in milliseconds.
pub const MAX_DRAIN_MS: u32 = 24 * 60 * 60 * 1_000;

/// What a cluster is to be. Checked by [`Config::check`].
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The cluster's name, told to nodes.
    pub cluster: String,
    /// N, the number of routes: 1..=[`MAX_ROUTES`].
    pub routes: u32,
    /// A joining node becomes active as long as fewer are; 1..=routes.
    pub active_min: u32,
    /// How many nodes wait in reserve before a further one becomes active.
    pub reserve: u32,
    /// Interval of a node's heartbeats, in milliseconds, from 1.
    pub heartbeat_ms: u32,
    /// After how many intervals without any message a node is lost, from 1.
    pub heartbeat_misses: u32,
    /// How long a node whose connection closed may take to come back, in milliseconds; 0 for
    /// not at all.
    pub rejoin_ms: u32,
    /// The same after a restart of HaloD, for every node, in milliseconds.
    pub restart_grace_ms: u32,
    /// How many nodes the cluster knows at most, lost ones included: 1..=[`MAX_NODES`].
    pub max_nodes: u32,
    /// Where the routes are exposed.
    pub listeners: Vec<ListenerInfo>,
    /// Which packets the kernel sends on where they arrive.
    pub fast_path: FastPath,
    /// The key by which listeners with one port for all routes tell them apart.
    pub select_key: SelectKey,
    /// How long a node keeps the connections of a route that moves away, in milliseconds; 0: a move
    /// cuts them. At most [`MAX_DRAIN_MS`].
    pub drain_ms: u32,
    /// How long all UDP of a route stays with the node that it moves away from, in milliseconds; 0:
    /// it moves at once. At most `drain_ms`.
    pub udp_stay_ms: u32,
    /// What becomes of a slot that loses its node while nobody waits in reserve.
    pub failover: Failover,
    /// How long a node that was lost twice in a row is held back, in milliseconds; twice as long
    /// after each further loss. 0: not at all.
    pub hold_back_ms: u32,
    /// How long at most, and after what time without a loss former ones are forgotten, in
    /// milliseconds; at least `hold_back_ms`.
    pub hold_back_max_ms: u32,
    /// Whether load decides on the number of active nodes.
    pub scale: Option<Scale>,
}

/// What becomes of a slot that loses its node while nobody waits in reserve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failover {
    /// The node of the highest slot fills it, and that slot's routes go back where they came from:
    /// the table is always the routing algorithm's.
    #[default]
    Replace,
    /// Only the lost node's routes move, spread over all others.
    Minimal,
}

/// Which packets the kernel sends on where they arrive, before its IP layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FastPath {
    /// None.
    Off,
    /// Ordinary ones, as long as nobody else's hooks would see them: no firewall's rules, say.
    #[default]
    Auto,
    /// Ordinary ones, also past such hooks.
    On,
}

/// When load makes a node active, or puts one into reserve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The figure.
    pub by: Measure,
    /// A node more when there is more than this for each active node.
    pub up_at: f64,
    /// A node less when there would be less than this for each of those that remain; below `up_at`.
    pub down_at: f64,
    /// For how long that must be so, in milliseconds.
    pub hold_ms: u32,
    /// How long after a step the next one may be, in milliseconds.
    pub interval_ms: u32,
}

/// The figure of a node's load that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Connections of clients.
    Connections,
    /// The deployment's own figure.
    Value,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Measure::Connections => "connections",
            Measure::Value => "value",
        })
    }
}

impl Config {
    /// Checks every value.
    ///
    /// # Errors
    /// The first value that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let ranges = [
            ("routes", self.routes, 1, MAX_ROUTES),
            ("active_min", self.active_min, 1, self.routes),
            ("heartbeat_ms", self.heartbeat_ms, 1, u32::MAX),
            ("heartbeat_misses", self.heartbeat_misses, 1, u32::MAX),
            ("max_nodes", self.max_nodes, 1, MAX_NODES),
            ("drain_ms", self.drain_ms, 0, MAX_DRAIN_MS),
            ("udp_stay_ms", self.udp_stay_ms, 0, self.drain_ms),
            ("hold_back_ms", self.hold_back_ms, 0, self.hold_back_max_ms),
        ];
        for (name, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(ConfigError::Range {
                    name,
                    value,
                    min,
                    max,
                });
            }
        }
        for listener in &self.listeners {
            let ports = listener.select.ports(self.routes);
            for (name, port) in [
                ("port", Some(listener.port)),
                ("node_port", listener.node_port),
            ] {
                let Some(port) = port else { continue };
                if port == 0 || u32::from(port) + ports - 1 > u32::from(u16::MAX) {
                    return Err(ConfigError::Port {
                        listener: listener.name.clone(),
                        name,
                        port,
                        ports,
                    });
                }
            }
        }
        match self.scale {
            Some(scale) if !(0.0 <= scale.down_at && scale.down_at < scale.up_at) => {
                Err(ConfigError::Scale {
                    down_at: scale.down_at,
                    up_at: scale.up_at,
                })
            }
            _ => Ok(()),
        }
    }

    /// How long a node may be silent, in milliseconds.
    pub fn silence_ms(&self) -> u64 {
        u64::from(self.heartbeat_ms) * u64::from(self.heartbeat_misses)
    }
}

/// A value of [`Config`] that is out of its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A number.
    #[error("{name} is {value}; it must be {min} to {max}")]
    Range {
        /// The field.
        name: &'static str,
        /// Its value.
        value: u32,
        /// The least allowed.
        min: u32,
        /// The largest allowed.
        max: u32,
    },
    /// A port from which not all routes can be counted.
    #[error(
        "{name} {port} of listener {listener:?}: {ports} ports are needed from there, which must \
         be 1 to 65535"
    )]
    Port {
        /// The listener.
        listener: String,
        /// `port` or `node_port`.
        name: &'static str,
        /// Its value.
        port: u16,
        /// How many ports there must be.
        ports: u32,
    },
    /// Limits of load between which no number of nodes would last.
    #[error("down_at is {down_at} and up_at {up_at}; they must be 0 <= down_at < up_at")]
    Scale {
        /// [`Scale::down_at`].
        down_at: f64,
        /// [`Scale::up_at`].
        up_at: f64,
    },
}
