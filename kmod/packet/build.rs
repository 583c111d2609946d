// SPDX-License-Identifier: GPL-2.0
//! From a table as it is asked for to one that packets can use, or a refusal.

use super::address::{Address, Protocol};
use super::check;
use super::deliver::Deliver;
use super::drain::{self, Drain};
use super::filter;
use super::refusal::Refusal;
use super::sort::sort;
use super::table::{
    key, Addresses, Base, Bucket, Id, Input, Listener, Node, Owner, Range, Sizes, Storage,
};

/// The sizes of the storage for `input`, whose counts are checked here.
pub fn sizes(input: &Input<'_>) -> Result<Sizes, Refusal> {
    check::counts(input)?;
    let (listeners, nodes) = (input.listeners.len(), input.nodes.len());
    let mut addresses = listeners;
    let mut ranges = listeners;
    for node in input.nodes {
        for address in node.addresses() {
            addresses = addresses.saturating_add(1);
            ranges = ranges.saturating_add(count_of_family(input.listeners, address) as usize);
        }
    }
    let drains = drain::count(input)?;
    Ok(Sizes {
        // At most half full, and never quite full.
        buckets: addresses
            .max(1)
            .saturating_mul(2)
            .checked_next_power_of_two()
            .unwrap_or(0),
        filter: filter::slots(addresses),
        ranges,
        listeners,
        nodes,
        bases: nodes.saturating_mul(listeners),
        routes: input.route_nodes.len(),
        drains,
        draining: if drains == 0 {
            0
        } else {
            input.route_nodes.len()
        },
        ids: nodes,
    })
}

/// Checks `input` and fills `storage`, whose content before does not matter.
/// After a refusal the storage must not be used as a table. `previous` is what
/// drains in the table that this one replaces, whose flows are still remembered.
///
/// Takes time in the order of nodes times listeners, sorted. All of a node's
/// ports are checked, those of routes that it does not hold too, so that no
/// table that differs in its moves only is ever refused.
pub fn build(
    input: &Input<'_>,
    previous: &[Drain],
    storage: &mut Storage<'_>,
) -> Result<(), Refusal> {
    if sizes(input)? != storage.sizes() {
        return Err(Refusal::Storage);
    }
    check::listeners(input)?;
    check::nodes(input, storage.ids)?;
    for (place, listener) in storage.listeners.iter_mut().zip(input.listeners) {
        *place = *listener;
    }
    for (addresses, node) in storage.nodes.iter_mut().zip(input.nodes) {
        *addresses = Addresses {
            v4: node.v4,
            v6: node.v6,
        };
    }
    fill_routes(input, storage)?;
    drain::fill(
        input,
        storage.ids,
        storage.routes,
        previous,
        storage.drains,
        storage.draining,
    )?;
    fill_bases(input, storage.bases)?;
    place_addresses(input, storage.buckets)?;
    filter::fill(storage.buckets, storage.filter);
    fill_ranges(input, storage);
    for bucket in storage.buckets.iter_mut() {
        sort_ranges(input, bucket, storage.ranges)
            .map_err(|(one, other)| ambiguous(input, storage.bases, bucket, one, other))?;
    }
    Ok(())
}

/// The listeners of an address's family whose answers come back this way, with their indexes.
fn of_family(listeners: &[Listener], address: Address) -> impl Iterator<Item = (u16, &Listener)> {
    (0..=u16::MAX)
        .zip(listeners)
        .filter(|(_, listener)| listener.deliver == Deliver::Nat)
        .filter(move |(_, listener)| listener.address.same_family(&address))
}

fn count_of_family(listeners: &[Listener], address: Address) -> u32 {
    of_family(listeners, address).fold(0, |count: u32, _| count.saturating_add(1))
}

fn fill_routes(input: &Input<'_>, storage: &mut Storage<'_>) -> Result<(), Refusal> {
    let ids: &[Id] = storage.ids;
    for ((route, &node), place) in (1..=input.routes)
        .zip(input.route_nodes)
        .zip(storage.routes.iter_mut())
    {
        *place = match node {
            0 => 0,
            _ => ids
                .binary_search_by_key(&node, |id| id.id)
                .ok()
                .and_then(|at| ids.get(at))
                // At most 4,096.
                .map(|id| (id.index as u16).wrapping_add(1))
                .ok_or(Refusal::RouteNode { route, node })?,
        };
    }
    Ok(())
}

