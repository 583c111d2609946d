//! Routes that move, and a naive twin that knows of every connection where it was opened.

use halod_packet::{
    decide_error, decide_packet, uses, usual_node, usual_vip, Address, AtomicCell, Decision,
    Deliver, Drain, Draining, Exit, Flows, Former, Hook, IcmpError, Input, Listener, Node, Packet,
    Parsed, Protocol, Select, SelectKey, Side, Table, Target, FORMERS_MAX,
};

use super::select::route_of;

pub const ROUTES: usize = 3;
/// Ids are 1 to this.
pub const NODES: u32 = 6;
const PORT: u16 = 8_000;
/// The VIPs' one port for all routes, and the nodes' for it.
const ONE_PORT: u16 = 443;
const ONE_NODE_PORT: u16 = 8_443;
const ONE_OWN_PORT: u16 = 9_443;
const SELECT_KEY: [u8; 16] = [9; 16];
/// The node whose ports differ from the listeners'.
const OWN_PORTS: u32 = 5;
const OWN_PORT: u16 = 9_000;
const KEY: (u64, u64) = (0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);

const VIPS: [Address; 2] = [
    Address::V4([198, 51, 100, 1]),
    Address::V6([0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
];

/// One four-tuple of a client and a VIP's route.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct Key {
    pub route: usize,
    pub v6: bool,
    pub host: u8,
    pub port: u16,
    /// Whether it is to the port that all routes share.
    pub one_port: bool,
}

impl Key {
    /// With the route that the client's address and port have.
    pub fn hashed(self) -> Key {
        let from = (client(self), self.port);
        let route = route_of(SELECT_KEY, Select::Flow, from, ROUTES as u32);
        Key { route, ..self }
    }

    fn vip(self) -> (Address, u16) {
        let port = match self.one_port {
            true => ONE_PORT,
            false => PORT + self.route as u16,
        };
        (VIPS[usize::from(self.v6)], port)
    }

    fn node_port(self, id: u32) -> u16 {
        match (self.one_port, id == OWN_PORTS) {
            (true, true) => ONE_OWN_PORT,
            (true, false) => ONE_NODE_PORT,
            (false, true) => OWN_PORT + self.route as u16,
            (false, false) => PORT + self.route as u16,
        }
    }
}

/// A time that a route spent with a node. Those of a route are told apart by `number`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stay {
    pub number: usize,
    pub node: u32,
    pub deadline: u64,
}

/// A route's way: the stays that drain from the oldest on, and the current one, whose node is 0
/// where the route has none.
#[derive(Clone, Debug)]
pub struct Way {
    pub formers: Vec<Stay>,
    pub current: Stay,
    /// Until when UDP stays with the oldest.
    pub udp: u64,
}

impl Way {
    fn stays(&self) -> impl Iterator<Item = &Stay> {
        self.formers.iter().chain([&self.current])
    }

    /// Where a connection that was opened during a stay must be; None where the stay is over, and
    /// with it every promise.
    pub fn node_of(&self, stay: usize, now: u64) -> Option<u32> {
        let own = self.stays().find(|at| at.number == stay)?;
        // A node that is there again keeps what it has as long as it may keep anything.
        let kept = self
            .stays()
            .any(|at| at.node == own.node && now < at.deadline);
        Some(if kept { own.node } else { self.current.node })
    }

    /// Where UDP goes.
    pub fn udp_node(&self, now: u64) -> u32 {
        match self.formers.first() {
            Some(oldest) if now < self.udp => oldest.node,
            _ => self.current.node,
        }
    }

    /// Nodes whose connections are told by the set of flows.
    pub fn is_told(&self, node: u32) -> bool {
        !self.formers.is_empty() && self.stays().skip(1).any(|at| at.node == node)
    }

    /// Moves on; the oldest is given up where there would be too many.
    pub fn go(&mut self, node: u32, deadline: u64) {
        if self.current.node != 0 {
            self.formers.push(Stay {
                deadline,
                ..self.current
            });
        }
        if self.formers.len() > FORMERS_MAX {
            self.formers.remove(0);
        }
        self.fail(node);
    }

    /// The node is lost, and another takes its place: nothing of it drains.
    pub fn fail(&mut self, node: u32) {
        self.current = Stay {
            number: self.current.number + 1,
            node,
            deadline: u64::MAX,
        };
    }
}

