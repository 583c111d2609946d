//! The form of the file, and how a file of a former version gets it.

use std::path::Path;

use rusqlite::Connection;

use super::StoreError;

const SCHEMA: &str = include_str!("schema.sql");
const VERSION: i64 = 3;
/// "Halo", so that `file` and we can tell our file from another program's.
const APPLICATION_ID: i64 = 0x4861_6c6f;

/// Sets the connection up, and makes the tables that the file does not have yet.
pub(super) fn prepare(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let sql = |source| StoreError::Sqlite {
        path: path.to_owned(),
        source,
    };
    let form = |what| StoreError::Form {
        path: path.to_owned(),
        what,
    };
    let pragma = |db: &Connection, name: &str| db.pragma_query_value(None, name, |r| r.get(0));
    let application: i64 = pragma(db, "application_id").map_err(sql)?;
    let version: i64 = pragma(db, "user_version").map_err(sql)?;
    let tables: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))
        .map_err(sql)?;
    let new = tables == 0 && application == 0 && version == 0;
    if !new && application != APPLICATION_ID {
        return Err(form(
            "is a SQLite file, but not halod's; name another file".into(),
        ));
    }
    if !new && !(1..=VERSION).contains(&version) {
        return Err(form(format!(
            "has schema {version}, and this halod ({}) knows schemas up to {VERSION}; use the \
             halod that wrote it, or move the file away to start with what the kernel holds",
            env!("CARGO_PKG_VERSION")
        )));
    }
    // The answer is the mode that came of it: a file system without shared memory has no WAL.
    let mode: String = db
        .pragma_update_and_check(None, "journal_mode", "wal", |r| r.get(0))
        .map_err(sql)?;
    if mode != "wal" {
        tracing::warn!(path = %path.display(), mode, "the store has no write-ahead log here");
    }
    db.pragma_update(None, "synchronous", "full").map_err(sql)?;
    db.pragma_update(None, "foreign_keys", true).map_err(sql)?;
    if version < VERSION {
        // Each schema has a table more than the one before, and nothing else is new.
        let tx = db.transaction().map_err(sql)?;
        tx.execute_batch(SCHEMA).map_err(sql)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(sql)?;
        tx.pragma_update(None, "user_version", VERSION)
            .map_err(sql)?;
        tx.commit().map_err(sql)?;
    }
    Ok(())
}
