//! From the kernel's attributes to values. Attributes that are not known are
//! skipped, as a later module may have more; known ones must be exact.

use crate::attr::{Wrong, read};
use crate::model::{
    Deliver, Device, DeviceState, Drain, FastPath, Former, Listener, Node, Protocol, Select,
    Status, Table,
};
use crate::uapi;

type Decoded<T> = Result<T, Wrong>;

fn needed<T>(value: Option<T>, name: &str) -> Decoded<T> {
    value.ok_or_else(|| format!("the attribute {name} is missing"))
}

/// A status, or the event about a table's change.
pub(crate) fn status(attrs: &[u8]) -> Decoded<Status> {
    let (mut version, mut generation, mut routes) = (None, None, None);
    let (mut listeners, mut nodes) = (None, None);
    let (mut draining, mut flows, mut flow_slots) = (0, 0, 0);
    for attr in read(attrs) {
        let attr = attr?;
        match attr.kind {
            uapi::status::VERSION => version = Some(attr.string()?),
            uapi::status::GENERATION => generation = Some(attr.u64()?),
            uapi::status::ROUTES => routes = Some(attr.u32()?),
            uapi::status::LISTENERS => listeners = Some(attr.u32()?),
            uapi::status::NODES => nodes = Some(attr.u32()?),
            uapi::status::DRAINING => draining = attr.u32()?,
            uapi::status::FLOWS => flows = attr.u32()?,
            uapi::status::FLOW_SLOTS => flow_slots = attr.u32()?,
            _ => {}
        }
    }
    Ok(Status {
        version: version.unwrap_or_default(),
        generation: needed(generation, "generation")?,
        routes: needed(routes, "routes")?,
        listeners: needed(listeners, "listeners")?,
        nodes: needed(nodes, "nodes")?,
        draining,
        flows,
        flow_slots,
    })
}

/// The generation in the answer to a commit or flush.
pub(crate) fn generation(attrs: &[u8]) -> Decoded<u64> {
    let mut generation = None;
    for attr in read(attrs) {
        let attr = attr?;
        if attr.kind == uapi::table::GENERATION {
            generation = Some(attr.u64()?);
        }
    }
    needed(generation, "generation")
}

/// One counter: the packets' exit and their number.
pub(crate) fn counter(attrs: &[u8]) -> Decoded<(String, u64)> {
    let (mut name, mut packets) = (None, None);
    for attr in read(attrs) {
        let attr = attr?;
        match attr.kind {
            uapi::counter::NAME => name = Some(attr.string()?),
            uapi::counter::PACKETS => packets = Some(attr.u64()?),
            _ => {}
        }
    }
    Ok((needed(name, "name")?, needed(packets, "packets")?))
}

/// One device.
pub(crate) fn device(attrs: &[u8]) -> Decoded<Device> {
    let (mut index, mut name, mut ipv4, mut ipv6) = (None, None, None, None);
    let state = |number| {
        DeviceState::from_number(number).ok_or_else(|| format!("{number} is not a device's state"))
    };
    for attr in read(attrs) {
        let attr = attr?;
        match attr.kind {
            uapi::device::INDEX => index = Some(attr.u32()?),
            uapi::device::NAME => name = Some(attr.string()?),
            uapi::device::IPV4 => ipv4 = Some(state(attr.u8()?)?),
            uapi::device::IPV6 => ipv6 = Some(state(attr.u8()?)?),
            _ => {}
        }
    }
    Ok(Device {
        index: needed(index, "index")?,
        name: needed(name, "name")?,
        ipv4: needed(ipv4, "ipv4")?,
        ipv6: needed(ipv6, "ipv6")?,
    })
}

/// A table that comes in the messages of a dump.
#[derive(Debug, Default)]
pub(crate) struct TableParts {
    generation: Option<u64>,
    routes: Option<u32>,
    listeners: Vec<Listener>,
    nodes: Vec<Node>,
    runs: Vec<(u32, Vec<u32>)>,
    described: usize,
    drains: Vec<Drain>,
    select_key: Option<[u8; 16]>,
    fast_path: FastPath,
}

