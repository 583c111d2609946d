//! The SQLite store.

use std::path::PathBuf;
use std::sync::Arc;

use halod::store::{ChangeRecord, InstanceLock, Record, Sqlite, Store};
use halod_cluster::{
    NodeId, NodeState, RouteSet, Saved, SavedDrain, SavedFormer, SavedNode, SelectKey,
};

fn node(id: u32, slot: Option<u32>) -> SavedNode {
    SavedNode {
        id: NodeId(id),
        name: format!("n{id}").parse().expect("a name"),
        addresses: vec![
            format!("2001:db8::{id}").parse().expect("an address"),
            format!("192.0.2.{id}").parse().expect("an address"),
        ],
        ports: [("browsers".to_owned(), 8100), ("apps".to_owned(), 9100)].into(),
        state: if slot.is_some() {
            NodeState::Active
        } else {
            NodeState::Reserve
        },
        slot,
        routes: match slot {
            Some(slot) => format!("{slot}-12,2{slot}").parse().expect("routes"),
            None => RouteSet::new(),
        },
        parked: id == 3,
        token: format!("{id:032x}"),
    }
}

fn record(generation: u64, nodes: Vec<SavedNode>) -> Record {
    let slots = nodes.iter().filter(|n| n.slot.is_some()).count() as u32;
    Record {
        saved: Saved {
            generation,
            routes: 24,
            slots,
            nodes: nodes.into_iter().map(Arc::new).collect(),
            drains: Vec::new(),
            select_key: Some(SelectKey([generation as u8; 16])),
        },
        change: Some(ChangeRecord {
            generation,
            time: "2026-01-01T00:00:00Z".into(),
            cause: "n1 joined".into(),
            moves: "1-24 from none to n1".into(),
        }),
    }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state/halod.db");
    (dir, path)
}

#[test]
fn what_was_saved_is_loaded_by_the_next_one() {
    let (_dir, path) = place();
    let mut store = Sqlite::open(&path).expect("a new store");
    assert_eq!(store.load().expect("nothing yet"), None);
    let mut nodes = vec![node(2, Some(1)), node(1, Some(2)), node(3, None)];
    let mut generation = 1;
    // Nodes change their order, leave, come, pass on a name: what differs is written, and all
    // of it must come back.
    let mut steps: Vec<Vec<SavedNode>> = vec![nodes.clone()];
    nodes.rotate_left(1);
    steps.push(nodes.clone());
    nodes.swap(0, 2);
    steps.push(nodes.clone());
    nodes.remove(1);
    steps.push(nodes.clone());
    let mut heir = node(9, None);
    heir.name = nodes[0].name.clone();
    nodes[0].name = "n77".parse().expect("a name");
    nodes.push(heir);
    steps.push(nodes.clone());
    nodes[0].addresses.swap(0, 1);
    nodes[0].ports.clear();
    steps.push(nodes);
    steps.push(Vec::new());
    for step in steps {
        for again in [false, true] {
            if again {
                store = Sqlite::open(&path).expect("the store again");
            }
            let record = record(generation, step.clone());
            store.save(&record).expect("saved");
            assert_eq!(store.load().expect("loaded"), Some(record.saved.clone()));
            let mut other = Sqlite::open(&path).expect("the store again");
            assert_eq!(other.load().expect("loaded"), Some(record.saved));
            generation += 1;
        }
    }
}

/// A chain of formers; each (node, left, left of UDP).
fn drain(route: u32, formers: &[(u32, u32, u32)]) -> SavedDrain {
    let former = |&(node, left_ms, udp_left_ms): &(u32, u32, u32)| SavedFormer {
        node: NodeId(node),
        left_ms,
        udp_left_ms,
    };
    SavedDrain {
        route,
        formers: formers.iter().map(former).collect(),
    }
}

#[test]
fn drains_are_loaded_in_their_order_and_rows_are_few() {
    let (_dir, path) = place();
    let mut store = Sqlite::open(&path).expect("a new store");
    let rows = |path: &PathBuf| -> Vec<(String, u32, u32, u32)> {
        let db = rusqlite::Connection::open(path).expect("the file");
        let mut rows = db
            .prepare("SELECT routes, position, node, left_ms FROM drain ORDER BY 1, 2")
            .expect("a table");
        let rows = rows.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)));
        rows.expect("rows").map(|row| row.expect("a row")).collect()
    };
    let (plain, long) = ([(2, 60_000, 0)], [(3, 900, 100), (2, 60_000, 0), (1, 5, 0)]);
    let drains = vec![
        drain(2, &plain),
        drain(3, &plain),
        drain(7, &long),
        drain(9, &plain),
    ];
    let mut record = record(1, vec![node(1, Some(1)), node(2, Some(2)), node(3, None)]);
    for drains in [drains.clone(), drains[1..3].to_vec(), Vec::new(), drains] {
        record.saved.drains = drains;
        store.save(&record).expect("saved");
        let loaded = store.load().expect("loaded").expect("a state");
        assert_eq!(loaded, record.saved);
    }
    let text = |routes: &str, position, node, left| (routes.to_owned(), position, node, left);
    let right = [
        text("2-3,9", 0, 2, 60_000),
        text("7", 0, 3, 900),
        text("7", 1, 2, 60_000),
        text("7", 2, 1, 5),
    ];
    assert_eq!(rows(&path), right);

    let db = rusqlite::Connection::open(&path).expect("the file");
    db.execute("UPDATE drain SET routes = '3-2' WHERE node = 2", [])
        .expect("damaged");
    let error = store.load().expect_err("damaged").to_string();
    assert!(
        error.contains("drain: the range 3-2 runs backwards"),
        "{error}"
    );
}

