//! Which of the node's ports is which route of which listener.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use halod_packet::{Address, SelectKey};
use halod_proto::{Deliver, Hello, Protocol, Select, Welcome};
use halod_routes::{RouteId, RouteSet};
use halod_sockets::{MOST_RANGES, Socket};

/// Where users' TCP connections arrive at this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports {
    listeners: Vec<Listener>,
    routes: u32,
    key: SelectKey,
}

/// A TCP listener as it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listener {
    name: Arc<str>,
    /// Its port of route 1, or of all routes.
    base: u16,
    select: Select,
    /// Where its packets arrive: the node's addresses, or the VIPs where packets are left as they are.
    addresses: Vec<IpAddr>,
}

/// A user's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The route it came by.
    pub route: RouteId,
    /// The listener it came by.
    pub listener: Arc<str>,
    /// The node's end of it.
    pub socket: Socket,
}

/// What there is on some routes' ports at a moment.
#[derive(Debug, Default)]
pub struct View {
    /// Users' connections.
    pub clients: Vec<Client>,
    /// Routes on whose ports a server listens. On others no connection would be seen: another
    /// port may serve them, by a redirect.
    pub served: RouteSet,
}

impl Ports {
    /// As the hello and the welcome say.
    pub fn new(hello: &Hello, welcome: &Welcome) -> Ports {
        let mut listeners: Vec<Listener> = Vec::new();
        for listener in &welcome.listeners {
            let own = hello.ports.get(&listener.name).copied();
            let base = own.or(listener.node_port).unwrap_or(listener.port);
            if listener.protocol != Protocol::Tcp {
                continue;
            }
            let addresses = match listener.deliver {
                Deliver::Nat => hello.addresses.clone(),
                Deliver::Dsr | Deliver::Ipip => vec![listener.address],
            };
            // A listener with two addresses is there twice.
            let known = listeners.iter_mut().find(|known| {
                *known.name == *listener.name
                    && (known.base, known.select) == (base, listener.select)
            });
            match known {
                Some(known) => {
                    let more = addresses.into_iter();
                    let more: Vec<_> = more.filter(|it| !known.addresses.contains(it)).collect();
                    known.addresses.extend(more);
                }
                None => listeners.push(Listener {
                    name: listener.name.as_str().into(),
                    base,
                    select: listener.select,
                    addresses,
                }),
            }
        }
        Ports {
            listeners,
            routes: welcome.routes,
            key: SelectKey::from_bytes(welcome.select_key.map_or([0; 16], |key| key.0)),
        }
    }

    /// All routes.
    pub fn all(&self) -> RouteSet {
        (1..=self.routes).collect()
    }

    /// The ports of routes, as ranges to look at; where those are many, all ports of the listeners.
    pub fn ranges(&self, routes: &RouteSet) -> Vec<RangeInclusive<u16>> {
        let many = routes.ranges().len() * self.listeners.len() > MOST_RANGES;
        let hull = [(1, self.routes)];
        let ranges = if many { &hull[..] } else { routes.ranges() };
        let listeners = self.listeners.iter().take(MOST_RANGES);
        listeners
            .flat_map(|listener| {
                let ranges = match listener.select {
                    // Of one port only, as long as there is any route to look at.
                    Select::Source | Select::Flow => &[(1, 1)][..ranges.len().min(1)],
                    Select::Port => ranges,
                };
                let ranges = ranges.iter();
                ranges.filter_map(move |&(first, last)| {
                    let first = port(listener.base, first)?;
                    Some(first..=port(listener.base, last).unwrap_or(u16::MAX))
                })
            })
            .collect()
    }

    /// Sorts out what was found. A connection within this machine is no user's.
    pub fn view(&self, sockets: Vec<Socket>) -> View {
        let mut clients = Vec::new();
        let (mut served, mut every) = (Vec::new(), false);
        for socket in sockets {
            let local = socket.local.ip();
            if socket.listens {
                for (_, route) in self.find(socket.local, true) {
                    every |= route.is_none();
                    served.extend(route);
                }
            } else if socket.peer.ip() != local
                && let Some((listener, route)) = self.find(socket.local, false).next()
            {
                clients.push(Client {
                    route: route.unwrap_or_else(|| self.hashed(listener.select, socket.peer)),
                    listener: Arc::clone(&listener.name),
                    socket,
                });
            }
        }
        View {
            clients,
            served: if every {
                self.all()
            } else {
                served.into_iter().collect()
            },
        }
    }

