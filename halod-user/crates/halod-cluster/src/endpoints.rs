//! Ports and addresses at which nodes serve routes, and what must not be the same about them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use halod_proto::{Hello, ListenerInfo};

use crate::{Config, Node};

/// A node's port of route 1 of a listener, or of all routes: its own, else the listener's `node_port`, else its
/// `port`. `ports` is the node's.
pub fn node_port(listener: &ListenerInfo, ports: &BTreeMap<String, u16>) -> u16 {
    let own = ports.get(&listener.name).copied();
    own.or(listener.node_port).unwrap_or(listener.port)
}

/// The ports of a listener; may end beyond 65535.
fn range(
    listener: &ListenerInfo,
    ports: &BTreeMap<String, u16>,
    routes: u32,
) -> RangeInclusive<u32> {
    let first = u32::from(node_port(listener, ports));
    first..=first + listener.select.ports(routes).saturating_sub(1)
}

fn overlap(a: &RangeInclusive<u32>, b: &RangeInclusive<u32>) -> bool {
    a.start() <= b.end() && b.start() <= a.end()
}

/// Checks that packets of a node can be told apart from all others: a packet's way back is found
/// from the node's address and port alone.
///
/// `others` are the nodes to compare with, the node itself not among them.
pub(crate) fn check<'a>(
    config: &Config,
    hello: &Hello,
    others: impl Iterator<Item = &'a Node>,
) -> Result<(), String> {
    let routes = config.routes;
    let listeners = &config.listeners;
    for name in hello.ports.keys() {
        if !listeners.iter().any(|listener| listener.name == *name) {
            let mut names: Vec<&str> = listeners.iter().map(|l| l.name.as_str()).collect();
            names.dedup();
            let names = names.join(", ");
            return Err(format!(
                "ports: there is no listener {name:?}; there are: {names}"
            ));
        }
    }
    for listener in listeners {
        let name = &listener.name;
        if hello.addresses.contains(&listener.address) {
            let address = listener.address;
            return Err(format!(
                "address {address} is that of the listener {name:?}; give the node's own"
            ));
        }
        let (deliver, port) = (listener.deliver, listener.port);
        if !deliver.is_nat() && node_port(listener, &hello.ports) != port {
            return Err(format!(
                "ports: {name:?} leaves packets as they are ({deliver}), on port {port}; let the \
                 node listen there"
            ));
        }
        let ports = range(listener, &hello.ports, routes);
        if *ports.end() > u32::from(u16::MAX) {
            let (first, most) = (ports.start(), u32::from(u16::MAX) - routes + 1);
            return Err(format!(
                "port {first} of {name:?}: {routes} routes need as many ports from there; at most \
                 {most}"
            ));
        }
    }
    for (index, a) in listeners.iter().enumerate() {
        for b in &listeners[..index] {
            let apart = a.name == b.name
                || !(a.deliver.is_nat() && b.deliver.is_nat())
                || a.protocol != b.protocol
                || a.address.is_ipv4() != b.address.is_ipv4()
                || !serves(&hello.addresses, a)
                || !overlap(
                    &range(a, &hello.ports, routes),
                    &range(b, &hello.ports, routes),
                );
            if !apart {
                return Err(format!(
                    "the ports of {:?} and {:?} overlap on this node; give it its own in ports",
                    b.name, a.name
                ));
            }
        }
    }
    for other in others {
        if let Some((address, port)) = clash(config, hello, other) {
            return Err(format!(
                "port {port} of address {address} is that of node {} already; give this node \
                 another address or other ports",
                other.name
            ));
        }
    }
    Ok(())
}

/// Whether a node with these addresses can serve a listener's.
fn serves(addresses: &[IpAddr], listener: &ListenerInfo) -> bool {
    let family = listener.address.is_ipv4();
    addresses.iter().any(|address| address.is_ipv4() == family)
}

/// An address and a port that two nodes would share.
fn clash(config: &Config, hello: &Hello, other: &Node) -> Option<(IpAddr, u32)> {
    let routes = config.routes;
    let shared = hello
        .addresses
        .iter()
        .filter(|a| other.addresses.contains(a));
    for &address in shared {
        let family = |l: &&ListenerInfo| l.address.is_ipv4() == address.is_ipv4();
        for a in config.listeners.iter().filter(family) {
            for b in config.listeners.iter().filter(family) {
                let (ours, theirs) = (
                    range(a, &hello.ports, routes),
                    range(b, &other.ports, routes),
                );
                if a.protocol == b.protocol && overlap(&ours, &theirs) {
                    return Some((address, *ours.start().max(theirs.start())));
                }
            }
        }
    }
    None
}
