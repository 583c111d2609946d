//! The configuration in the state machine's terms.

use std::time::Duration;

use halod_proto::{ListenerInfo, SelectKey};

use crate::config::Config;

/// What the cluster is to be, where no `select_key` is known of it yet. A listener with several
/// addresses is several, in the file's order.
pub fn cluster_config(config: &Config, select_key: SelectKey) -> halod_cluster::Config {
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
        drain_ms: ms(config.drain),
        udp_stay_ms: ms(config.udp_stay),
        failover: config.failover,
        hold_back_ms: ms(nodes.hold_back),
        hold_back_max_ms: ms(nodes.hold_back_max),
        scale: config.scale.as_ref().map(|scale| halod_cluster::Scale {
            by: scale.by,
            up_at: scale.up_at,
            down_at: scale.down_at,
            hold_ms: ms(scale.hold),
            interval_ms: ms(scale.interval),
        }),
        max_nodes: nodes.max_nodes,
        listeners: listeners(config),
        fast_path: config.fast_path,
        select_key,
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
            select: l.select,
            deliver: l.deliver,
        })
    });
    each.collect()
}

/// Milliseconds; the configuration allows far less than what fits.
fn ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
