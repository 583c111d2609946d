//! Against the live module. These change the table of the network namespace that they run in, so
//! they run only when asked for, where that is nobody's: `unshare -n` around
//! `cargo test -p halod-netlink --test module -- --ignored --test-threads 1`.

use std::time::Duration;

use halod_netlink::{
    Client, Deliver, Drain, Error, Events, FastPath, Former, Listener, Node, Protocol, Select,
    Table, uapi,
};

fn listener(name: &str, address: &str, port: u16) -> Listener {
    Listener {
        name: name.to_owned(),
        address: address.parse().expect("an address"),
        protocol: Protocol::Tcp,
        port,
        node_port: None,
        select: Select::Port,
        deliver: Deliver::Nat,
    }
}

fn node(id: u32) -> Node {
    let [_, _, high, low] = id.to_be_bytes();
    Node {
        id,
        name: format!("node-{id}.example.net"),
        addresses: vec![
            [10, 0, high, low].into(),
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, id as u16].into(),
        ],
        targets: vec![(1, 20_000)],
    }
}

fn table(routes: u32, nodes: u32) -> Table {
    Table {
        generation: 0,
        routes: (0..routes).map(|route| route % (nodes + 1)).collect(),
        listeners: vec![
            listener("browsers", "198.51.100.1", 8000),
            listener("browsers", "2001:db8:1::1", 8000),
        ],
        nodes: (1..=nodes).map(node).collect(),
        drains: Vec::new(),
        select_key: None,
        fast_path: FastPath::On,
    }
}

/// The table as the kernel tells it: with every listener's port on nodes.
fn told(mut table: Table, generation: u64) -> Table {
    table.generation = generation;
    for listener in &mut table.listeners {
        listener.node_port = Some(listener.node_port.unwrap_or(listener.port));
    }
    table
}

#[tokio::test]
#[ignore = "changes the kernel's table of this network namespace"]
async fn a_small_and_the_largest_table_come_back_as_committed() {
    let mut client = Client::connect().expect("the module is loaded");
    let mut events = Events::subscribe().expect("the module is loaded");
    for table in [
        table(24, 3),
        table(uapi::MAX_ROUTES, uapi::MAX_NODES),
        table(1, 0),
    ] {
        let before = client.status().await.expect("status");
        assert!(!before.version.is_empty());
        let generation = client
            .commit(&table, before.generation)
            .await
            .expect("commit");
        assert_eq!(generation, before.generation + 1);

        let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
        let event = event.expect("an event").expect("readable");
        assert_eq!(event.generation, generation);
        assert_eq!(event.routes as usize, table.routes.len());
        assert_eq!(event.nodes as usize, table.nodes.len());
        let read = client.table().await.expect("table");
        assert!(
            read == told(table, generation),
            "another table than was committed"
        );
    }
}

#[tokio::test]
#[ignore = "changes the kernel's table of this network namespace"]
async fn drains_come_back_with_less_time_left() {
    let mut client = Client::connect().expect("the module is loaded");
    let left = |node, left_ms| Former { node, left_ms };
    // All that can drain at once, from as many nodes as can be.
    let mut table = table(uapi::MAX_ROUTES, 3);
    table.drains = (1..=uapi::MAX_ROUTES)
        .map(|route| Drain {
            route,
            formers: vec![left(1, 3_000_000), left(2, 60_000), left(3, 0)],
            udp_left_ms: route % 2 * 50_000,
        })
        .collect();
    let now = client.status().await.expect("status").generation;
    client.commit(&table, now).await.expect("commit");
    let status = client.status().await.expect("status");
    assert_eq!((status.draining, status.flows), (uapi::MAX_ROUTES, 0));
    assert!(status.flow_slots >= 16, "{status:?}");

    let read = client.table().await.expect("table");
    assert_eq!(read.drains.len(), table.drains.len());
    let lefts = |drain: &Drain| {
        let mut all: Vec<u32> = drain.formers.iter().map(|former| former.left_ms).collect();
        all.push(drain.udp_left_ms);
        all
    };
    for (read, told) in read.drains.iter().zip(&table.drains) {
        assert_eq!(read.route, told.route);
        let nodes =
            |drain: &Drain| -> Vec<u32> { drain.formers.iter().map(|it| it.node).collect() };
        assert_eq!(nodes(read), nodes(told));
        for (read, told) in lefts(read).into_iter().zip(lefts(told)) {
            // A tick more than was asked for, or what has passed less.
            let range = told.saturating_sub(30_000)..=told + 10;
            assert!(range.contains(&read), "{read} ms left of {told}");
        }
    }
}

