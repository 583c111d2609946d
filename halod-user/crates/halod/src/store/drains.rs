//! The table `drain`: routes that drain the same way together, since a move of thousands of
//! routes makes a handful of rows then, and none of them has to wait for thousands.

use std::collections::BTreeMap;

use halod_cluster::{NodeId, RouteId, SavedDrain, SavedFormer};
use halod_routes::{ParseRouteSetError, RouteSet};
use rusqlite::{Connection, Transaction, params};

/// Why the table could not be read.
pub(super) enum ReadError {
    Sql(rusqlite::Error),
    Routes(ParseRouteSetError),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> ReadError {
        ReadError::Sql(error)
    }
}

/// Writes into the empty table.
pub(super) fn insert(tx: &Transaction<'_>, drains: &[SavedDrain]) -> rusqlite::Result<()> {
    let mut groups: BTreeMap<Vec<(u32, u32, u32)>, Vec<RouteId>> = BTreeMap::new();
    // Neighbours mostly drain the same way.
    for run in drains.chunk_by(|a, b| a.formers == b.formers) {
        let key = run[0].formers.iter();
        let key = key.map(|f| (f.node.0, f.left_ms, f.udp_left_ms)).collect();
        let routes = groups.entry(key).or_default();
        routes.extend(run.iter().map(|drain| drain.route));
    }
    let mut statement = tx.prepare_cached("INSERT INTO drain VALUES (?, ?, ?, ?, ?)")?;
    for (formers, routes) in groups {
        let routes: RouteSet = routes.into_iter().collect();
        let routes = routes.to_string();
        for (position, (node, left_ms, udp_left_ms)) in (0u32..).zip(formers) {
            statement.execute(params![routes, position, node, left_ms, udp_left_ms])?;
        }
    }
    Ok(())
}

/// Reads every drain, by route.
pub(super) fn read(db: &Connection) -> Result<Vec<SavedDrain>, ReadError> {
    let mut statement = db.prepare(
        "SELECT routes, node, left_ms, udp_left_ms FROM drain ORDER BY routes, position",
    )?;
    let mut formers: BTreeMap<RouteId, Vec<SavedFormer>> = BTreeMap::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let routes: String = row.get(0)?;
        let routes: RouteSet = routes.parse().map_err(ReadError::Routes)?;
        let former = SavedFormer {
            node: NodeId(row.get(1)?),
            left_ms: row.get(2)?,
            udp_left_ms: row.get(3)?,
        };
        for route in routes.iter() {
            formers.entry(route).or_default().push(former.clone());
        }
    }
    let drain = |(route, formers)| SavedDrain { route, formers };
    Ok(formers.into_iter().map(drain).collect())
}
