//! Encoding and decoding against each other and against arbitrary bytes, and
//! messages as the kernel builds them.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::attr::Writer;
use crate::decode::{self, TableParts};
use crate::message::{self, Content, Failure};
use crate::model::{Deliver, Drain, FastPath, Former, Listener, Node, Protocol, Select, Table};
use crate::{encode, uapi};

fn listener() -> impl Strategy<Value = Listener> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    let node_port = proptest::option::of(1u16..);
    let deliver = prop_oneof![Just(Deliver::Nat), Just(Deliver::Dsr), Just(Deliver::Ipip)];
    let select = prop_oneof![Just(Select::Port), Just(Select::Source), Just(Select::Flow)];
    (
        "[a-z0-9.-]{0,63}",
        any::<IpAddr>(),
        protocol,
        1u16..,
        node_port,
        select,
        deliver,
    )
        .prop_map(
            |(name, address, protocol, port, node_port, select, deliver)| Listener {
                name,
                address,
                protocol,
                port,
                node_port,
                select,
                deliver,
            },
        )
}

fn node() -> impl Strategy<Value = Node> {
    (
        1u32..,
        "[a-zäß.-]{0,31}",
        vec(any::<IpAddr>(), 0..3),
        vec((any::<u32>(), 1u16..), 0..64),
    )
        .prop_map(|(id, name, addresses, targets)| Node {
            id,
            name,
            addresses,
            targets,
        })
}

/// Drains of some of so many routes.
fn drains(routes: u32) -> impl Strategy<Value = Vec<Drain>> {
    let former = (1u32.., any::<u32>()).prop_map(|(node, left_ms)| Former { node, left_ms });
    let drain = (vec(former, 1..=uapi::MAX_FORMERS as usize), any::<u32>());
    let most = routes.min(9) as usize;
    proptest::collection::btree_map(1..=routes.max(1), drain, 0..=most).prop_map(|drains| {
        let drains = drains.into_iter();
        drains
            .map(|(route, (formers, udp_left_ms))| Drain {
                route,
                formers,
                udp_left_ms,
            })
            .collect()
    })
}

fn table() -> impl Strategy<Value = Table> {
    let routes = prop_oneof![
        vec(any::<u32>(), 0..30),
        Just((0..uapi::MAX_ROUTES).collect()),
        Just((0..uapi::MAX_RUN + 1).collect()),
    ];
    let routes = routes.prop_flat_map(|routes: Vec<u32>| {
        let drains = drains(routes.len() as u32);
        (Just(routes), drains)
    });
    (
        any::<u64>(),
        routes,
        vec(listener(), 0..5),
        vec(node(), 0..9),
        any::<Option<[u8; 16]>>(),
        (0..3u8).prop_map(|number| FastPath::from_number(number).expect("one")),
    )
        .prop_map(
            |(generation, (routes, drains), listeners, nodes, select_key, fast_path)| Table {
                generation,
                routes,
                listeners,
                nodes,
                drains,
                select_key,
                fast_path,
            },
        )
}

/// The table in messages as a dump has them.
fn dump(table: &Table) -> Vec<Vec<u8>> {
    let mut head = Writer::default();
    head.u64(uapi::table::GENERATION, table.generation)
        .expect("head");
    head.u32(uapi::table::ROUTES, table.routes.len() as u32)
        .expect("head");
    if let Some(key) = &table.select_key {
        head.bytes(uapi::table::SELECT_KEY, key).expect("head");
    }
    head.u8(uapi::table::FAST_PATH, table.fast_path.number())
        .expect("head");
    let mut content = Writer::default();
    encode::content(&mut content, table).expect("content");
    vec![head.finish(), content.finish()]
}

fn read(messages: &[Vec<u8>]) -> Result<Table, String> {
    let mut parts = TableParts::default();
    for message in messages {
        parts.add(message)?;
    }
    parts.finish()
}

