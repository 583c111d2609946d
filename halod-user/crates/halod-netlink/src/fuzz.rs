//! Reading and writing without a socket, for the fuzz targets.

use crate::attr::Writer;
use crate::decode::{self, TableParts};
use crate::encode;
use crate::error::Result;
use crate::message::{self, Content};
use crate::model::Table;
use crate::uapi;

/// Reads a datagram as an answer to each request, and as an event.
pub fn datagram(bytes: &[u8]) {
    let _ = decode::status(bytes);
    let _ = decode::counter(bytes);
    let _ = decode::generation(bytes);
    for message in message::parse(bytes).unwrap_or_default() {
        if let Content::Data(_, attrs) = message.content {
            let _ = decode::status(&attrs);
            let _ = table(&[&attrs]);
        }
    }
}

/// Reads a table from the attributes of a dump's messages.
///
/// # Errors
/// What is wrong with them.
pub fn table(messages: &[&[u8]]) -> std::result::Result<Table, String> {
    let mut parts = TableParts::default();
    for message in messages {
        parts.add(message)?;
    }
    parts.finish()
}

/// The attributes of a dump's messages.
///
/// # Errors
/// A name or list is longer than an attribute can be.
pub fn messages(table: &Table) -> Result<Vec<Vec<u8>>> {
    let mut head = Writer::default();
    head.u64(uapi::table::GENERATION, table.generation)?;
    head.u32(uapi::table::ROUTES, table.routes.len() as u32)?;
    if let Some(key) = &table.select_key {
        head.bytes(uapi::table::SELECT_KEY, key)?;
    }
    head.u8(uapi::table::FAST_PATH, table.fast_path.number())?;
    let mut content = Writer::default();
    encode::content(&mut content, table)?;
    Ok(vec![head.finish(), content.finish()])
}
