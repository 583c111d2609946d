use halod_proto::ListenerInfo;
use halod_routes::MAX_ROUTES;

/// The most nodes that a cluster may know; the kernel's table has no room for more.
pub const MAX_NODES: u32 = 4_096;

/// What a cluster is to be. Checked by [`Config::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
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
            for (name, port) in [
                ("port", Some(listener.port)),
                ("node_port", listener.node_port),
            ] {
                let Some(port) = port else { continue };
                if port == 0 || u32::from(port) + self.routes - 1 > u32::from(u16::MAX) {
                    return Err(ConfigError::Port {
                        listener: listener.name.clone(),
                        name,
                        port,
                        routes: self.routes,
                    });
                }
            }
        }
        Ok(())
    }

    /// How long a node may be silent, in milliseconds.
    pub(crate) fn silence_ms(&self) -> u64 {
        u64::from(self.heartbeat_ms) * u64::from(self.heartbeat_misses)
    }
}

/// A value of [`Config`] that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
        "{name} {port} of listener {listener:?}: {routes} routes need the ports up to {name} + \
         {routes} - 1, which must be 1 to 65535"
    )]
    Port {
        /// The listener.
        listener: String,
        /// `port` or `node_port`.
        name: &'static str,
        /// Its value.
        port: u16,
        /// The number of routes.
        routes: u32,
    },
}
