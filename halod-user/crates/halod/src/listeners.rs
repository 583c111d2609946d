//! The configuration in the state machine's terms.

use std::time::Duration;

use halod_proto::ListenerInfo;

use crate::config::Config;

/// What the cluster is to be. A listener with several addresses is several, in the file's order.
pub fn cluster_config(config: &Config) -> halod_cluster::Config {
    let nodes = &config.nodes;
    halod_cluster::Config {
        cluster: config.cluster.clone(),
        routes: config.routes,
        active_min: config.active_min,
        reserve: config.reserve,
        heartbeat_ms: ms(nodes.heartbeat),
        heartbeat_misses: nodes.heartbeat_misses,
        rejoin_ms: ms(nodes.rejoin),
        restart_grace_ms: ms(nodes.restart_grace),
        max_nodes: nodes.max_nodes,
        listeners: listeners(config),
        drain_ms: 0,
        udp_stay_ms: 0,
        failover: halod_cluster::Failover::Replace,
        hold_back_ms: 0,
        hold_back_max_ms: 0,
        scale: None,
    }
}

/// Every listener of the kernel's table, in the order of its index there.
pub fn listeners(config: &Config) -> Vec<ListenerInfo> {
    let each = config.listeners.iter().flat_map(|l| {
        l.addresses.iter().map(|&address| ListenerInfo {
            name: l.name.clone(),
            address,
            protocol: l.protocol,
            port: l.port,
            node_port: l.node_port,
        })
    });
    each.collect()
}

/// Milliseconds; the configuration allows far less than what fits.
fn ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