#[tokio::test]
#[ignore = "changes the kernel's table of this network namespace"]
async fn refusals_are_told_apart_and_change_nothing() {
    let mut client = Client::connect().expect("the module is loaded");
    let now = client.status().await.expect("status").generation;
    let now = client.commit(&table(24, 3), now).await.expect("commit");
    let before = client.table().await.expect("table");

    let stale = client
        .commit(&table(24, 2), now + 5)
        .await
        .expect_err("stale");
    assert!(
        matches!(&stale, Error::Stale { expected, .. } if *expected == now + 5),
        "{stale:?}"
    );
    let stale = client.flush(Some(now + 5)).await.expect_err("stale");
    assert!(matches!(stale, Error::Stale { .. }), "{stale:?}");

    let mut wrong = table(24, 3);
    wrong.routes[4] = 99;
    let error = client.commit(&wrong, now).await.expect_err("no node 99");
    assert!(
        matches!(&error, Error::Kernel { message: Some(text), .. } if !text.is_empty()),
        "{error:?}"
    );
    println!("{stale}\n{error}");
    let long = Table {
        routes: vec![0; uapi::MAX_ROUTES as usize + 1],
        ..table(1, 0)
    };
    let error = client
        .commit(&long, now)
        .await
        .expect_err("too many routes");
    println!("{error}");
    assert_eq!(client.table().await.expect("table"), before);
}

#[tokio::test]
#[ignore = "changes the kernel's table of this network namespace"]
async fn a_flushed_table_is_empty_and_counters_have_names() {
    let mut client = Client::connect().expect("the module is loaded");
    let now = client.status().await.expect("status").generation;
    let now = client.commit(&table(24, 3), now).await.expect("commit");
    let then = client.flush(Some(now)).await.expect("flush");
    assert_eq!(then, now + 1);
    let empty = Table {
        generation: then,
        ..Table::default()
    };
    assert_eq!(client.table().await.expect("table"), empty);
    let counters = client.counters().await.expect("counters");
    let names: Vec<&str> = counters.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["forward", "reverse", "drop_no_node"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
}

#[tokio::test]
#[ignore = "changes the kernel's table of this network namespace"]
async fn a_table_read_while_others_commit_is_of_one_moment() {
    let mut reader = Client::connect().expect("the module is loaded");
    let mut writer = Client::connect().expect("the module is loaded");
    let mut now = writer.status().await.expect("status").generation;
    now = writer.commit(&table(4096, 1), now).await.expect("commit");
    let commits = async {
        for _ in 0..200 {
            // Routes of even generations have node 1 alone, those of odd ones node 2.
            let id = 1 + (now + 1) as u32 % 2;
            let mut next = table(4096, 2);
            next.routes.fill(id);
            now = writer.commit(&next, now).await.expect("commit");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let reads = async {
        let mut whole = 0;
        while whole < 100 {
            match reader.table().await {
                Ok(table) => {
                    whole += 1;
                    let id = 1 + table.generation as u32 % 2;
                    let mixed = table.routes.iter().any(|&it| it != id);
                    assert!(table.nodes.len() == 1 || !mixed, "of two generations");
                }
                Err(Error::Interrupted { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(commits, reads);
}