/// A file as halod of schema 1 left it.
#[test]
fn a_file_of_schema_1_is_loaded_and_written_on() {
    let (dir, _) = place();
    let path = dir.path().join("halod.db");
    let db = rusqlite::Connection::open(&path).expect("a database");
    db.execute_batch(include_str!("schema-1.sql"))
        .expect("a file of schema 1");
    drop(db);
    let mut store = Sqlite::open(&path).expect("the file of schema 1");
    let mut loaded = store.load().expect("loaded").expect("a state");
    assert_eq!((loaded.generation, loaded.slots), (7, 2));
    assert_eq!(loaded.drains, []);
    assert_eq!(loaded.select_key, None);
    let held: Vec<(&str, Option<u32>, String)> = loaded
        .nodes
        .iter()
        .map(|node| (node.name.as_str(), node.slot, node.routes.to_string()))
        .collect();
    let none = String::new();
    let right = [
        ("n4", None, none.clone()),
        ("n1", Some(1), "1-12".to_owned()),
        ("n2", Some(2), "13-24".to_owned()),
        ("n3", None, none),
    ];
    assert_eq!(held, right);
    assert_eq!(loaded.nodes[1].ports["browsers"], 8100);

    loaded.generation = 8;
    loaded.drains = vec![drain(5, &[(2, 60_000, 0)])];
    loaded.select_key = Some(SelectKey([9; 16]));
    let saved = loaded.clone();
    let change = None;
    store.save(&Record { saved, change }).expect("saved");
    let mut again = Sqlite::open(&path).expect("the file of schema 3");
    assert_eq!(again.load().expect("loaded"), Some(loaded));
    let db = rusqlite::Connection::open(&path).expect("the file");
    let version: u32 = db
        .pragma_query_value(None, "user_version", |r| r.get(0))
        .expect("a version");
    assert_eq!(version, 3);
}

#[test]
fn people_can_read_it() {
    let (_dir, path) = place();
    let mut store = Sqlite::open(&path).expect("a new store");
    for generation in [1, 2, 1500] {
        store
            .save(&record(generation, vec![node(1, Some(1))]))
            .expect("saved");
    }
    let db = rusqlite::Connection::open(&path).expect("the file");
    let row = db.query_row("SELECT name, state, slot, routes FROM node", [], |r| {
        Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
    });
    let row: (String, String, i64, String) = row.expect("a node");
    assert_eq!(row, ("n1".into(), "active".into(), 1, "1-12,21".into()));
    let changes = db.query_row("SELECT count(*), max(generation) FROM change", [], |r| {
        Ok((r.get(0)?, r.get(1)?))
    });
    let changes: (i64, i64) = changes.expect("changes");
    assert_eq!(changes, (1, 1500), "old ones are forgotten");
    let mode: String = db
        .pragma_query_value(None, "journal_mode", |r| r.get(0))
        .expect("a mode");
    assert_eq!(mode, "wal");
}

#[test]
fn a_save_that_fails_leaves_what_was_there() {
    let (_dir, path) = place();
    let mut store = Sqlite::open(&path).expect("a new store");
    let first = record(1, vec![node(1, Some(1))]);
    store.save(&first).expect("saved");
    let twice = vec![
        node(1, Some(1)),
        SavedNode {
            id: NodeId(2),
            ..node(1, None)
        },
    ];
    store.save(&record(2, twice)).expect_err("a name twice");
    assert_eq!(store.load().expect("loaded"), Some(first.saved));
    let third = record(3, vec![node(1, None), node(2, Some(1))]);
    store.save(&third).expect("saved");
    assert_eq!(store.load().expect("loaded"), Some(third.saved));
}

#[test]
fn other_files_are_refused_with_a_way_out() {
    let (dir, _) = place();
    let text = dir.path().join("text.db");
    std::fs::write(
        &text,
        "this is not a database, and long enough to look like one".repeat(20),
    )
    .expect("a file");
    let error = Sqlite::open(&text).expect_err("a text").to_string();
    assert!(
        error.contains("text.db") && error.contains("not a database"),
        "{error}"
    );

    let foreign = dir.path().join("foreign.db");
    let db = rusqlite::Connection::open(&foreign).expect("a database");
    db.execute_batch("CREATE TABLE song (title TEXT)")
        .expect("a table");
    let error = Sqlite::open(&foreign).expect_err("foreign").to_string();
    assert!(
        error.contains("foreign.db") && error.contains("not halod's"),
        "{error}"
    );

    let newer = dir.path().join("newer.db");
    drop(Sqlite::open(&newer).expect("a new store"));
    let db = rusqlite::Connection::open(&newer).expect("a database");
    db.pragma_update(None, "user_version", 4)
        .expect("a version");
    let error = Sqlite::open(&newer).expect_err("newer").to_string();
    assert!(
        error.contains("schema 4") && error.contains("knows schemas up to 3"),
        "{error}"
    );
}

#[test]
fn one_daemon_a_store() {
    let (_dir, path) = place();
    let lock = InstanceLock::take(&path).expect("the lock");
    let error = InstanceLock::take(&path).expect_err("taken").to_string();
    assert!(
        error.contains(&format!("pid {}", std::process::id())),
        "{error}"
    );
    drop(lock);
    InstanceLock::take(&path).expect("free again");
}
