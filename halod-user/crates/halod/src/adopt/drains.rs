//! The kernel's drains in the state machine's terms.

use std::collections::{HashMap, HashSet};

use halod_cluster::{NodeId, RouteId, Saved, SavedDrain, SavedFormer};
use halod_netlink::{Drain, Former, Table};

/// The kernel's drains by nodes that are `known`, with the times that they have left there.
pub(super) fn of(kernel: &Table, known: &HashSet<u32>) -> Vec<SavedDrain> {
    let drain = |drain: &Drain| {
        let holder = holder(&kernel.routes, drain.route);
        let mut formers: Vec<SavedFormer> = Vec::new();
        for (position, former) in drain.formers.iter().enumerate() {
            let node = NodeId(former.node);
            // The route's own node has what is not remembered, or nothing to keep.
            let of_use = Some(former.node) != holder || formers.is_empty();
            let again = formers.iter().any(|f| f.node == node);
            if of_use && !again && former.left_ms > 0 && known.contains(&former.node) {
                formers.push(SavedFormer {
                    node,
                    left_ms: former.left_ms,
                    // UDP stays with the oldest.
                    udp_left_ms: if position == 0 { drain.udp_left_ms } else { 0 },
                });
            }
        }
        let route = drain.route;
        let drain = SavedDrain { route, formers };
        drains_still(&drain, holder).then_some(drain)
    };
    kernel.drains.iter().filter_map(drain).collect()
}

/// Ends what the kernel, whose table is the one before, has ended already; what goes on has no
/// more time than there.
pub(super) fn keep_going(saved: &mut Saved, kernel: &Table) {
    let before: HashMap<RouteId, &[Former]> = kernel
        .drains
        .iter()
        .map(|drain| (drain.route, &drain.formers[..]))
        .collect();
    let mut now = vec![0; kernel.routes.len()];
    for node in &saved.nodes {
        for route in node.routes.iter() {
            if let Some(place) = now.get_mut((route as usize).wrapping_sub(1)) {
                *place = node.id.0;
            }
        }
    }
    saved.drains.retain_mut(|drain| {
        let formers = before.get(&drain.route).copied().unwrap_or_default();
        let moves_only_now = holder(&kernel.routes, drain.route);
        drain.formers.retain_mut(|former| {
            if moves_only_now == Some(former.node.0) {
                return true;
            }
            let mut there = formers.iter().filter(|f| f.left_ms > 0);
            let there = there.find(|f| f.node == former.node.0);
            former.left_ms = there.map_or(0, |there| former.left_ms.min(there.left_ms));
            there.is_some()
        });
        drains_still(drain, holder(&now, drain.route))
    });
}

/// The node of a route in a table.
fn holder(routes: &[u32], route: RouteId) -> Option<u32> {
    routes.get((route as usize).checked_sub(1)?).copied()
}

/// Whether anybody but the route's own node keeps connections.
fn drains_still(drain: &SavedDrain, holder: Option<u32>) -> bool {
    let mut formers = drain.formers.iter();
    formers.any(|former| Some(former.node.0) != holder)
}
