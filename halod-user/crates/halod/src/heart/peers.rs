//! Messages to nodes. The heart never waits for a node to read.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use halod_cluster::{ConnId, NodeName};
use halod_proto::{FromHalod, ToHalod};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::Heart;
use super::pulse::Pulse;
use crate::socket::Watch;

/// How many messages wait for a node that does not read. The table changes far less often than
/// a node that reads at all takes a message.
const QUEUE: usize = 64;

/// How many messages wait for the kernel to take a table.
const HELD: usize = 65_536;

/// The heart's way to a session. Dropped: the session sends what is queued and closes.
#[derive(Debug)]
pub struct Outbox {
    queue: mpsc::Sender<FromHalod>,
    cut: Arc<Notify>,
    pulse: Pulse,
    watch: Watch,
}

/// The session's end of its outbox.
#[derive(Debug)]
pub struct Mail {
    /// What is to be sent.
    pub messages: mpsc::Receiver<FromHalod>,
    /// Tells to close at once.
    pub cut: Arc<Notify>,
    /// For heartbeats.
    pub pulse: Pulse,
}

impl Outbox {
    /// An outbox, and the session's end of it.
    pub fn new(watch: Watch) -> (Outbox, Mail) {
        let (queue, messages) = mpsc::channel(QUEUE);
        let cut = Arc::new(Notify::new());
        let pulse = Pulse::default();
        let outbox = Outbox {
            queue,
            cut: Arc::clone(&cut),
            pulse: pulse.clone(),
            watch,
        };
        let mail = Mail {
            messages,
            cut,
            pulse,
        };
        (outbox, mail)
    }
}

/// A connection that has said hello.
#[derive(Debug)]
pub(super) struct Peer {
    pub name: NodeName,
    pub address: SocketAddr,
    outbox: Outbox,
}

/// All connections that have said hello.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: HashMap<ConnId, Peer>,
    /// Messages about a table that the kernel does not have yet.
    held: Vec<(ConnId, FromHalod)>,
}

impl Peers {
    pub fn add(&mut self, conn: ConnId, name: NodeName, address: SocketAddr, outbox: Outbox) {
        self.peers.insert(
            conn,
            Peer {
                name,
                address,
                outbox,
            },
        );
    }

    /// Ends the heart's part of a connection; the name that it had.
    pub fn remove(&mut self, conn: ConnId) -> Option<NodeName> {
        self.held.retain(|(c, _)| *c != conn);
        Some(self.peers.remove(&conn)?.name)
    }

    /// Queues a message; a node whose queue is full is cut off.
    fn deliver(&self, conn: ConnId, message: FromHalod) {
        let Some(peer) = self.peers.get(&conn) else {
            return;
        };
        if let Err(TrySendError::Full(_)) = peer.outbox.queue.try_send(message) {
            tracing::warn!(
                node = %peer.name, peer = %peer.address,
                "does not read: {QUEUE} messages wait; its connection is cut"
            );
            // The session reports the end, as of any connection.
            peer.outbox.cut.notify_one();
        }
    }

    /// The heartbeat of a connection that the heart has not heard, and when it came.
    pub fn beat(&self, conn: ConnId) -> Option<(ToHalod, Instant)> {
        self.peers.get(&conn)?.outbox.pulse.take()
    }

    /// When a connection's last data came, read or not.
    pub fn last_data(&self, conn: ConnId) -> Option<Instant> {
        self.peers.get(&conn)?.outbox.watch.last_data()
    }

    /// All connections that have said hello.
    pub fn conns(&self) -> Vec<ConnId> {
        self.peers.keys().copied().collect()
    }

    pub fn get(&self, conn: ConnId) -> Option<&Peer> {
        self.peers.get(&conn)
    }

    pub fn len(&self) -> usize {
        self.peers.len()
    }
}

/// Whether a message tells of the table.
fn of_table(message: &FromHalod) -> bool {
    !matches!(message, FromHalod::Welcome(_) | FromHalod::Error { .. })
}

impl<K> Heart<K> {
    /// Sends, or, where the message tells of a table that the kernel has not taken, waits for that.
    pub(super) fn send(&mut self, conn: ConnId, message: FromHalod) {
        if self.in_kernel.trouble().is_none() || !of_table(&message) {
            self.peers.deliver(conn, message);
        } else if self.peers.held.len() < HELD {
            self.peers.held.push((conn, message));
        } else {
            tracing::error!("too many messages wait for the kernel: one is dropped");
        }
    }

    /// The kernel has taken the table: what waited for that goes out.
    pub(super) fn send_held(&mut self) {
        for (conn, message) in std::mem::take(&mut self.peers.held) {
            self.peers.deliver(conn, message);
        }
    }

    pub(super) fn close(&mut self, conn: ConnId, reason: String) {
        if let Some(peer) = self.peers.get(conn) {
            tracing::info!(node = %peer.name, peer = %peer.address, reason, "connection closed");
        }
        self.peers.deliver(conn, FromHalod::Error { reason });
        self.peers.remove(conn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_that_does_not_read_is_cut_off_and_never_waited_for() {
        let (outbox, mut mail) = Outbox::new(Watch::default());
        let mut peers = Peers::default();
        let name = "n1".parse().expect("a name");
        let address = "192.0.2.11:40000".parse().expect("an address");
        peers.add(ConnId(1), name, address, outbox);
        for generation in 0..QUEUE as u64 {
            peers.deliver(ConnId(1), FromHalod::Reserve { generation });
        }
        let soon = std::time::Duration::from_millis(20);
        assert!(
            tokio::time::timeout(soon, mail.cut.notified())
                .await
                .is_err()
        );

        peers.deliver(ConnId(1), FromHalod::Reserve { generation: 99 });
        tokio::time::timeout(soon, mail.cut.notified())
            .await
            .expect("cut off");
        assert_eq!(mail.messages.len(), QUEUE);
        assert_eq!(
            mail.messages.recv().await,
            Some(FromHalod::Reserve { generation: 0 })
        );
    }
}
