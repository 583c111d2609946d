//! The kernel's table, as the daemon uses it. A trait, so that tests of the daemon can run
//! where no module can be loaded; the program itself knows only the real one.

use std::future::Future;
use std::time::Duration;

use halod_netlink::{Client, Error, Events, Result, Status, Table};
use tokio::sync::mpsc;

/// Whoever holds the table that packets follow.
pub trait Kernel: Send + 'static {
    /// Generation and size of the table in force.
    fn status(&mut self) -> impl Future<Output = Result<Status>> + Send;

    /// Every packet exit, with the packets that left by it.
    fn counters(&mut self) -> impl Future<Output = Result<Vec<(String, u64)>>> + Send;

    /// The table in force.
    fn table(&mut self) -> impl Future<Output = Result<Table>> + Send;

    /// Replaces it as a whole where generation `expected` is in force, and changes nothing
    /// otherwise ([`Error::Stale`]). Gives the generation then in force.
    fn commit(&mut self, table: &Table, expected: u64) -> impl Future<Output = Result<u64>> + Send;

    /// From now on every change of the table is told, our own too: the generation after it, or
    /// `None` where changes were missed. Ends where it cannot go on; subscribe again then.
    ///
    /// # Errors
    /// Not possible now.
    fn subscribe(&mut self) -> Result<Changes>;
}

/// See [`Kernel::subscribe`].
pub type Changes = mpsc::Receiver<Option<u64>>;

impl Kernel for Client {
    async fn status(&mut self) -> Result<Status> {
        Client::status(self).await
    }

    async fn counters(&mut self) -> Result<Vec<(String, u64)>> {
        Client::counters(self).await
    }

    async fn table(&mut self) -> Result<Table> {
        Client::table(self).await
    }

    async fn commit(&mut self, table: &Table, expected: u64) -> Result<u64> {
        Client::commit(self, table, expected).await
    }

    fn subscribe(&mut self) -> Result<Changes> {
        let mut events = Events::subscribe()?;
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            loop {
                let change = match events.next().await {
                    Ok(status) => Some(status.generation),
                    Err(Error::Lost) => None,
                    Err(error) => {
                        tracing::warn!("{error}");
                        return;
                    }
                };
                if sender.send(change).await.is_err() {
                    return;
                }
            }
        });
        Ok(receiver)
    }
}

/// Connects to the kernel; where the module is not loaded, tries again for up to `patience`.
///
/// # Errors
/// The module is not there or may not be used.
pub async fn connect(patience: Duration) -> Result<Client> {
    let deadline = tokio::time::Instant::now() + patience;
    let mut told = false;
    loop {
        let error = match Client::connect() {
            Err(error @ Error::NoModule) => error,
            other => return other,
        };
        if tokio::time::Instant::now() >= deadline {
            return Err(error);
        }
        if !std::mem::replace(&mut told, true) {
            tracing::warn!("{error}; waiting for it");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
