//! Puts the parts together, in the order in which they need each other.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use halod_cluster::{Cluster, SelectKey, Time};
use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::adopt::{self, AdoptError};
use crate::config::Config;
use crate::control::Control;
use crate::heart::{Heart, Input, Parts};
use crate::kernel::Kernel;
use crate::listeners::cluster_config;
use crate::server::{self, Handshakes, Shared};
use crate::shutdown::Shutdown;
use crate::store::{InstanceLock, Keeper, LockError, Record, Sqlite, StoreError};
use crate::table::table;
use crate::tls::{self, Tls};

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another one does.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel cannot be used.
    #[error(transparent)]
    Kernel(#[from] halod_netlink::Error),
    /// What store and kernel hold does not fit the configuration.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// A socket cannot be listened on.
    #[error("cannot listen on {address}: {source}; see nodes.listen in the configuration")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] halod_tls::Error),
    /// The kernel has no random numbers.
    #[error("no random key for listeners with one port: {0}")]
    Random(#[from] getrandom::Error),
    /// SIGHUP cannot be handled.
    #[error("cannot handle SIGHUP: {0}")]
    Hangup(io::Error),
    /// The control socket cannot be made.
    #[error("cannot make the control socket {path}: {source}")]
    Control {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A daemon whose table is the kernel's, and whose sockets listen.
pub struct Daemon<K> {
    heart: Heart<K>,
    inputs: mpsc::Sender<Input>,
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
    control: Control,
    /// With what makes it read its files again.
    tls: Option<(Arc<Tls>, Signal)>,
    _lock: InstanceLock,
}

impl<K: Kernel> Daemon<K> {
    /// Takes up what store and kernel hold; `reset_table` forgets it instead. Nothing is changed
    /// where this fails before the kernel's commit.
    ///
    /// # Errors
    /// See [`DaemonError`].
    pub async fn start(
        config: &Config,
        reset_table: bool,
        mut kernel: K,
    ) -> Result<Daemon<K>, DaemonError> {
        let lock = InstanceLock::take(&config.store)?;
        // From now on SIGHUP does not end the process, with or without TLS.
        let hangups = tls::hangups().map_err(DaemonError::Hangup)?;
        let tls = config.nodes.tls.as_ref().map(Tls::load).transpose()?;
        let tls = tls.map(Arc::new);
        let listeners = server::bind(&config.nodes.listen)
            .await
            .map_err(|(address, source)| DaemonError::Listen { address, source })?;
        let store = Sqlite::open(&config.store)?;
        let keeper = Keeper::new(store);

        let origin = Instant::now();
        let changes = kernel.subscribe()?;
        let status = kernel.status().await?;
        let cluster = take_up(config, reset_table, &mut kernel, &keeper).await?;

        let control = Control::bind(&config.control).map_err(|source| DaemonError::Control {
            path: config.control.clone(),
            source,
        })?;
        let handshakes = Handshakes::new(config.nodes.max_handshakes);
        let (heart, inputs) = Heart::new(Parts {
            cluster,
            kernel,
            changes,
            kernel_status: status,
            keeper,
            store: config.store.clone(),
            origin,
            handshakes: handshakes.clone(),
        });
        let nodes = config.nodes.clone();
        let shared = Shared::new(nodes, inputs.clone(), handshakes, tls.clone());
        Ok(Daemon {
            heart,
            inputs,
            shared: Arc::new(shared),
            listeners,
            control,
            tls: tls.map(|tls| (tls, hangups)),
            _lock: lock,
        })
    }

    /// Where nodes can connect to: as configured, with the port that a port 0 became.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|l| l.local_addr().ok())
            .collect()
    }

    /// Runs until it shall end. The kernel goes on forwarding.
    pub async fn run(self, shutdown: Shutdown) {
        let Daemon {
            heart,
            inputs,
            shared,
            listeners,
            control,
            tls,
            _lock,
        } = self;
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(server::run(listener, Arc::clone(&shared), shutdown.clone()));
        }
        tasks.spawn(control.run(inputs, shutdown.clone()));
        if let Some((tls, hangups)) = tls {
            tasks.spawn(tls.keep_fresh(hangups, shutdown.clone()));
        }
        drop(shared);
        // READY for systemd; no systemd is no error.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        // A task like the sessions, it takes its turn with them: what `block_on` runs itself comes
        // before all but 61 of them. It ends at once, before it could hear the connections close: no
        // node is lost.
        let mut beating = JoinSet::new();
        beating.spawn(heart.run(shutdown));
        beating.join_all().await;
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        while tasks.join_next().await.is_some() {}
    }
}

/// A key that nobody can guess, for a cluster that has none yet.
fn fresh_key() -> Result<SelectKey, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(SelectKey(bytes))
}

/// Decides what to begin with, makes it durable, and gives it to the kernel where it must.
async fn take_up(
    config: &Config,
    reset_table: bool,
    kernel: &mut impl Kernel,
    keeper: &Keeper,
) -> Result<Cluster, DaemonError> {
    let found = kernel.table().await?;
    let stored = keeper.load().await?;
    let before = stored.clone();
    let start = adopt::start(
        &cluster_config(config, fresh_key()?),
        stored,
        &found,
        reset_table,
        Time(0),
    )?;
    tracing::info!("{}", start.story);
    let mut cluster = start.cluster;
    let saved = cluster.save();
    // A full disk is no reason not to start where nothing has changed.
    if before.as_ref() != Some(&saved) {
        let record = Record {
            saved,
            change: None,
        };
        keeper.save(record).await?;
    }
    if start.commit {
        let generation = kernel
            .commit(&table(&cluster, Time(0)), found.generation)
            .await?;
        tracing::info!(generation, cause = "start", moves = "", "table committed");
    }
    Ok(cluster)
}
