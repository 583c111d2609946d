//! Takes nodes' connections, and refuses whom the configuration does not let in.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use halod_cluster::ConnId;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::config::Nodes;
use crate::heart::Input;
use crate::session;
use crate::shutdown::Shutdown;

/// How long to wait where a connection cannot be taken because we are out of something.
const BREATH: Duration = Duration::from_millis(100);

/// Connections that have not said hello yet: a bounded number.
#[derive(Clone, Debug)]
pub struct Handshakes {
    free: Arc<Semaphore>,
    most: u32,
}

impl Handshakes {
    /// At most `most` at a time.
    pub fn new(most: u32) -> Handshakes {
        Handshakes {
            free: Arc::new(Semaphore::new(most as usize)),
            most,
        }
    }

    /// How many there are now.
    pub fn count(&self) -> u32 {
        let free = u32::try_from(self.free.available_permits()).unwrap_or(u32::MAX);
        self.most.saturating_sub(free)
    }

    fn begin(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }
}

/// What the server and its sessions share.
#[derive(Debug)]
pub struct Shared {
    /// `[nodes]` of the configuration.
    pub nodes: Nodes,
    /// The heart.
    pub inputs: mpsc::Sender<Input>,
    handshakes: Handshakes,
    next_conn: AtomicU64,
}

impl Shared {
    /// Connections get numbers from 1.
    pub fn new(nodes: Nodes, inputs: mpsc::Sender<Input>, handshakes: Handshakes) -> Shared {
        Shared {
            nodes,
            inputs,
            handshakes,
            next_conn: AtomicU64::new(1),
        }
    }

    /// A number that no connection had before.
    pub fn next_conn(&self) -> ConnId {
        ConnId(self.next_conn.fetch_add(1, Ordering::Relaxed))
    }
}

/// Listens on every address.
///
/// # Errors
/// With the address that cannot be listened on.
pub async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut listeners = Vec::new();
    for &address in addresses {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| (address, error))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Takes connections until the daemon shall end.
pub async fn run(listener: TcpListener, shared: Arc<Shared>, mut shutdown: Shutdown) {
    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.requested() => break,
            accepted = listener.accept() => accepted,
            Some(_) = sessions.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                sessions.spawn(admit(stream, peer, Arc::clone(&shared)));
            }
            Err(error) if of_one_connection(&error) => tracing::debug!("accept: {error}"),
            Err(error) => {
                // Out of file descriptors or memory: connections wait in the kernel meanwhile.
                tracing::error!("cannot take a node's connection: {error}; trying again");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    // The heart has ended too, so each session sees its outbox end and closes.
    drop(listener);
    let all = async { while sessions.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(session::LAST_WORDS, all).await;
}

/// Errors that accept(2) passes on from a connection that is gone already.
fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::PermissionDenied
    )
}

async fn admit(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let Some(permit) = shared.handshakes.begin() else {
        // No task of such a peer may wait for it, or the bound were none.
        let most = shared.handshakes.most;
        tracing::warn!(%peer, "connection refused: {most} others have not said hello yet");
        let reason = format!("{most} connections have not said hello yet; try again later");
        session::refuse_at_once(&stream, &reason);
        return;
    };
    if !allowed(&shared.nodes.plaintext_from, peer.ip()) {
        tracing::warn!(%peer, "connection refused: not in nodes.plaintext_from");
        let reason = format!(
            "{} may not register here without TLS: nodes.plaintext_from in halod's configuration \
             does not name it",
            peer.ip().to_canonical()
        );
        session::refuse(stream, reason).await;
        return;
    }
    session::run(stream, peer, shared, permit).await;
}

/// Whether a peer may speak plaintext. An IPv4 peer of an IPv6 socket counts as IPv4.
fn allowed(ranges: &[IpNet], peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    ranges.iter().any(|range| range.contains(&peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_peer_of_an_ipv6_socket_is_in_ipv4_ranges() {
        let ranges: Vec<IpNet> = vec!["192.0.2.0/24".parse().expect("a range")];
        for (peer, right) in [
            ("192.0.2.9", true),
            ("::ffff:192.0.2.9", true),
            ("192.0.3.9", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(
                allowed(&ranges, peer.parse().expect("an address")),
                right,
                "{peer}"
            );
        }
    }
}