pub fn node_address(id: u32, v6: bool) -> Address {
    let mut bytes = [0x20, 1, 0xd, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[15] = id as u8;
    match v6 {
        true => Address::V6(bytes),
        false => Address::V4([192, 0, 2, id as u8]),
    }
}

/// A table of these ways. `turn` changes the nodes' order, which must not matter.
pub fn table(ways: &[Way], turn: usize, previous: &[Drain]) -> Table {
    let kinds = [
        (PORT, PORT, Select::Port),
        (ONE_PORT, ONE_NODE_PORT, Select::Flow),
    ];
    let listener = |address, protocol| {
        kinds.map(|(port, node_port, select)| Listener {
            address,
            protocol,
            port,
            node_port,
            select,
            deliver: Deliver::Nat,
        })
    };
    let listeners: Vec<Listener> = VIPS
        .into_iter()
        .flat_map(|vip| [listener(vip, Protocol::Tcp), listener(vip, Protocol::Udp)])
        .flatten()
        .collect();
    let mut ids: Vec<u32> = (1..=NODES).collect();
    ids.rotate_left(turn % NODES as usize);
    let nodes: Vec<Node> = ids
        .iter()
        .map(|id| {
            let (Address::V4(v4), Address::V6(v6)) =
                (node_address(*id, false), node_address(*id, true))
            else {
                unreachable!()
            };
            let (v4, v6) = (Some(v4), Some(v6));
            Node { id: *id, v4, v6 }
        })
        .collect();
    let own = ids.iter().position(|id| *id == OWN_PORTS).unwrap();
    let targets: Vec<Target> = (0..)
        .zip(&listeners)
        .map(|(index, listener)| Target {
            node: own as u32,
            listener: index,
            port: match listener.select {
                Select::Port => OWN_PORT,
                _ => ONE_OWN_PORT,
            },
        })
        .collect();
    let mut formers = Vec::new();
    for (route, way) in (1..).zip(ways) {
        formers.extend(way.formers.iter().map(|stay| Former {
            route,
            node: stay.node,
            deadline: stay.deadline,
            udp: way.udp,
        }));
    }
    let route_nodes: Vec<u32> = ways.iter().map(|way| way.current.node).collect();
    let input = Input {
        routes: ways.len() as u32,
        listeners: &listeners,
        nodes: &nodes,
        targets: &targets,
        route_nodes: &route_nodes,
        formers: &formers,
        select_key: Some(SelectKey::from_bytes(SELECT_KEY)),
    };
    Table::replace(&input, previous).unwrap()
}

/// A table in force, with the memory that it shares with those before and after it.
pub struct Force {
    pub ways: Vec<Way>,
    table: Table,
    cells: Option<std::rc::Rc<Vec<AtomicCell>>>,
}

impl Force {
    /// The first table, of routes that have not moved.
    pub fn new(nodes: [u32; ROUTES]) -> Force {
        let ways: Vec<Way> = nodes
            .map(|node| Way {
                formers: Vec::new(),
                current: Stay {
                    number: 0,
                    node,
                    deadline: u64::MAX,
                },
                udp: 0,
            })
            .into();
        let table = table(&ways, 0, &[]);
        Force {
            ways,
            table,
            cells: None,
        }
    }

    /// The next table, as the module makes it; a memory that is new has `cells`.
    pub fn next(&self, ways: Vec<Way>, turn: usize, cells: usize) -> Force {
        let table = table(&ways, turn, self.table.view().drains);
        let memory = || AtomicCell::many(cells).into();
        let cells = match table.view().drains {
            [] => None,
            _ => Some(self.cells.clone().unwrap_or_else(memory)),
        };
        Force { ways, table, cells }
    }

    /// What is to be done once nobody looks at the table before, and before there is a next one.
    pub fn purge(&self) {
        if let Some(flows) = self.flows() {
            flows.purge(|route, tag| uses(self.table.view().drains, route, tag));
        }
    }

    pub fn flows(&self) -> Option<Flows<'_, AtomicCell>> {
        let cells = self.cells.as_ref()?;
        Some(Flows::new(cells, KEY))
    }

    fn decide(&self, hook: Hook, now: u64, packet: Packet) -> Decision {
        let draining = Draining {
            flows: self.flows(),
            now,
        };
        let table = (self.table.view(), draining);
        if !table.0.drains.is_empty() {
            // They know nothing of drains.
            for (address, port) in [(packet.src, packet.sport), (packet.dst, packet.dport)] {
                let (of, hash) = (packet.protocol, address.hash());
                assert_eq!(usual_node(&table, of, (address, port), hash), None);
                assert_eq!(usual_vip(&table, of, (address, port), hash), None);
            }
        }
        decide_packet(&table, hook, &packet)
    }

    /// Sends a packet from a client: the node that it goes to, 0 where there is none, and the exit.
    pub fn send(
        &self,
        hook: Hook,
        now: u64,
        key: Key,
        protocol: Protocol,
        opening: bool,
    ) -> (u32, Exit) {
        let packet = Packet {
            src: client(key),
            dst: key.vip().0,
            protocol,
            sport: key.port,
            dport: key.vip().1,
            opening,
            l4: 40,
        };
        match self.decide(hook, now, packet) {
            Decision::Rewrite {
                side: Side::Destination,
                to: (address, port),
                exit,
                ..
            } => {
                let node = (1..=NODES).find(|id| node_address(*id, key.v6) == address);
                let node = node.unwrap();
                assert_eq!(port, key.node_port(node));
                (node, exit)
            }
            Decision::Exit(Exit::DropNoNode) => (0, Exit::DropNoNode),
            other => panic!("{other:?}"),
        }
    }

    /// Sends a TCP packet from a client.
    pub fn tcp(&self, now: u64, key: Key, opening: bool) -> (u32, Exit) {
        self.send(Hook::PreRouting, now, key, Protocol::Tcp, opening)
    }

    /// Sends a packet from a node to a client: the exit, after a look at what it then is from.
    pub fn answer(&self, hook: Hook, now: u64, key: Key, protocol: Protocol, node: u32) -> Exit {
        let packet = Packet {
            src: node_address(node, key.v6),
            dst: client(key),
            protocol,
            sport: key.node_port(node),
            dport: key.port,
            opening: false,
            l4: 40,
        };
        match self.decide(hook, now, packet) {
            Decision::Rewrite {
                side: Side::Source,
                to,
                exit,
                ..
            } => {
                assert_eq!(to, key.vip());
                exit
            }
            Decision::Exit(exit) => exit,
            other => panic!("{other:?}"),
        }
    }

    /// A client's ICMP error about a packet from the VIP: the node that it goes to.
    pub fn error_to_node(&self, now: u64, key: Key, protocol: Protocol) -> u32 {
        let (to, exit) = self.error(
            Hook::PreRouting,
            now,
            key.vip(),
            (client(key), key.port),
            protocol,
        );
        assert_eq!(exit, Exit::IcmpToNode);
        let place = |id: &u32| (node_address(*id, key.v6), key.node_port(*id));
        (1..=NODES).find(|id| Some(place(id)) == to).unwrap()
    }

    /// A node's ICMP error about a packet from a client: the exit.
    pub fn error_to_client(&self, now: u64, key: Key, protocol: Protocol, node: u32) -> Exit {
        let to = (node_address(node, key.v6), key.node_port(node));
        let from = (client(key), key.port);
        self.error(Hook::PostRouting, now, from, to, protocol).1
    }

    fn error(
        &self,
        hook: Hook,
        now: u64,
        from: (Address, u16),
        to: (Address, u16),
        protocol: Protocol,
    ) -> (Option<(Address, u16)>, Exit) {
        let quoted = Parsed::Packet(Packet {
            src: from.0,
            dst: to.0,
            protocol,
            sport: from.1,
            dport: to.1,
            opening: false,
            l4: 40,
        });
        let error = IcmpError {
            src: to.0,
            dst: from.0,
            l4: 40,
            quoted: 60,
        };
        let draining = Draining {
            flows: self.flows(),
            now,
        };
        match decide_error(&(self.table.view(), draining), hook, &error, &quoted) {
            Decision::Translate { translation, exit } => (Some(translation.to), exit),
            Decision::Exit(exit) => (None, exit),
            other => panic!("{other:?}"),
        }
    }
}

fn client(key: Key) -> Address {
    let mut v6 = [0x20, 1, 0xd, 0xb8, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    v6[15] = key.host;
    match key.v6 {
        true => Address::V6(v6),
        false => Address::V4([203, 0, 113, key.host]),
    }
}