    /// The listeners whose packets arrive at an address and port, and the route; none where all
    /// routes have that port. Of several that share a port, but no address, a socket that listens on
    /// `any` address serves all.
    fn find(
        &self,
        local: SocketAddr,
        any: bool,
    ) -> impl Iterator<Item = (&Listener, Option<RouteId>)> {
        self.listeners.iter().filter_map(move |listener| {
            let here = listener.addresses.contains(&local.ip());
            if !here && !(any && local.ip().is_unspecified()) {
                return None;
            }
            let before = local.port().checked_sub(listener.base)?;
            let route = RouteId::from(before) + 1;
            match listener.select {
                Select::Port => (route <= self.routes).then_some((listener, Some(route))),
                Select::Source | Select::Flow => (before == 0).then_some((listener, None)),
            }
        })
    }

    /// The route of a client of a listener with one port, as the kernel has it.
    fn hashed(&self, select: Select, peer: SocketAddr) -> RouteId {
        let select = match select {
            Select::Port => halod_packet::Select::Port,
            Select::Source => halod_packet::Select::Source,
            Select::Flow => halod_packet::Select::Flow,
        };
        let address = match peer.ip() {
            IpAddr::V4(address) => Address::V4(address.octets()),
            IpAddr::V6(address) => Address::V6(address.octets()),
        };
        let routes = self.routes as usize;
        RouteId::from(self.key.route(select, &address, peer.port(), routes)) + 1
    }
}

impl View {
    /// Connections by route, where there are any, ascending.
    pub fn by_route(&self) -> Vec<(RouteId, u64)> {
        let mut counts: HashMap<RouteId, u64> = HashMap::new();
        for client in &self.clients {
            *counts.entry(client.route).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_unstable();
        counts
    }
}

fn port(base: u16, route: RouteId) -> Option<u16> {
    u16::try_from(u32::from(base) + route - 1).ok()
}

#[cfg(test)]
mod tests {
    use halod_proto::{ListenerInfo, NodeState, VERSION};

    use super::*;

    fn ports(routes: u32) -> Ports {
        with_select(routes, Select::Port)
    }

    /// The listener `browsers` has one port where `select` says so.
    fn with_select(routes: u32, select: Select) -> Ports {
        let (hello, welcome) = said(routes, select);
        Ports::new(&hello, &welcome)
    }

    fn said(routes: u32, select: Select) -> (Hello, Welcome) {
        let listener = |name: &str, address: &str, protocol, port, node_port| ListenerInfo {
            name: name.to_owned(),
            address: address.parse().expect("an address"),
            protocol,
            port,
            node_port,
            select: Select::Port,
            deliver: Deliver::Nat,
        };
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        let mut welcome = Welcome {
            version: VERSION,
            cluster: "push".to_owned(),
            routes,
            state: NodeState::Active,
            heartbeat_ms: 100,
            heartbeat_misses: 3,
            resume: "0".repeat(32),
            listeners: vec![
                listener("browsers", "198.51.100.1", tcp, 8000, Some(18000)),
                listener("browsers", "2001:db8::1", tcp, 8000, Some(18000)),
                listener("apps", "198.51.100.1", tcp, 9000, Some(19000)),
                listener("quic", "198.51.100.1", udp, 8000, None),
                listener("plain", "198.51.100.2", tcp, 7000, None),
            ],
            select_key: (select != Select::Port).then_some(halod_proto::SelectKey(KEY)),
        };
        for listener in &mut welcome.listeners[..2] {
            listener.select = select;
        }
        let hello = Hello {
            version: VERSION,
            name: "n1".parse().expect("a name"),
            addresses: vec!["192.0.2.11".parse().expect("an address")],
            ports: [("apps".to_owned(), 9100)].into(),
            resume: None,
            agent: None,
            healthy: true,
        };
        (hello, welcome)
    }

    const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    fn socket(local: &str, peer: &str) -> Socket {
        Socket {
            local: local.parse().expect("an address"),
            peer: peer.parse().expect("an address"),
            interface: 0,
            cookie: 1,
            listens: peer.ends_with(":0"),
            inode: 1,
        }
    }

