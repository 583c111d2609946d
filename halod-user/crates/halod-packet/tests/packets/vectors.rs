//! The packet vectors of tests/vectors, through the packet code.
use std::net::IpAddr;
use std::path::PathBuf;

use halod_packet::{
    decide, decide_error, need, parse_quote_v4, parse_quote_v6, parse_v4, parse_v6, rewrite, uses,
    Address, AtomicCell, Csum, Decision, Deliver, Draining, Exit, Flows, Former, Hook, Input,
    Listener, Node, Parsed, Protocol, Select, SelectKey, Table, Target, WINDOW,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    topic: String,
    table: TableOf,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct TableOf {
    routes: u32,
    listeners: Vec<ListenerOf>,
    nodes: Vec<NodeOf>,
    #[serde(flatten)]
    state: State,
    /// What was in force before, the oldest first.
    #[serde(default)]
    earlier: Vec<State>,
    /// 32 hexadecimal digits.
    select_key: Option<String>,
}

/// What differs between a table and those before it.
#[derive(Deserialize)]
struct State {
    route_nodes: Vec<Run>,
    #[serde(default)]
    drains: Vec<DrainOf>,
}

#[derive(Deserialize)]
struct DrainOf {
    route: u32,
    nodes: Vec<FormerOf>,
    #[serde(default)]
    udp_left: u64,
}

#[derive(Deserialize)]
struct FormerOf {
    node: u32,
    left: u64,
}

#[derive(Deserialize)]
struct ListenerOf {
    address: IpAddr,
    protocol: String,
    port: u16,
    node_port: u16,
    /// Absent where it is `port`.
    select: Option<String>,
    /// Absent where it is `nat`.
    deliver: Option<String>,
}

#[derive(Deserialize)]
struct NodeOf {
    id: u32,
    addresses: Vec<IpAddr>,
    targets: Vec<TargetOf>,
}

#[derive(Deserialize)]
struct TargetOf {
    listener: u32,
    port: u16,
}

#[derive(Deserialize)]
struct Run {
    node: u32,
    count: usize,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    hook: String,
    packet: String,
    csum: String,
    exit: Option<String>,
    out: Option<String>,
    /// The node to whose link address it goes as it is.
    to: Option<IpAddr>,
    /// The header of the packet that it goes there in.
    outer: Option<String>,
    untracked: bool,
    /// What the last hook makes of a packet that this one does not count.
    then: Option<Then>,
    /// The packets that come before, for each of the last tables.
    before: Option<Vec<Vec<String>>>,
}

#[derive(Deserialize)]
struct Then {
    exit: String,
    out: String,
}

/// The time of all packets, on the clock of the deadlines.
const NOW: u64 = 1;

/// What the packet code makes of a packet, in the words of the vectors.
#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    exit: Option<String>,
    out: Option<String>,
    to: Option<Address>,
    /// The protocol and destination of the packet that it goes there in.
    outer: Option<(u8, Address)>,
    untracked: bool,
}

fn address(ip: IpAddr) -> Address {
    match ip {
        IpAddr::V4(ip) => Address::V4(ip.octets()),
        IpAddr::V6(ip) => Address::V6(ip.octets()),
    }
}

