//! The store in one SQLite file.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use halod_cluster::{NodeId, NodeState, Saved, SavedDrain, SavedNode, SelectKey};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{Record, Store, StoreError, drains, schema};

/// How many changes of the table are kept for people.
const HISTORY: i64 = 1000;

/// A SQLite file: write-ahead log, every commit synced.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    db: Connection,
    /// What the file holds of each node, so that only what differs is written.
    written: HashMap<NodeId, Written>,
    /// Whether the file may hold drains.
    drains: bool,
    last_turn: i64,
}

#[derive(Debug, PartialEq)]
struct Written {
    node: Arc<SavedNode>,
    turn: i64,
}

impl Sqlite {
    /// Opens the file, and makes it where there is none.
    ///
    /// # Errors
    /// It cannot be opened, or is another program's or another version's.
    pub fn open(path: &Path) -> Result<Sqlite, StoreError> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|source| StoreError::Directory {
                path: path.to_owned(),
                source,
            })?;
        }
        let sql = |source| StoreError::Sqlite {
            path: path.to_owned(),
            source,
        };
        let mut db = Connection::open(path).map_err(sql)?;
        // A user may have it open in sqlite3.
        db.busy_timeout(Duration::from_secs(5)).map_err(sql)?;
        schema::prepare(&mut db, path)?;
        let mut store = Sqlite {
            path: path.to_owned(),
            db,
            written: HashMap::new(),
            drains: true,
            last_turn: 0,
        };
        store.forget_written().map_err(sql)?;
        Ok(store)
    }

    fn wrong(&self, what: String) -> StoreError {
        StoreError::Form {
            path: self.path.clone(),
            what,
        }
    }

    /// After this every node is written anew.
    fn forget_written(&mut self) -> rusqlite::Result<()> {
        self.written.clear();
        self.last_turn = self
            .db
            .query_row("SELECT coalesce(max(turn), 0) FROM node", [], |r| r.get(0))?;
        Ok(())
    }

    fn read_drains(&self) -> Result<Vec<SavedDrain>, StoreError> {
        drains::read(&self.db).map_err(|error| match error {
            drains::ReadError::Sql(source) => StoreError::Sqlite {
                path: self.path.clone(),
                source,
            },
            drains::ReadError::Routes(error) => self.wrong(format!("drain: {error}")),
        })
    }

    fn read_select_key(&self) -> Result<Option<SelectKey>, StoreError> {
        let key: Option<String> = self
            .db
            .query_row("SELECT key FROM select_key", [], |r| r.get(0))
            .optional()
            .map_err(|source| StoreError::Sqlite {
                path: self.path.clone(),
                source,
            })?;
        key.map(|key| key.parse())
            .transpose()
            .map_err(|error| self.wrong(format!("select_key: {error}")))
    }

    fn read_nodes(&self) -> Result<Vec<Arc<SavedNode>>, StoreError> {
        let sql = |source| StoreError::Sqlite {
            path: self.path.clone(),
            source,
        };
        let mut statement = self
            .db
            .prepare(
                "SELECT id, name, state, slot, routes, parked, token FROM node ORDER BY turn, id",
            )
            .map_err(sql)?;
        type Row = (u32, String, String, Option<u32>, String, bool, String);
        let rows: Vec<Row> = statement
            .query_map([], |r| {
                Ok((
                    r.get(0)?,
                    r.get(1)?,
                    r.get(2)?,
                    r.get(3)?,
                    r.get(4)?,
                    r.get(5)?,
                    r.get(6)?,
                ))
            })
            .and_then(Iterator::collect)
            .map_err(sql)?;
        let mut addresses: HashMap<u32, Vec<String>> = HashMap::new();
        let mut statement = self
            .db
            .prepare("SELECT node, address FROM address ORDER BY node, position")
            .map_err(sql)?;
        let pairs = statement
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))
            .map_err(sql)?;
        for pair in pairs {
            let (node, address) = pair.map_err(sql)?;
            addresses.entry(node).or_default().push(address);
        }
        let mut ports: HashMap<u32, Vec<(String, u16)>> = HashMap::new();
        let mut statement = self
            .db
            .prepare("SELECT node, listener, port FROM port")
            .map_err(sql)?;
        let triples = statement
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
            .map_err(sql)?;
        for triple in triples {
            let (node, listener, port) = triple.map_err(sql)?;
            ports.entry(node).or_default().push((listener, port));
        }
        rows.into_iter()
            .map(|(id, name, state, slot, routes, parked, token)| {
                let addresses = addresses.remove(&id).unwrap_or_default();
                Ok(Arc::new(SavedNode {
                    id: NodeId(id),
                    state: state_of(&state)
                        .ok_or_else(|| self.wrong(format!("node {name}: no state {state:?}")))?,
                    name: name
                        .parse()
                        .map_err(|e| self.wrong(format!("node {id}: {e}")))?,
                    addresses: addresses
                        .iter()
                        .map(|a| {
                            a.parse().map_err(|_| {
                                self.wrong(format!("node {name}: {a:?} is not an address"))
                            })
                        })
                        .collect::<Result<_, _>>()?,
                    ports: ports.remove(&id).unwrap_or_default().into_iter().collect(),
                    slot,
                    routes: routes
                        .parse()
                        .map_err(|e| self.wrong(format!("node {name}: {e}")))?,
                    parked,
                    token,
                }))
            })
            .collect()
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<Option<Saved>, StoreError> {
        let sql = |source| StoreError::Sqlite {
            path: self.path.clone(),
            source,
        };
        let row: Option<(i64, u32, u32)> = self
            .db
            .query_row("SELECT generation, routes, slots FROM cluster", [], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?))
            })
            .optional()
            .map_err(sql)?;
        let Some((generation, routes, slots)) = row else {
            return Ok(None);
        };
        let generation = u64::try_from(generation)
            .map_err(|_| self.wrong(format!("the generation is {generation}")))?;
        Ok(Some(Saved {
            generation,
            routes,
            slots,
            nodes: self.read_nodes()?,
            drains: self.read_drains()?,
            select_key: self.read_select_key()?,
        }))
    }

    fn save(&mut self, record: &Record) -> Result<(), StoreError> {
        let saved = &record.saved;
        let Ok(generation) = i64::try_from(saved.generation) else {
            return Err(self.wrong(format!("generation {} is too large", saved.generation)));
        };
        let (changed, last_turn) = self.changed(record);
        let there: HashSet<NodeId> = saved.nodes.iter().map(|node| node.id).collect();
        let known = self.written.keys().copied();
        let gone: Vec<NodeId> = known.filter(|id| !there.contains(id)).collect();
        let result = (|| {
            let tx = self.db.transaction()?;
            tx.prepare_cached(
                "INSERT OR REPLACE INTO cluster (one, generation, routes, slots) VALUES (1, ?, ?, ?)",
            )?
            .execute(params![generation, saved.routes, saved.slots])?;
            if let Some(key) = saved.select_key {
                tx.prepare_cached("INSERT OR REPLACE INTO select_key (one, key) VALUES (1, ?)")?
                    .execute([String::from(key)])?;
            }
            if self.written.is_empty() {
                tx.execute("DELETE FROM node", [])?;
            }
            // A name may pass from one id to another: all old rows go before a new one comes.
            for id in changed.iter().map(|written| &written.node.id).chain(&gone) {
                tx.prepare_cached("DELETE FROM node WHERE id = ?")?
                    .execute([id.0])?;
            }
            for written in &changed {
                insert(&tx, written)?;
            }
            if self.drains {
                tx.prepare_cached("DELETE FROM drain")?.execute([])?;
            }
            drains::insert(&tx, &saved.drains)?;
            if let Some(change) = &record.change {
                let generation = i64::try_from(change.generation).unwrap_or(i64::MAX);
                tx.prepare_cached("INSERT OR REPLACE INTO change VALUES (?, ?, ?, ?)")?
                    .execute(params![generation, change.time, change.cause, change.moves])?;
                tx.prepare_cached("DELETE FROM change WHERE generation <= ?")?
                    .execute([generation.saturating_sub(HISTORY)])?;
            }
            tx.commit()
        })();
        match result {
            Ok(()) => {
                for id in &gone {
                    self.written.remove(id);
                }
                let changed = changed.into_iter();
                self.written.extend(changed.map(|w| (w.node.id, w)));
                self.last_turn = last_turn;
                self.drains = !saved.drains.is_empty();
                Ok(())
            }
            Err(source) => Err(StoreError::Sqlite {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

impl Sqlite {
    /// The nodes' rows that are others than the file's. A node keeps its `turn` as long as the order
    /// allows, so that a node that goes to the end does not change the rows of all others.
    fn changed(&self, record: &Record) -> (Vec<Written>, i64) {
        let (mut floor, mut last) = (0, self.last_turn);
        let mut changed = Vec::new();
        for node in &record.saved.nodes {
            let before = self.written.get(&node.id);
            let turn = before.map(|w| w.turn).filter(|&t| t > floor);
            let turn = turn.unwrap_or_else(|| {
                last += 1;
                last
            });
            floor = turn;
            let same = |w: &Written| Arc::ptr_eq(&w.node, node) || w.node == *node;
            if before.is_none_or(|w| w.turn != turn || !same(w)) {
                let node = Arc::clone(node);
                changed.push(Written { node, turn });
            }
        }
        (changed, last)
    }
}

fn insert(tx: &Transaction<'_>, written: &Written) -> rusqlite::Result<()> {
    let Written { node, turn } = written;
    tx.prepare_cached(
        "INSERT INTO node (id, name, state, slot, routes, parked, token, turn)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        node.id.0,
        node.name.as_str(),
        node.state.to_string(),
        node.slot,
        node.routes.to_string(),
        node.parked,
        node.token,
        turn
    ])?;
    for (position, address) in (0u32..).zip(&node.addresses) {
        tx.prepare_cached("INSERT INTO address (node, position, address) VALUES (?, ?, ?)")?
            .execute(params![node.id.0, position, address.to_string()])?;
    }
    for (listener, port) in &node.ports {
        tx.prepare_cached("INSERT INTO port (node, listener, port) VALUES (?, ?, ?)")?
            .execute(params![node.id.0, listener, port])?;
    }
    Ok(())
}

fn state_of(text: &str) -> Option<NodeState> {
    [
        NodeState::Reserve,
        NodeState::Active,
        NodeState::Draining,
        NodeState::Lost,
    ]
    .into_iter()
    .find(|state| state.to_string() == text)
}