impl TableParts {
    /// Takes the attributes of one message.
    pub(crate) fn add(&mut self, attrs: &[u8]) -> Decoded<()> {
        for attr in read(attrs) {
            let attr = attr?;
            match attr.kind {
                uapi::table::GENERATION => self.generation = Some(attr.u64()?),
                uapi::table::ROUTES => self.routes = Some(attr.u32()?),
                uapi::table::SELECT_KEY => self.select_key = Some(attr.exactly()?),
                uapi::table::FAST_PATH => {
                    let number = attr.u8()?;
                    self.fast_path = FastPath::from_number(number)
                        .ok_or_else(|| format!("{number} is not a setting of the fast path"))?;
                }
                uapi::table::LISTENER => {
                    bounded(self.listeners.len(), uapi::MAX_LISTENERS, "listeners")?;
                    self.listeners.push(listener(attr.value)?);
                }
                uapi::table::NODE => {
                    bounded(self.nodes.len(), uapi::MAX_NODES, "nodes")?;
                    self.nodes.push(node(attr.value)?);
                }
                uapi::table::RUN => {
                    let (first, nodes) = run(attr.value)?;
                    self.described += nodes.len();
                    bounded(self.described.saturating_sub(1), uapi::MAX_ROUTES, "routes")?;
                    self.runs.push((first, nodes));
                }
                uapi::table::DRAIN => {
                    bounded(self.drains.len(), uapi::MAX_ROUTES, "drains")?;
                    self.drains.push(drain(attr.value)?);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The whole table, where every route was described exactly once, and drains at most once.
    pub(crate) fn finish(self) -> Decoded<Table> {
        let routes = needed(self.routes, "routes")?;
        bounded(
            (routes as usize).saturating_sub(1),
            uapi::MAX_ROUTES,
            "routes",
        )?;
        let mut owners: Vec<Option<u32>> = vec![None; routes as usize];
        for (first, nodes) in self.runs {
            for (route, node) in (first..=u32::MAX).zip(nodes) {
                let owner = (route as usize)
                    .checked_sub(1)
                    .and_then(|index| owners.get_mut(index))
                    .ok_or_else(|| format!("a run describes route {route} of {routes}"))?;
                if owner.replace(node).is_some() {
                    return Err(format!("route {route} is described twice"));
                }
            }
        }
        if let Some(index) = owners.iter().position(Option::is_none) {
            return Err(format!("route {} of {routes} is not described", index + 1));
        }
        let mut last = 0;
        for &Drain { route, .. } in &self.drains {
            if route <= last || route > routes {
                return Err(format!(
                    "a drain of route {route} of {routes} comes after one of route {last}"
                ));
            }
            last = route;
        }
        Ok(Table {
            generation: needed(self.generation, "generation")?,
            routes: owners.into_iter().flatten().collect(),
            listeners: self.listeners,
            nodes: self.nodes,
            drains: self.drains,
            select_key: self.select_key,
            fast_path: self.fast_path,
        })
    }
}

fn bounded(present: usize, most: u32, what: &str) -> Decoded<()> {
    if present < most as usize {
        Ok(())
    } else {
        Err(format!("more than {most} {what}"))
    }
}

fn listener(attrs: &[u8]) -> Decoded<Listener> {
    let (mut name, mut address, mut protocol) = (None, None, None);
    let (mut port, mut node_port) = (None, None);
    let (mut select, mut deliver) = (Select::Port, Deliver::Nat);
    for attr in read(attrs) {
        let attr = attr?;
        match attr.kind {
            uapi::listener::NAME => name = Some(attr.string()?),
            uapi::listener::ADDRESS => address = Some(attr.address()?),
            uapi::listener::PROTOCOL => {
                let number = attr.u8()?;
                protocol = Some(Protocol::from_number(number).ok_or_else(|| {
                    format!("a listener has protocol {number}; it is 6 (TCP) or 17 (UDP)")
                })?);
            }
            uapi::listener::PORT => port = Some(attr.u16()?),
            uapi::listener::NODE_PORT => node_port = Some(attr.u16()?),
            uapi::listener::SELECT => {
                let number = attr.u8()?;
                select = Select::from_number(number)
                    .ok_or_else(|| format!("a listener has select {number}; 0 to 2 are known"))?;
            }
            uapi::listener::DELIVER => {
                let number = attr.u8()?;
                deliver = Deliver::from_number(number)
                    .ok_or_else(|| format!("a listener has deliver {number}; this is newer"))?;
            }
            _ => {}
        }
    }
    Ok(Listener {
        name: name.unwrap_or_default(),
        address: needed(address, "listener.address")?,
        protocol: needed(protocol, "listener.protocol")?,
        port: needed(port, "listener.port")?,
        node_port,
        select,
        deliver,
    })
}

fn node(attrs: &[u8]) -> Decoded<Node> {
    let (mut id, mut name) = (None, None);
    let (mut addresses, mut targets) = (Vec::new(), Vec::new());
    for attr in read(attrs) {
        let attr = attr?;
        match attr.kind {
            uapi::node::ID => id = Some(attr.u32()?),
            uapi::node::NAME => name = Some(attr.string()?),
            uapi::node::ADDRESS => addresses.push(attr.address()?),
            uapi::node::TARGET => targets.push(target(attr.value)?),
            _ => {}
        }
    }
    Ok(Node {
        id: needed(id, "node.id")?,
        name: name.unwrap_or_default(),
        addresses,
        targets,
    })
}

fn target(attrs: &[u8]) -> Decoded<(u32, u16)> {
    let (mut listener, mut port) = (None, None);
    for attr in read(attrs) {
        let attr = attr?;
        match attr.kind {
            uapi::target::LISTENER => listener = Some(attr.u32()?),
            uapi::target::PORT => port = Some(attr.u16()?),
            _ => {}
        }
    }
    Ok((
        needed(listener, "target.listener")?,
        needed(port, "target.port")?,
    ))
}

fn drain(attrs: &[u8]) -> Decoded<Drain> {
    let (mut route, mut udp_left_ms) = (None, 0);
    let (mut nodes, mut left): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
    for attr in read(attrs) {
        let attr = attr?;
        match attr.kind {
            uapi::drain::ROUTE => route = Some(attr.u32()?),
            uapi::drain::NODE => nodes = attr.u32s()?.collect(),
            uapi::drain::LEFT => left = attr.u32s()?.collect(),
            uapi::drain::UDP_LEFT => udp_left_ms = attr.u32()?,
            _ => {}
        }
    }
    let route = needed(route, "drain.route")?;
    let most = uapi::MAX_FORMERS as usize;
    if !(1..=most).contains(&nodes.len()) || nodes.len() != left.len() {
        return Err(format!(
            "route {route} drains from {} nodes with {} times left; it has 1 to {most} of both",
            nodes.len(),
            left.len()
        ));
    }
    let formers = nodes.into_iter().zip(left);
    Ok(Drain {
        route,
        formers: formers
            .map(|(node, left_ms)| Former { node, left_ms })
            .collect(),
        udp_left_ms,
    })
}

fn run(attrs: &[u8]) -> Decoded<(u32, Vec<u32>)> {
    let (mut first, mut nodes) = (None, None);
    for attr in read(attrs) {
        let attr = attr?;
        match attr.kind {
            uapi::run::FIRST => first = Some(attr.u32()?),
            uapi::run::NODES => nodes = Some(attr.u32s()?.collect()),
            _ => {}
        }
    }
    Ok((needed(first, "run.first")?, needed(nodes, "run.nodes")?))
}
