//! What is begun with, over every state that store and kernel can be found in.

use std::sync::Arc;

use halod::adopt::{AdoptError, Start, start};
use halod::table::{same_nodes, table};
use halod_cluster::{
    Cluster, Config, Deliver, Failover, FastPath, ListenerInfo, NodeId, NodeState, Saved,
    SavedDrain, SavedFormer, SavedNode, Select, SelectKey, Time,
};
use halod_netlink::{Drain, Former, Table};
use halod_proto::Protocol;
use halod_routes::{Assignment, RouteSet};
use proptest::prelude::*;

fn config(routes: u32) -> Config {
    Config {
        cluster: "push".into(),
        routes,
        active_min: 1,
        reserve: 0,
        heartbeat_ms: 100,
        heartbeat_misses: 3,
        rejoin_ms: 2000,
        restart_grace_ms: 5000,
        drain_ms: 60_000,
        udp_stay_ms: 0,
        failover: Failover::Replace,
        fast_path: FastPath::default(),
        hold_back_ms: 0,
        hold_back_max_ms: 0,
        scale: None,
        max_nodes: 4096,
        listeners: vec![ListenerInfo {
            name: "browsers".into(),
            address: [198, 51, 100, 1].into(),
            protocol: Protocol::Tcp,
            port: 8000,
            node_port: None,
            select: Select::Port,
            deliver: Deliver::Nat,
        }],
        select_key: SelectKey([7; 16]),
    }
}

/// A state in which the node `order[i]` fills slot i + 1.
fn saved(routes: u32, generation: u64, order: &[u32]) -> Saved {
    let assignment = Assignment::of(routes, order.len() as u32).expect("an assignment");
    let node = |(slot, &id): (u32, &u32)| SavedNode {
        id: NodeId(id),
        name: format!("n{id}").parse().expect("a name"),
        addresses: vec![[192, 0, 2, 1 + (id % 250) as u8].into()],
        ports: if id % 2 == 0 {
            [("browsers".to_owned(), 8100)].into()
        } else {
            [].into()
        },
        state: NodeState::Active,
        slot: Some(slot),
        routes: assignment.held_by(slot).collect(),
        parked: false,
        token: format!("{id:032x}"),
    };
    let nodes = (1..).zip(order).map(node).map(Arc::new).collect();
    Saved {
        generation,
        routes,
        slots: order.len() as u32,
        nodes,
        drains: Vec::new(),
        select_key: Some(SelectKey([7; 16])),
    }
}

fn kernel_of(saved: &Saved) -> Table {
    let cluster =
        Cluster::restore(config(saved.routes), saved.clone(), Time(0)).expect("a cluster");
    table(&cluster, Time(0))
}