/// Where each node has each listener: at its target's port, or the listener's.
fn fill_bases(input: &Input<'_>, bases: &mut [Base]) -> Result<(), Refusal> {
    bases.fill(Base::default());
    for (index, target) in check::numbered(input.targets) {
        let Some(node) = input.nodes.get(target.node as usize) else {
            return Err(Refusal::TargetNode(index, target.node));
        };
        let Some(listener) = input.listeners.get(target.listener as usize) else {
            return Err(Refusal::TargetListener(node.id, target.listener));
        };
        check::ports(target.port, listener.select.ports(input.routes)).map_err(|last| {
            Refusal::TargetPorts {
                node: node.id,
                listener: target.listener,
                first: target.port,
                last,
            }
        })?;
        if listener.deliver != Deliver::Nat && target.port != listener.port {
            return Err(Refusal::TargetDeliver(node.id, target.listener));
        }
        let at = base_index(input, target.node as usize, target.listener as usize);
        match bases.get_mut(at) {
            Some(base) if base.port == 0 => base.port = target.port,
            _ => return Err(Refusal::TargetTwice(node.id, target.listener)),
        }
    }
    // There are none where there is no listener.
    let bases_of = bases.chunks_mut(input.listeners.len().max(1));
    for (node, bases) in input.nodes.iter().zip(bases_of) {
        for (base, listener) in bases.iter_mut().zip(input.listeners) {
            let reachable = match listener.address {
                Address::V4(_) => node.v4.is_some(),
                Address::V6(_) => node.v6.is_some(),
            };
            base.v4 = node.v4.unwrap_or_default();
            if listener.deliver != Deliver::Nat || !reachable {
                base.port = 0;
            } else if base.port == 0 {
                base.port = listener.node_port;
            }
        }
    }
    Ok(())
}

fn base_index(input: &Input<'_>, node: usize, listener: usize) -> usize {
    node.wrapping_mul(input.listeners.len())
        .wrapping_add(listener)
}

/// Gives every address a bucket, and each bucket the place of its ranges.
fn place_addresses(input: &Input<'_>, buckets: &mut [Bucket]) -> Result<(), Refusal> {
    buckets.fill(Bucket::default());
    for listener in input.listeners {
        if let Some(bucket) = bucket_of(buckets, listener.address) {
            bucket.owner = Owner::Listener;
            bucket.count = bucket.count.saturating_add(1);
        }
    }
    for node in input.nodes {
        for address in node.addresses() {
            if let Some(bucket) = bucket_of(buckets, address) {
                if bucket.owner == Owner::Listener {
                    return Err(Refusal::NodeIsVip(node.id, address));
                }
                let ranges = count_of_family(input.listeners, address);
                bucket.owner = Owner::Node;
                bucket.count = bucket.count.saturating_add(ranges);
            }
        }
    }
    let mut start: u32 = 0;
    for bucket in buckets.iter_mut() {
        bucket.start = start;
        start = start.saturating_add(bucket.count);
        bucket.count = 0;
    }
    Ok(())
}

/// The bucket that holds an address, or the empty one where it belongs.
fn bucket_of(buckets: &mut [Bucket], address: Address) -> Option<&mut Bucket> {
    let mask = buckets.len().wrapping_sub(1);
    let mut at = address.hash() & mask;
    for _ in 0..buckets.len() {
        let bucket = buckets.get(at)?;
        if bucket.owner == Owner::Nobody || bucket.address == address {
            break;
        }
        at = at.wrapping_add(1) & mask;
    }
    let bucket = buckets.get_mut(at)?;
    bucket.address = address;
    Some(bucket)
}

