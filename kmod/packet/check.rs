// SPDX-License-Identifier: GPL-2.0
//! Whether a table makes sense, as far as that can be seen without its index.

use super::deliver::Deliver;
use super::refusal::Refusal;
use super::select::Select;
use super::sort::sort;
use super::table::{Id, Input, Listener, MAX_LISTENERS, MAX_NODES, MAX_ROUTES};

/// Checks the counts, so that sizes computed of them are bounded.
pub(super) fn counts(input: &Input<'_>) -> Result<(), Refusal> {
    if input.routes == 0 || input.routes > MAX_ROUTES {
        return Err(Refusal::Routes(input.routes));
    }
    if usize::try_from(input.routes) != Ok(input.route_nodes.len()) {
        return Err(Refusal::RouteNodes {
            given: input.route_nodes.len(),
            routes: input.routes,
        });
    }
    if input.listeners.len() > MAX_LISTENERS {
        return Err(Refusal::Listeners(input.listeners.len()));
    }
    if input.nodes.len() > MAX_NODES {
        return Err(Refusal::Nodes(input.nodes.len()));
    }
    Ok(())
}

/// Checks every listener by itself, and against those before it.
pub(super) fn listeners(input: &Input<'_>) -> Result<(), Refusal> {
    for (index, listener) in numbered(input.listeners) {
        if !listener.address.is_routable() {
            return Err(Refusal::ListenerAddress(index, listener.address));
        }
        let count = listener.select.ports(input.routes);
        if listener.select != Select::Port && input.select_key.is_none() {
            return Err(Refusal::SelectKey(index));
        }
        ports(listener.port, count).map_err(|last| Refusal::ListenerPorts {
            listener: index,
            first: listener.port,
            last,
        })?;
        ports(listener.node_port, count).map_err(|last| Refusal::NodePorts {
            listener: index,
            first: listener.node_port,
            last,
        })?;
        if listener.deliver != Deliver::Nat && listener.node_port != listener.port {
            return Err(Refusal::DeliverPort(index, listener.node_port));
        }
        for (other_index, other) in numbered(input.listeners).take(index) {
            if overlap(listener, other, input.routes) {
                return Err(Refusal::ListenersOverlap(other_index, index));
            }
        }
    }
    Ok(())
}

fn overlap(one: &Listener, other: &Listener, routes: u32) -> bool {
    let before = |a: &Listener, b: &Listener| {
        u32::from(b.port.saturating_sub(a.port)) < a.select.ports(routes)
    };
    one.address == other.address
        && one.protocol == other.protocol
        && before(one, other)
        && before(other, one)
}

/// Checks the nodes' ids and addresses, and leaves `ids` sorted by id.
pub(super) fn nodes(input: &Input<'_>, ids: &mut [Id]) -> Result<(), Refusal> {
    for ((index, node), id) in (0..=u32::MAX).zip(input.nodes).zip(ids.iter_mut()) {
        *id = Id { id: node.id, index };
        if node.id == 0 {
            return Err(Refusal::NodeZero);
        }
        if node.addresses().next().is_none() {
            return Err(Refusal::NodeNoAddress(node.id));
        }
        if let Some(address) = node.addresses().find(|address| !address.is_routable()) {
            return Err(Refusal::NodeAddress(node.id, address));
        }
    }
    sort(ids);
    let mut previous = 0;
    for id in ids.iter() {
        if id.id == previous {
            return Err(Refusal::NodeTwice(id.id));
        }
        previous = id.id;
    }
    Ok(())
}

/// Checks that `count` ports from `first` on are ports. Else gives the last
/// one, were it a port.
pub(super) fn ports(first: u16, count: u32) -> Result<(), u32> {
    let last = u32::from(first).saturating_add(count.saturating_sub(1));
    if first == 0 || last > u32::from(u16::MAX) {
        return Err(last);
    }
    Ok(())
}

/// The elements with their indexes. `enumerate` could panic, in a build with
/// overflow checks, had a slice more elements than there are indexes.
pub(super) fn numbered<T>(slice: &[T]) -> impl Iterator<Item = (usize, &T)> {
    (0..=usize::MAX).zip(slice)
}
