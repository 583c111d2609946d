//! Takes nodes' connections, and refuses whom the configuration does not let in.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use halod_cluster::ConnId;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::config::Nodes;
use crate::gate::{Gate, Refusal};
use crate::heart::Input;
use crate::session::{self, Newcomer};
use crate::shutdown::Shutdown;
use crate::socket::NodeSocket;
use crate::tls::Tls;

/// The first byte of a connection that speaks TLS: a record of its handshake (RFC 8446, 5.1).
/// No line of JSON begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

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
    tls: Option<Arc<Tls>>,
    gate: Mutex<Gate>,
    next_conn: AtomicU64,
}

impl Shared {
    /// Connections get numbers from 1.
    pub fn new(
        nodes: Nodes,
        inputs: mpsc::Sender<Input>,
        handshakes: Handshakes,
        tls: Option<Arc<Tls>>,
    ) -> Shared {
        let gate = Gate::new(nodes.handshake_rate, nodes.handshake_burst);
        Shared {
            nodes,
            inputs,
            handshakes,
            tls,
            gate: Mutex::new(gate),
            next_conn: AtomicU64::new(1),
        }
    }

    /// Notes, and logs, that a connection did not get as far as a good hello.
    pub fn failed(&self, peer: SocketAddr, reason: &str) {
        tracing::warn!(%peer, reason, "connection refused");
        if let Some(pause) = self.gate().failed(peer.ip(), Instant::now()) {
            tracing::warn!(%peer, ?pause, "its address failed too often: it is not heard for a while");
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
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
    // No task of a peer that is refused here may wait for it, or the bounds were none.
    let Some(permit) = shared.handshakes.begin() else {
        let most = shared.handshakes.most;
        tracing::warn!(%peer, "connection refused: {most} others have not said hello yet");
        let reason = format!("{most} connections have not said hello yet; try again later");
        return session::refuse_at_once(&stream, &reason);
    };
    let entered = shared.gate().enter(peer.ip(), Instant::now());
    if let Err(refusal) = entered {
        tracing::debug!(%peer, ?refusal, "connection refused");
        return session::refuse_at_once(&stream, &turned_away(refusal, &shared.nodes));
    }
    let deadline = Instant::now() + shared.nodes.hello_timeout;
    if let Err(error) = stream.set_nodelay(true) {
        // The connection is gone already.
        tracing::debug!(%peer, "{error}");
        return;
    }
    let plaintext = allowed(&shared.nodes.plaintext_from, peer.ip());
    if !plaintext && shared.tls.is_none() {
        let socket = NodeSocket::new(stream);
        return refuse(socket, peer, &shared, not_from_there(peer)).await;
    }
    let mut first = [0];
    let peeked = timeout_at(deadline, stream.peek(&mut first)).await;
    let socket = NodeSocket::new(stream);
    let tls = match peeked {
        Ok(Ok(1)) => first[0] == TLS_HANDSHAKE,
        Ok(_) => return shared.failed(peer, "closed before a hello"),
        Err(_) => return refuse(socket, peer, &shared, session::no_hello(&shared)).await,
    };
    let newcomer = Newcomer {
        peer,
        socket: socket.clone(),
        deadline,
        permit,
    };
    match &shared.tls {
        Some(certificates) if tls => {
            // Apart, since the task lives on for as long as the node, and this does not.
            let accept = Box::pin(certificates.accept(socket));
            match timeout_at(deadline, accept).await {
                Ok(Ok((stream, certificate))) => {
                    session::run(stream, Some(certificate), newcomer, shared).await;
                }
                Ok(Err((reason, stream))) => {
                    shared.failed(peer, &reason);
                    session::end(stream).await;
                }
                Err(_) => shared.failed(peer, "the handshake of TLS took too long"),
            }
        }
        None if tls => {
            let reason = "TLS is not spoken here: halod's configuration has no [nodes.tls]";
            refuse(socket, peer, &shared, reason.to_owned()).await;
        }
        _ if plaintext => session::run(socket, None, newcomer, shared).await,
        _ => refuse(socket, peer, &shared, not_from_there(peer)).await,
    }
}

async fn refuse(socket: NodeSocket, peer: SocketAddr, shared: &Shared, reason: String) {
    shared.failed(peer, &reason);
    session::refuse(socket, reason).await;
}

fn not_from_there(peer: SocketAddr) -> String {
    format!(
        "{} may not register here without TLS: nodes.plaintext_from in halod's configuration \
         does not name it",
        peer.ip().to_canonical()
    )
}

fn turned_away(refusal: Refusal, nodes: &Nodes) -> String {
    match refusal {
        Refusal::Rate => format!(
            "more than {} connections a second from this address; try again later",
            nodes.handshake_rate
        ),
        Refusal::Failures(left) => format!(
            "too many connections from this address failed; it is not heard for {} s",
            left.as_secs_f64().ceil()
        ),
    }
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
