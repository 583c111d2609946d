//! Looking at the machine. Nothing is changed by it, but for the neighbours' states: each node's next
//! hop is asked for its link address, as a packet to the node would do.

mod clock;
mod cluster;
mod firewall;
mod kernel;
mod network;
mod owners;
mod store;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use halod_netlink::Protocol;
use halod_sockets::{MOST_RANGES, Sockets};
use halod_tls::{Certificate, Files};

use crate::facts::{Certificates, Cluster, Facts, Socket};

/// Where to look for what this machine is to do.
#[derive(Clone, Debug)]
pub struct Where<'a> {
    /// halod's control socket.
    pub socket: &'a Path,
    /// How long it may take to answer.
    pub timeout: Duration,
    /// halod's configuration.
    pub config: &'a Path,
    /// The version of the program that asks.
    pub version: &'a str,
}

/// Gathers everything that can be seen; what cannot is left out, with the reason where it has one.
pub async fn look(place: &Where<'_>) -> Facts {
    let (module, table, counters) = kernel::module().await;
    let cluster = cluster::look(place, table.as_ref()).await;
    let network = network::look(&cluster).await;
    let path = match (&cluster.daemon, &cluster.config) {
        (Ok(status), _) => Some(PathBuf::from(&status.store)),
        (Err(_), Ok(config)) => Some(config.store.clone()),
        (Err(_), Err(_)) => None,
    };
    let tls = cluster
        .config
        .as_ref()
        .ok()
        .and_then(|it| it.nodes.tls.as_ref());
    Facts {
        now: SystemTime::now(),
        version: place.version.to_owned(),
        kernel: kernel::look(module, counters),
        network,
        sockets: sockets(&cluster).await,
        firewall: firewall::look().await,
        store: path.as_deref().map(store::look),
        certificates: tls.map(certificates),
        clock: clock::look().await,
        cluster,
    }
}

/// A sysctl, or another file of one number.
fn number(path: impl AsRef<Path>) -> Option<i64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What a command prints where it succeeds, or what it or the system says otherwise.
async fn printed(program: &str, arguments: &[&str]) -> Result<String, String> {
    let command = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let done = match tokio::time::timeout(Duration::from_secs(10), command).await {
        Ok(done) => done.map_err(|error| format!("{program}: {error}"))?,
        Err(_) => return Err(format!("{program} did not end within 10 s")),
    };
    if done.status.success() {
        return String::from_utf8(done.stdout).map_err(|error| format!("{program}: {error}"));
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!(
        "{program}: {}",
        said.lines().next().unwrap_or("failed")
    ))
}

/// Sockets of this machine at the listeners' ports, and where nodes register.
async fn sockets(cluster: &Cluster) -> Result<Vec<Socket>, String> {
    let mut ranges: Vec<_> = cluster
        .listeners
        .iter()
        .map(|listener| listener.first..=listener.last)
        .collect();
    if let Ok(config) = &cluster.config {
        ranges.extend(config.nodes.listen.iter().map(|at| at.port()..=at.port()));
    }
    ranges.sort_by_key(|range| *range.start());
    ranges.dedup();
    let mut found = Vec::new();
    let owners = owners::look();
    let mut add = |protocol, listed: Vec<halod_sockets::Socket>| {
        found.extend(listed.into_iter().map(|it| Socket {
            protocol,
            local: it.local,
            listens: it.listens,
            owner: owners.get(&it.inode).cloned(),
        }));
    };
    let mut sockets = Sockets::open().map_err(|error| error.to_string())?;
    for ranges in ranges.chunks(MOST_RANGES) {
        let tcp = sockets.look(ranges).await;
        add(Protocol::Tcp, tcp.map_err(|error| error.to_string())?);
        let udp = sockets.look_udp(ranges).await;
        add(Protocol::Udp, udp.map_err(|error| error.to_string())?);
    }
    Ok(found)
}

fn certificates(files: &Files) -> Result<Certificates, String> {
    let credentials = files.load().map_err(|error| error.to_string())?;
    let own = credentials
        .certificate()
        .map_err(|error| error.to_string())?;
    // Whether key and certificate belong together.
    halod_tls::server(credentials).map_err(|error| error.to_string())?;
    let [ca, ..] = files.contents().map_err(|error| error.to_string())?;
    let ca = Certificate::from_pem(&ca)?;
    Ok(Certificates { own, ca })
}