fn fill_ranges(input: &Input<'_>, storage: &mut Storage<'_>) {
    for (index, listener) in (0..=u16::MAX).zip(input.listeners) {
        let range = Range {
            first: key(listener.protocol, listener.port),
            span: span(input, listener),
            listener: index,
        };
        add_range(storage, listener.address, range);
    }
    for (node_index, node) in check::numbered(input.nodes) {
        for address in node.addresses() {
            for (index, listener) in of_family(input.listeners, address) {
                let base = base_index(input, node_index, usize::from(index));
                let base = storage.bases.get(base).map_or(0, |base| base.port);
                let range = Range {
                    first: key(listener.protocol, base),
                    span: span(input, listener),
                    listener: index,
                };
                add_range(storage, address, range);
            }
        }
    }
}

/// The number of a listener's ports, less one.
fn span(input: &Input<'_>, listener: &Listener) -> u16 {
    listener.select.ports(input.routes).wrapping_sub(1) as u16
}

fn add_range(storage: &mut Storage<'_>, address: Address, range: Range) {
    if let Some(bucket) = bucket_of(storage.buckets, address) {
        let at = bucket.start.saturating_add(bucket.count);
        if let Some(place) = storage.ranges.get_mut(at as usize) {
            *place = range;
            bucket.count = bucket.count.saturating_add(1);
        }
    }
}

/// Sorts a bucket's ranges and drops repeated ones (nodes that share address
/// and ports). Two that overlap are an error.
fn sort_ranges(
    input: &Input<'_>,
    bucket: &mut Bucket,
    ranges: &mut [Range],
) -> Result<(), (Range, Range)> {
    let start = bucket.start as usize;
    let end = start.saturating_add(bucket.count as usize);
    let ranges = ranges.get_mut(start..end).unwrap_or(&mut []);
    sort(ranges);
    let mut last: Option<Range> = None;
    let mut kept: u32 = 0;
    for at in 0..ranges.len() {
        let Some(&range) = ranges.get(at) else { break };
        match last {
            Some(last) if last == range => continue,
            Some(last) if last.offset(range.first).is_some() => return Err((last, range)),
            _ => {}
        }
        if let Some(place) = ranges.get_mut(kept as usize) {
            *place = range;
        }
        last = Some(range);
        kept = kept.saturating_add(1);
    }
    bucket.count = kept;
    let kept = ranges.get(..kept as usize).unwrap_or(&[]);
    bucket.usual =
        [Protocol::Tcp, Protocol::Udp].map(|protocol| usual(input, bucket.owner, kept, protocol));
    Ok(())
}

/// The ranges of a protocol that [`View::usual`](super::table::View::usual) knows, by their ports alone.
fn usual(input: &Input<'_>, owner: Owner, ranges: &[Range], protocol: Protocol) -> [Range; 2] {
    let all = key(protocol, 0)..=key(protocol, u16::MAX);
    let is_usual = |range: &&Range| {
        let listener = input.listeners.get(usize::from(range.listener));
        all.contains(&range.first)
            && input.formers.is_empty()
            && listener.is_some_and(|listener| listener.is_usual(owner))
    };
    let mut by_port = ranges.iter().filter(is_usual).map(|range| Range {
        first: range.first & u32::from(u16::MAX),
        ..*range
    });
    [by_port.next(), by_port.next()].map(|range| range.unwrap_or(Range::NONE))
}

/// Names the owners of two overlapping ranges of a node's address.
fn ambiguous(
    input: &Input<'_>,
    bases: &[Base],
    bucket: &Bucket,
    one: Range,
    other: Range,
) -> Refusal {
    let port = other.first as u16;
    let protocol = match other.first >> 16 {
        0 => Protocol::Tcp,
        _ => Protocol::Udp,
    };
    let owns = |index: usize, node: &Node, range: Range| {
        node.addresses().any(|address| address == bucket.address)
            && bases
                .get(base_index(input, index, usize::from(range.listener)))
                .is_some_and(|base| base.port == range.first as u16)
    };
    let mut owners = (0, 0);
    for (index, node) in check::numbered(input.nodes) {
        match (owns(index, node, one), owns(index, node, other)) {
            (true, true) => {
                return Refusal::ListenersAmbiguous {
                    node: node.id,
                    listeners: (one.listener, other.listener),
                    protocol,
                    port,
                }
            }
            (true, false) => owners.0 = node.id,
            (false, true) => owners.1 = node.id,
            (false, false) => {}
        }
    }
    Refusal::NodesAmbiguous {
        nodes: owners,
        protocol,
        port,
    }
}