fn begin(store: Option<&Saved>, kernel: &Table) -> Start {
    start(&config(24), store.cloned(), kernel, false, Time(0)).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn nothing_anywhere_begins_closed() {
    let start = begin(None, &Table::default());
    assert!(start.commit);
    let table = table(&start.cluster, Time(0));
    assert_eq!((table.generation, table.routes), (1, vec![0; 24]));
}

#[test]
fn the_same_is_adopted_and_the_older_replaced() {
    let old = saved(24, 7, &[1, 2]);
    let new = saved(24, 8, &[1, 2, 3]);
    let kernel = kernel_of(&old);
    let same = begin(Some(&old), &kernel);
    assert!(!same.commit, "{}", same.story);
    assert_eq!(same.cluster.saved(), old);

    let ahead = begin(Some(&new), &kernel);
    assert!(ahead.commit);
    assert_eq!(ahead.cluster.saved(), new);

    let behind = begin(Some(&old), &kernel_of(&new));
    assert!(!behind.commit, "users follow the kernel's table");
    let taken = behind.cluster.saved();
    assert_eq!((taken.generation, taken.slots), (8, 3));
    assert_eq!(
        taken.nodes[0].token, old.nodes[0].token,
        "what the store knows beside it is kept"
    );
    assert_eq!(taken.nodes[2].token, "");
}

#[test]
fn the_same_generation_with_another_table_follows_the_kernel() {
    let ours = saved(24, 7, &[1, 2, 4]);
    let theirs = kernel_of(&saved(24, 7, &[2, 1]));
    let start = begin(Some(&ours), &theirs);
    assert!(!start.commit);
    let ours = table(&start.cluster, Time(0));
    assert!(same_nodes(&ours, &theirs));
    let n4 = start.cluster.node(NodeId(4)).expect("kept").state;
    assert_eq!(
        n4,
        NodeState::Lost,
        "it was active in the store, and the kernel has it not"
    );
}

#[test]
fn another_setting_of_the_fast_path_is_committed() {
    let ours = saved(24, 7, &[1, 2]);
    let kernel = kernel_of(&ours);
    assert_eq!(kernel.fast_path, halod_netlink::FastPath::Auto);
    let mut config = config(24);
    config.fast_path = FastPath::Off;
    let start = start(&config, Some(ours), &kernel, false, Time(0)).expect("a start");
    assert!(start.commit, "{}", start.story);
    let ours = table(&start.cluster, Time(0));
    assert_eq!(ours.fast_path, halod_netlink::FastPath::Off);
    assert_eq!(ours.generation, 8);
}

#[test]
fn an_empty_kernel_gets_the_store_at_a_generation_that_it_takes() {
    let ours = saved(24, 7, &[1, 2]);
    for (found, right) in [(0, 7), (6, 7), (7, 8), (20, 21)] {
        let flushed = Table {
            generation: found,
            ..Table::default()
        };
        let start = begin(Some(&ours), &flushed);
        assert!(start.commit);
        assert_eq!(start.cluster.generation(), right);
    }
}

#[test]
fn damaged_and_foreign_things_are_errors_or_replaced() {
    let mut damaged = saved(24, 7, &[1, 2]);
    Arc::make_mut(&mut damaged.nodes[1]).slot = Some(1);
    let error = start(
        &config(24),
        Some(damaged),
        &Table::default(),
        false,
        Time(0),
    );
    let error = error.expect_err("damaged");
    assert!(matches!(error, AdoptError::Damaged(_)));
    assert!(error.to_string().contains("--reset-table"), "{error}");

    // Somebody's own table: names that no node of ours can have, a route to a missing node.
    let mut foreign = kernel_of(&saved(24, 3, &[1, 2]));
    foreign.nodes[0].name = "Web Server".into();
    foreign.routes[23] = 99;
    let start = begin(None, &foreign);
    assert!(start.commit);
    assert_eq!(start.cluster.generation(), 4);
    let ours = table(&start.cluster, Time(0));
    assert_eq!(ours.nodes[0].name, "kernel-1");
    assert_eq!(ours.routes[..23], foreign.routes[..23]);
    assert_eq!(ours.routes[23], 2);
}

/// Route, node and time left of every leg.
type Legs = Vec<(u32, u32, u32)>;

fn legs(drains: &[SavedDrain]) -> Legs {
    let legs = drains.iter().flat_map(|drain| {
        let leg = |former: &SavedFormer| (drain.route, former.node.0, former.left_ms);
        drain.formers.iter().map(leg).collect::<Legs>()
    });
    legs.collect()
}

fn drain(route: u32, node: u32, left_ms: u32) -> SavedDrain {
    let node = NodeId(node);
    let udp_left_ms = 0;
    let formers = vec![SavedFormer {
        node,
        left_ms,
        udp_left_ms,
    }];
    SavedDrain { route, formers }
}

/// A connection that was opened after a drain's end would be cut if the drain came back.
#[test]
fn what_has_ended_in_the_kernel_does_not_drain_again() {
    let mut old = saved(24, 7, &[1, 2]);
    old.drains = vec![
        drain(1, 2, 60_000),
        drain(2, 2, 60_000),
        drain(3, 2, 60_000),
    ];
    let mut kernel = kernel_of(&old);
    kernel.drains[0].formers[0].left_ms = 0;
    kernel.drains[1].formers[0].left_ms = 700;
    kernel.drains.pop();

    let same = begin(Some(&old), &kernel);
    assert_eq!(legs(&same.cluster.saved().drains), [(2, 2, 700)]);
    assert!(same.commit, "the kernel hears of the end");
    let taken_up = begin(None, &kernel);
    assert_eq!(legs(&taken_up.cluster.saved().drains), [(2, 2, 700)]);

    // The store's next table moves 9-12 from 1 and 21-24 from 2 to 3.
    let mut new = saved(24, 8, &[1, 2, 3]);
    new.drains = old.drains.clone();
    new.drains.push(drain(9, 1, 60_000));
    new.drains.push(drain(21, 2, 60_000));
    let ahead = begin(Some(&new), &kernel);
    let right = [(2, 2, 700), (9, 1, 60_000), (21, 2, 60_000)];
    assert_eq!(legs(&ahead.cluster.saved().drains), right);

    let rebooted = begin(Some(&old), &Table::default());
    assert_eq!(legs(&rebooted.cluster.saved().drains), []);
}

/// Another key would lead nearly every user of a listener with one port to another node.
#[test]
fn the_key_is_the_kernels_then_the_stores() {
    let key = |start: Start| table(&start.cluster, Time(0)).select_key;
    let (ours, stored, in_kernel) = ([7; 16], [8; 16], [9; 16]);
    let store = Saved {
        select_key: Some(SelectKey(stored)),
        ..saved(24, 7, &[1, 2])
    };
    let kernel = Table {
        select_key: Some(in_kernel),
        ..kernel_of(&store)
    };
    assert_eq!(key(begin(None, &Table::default())), Some(ours));
    assert_eq!(key(begin(Some(&store), &Table::default())), Some(stored));
    let ahead = Saved {
        generation: 8,
        ..store.clone()
    };
    for store in [None, Some(&store), Some(&ahead)] {
        let start = begin(store, &kernel);
        assert_eq!(start.cluster.saved().select_key, Some(SelectKey(in_kernel)));
        assert_eq!(key(start), Some(in_kernel));
    }
    // A table from before there were such listeners.
    let kernel = Table {
        select_key: None,
        ..kernel
    };
    let start = begin(Some(&store), &kernel);
    assert!(!start.commit, "{}", start.story);
    assert_eq!(key(start), Some(stored));
}

#[test]
fn a_node_that_only_keeps_connections_is_taken_up() {
    let mut with_three = saved(24, 7, &[1, 2, 3]);
    let mut third = SavedNode::clone(&with_three.nodes[2]);
    with_three = saved(24, 7, &[1, 2]);
    (third.slot, third.state) = (None, NodeState::Draining);
    third.routes = RouteSet::new();
    with_three.nodes.push(Arc::new(third));
    with_three.drains = vec![drain(9, 3, 5000)];
    let kernel = kernel_of(&with_three);
    for (store, state) in [
        (None, NodeState::Reserve),
        (Some(saved(24, 6, &[1, 2, 3])), NodeState::Reserve),
        (
            Some(Saved {
                generation: 6,
                ..with_three.clone()
            }),
            NodeState::Draining,
        ),
    ] {
        let start = begin(store.as_ref(), &kernel);
        assert!(!start.commit, "{}", start.story);
        let node = start.cluster.node(NodeId(3)).expect("taken up");
        assert_eq!((node.state, node.slot), (state, None));
        assert_eq!(table(&start.cluster, Time(0)).drains, kernel.drains);
    }
}

proptest! {
    /// However nodes came to fill the slots, the kernel's table alone shows it.
    #[test]
    fn slots_are_found_from_the_routes(
        routes in 1u32..400,
        order in Just((1u32..=40).collect::<Vec<_>>()).prop_shuffle(),
        slots in 0usize..40,
    ) {
        let order = &order[..slots.min(routes as usize)];
        let before = saved(routes, 5, order);
        let kernel = kernel_of(&before);
        let start = start(&config(routes), None, &kernel, false, Time(0))?;
        prop_assert!(!start.commit, "{}", start.story);
        prop_assert_eq!(&table(&start.cluster, Time(0)), &kernel);
        for node in &before.nodes {
            let taken = start.cluster.node(node.id).map(|n| n.slot);
            prop_assert_eq!(taken, Some(node.slot));
        }
    }

    /// Any table whatever becomes a right one, and routes whose node can be kept are.
    #[test]
    fn any_table_is_taken_up(
        found in proptest::collection::vec(0u32..6, 24),
        drains in proptest::collection::btree_map(
            1u32..=24,
            proptest::collection::vec((1u32..6, 0u32..3), 1..=3),
            0..24,
        ),
    ) {
        let mut kernel = kernel_of(&saved(24, 5, &[1, 2, 3, 4]));
        kernel.routes = found;
        let former = |(node, left_ms)| Former { node, left_ms };
        let drain = |(route, formers): (u32, Vec<_>)| Drain {
            route,
            formers: formers.into_iter().map(former).collect(),
            udp_left_ms: 0,
        };
        kernel.drains = drains.into_iter().map(drain).collect();
        let start = start(&config(24), None, &kernel, false, Time(0))?;
        let ours = table(&start.cluster, Time(0));
        prop_assert!(start.commit || same_nodes(&ours, &kernel));
        prop_assert!(!start.commit || ours.generation == 6);
        let used = kernel.routes.iter().any(|id| (1..=4).contains(id));
        prop_assert_eq!(ours.routes.iter().all(|id| *id != 0), used);
        let kept = ours.routes.iter().zip(&kernel.routes).filter(|(a, b)| a == b && **a != 0).count();
        prop_assert!(kept > 0 || !used);
    }
}