/// The table in one of its states, after another one.
fn table(of: &TableOf, state: &State, previous: Option<&Table>) -> Table {
    let protocol = |name: &str| match name {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => panic!("protocol {name}"),
    };
    let listeners = of.listeners.iter().map(|listener| Listener {
        address: address(listener.address),
        protocol: protocol(&listener.protocol),
        port: listener.port,
        node_port: listener.node_port,
        select: match listener.select.as_deref() {
            None => Select::Port,
            Some("source") => Select::Source,
            Some("flow") => Select::Flow,
            Some(name) => panic!("select {name}"),
        },
        deliver: match listener.deliver.as_deref() {
            None => Deliver::Nat,
            Some("dsr") => Deliver::Dsr,
            Some("ipip") => Deliver::Ipip,
            Some(name) => panic!("deliver {name}"),
        },
    });
    let nodes = of.nodes.iter().map(|node| {
        let (mut v4, mut v6) = (None, None);
        for ip in &node.addresses {
            match ip {
                IpAddr::V4(ip) => v4 = Some(ip.octets()),
                IpAddr::V6(ip) => v6 = Some(ip.octets()),
            }
        }
        Node {
            id: node.id,
            v4,
            v6,
        }
    });
    let targets = (0..).zip(&of.nodes).flat_map(|(index, node)| {
        node.targets.iter().map(move |target| Target {
            node: index,
            listener: target.listener,
            port: target.port,
        })
    });
    let routes = state.route_nodes.iter();
    let formers = state.drains.iter().flat_map(|drain| {
        drain.nodes.iter().map(|former| Former {
            route: drain.route,
            node: former.node,
            deadline: NOW + former.left,
            udp: NOW + drain.udp_left,
        })
    });
    let input = Input {
        routes: of.routes,
        listeners: &listeners.collect::<Vec<_>>(),
        nodes: &nodes.collect::<Vec<_>>(),
        targets: &targets.collect::<Vec<_>>(),
        route_nodes: &routes
            .flat_map(|run| std::iter::repeat_n(run.node, run.count))
            .collect::<Vec<_>>(),
        formers: &formers.collect::<Vec<_>>(),
        select_key: of
            .select_key
            .as_deref()
            .map(|key| SelectKey::from_bytes(bytes(key).try_into().unwrap())),
    };
    let previous = previous.map_or(&[][..], |table| table.view().drains);
    Table::replace(&input, previous).unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts a vector's packet, and those before it, through the tables.
fn run(of: &TableOf, vector: &Vector) -> Outcome {
    let cells = AtomicCell::many(64);
    let flows = Flows::new(&cells, (1, 2));
    let none = vec![vec![]];
    let before = vector.before.as_ref().unwrap_or(&none);
    let states: Vec<_> = of.earlier.iter().chain([&of.state]).collect();
    let mut last: Option<Table> = None;
    for (state, packets) in states[states.len() - before.len()..].iter().zip(before) {
        let table = table(of, state, last.as_ref());
        flows.purge(|route, tag| uses(table.view().drains, route, tag));
        for packet in packets {
            pass(&table, flows, "pre_routing", "full", packet);
        }
        last = Some(table);
    }
    let table = last.expect("a table");
    let outcome = pass(&table, flows, &vector.hook, &vector.csum, &vector.packet);
    if let Some(then) = &vector.then {
        let out = outcome.out.as_ref().expect("not dropped");
        let next = pass(&table, flows, "post_routing", &vector.csum, out);
        let expected = (Some(&then.exit), Some(&then.out));
        let found = (next.exit.as_ref(), next.out.as_ref());
        assert_eq!(found, expected, "{}: then", vector.name);
    }
    outcome
}

/// Does with a packet what a hook of the module does.
fn pass(
    table: &Table,
    flows: Flows<'_, AtomicCell>,
    hook: &str,
    csum: &str,
    packet: &str,
) -> Outcome {
    let hook = match hook {
        "pre_routing" => Hook::PreRouting,
        "local_in" => Hook::LocalIn,
        "local_out" => Hook::LocalOut,
        "post_routing" => Hook::PostRouting,
        name => panic!("hook {name}"),
    };
    let csum = match csum {
        "full" => Csum::Full,
        "partial" => Csum::Partial,
        name => panic!("csum {name}"),
    };
    let mut bytes = bytes(packet);
    let window = &bytes[..bytes.len().min(WINDOW)];
    let parsed: Parsed = match bytes[0] >> 4 {
        4 => parse_v4(window, bytes.len()),
        _ => parse_v6(window, bytes.len()),
    };
    let draining = Draining {
        flows: Some(flows),
        now: NOW,
    };
    let decision = match &parsed {
        Parsed::Error(error) => {
            let quote = &bytes[error.quote()..];
            let window = &quote[..quote.len().min(WINDOW)];
            let quoted = match bytes[0] >> 4 {
                4 => parse_quote_v4(window, error.quoted),
                _ => parse_quote_v6(window, error.quoted),
            };
            decide_error(&(table.view(), draining), hook, error, &quoted)
        }
        parsed => decide(&(table.view(), draining), hook, parsed),
    };
    let (mut to, mut outer) = (None, None);
    let (exit, untracked) = match decision {
        Decision::Exit(exit) => (Some(exit), false),
        Decision::Untrack => (None, true),
        Decision::Deliver {
            node,
            deliver,
            exit,
        } => {
            to = Some(node);
            let protocol = match node {
                Address::V4(_) => 4,
                Address::V6(_) => 41,
            };
            outer = (deliver == Deliver::Ipip).then_some((protocol, node));
            (Some(exit), true)
        }
        Decision::Learn { .. } => (Some(Exit::IcmpTunnel), true),
        Decision::Rewrite { side, to, exit } => {
            let Parsed::Packet(packet) = parsed else {
                panic!("{parsed:?} cannot be rewritten");
            };
            let writable = &mut bytes[..need(&packet)];
            rewrite(writable, &packet, side, to, csum).expect("rewritten");
            (Some(exit), true)
        }
        Decision::Translate { translation, exit } => {
            let writable = &mut bytes[..translation.need()];
            translation.apply(writable, csum).expect("translated");
            (Some(exit), true)
        }
    };
    Outcome {
        exit: exit.map(|exit| exit.name().to_string()),
        out: (!exit.is_some_and(Exit::is_drop)).then(|| hex(&bytes)),
        to,
        outer,
        untracked,
    }
}

/// What an outer header says that is the packet code's to decide.
fn outer(hex: &str) -> (u8, Address) {
    let bytes = bytes(hex);
    match bytes[0] >> 4 {
        4 => (
            bytes[9],
            Address::V4(bytes[16..].try_into().expect("20 bytes")),
        ),
        _ => (
            bytes[6],
            Address::V6(bytes[24..].try_into().expect("40 bytes")),
        ),
    }
}

#[test]
fn every_vector_comes_out_as_written() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../tests/vectors");
    let mut count = 0;
    let mut exits = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let file: File = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for vector in &file.vectors {
            let expected = Outcome {
                exit: vector.exit.clone(),
                out: vector.out.clone(),
                to: vector.to.map(address),
                outer: vector.outer.as_deref().map(outer),
                untracked: vector.untracked,
            };
            let outcome = run(&file.table, vector);
            assert_eq!(outcome, expected, "{}: {}", file.topic, vector.name);
            exits.extend(vector.exit.clone());
            count += 1;
        }
    }
    assert!(count >= 100, "only {count} vectors found");
    // What only the module's skb handling can yield has no vector here, nor what takes a set of
    // flows that is full: see the tests of drains.
    for exit in Exit::ALL {
        let elsewhere = [
            Exit::DropNotWritable,
            Exit::DropNoRoute,
            Exit::DropFarNode,
            Exit::DropSource,
            Exit::DropExpired,
            Exit::DropTooBig,
            Exit::ForwardFull,
        ]
        .contains(&exit);
        let seen = exits.iter().any(|name| name == exit.name());
        assert_ne!(seen, elsewhere, "{}", exit.name());
    }
}
