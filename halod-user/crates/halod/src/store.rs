//! What must survive the daemon: behind a trait, since SQLite is only the first.

mod drains;
mod lock;
mod schema;
mod sqlite;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use halod_cluster::Saved;

pub use lock::{InstanceLock, LockError};
pub use sqlite::Sqlite;

/// One state of the cluster, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The state.
    pub saved: Saved,
    /// The change of the table that led here, if there was one.
    pub change: Option<ChangeRecord>,
}

/// A line of the table's history, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRecord {
    /// The generation that it made.
    pub generation: u64,
    /// When, RFC 3339.
    pub time: String,
    /// Why.
    pub cause: String,
    /// What moved.
    pub moves: String,
}

/// Why the store could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite's own.
    #[error("store {path}: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The file is not one that this version of halod can use.
    #[error("store {path}: {what}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Its directory could not be made.
    #[error("store {path}: cannot make its directory: {source}")]
    Directory {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The thread that was writing has died.
    #[error("store: its thread has died")]
    Thread,
}

/// Keeps one [`Record`], the last that was saved.
pub trait Store: Send + 'static {
    /// What was saved last; `None` if nothing ever was.
    ///
    /// # Errors
    /// The store cannot be read, or holds what this version does not understand.
    fn load(&mut self) -> Result<Option<Saved>, StoreError>;

    /// Makes a record durable: when this returns, it survives a loss of power.
    ///
    /// # Errors
    /// It could not be written; what was saved before is still there.
    fn save(&mut self, record: &Record) -> Result<(), StoreError>;
}

/// A store behind the async side: its work is done on a blocking thread.
#[derive(Clone)]
pub struct Keeper(Arc<Mutex<dyn Store>>);

impl Keeper {
    /// Keeps `store`.
    pub fn new(store: impl Store) -> Keeper {
        Keeper(Arc::new(Mutex::new(store)))
    }

    /// See [`Store::load`].
    ///
    /// # Errors
    /// As there.
    pub async fn load(&self) -> Result<Option<Saved>, StoreError> {
        self.run(|store| store.load()).await
    }

    /// See [`Store::save`]. It begins at once; what is returned waits for its end.
    ///
    /// # Errors
    /// As there.
    pub fn save(
        &self,
        record: Record,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        self.run(move |store| store.save(&record))
    }

    fn run<T, W>(&self, work: W) -> impl Future<Output = Result<T, StoreError>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(&mut dyn Store) -> Result<T, StoreError> + Send + 'static,
    {
        let store = Arc::clone(&self.0);
        let running = tokio::task::spawn_blocking(move || {
            work(&mut *store.lock().unwrap_or_else(PoisonError::into_inner))
        });
        async { running.await.unwrap_or(Err(StoreError::Thread)) }
    }
}
