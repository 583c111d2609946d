//! A state made from the kernel's table, which users' connections follow.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use halod_cluster::{Config, NodeId, NodeState, Saved, SavedNode};
use halod_netlink::Table;
use halod_proto::NodeName;
use halod_routes::{Assignment, RouteId, RouteSet, SlotId, SlotTable};

use super::drains;
use crate::table::own_ports;

/// The kernel's nodes with the routes that they have there, and what the store knows beside them;
/// and whether that is exactly the kernel's table. Otherwise it is the nearest that can be: one in
/// which every route has a node and all nodes have their share.
pub(super) fn from_kernel(config: &Config, kernel: &Table, store: Option<&Saved>) -> (Saved, bool) {
    let known: HashSet<u32> = kernel.nodes.iter().map(|n| n.id).collect();
    let mut held: BTreeMap<u32, Vec<RouteId>> = BTreeMap::new();
    for (route, node) in (1..).zip(&kernel.routes) {
        if known.contains(node) {
            held.entry(*node).or_default().push(route);
        }
    }
    let mut held: BTreeMap<u32, RouteSet> = held
        .into_iter()
        .map(|(node, routes)| (node, routes.into_iter().collect()))
        .collect();
    let count = u32::try_from(held.len()).unwrap_or(u32::MAX);
    let slots = slots_of(config.routes, count, &kernel.routes, &held);
    let exact = if held.is_empty() {
        kernel.routes.iter().all(|node| *node == 0)
    } else {
        let sets: Vec<RouteSet> = held.values().cloned().collect();
        SlotTable::of(config.routes, &sets).is_ok_and(|table| table.is_balanced())
    };
    if !exact && let Ok(assignment) = Assignment::of(config.routes, count) {
        for (node, routes) in &mut held {
            *routes = slots
                .get(node)
                .map_or_else(RouteSet::new, |slot| assignment.held_by(*slot).collect());
        }
    }
    let drains = if exact {
        drains::of(kernel, &known)
    } else {
        Vec::new()
    };
    let keeping: HashSet<u32> = drains
        .iter()
        .flat_map(|drain| drain.formers.iter().map(|former| former.node.0))
        .collect();

    let slot_of = |id| slots.get(&id).copied();
    let nodes = nodes(kernel, store, slot_of, &keeping, &mut held);
    let saved = Saved {
        generation: kernel.generation,
        routes: config.routes,
        slots: count,
        nodes,
        drains,
        select_key: None,
    };
    (saved, exact)
}

/// The kernel's nodes that have a slot or are `keeping` connections, then those of the store alone.
fn nodes(
    kernel: &Table,
    store: Option<&Saved>,
    slot_of: impl Fn(u32) -> Option<SlotId>,
    keeping: &HashSet<u32>,
    held: &mut BTreeMap<u32, RouteSet>,
) -> Vec<Arc<SavedNode>> {
    let stored = store.map_or(&[][..], |saved| &saved.nodes);
    let by_id: HashMap<u32, &Arc<SavedNode>> =
        stored.iter().map(|node| (node.id.0, node)).collect();
    let mut names = HashSet::new();
    let mut ids = HashSet::new();
    let mut nodes = Vec::new();
    for node in &kernel.nodes {
        let slot = slot_of(node.id);
        if slot.is_none() && !keeping.contains(&node.id) {
            continue;
        }
        // A name that no node of ours can have: somebody else wrote this table.
        let name = node
            .name
            .parse()
            .ok()
            .filter(|name: &NodeName| !names.contains(name));
        let Some(name) = name.or_else(|| format!("kernel-{}", node.id).parse().ok()) else {
            continue;
        };
        names.insert(name.clone());
        ids.insert(node.id);
        let before = by_id.get(&node.id).filter(|before| before.name == name);
        let state = match (slot, before.map(|before| before.state)) {
            (Some(_), _) => NodeState::Active,
            (None, Some(NodeState::Draining)) => NodeState::Draining,
            (None, _) => NodeState::Reserve,
        };
        nodes.push(Arc::new(SavedNode {
            id: NodeId(node.id),
            name,
            addresses: node.addresses.clone(),
            ports: own_ports(kernel, node),
            state,
            slot,
            routes: held.remove(&node.id).unwrap_or_default(),
            parked: slot.is_none() && before.is_some_and(|before| before.parked),
            token: before
                .map(|before| before.token.clone())
                .unwrap_or_default(),
        }));
    }
    for node in stored {
        if !ids.contains(&node.id.0) && names.insert(node.name.clone()) {
            let mut node = SavedNode::clone(node);
            if node.slot.take().is_some() {
                node.state = NodeState::Lost;
                node.routes = RouteSet::new();
            }
            nodes.push(Arc::new(node));
        }
    }
    nodes
}

/// Which slot each of the nodes fills: the order for which most routes are where the algorithm has
/// them.
fn slots_of(
    count: u32,
    slots: u32,
    routes: &[u32],
    held: &BTreeMap<u32, RouteSet>,
) -> HashMap<u32, SlotId> {
    let Ok(assignment) = Assignment::of(count, slots) else {
        return HashMap::new();
    };
    let mut shared: HashMap<(SlotId, u32), u32> = HashMap::new();
    for (route, node) in (1..).zip(routes) {
        if let Some(slot) = assignment.slot_of(route)
            && held.contains_key(node)
        {
            *shared.entry((slot, *node)).or_default() += 1;
        }
    }
    // The best pairs first. Where the table is an assignment, each slot has one pair only.
    let mut pairs: Vec<(u32, (SlotId, u32))> = shared.into_iter().map(|(k, n)| (n, k)).collect();
    pairs.sort_unstable_by_key(|&(n, pair)| (std::cmp::Reverse(n), pair));
    let mut free: BTreeSet<SlotId> = (1..=slots).collect();
    let mut slot_of = HashMap::new();
    for (_, (slot, node)) in pairs {
        if !slot_of.contains_key(&node) && free.remove(&slot) {
            slot_of.insert(node, slot);
        }
    }
    for node in held.keys() {
        if !slot_of.contains_key(node)
            && let Some(slot) = free.pop_first()
        {
            slot_of.insert(*node, slot);
        }
    }
    slot_of
}
