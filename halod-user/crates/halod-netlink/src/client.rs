//! The operations of the family.

use rustix::io::Errno;

use crate::connection::{Connection, Data};
use crate::decode::{self, TableParts};
use crate::encode;
use crate::error::{Error, Result};
use crate::message::Failure;
use crate::model::{Device, Status, Table};
use crate::uapi::{FAMILY_NAME, cmd};

/// A connection to the kernel's table of this network namespace: of the one that
/// the thread was in when it was opened.
///
/// A request that is dropped before its end has been carried out or not; the next one is not
/// disturbed. Where the module was loaded anew, the next request finds it again.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
}

impl Client {
    /// Opens a connection.
    ///
    /// # Errors
    /// [`Error::NoModule`], [`Error::Io`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn connect() -> Result<Client> {
        Ok(Client {
            connection: Connection::open(FAMILY_NAME)?,
        })
    }

    /// The table's generation and size.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn status(&mut self) -> Result<Status> {
        const WHAT: &str = "reading the kernel's status";
        let data = self
            .connection
            .ask(WHAT, cmd::GET_STATUS, Vec::new())
            .await?;
        let data = data.map_err(|failure| refused(WHAT, failure, None))?;
        decode::status(only(WHAT, &data)?).map_err(Error::malformed(WHAT))
    }

    /// The whole table, as it was at one moment.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Interrupted`] where commits do not stop.
    pub async fn table(&mut self) -> Result<Table> {
        const WHAT: &str = "reading the kernel's table";
        let data = self.connection.dump(WHAT, cmd::GET_TABLE).await?;
        let data = data.map_err(|failure| refused(WHAT, failure, None))?;
        let mut parts = TableParts::default();
        for (_, attrs) in &data {
            parts.add(attrs).map_err(Error::malformed(WHAT))?;
        }
        parts.finish().map_err(Error::malformed(WHAT))
    }

    /// Replaces the whole table in one step, where `expected` is in force. Gives the generation
    /// that is in force then: the table's own, or the expected one + 1 where that is 0.
    ///
    /// # Errors
    /// [`Error::Stale`] where another generation is in force, [`Error::Kernel`] where the kernel
    /// refuses the table; see [`Error`]. Nothing has changed then.
    pub async fn commit(&mut self, table: &Table, expected: u64) -> Result<u64> {
        const WHAT: &str = "committing a table";
        let attrs = encode::commit(table, expected)?;
        let data = self.connection.ask(WHAT, cmd::COMMIT, attrs).await?;
        let data = data.map_err(|failure| refused(WHAT, failure, Some(expected)))?;
        decode::generation(only(WHAT, &data)?).map_err(Error::malformed(WHAT))
    }

    /// Empties the table, where `expected` is in force or none is given. Gives the generation
    /// that is in force then.
    ///
    /// # Errors
    /// As [`Client::commit`].
    pub async fn flush(&mut self, expected: Option<u64>) -> Result<u64> {
        const WHAT: &str = "flushing the kernel's table";
        let attrs = encode::flush(expected)?;
        let data = self.connection.ask(WHAT, cmd::FLUSH, attrs).await?;
        let data = data.map_err(|failure| refused(WHAT, failure, expected))?;
        decode::generation(only(WHAT, &data)?).map_err(Error::malformed(WHAT))
    }

    /// Every packet exit, with the packets that left by it since the namespace was made.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn counters(&mut self) -> Result<Vec<(String, u64)>> {
        const WHAT: &str = "reading the kernel's counters";
        self.list(WHAT, cmd::GET_COUNTERS, decode::counter).await
    }

    /// What became of packets where they arrived: how many took the fast path, and how many did not
    /// for each reason, since the namespace was made.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn fast_path(&mut self) -> Result<Vec<(String, u64)>> {
        const WHAT: &str = "reading the kernel's counters of the fast path";
        self.list(WHAT, cmd::GET_FAST_PATH, decode::counter).await
    }

    /// Every device of the namespace, and whether it has the fast path.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn devices(&mut self) -> Result<Vec<Device>> {
        const WHAT: &str = "reading the kernel's devices";
        self.list(WHAT, cmd::GET_DEVICES, decode::device).await
    }

    /// A dump of which each message is one value.
    async fn list<T>(
        &mut self,
        what: &'static str,
        command: u8,
        decode: fn(&[u8]) -> std::result::Result<T, String>,
    ) -> Result<Vec<T>> {
        let data = self.connection.dump(what, command).await?;
        let data = data.map_err(|failure| refused(what, failure, None))?;
        data.iter()
            .map(|(_, attrs)| decode(attrs).map_err(Error::malformed(what)))
            .collect()
    }
}

fn only<'a>(what: &'static str, data: &'a [Data]) -> Result<&'a [u8]> {
    match data {
        [(_, attrs)] => Ok(attrs),
        _ => Err(Error::Malformed {
            what,
            reason: format!("{} messages in place of one", data.len()),
        }),
    }
}

/// The error that a refusal is, where the request expected a generation or did not.
fn refused(what: &'static str, failure: Failure, expected: Option<u64>) -> Error {
    let Failure {
        errno,
        message,
        attribute,
    } = failure;
    match (Errno::from_raw_os_error(errno), expected) {
        (Errno::PERM | Errno::ACCESS, _) => Error::Permission { what },
        (Errno::STALE, Some(expected)) => Error::Stale {
            what,
            expected,
            message,
        },
        _ => Error::Kernel {
            what,
            errno,
            message,
            attribute,
        },
    }
}