proptest! {
    #[test]
    fn a_table_is_read_as_it_was_written(table in table()) {
        prop_assert_eq!(read(&dump(&table)), Ok(table));
    }

    #[test]
    fn a_request_is_parsed_as_it_was_built(
        family in 16u16.., sequence: u32, flags: u16, cmd: u8, attrs in vec(any::<u8>(), 0..99),
    ) {
        let bytes = message::request(family, sequence, flags, cmd, attrs.clone());
        let parsed = message::parse(&bytes).expect("well-formed");
        prop_assert_eq!(parsed.len(), 1);
        prop_assert_eq!(parsed[0].family, family);
        prop_assert_eq!(parsed[0].sequence, sequence);
        prop_assert_eq!(&parsed[0].content, &Content::Data(cmd, attrs));
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_read(bytes in vec(any::<u8>(), 0..400)) {
        let _ = message::parse(&bytes);
        let _ = decode::status(&bytes);
        let _ = decode::generation(&bytes);
        let _ = decode::counter(&bytes);
        let _ = read(&[bytes]);
    }

    /// Headers that look right, so that what is behind them is reached.
    #[test]
    fn arbitrary_messages_are_refused_or_read(
        kind in 0u16..20, flags: u16, inner in 0u32..64, bytes in vec(any::<u8>(), 0..99),
    ) {
        let length = 16 + 4 + 4 + bytes.len() as u32;
        let mut datagram = length.to_ne_bytes().to_vec();
        datagram.extend(kind.to_ne_bytes());
        datagram.extend(flags.to_ne_bytes());
        datagram.extend([0; 8]);
        datagram.extend((-22i32).to_ne_bytes());
        datagram.extend(inner.to_ne_bytes());
        datagram.extend(bytes);
        let _ = message::parse(&datagram);
    }

    #[test]
    fn a_damaged_table_is_refused_or_read(table in table(), at: prop::sample::Index, with: u8) {
        let mut messages = dump(&table);
        let index = at.index(messages[1].len().max(1));
        if let Some(byte) = messages[1].get_mut(index) {
            *byte = with;
        }
        let _ = read(&messages);
    }
}

fn refused(change: impl FnOnce(&mut Vec<Vec<u8>>)) -> String {
    let table = Table {
        generation: 7,
        routes: vec![1, 1, 2],
        ..Table::default()
    };
    let mut messages = dump(&table);
    change(&mut messages);
    read(&messages).expect_err("refused")
}

#[test]
fn a_table_has_each_route_once() {
    let twice = refused(|messages| messages.push(messages[1].clone()));
    assert_eq!(twice, "route 1 is described twice");
    let missing = refused(|messages| messages.truncate(1));
    assert_eq!(missing, "route 1 of 3 is not described");
    let more = refused(|messages| {
        let mut out = Writer::default();
        out.u32(uapi::table::ROUTES, 2).expect("short");
        messages.push(out.finish());
    });
    assert_eq!(more, "a run describes route 3 of 2");
    let huge = refused(|messages| {
        let mut out = Writer::default();
        out.u32(uapi::table::ROUTES, u32::MAX).expect("short");
        messages.push(out.finish());
    });
    assert_eq!(huge, "more than 32768 routes");
}

/// What is said of a table whose dump goes on with this drain.
fn refused_drain(route: u32, nodes: &[u32], left: &[u32]) -> String {
    refused(|messages| {
        let mut out = Writer::default();
        let written = out.nest(uapi::table::DRAIN, |out| {
            out.u32(uapi::drain::ROUTE, route)?;
            out.u32s(uapi::drain::NODE, nodes.iter().copied())?;
            out.u32s(uapi::drain::LEFT, left.iter().copied())
        });
        written.expect("short");
        messages.push(out.finish());
    })
}

#[test]
fn a_drain_is_of_a_route_that_is_there_and_of_as_many_nodes_as_times() {
    let order = refused_drain(4, &[1], &[1]);
    assert_eq!(order, "a drain of route 4 of 3 comes after one of route 0");
    let order = refused_drain(0, &[1], &[1]);
    assert_eq!(order, "a drain of route 0 of 3 comes after one of route 0");
    for (nodes, left) in [
        (&[1, 2][..], &[1][..]),
        (&[], &[]),
        (&[1, 2, 3, 4], &[1, 1, 1, 1]),
    ] {
        let counts = refused_drain(2, nodes, left);
        let said = format!(
            "route 2 drains from {} nodes with {} times left; it has 1 to 3 of both",
            nodes.len(),
            left.len()
        );
        assert_eq!(counts, said);
    }
    let twice = refused(|messages| {
        let drain = Drain {
            route: 2,
            formers: vec![Former {
                node: 1,
                left_ms: 9,
            }],
            udp_left_ms: 0,
        };
        let table = Table {
            drains: vec![drain.clone(), drain],
            ..Table::default()
        };
        messages.push(dump(&table).remove(1));
    });
    assert_eq!(twice, "a drain of route 2 of 3 comes after one of route 2");
}

#[test]
fn a_status_says_what_drains_and_an_event_need_not() {
    let mut out = Writer::default();
    out.u64(uapi::status::GENERATION, 7).expect("short");
    for kind in [
        uapi::status::ROUTES,
        uapi::status::LISTENERS,
        uapi::status::NODES,
    ] {
        out.u32(kind, 1).expect("short");
    }
    let event = out.finish();
    let status = decode::status(&event).expect("complete");
    assert_eq!(
        (status.draining, status.flows, status.flow_slots),
        (0, 0, 0)
    );
    let mut out = Writer::default();
    out.u32(uapi::status::DRAINING, 3).expect("short");
    out.u32(uapi::status::FLOWS, 5).expect("short");
    out.u32(uapi::status::FLOW_SLOTS, 8).expect("short");
    let status = decode::status(&[event, out.finish()].concat()).expect("complete");
    assert_eq!(
        (status.draining, status.flows, status.flow_slots),
        (3, 5, 8)
    );
}

#[test]
fn lengths_are_exact() {
    let mut out = Writer::default();
    out.u32(uapi::status::GENERATION, 1).expect("short");
    let error = decode::status(&out.finish()).expect_err("refused");
    assert_eq!(error, "attribute 2 has 4 bytes in place of 8");
    let mut out = Writer::default();
    out.bytes(uapi::counter::NAME, b"forward").expect("short");
    let error = decode::counter(&out.finish()).expect_err("refused");
    assert_eq!(
        error,
        "attribute 1 is no string: one NUL has to be its last byte"
    );
}

#[test]
fn what_cannot_be_said_is_refused_before_it_is_sent() {
    let node = Node {
        id: 1,
        name: "n1".into(),
        addresses: Vec::new(),
        targets: vec![(0, 1); 4000],
    };
    let mut table = Table {
        nodes: vec![node],
        ..Table::default()
    };
    let error = encode::commit(&table, 0).expect_err("too long").to_string();
    assert!(error.contains("at most 65531 bytes"), "{error}");
    table.nodes[0].targets.clear();
    table.nodes[0].name = "n\0".into();
    let error = encode::commit(&table, 0).expect_err("NUL").to_string();
    assert!(error.contains(r#""n\0""#), "{error}");
}

/// An NLMSG_ERROR with -ESTALE as the kernel builds it: the request's header alone where capped,
/// with 8 bytes of attributes where not, then the message and the offset.
fn kernels_error(capped: bool) -> Vec<u8> {
    let mut body = (-116i32).to_ne_bytes().to_vec();
    let request = message::request(30, 9, 0, uapi::cmd::FLUSH, vec![0; 8]);
    body.extend(if capped { &request[..16] } else { &request[..] });
    let mut tlvs = Writer::default();
    tlvs.string(1, "generation 8 is in force").expect("short");
    tlvs.u32(2, 20).expect("short");
    body.extend(tlvs.finish());

    let mut bytes = (16 + body.len() as u32).to_ne_bytes().to_vec();
    bytes.extend(2u16.to_ne_bytes());
    bytes.extend((0x200u16 | if capped { 0x100 } else { 0 }).to_ne_bytes());
    bytes.extend(9u32.to_ne_bytes());
    bytes.extend(1234u32.to_ne_bytes());
    bytes.extend(body);
    bytes
}

#[test]
fn the_kernels_words_are_found_behind_the_request() {
    for capped in [true, false] {
        let parsed = message::parse(&kernels_error(capped)).expect("well-formed");
        let failure = Failure {
            errno: 116,
            message: Some("generation 8 is in force".into()),
            attribute: Some(20),
        };
        assert_eq!(parsed[0].sequence, 9);
        assert_eq!(
            parsed[0].content,
            Content::Failed(failure),
            "capped: {capped}"
        );
    }
}

#[test]
fn the_largest_table_is_of_the_size_that_is_said() {
    let nodes = (1..=uapi::MAX_NODES).map(|id| Node {
        id,
        name: format!("node-{id}.example.net"),
        addresses: vec![IpAddr::from([192, 0, 2, 1]), IpAddr::from([0u16; 8])],
        targets: Vec::new(),
    });
    let table = Table {
        routes: vec![1; uapi::MAX_ROUTES as usize],
        nodes: nodes.collect(),
        ..Table::default()
    };
    let bytes = encode::commit(&table, 1).expect("speakable");
    assert!(
        (400_000..600_000).contains(&bytes.len()),
        "{} bytes",
        bytes.len()
    );
}