    #[test]
    fn own_then_nodes_then_clusters_port() {
        let routes = "1-3,5".parse().expect("routes");
        assert_eq!(
            ports(24).ranges(&routes),
            [
                18000..=18002,
                18004..=18004,
                9100..=9102,
                9104..=9104,
                7000..=7002,
                7004..=7004
            ]
        );
    }

    /// As the examples of docs/node-protocol.md have it.
    #[test]
    fn one_port_has_the_routes_of_its_clients() {
        for (select, route) in [(Select::Source, 16), (Select::Flow, 13)] {
            let ports = with_select(24, select);
            let two = "1,5".parse().expect("routes");
            assert_eq!(
                ports.ranges(&two),
                [
                    18000..=18000,
                    9100..=9100,
                    9104..=9104,
                    7000..=7000,
                    7004..=7004
                ]
            );
            assert_eq!(ports.ranges(&RouteSet::new()), []);
            let view = ports.view(vec![
                socket("192.0.2.11:18000", "203.0.113.9:40001"),
                socket("192.0.2.11:18001", "203.0.113.9:40001"), // the next port
                socket("192.0.2.11:9102", "203.0.113.9:40001"),
            ]);
            assert_eq!(view.by_route(), [(3, 1), (route, 1)]);
            assert_eq!(view.clients[0].route, route);
            assert_eq!(view.served, RouteSet::new());
            let view = ports.view(vec![socket("0.0.0.0:18000", "0.0.0.0:0")]);
            assert_eq!(view.served, ports.all());
        }
    }

    #[test]
    fn many_ranges_are_looked_at_as_one() {
        let ports = ports(100);
        let odd: RouteSet = (1..100).step_by(2).collect();
        assert_eq!(
            ports.ranges(&odd),
            [18000..=18099, 9100..=9199, 7000..=7099]
        );
        assert_eq!(ports.ranges(&RouteSet::new()), []);
    }

    #[test]
    fn packets_left_as_they_are_arrive_at_the_vip() {
        let welcome = |deliver| ListenerInfo {
            name: "direct".to_owned(),
            address: "198.51.100.9".parse().expect("an address"),
            protocol: Protocol::Tcp,
            port: 7000, // as that of `plain`
            node_port: None,
            select: Select::Port,
            deliver,
        };
        let (hello, mut said) = said(24, Select::Port);
        said.listeners.push(welcome(Deliver::Dsr));
        said.listeners.push(ListenerInfo {
            address: "2001:db8::9".parse().expect("an address"),
            ..welcome(Deliver::Ipip)
        });
        let ports = Ports::new(&hello, &said);
        let view = ports.view(vec![
            socket("192.0.2.11:7000", "203.0.113.9:40001"),
            socket("198.51.100.9:7001", "203.0.113.9:40001"),
            socket("[2001:db8::9]:7002", "[2001:db8:3::9]:40001"),
            socket("198.51.100.1:8000", "203.0.113.9:40001"), // not left as they are
            socket("198.51.100.9:7004", "0.0.0.0:0"),
            socket("0.0.0.0:7005", "0.0.0.0:0"),
        ]);
        let clients = view.clients.iter().map(|it| (&*it.listener, it.route));
        let expected = [("plain", 1), ("direct", 2), ("direct", 3)];
        assert_eq!(clients.collect::<Vec<_>>(), expected);
        assert_eq!(view.served.to_string(), "5-6");
    }

    #[test]
    fn sockets_are_sorted_out() {
        let view = ports(24).view(vec![
            socket("192.0.2.11:18000", "203.0.113.9:40001"),
            socket("192.0.2.11:9123", "203.0.113.9:40001"),
            socket("192.0.2.11:9124", "203.0.113.9:40001"), // after the last route
            socket("192.0.2.12:18000", "203.0.113.9:40002"), // another address
            socket("192.0.2.11:18000", "192.0.2.11:40003"), // this machine's own
            socket("0.0.0.0:18004", "0.0.0.0:0"),
            socket("192.0.2.11:7001", "0.0.0.0:0"),
            socket("127.0.0.1:7002", "0.0.0.0:0"),
        ]);
        let found: Vec<_> = view
            .clients
            .iter()
            .map(|c| (c.route, &*c.listener))
            .collect();
        assert_eq!(found, [(1, "browsers"), (24, "apps")]);
        assert_eq!(view.served.to_string(), "2,5");
        assert_eq!(view.by_route(), [(1, 1), (24, 1)]);
    }
}
