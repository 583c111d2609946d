//! Whether the application answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at, sleep, timeout};

use crate::config::Watch;

/// A failure counts when it is seen twice, this far apart, so that one lost packet or one
/// moment of a full queue moves no routes.
const RECHECK: Duration = Duration::from_millis(20);

/// The application's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// All addresses accept connections.
    Healthy,
    /// One does not; the text says which and why.
    Unhealthy(String),
}

impl Health {
    /// Whether it is [`Health::Healthy`].
    pub fn is_healthy(&self) -> bool {
        *self == Health::Healthy
    }
}

/// Finds the application's state, then goes on watching it. With nothing to watch it is healthy.
pub async fn start(config: Watch) -> watch::Receiver<Health> {
    let (sender, receiver) = watch::channel(find(&config).await);
    tracing::info!(health = ?*receiver.borrow(), "the application's health is known");
    if !config.addresses.is_empty() {
        tokio::spawn(keep_watching(config, sender));
    }
    receiver
}

async fn keep_watching(config: Watch, sender: watch::Sender<Health>) {
    let mut ticks = interval_at(
        tokio::time::Instant::now() + config.interval,
        config.interval,
    );
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !sender.is_closed() {
        ticks.tick().await;
        let now = find(&config).await;
        sender.send_if_modified(|before| {
            // A new reason for the same state is no news.
            let changed = before.is_healthy() != now.is_healthy();
            if changed {
                tracing::info!(health = ?now, "the application's health changed");
                *before = now;
            }
            changed
        });
    }
}

async fn find(config: &Watch) -> Health {
    if check(config).await.is_ok() {
        return Health::Healthy;
    }
    sleep(RECHECK).await;
    match check(config).await {
        Ok(()) => Health::Healthy,
        Err(why) => Health::Unhealthy(why),
    }
}

/// Connects to all addresses at the same time.
async fn check(config: &Watch) -> Result<(), String> {
    let mut attempts = JoinSet::new();
    for &address in &config.addresses {
        let limit = config.timeout;
        attempts.spawn(async move {
            match timeout(limit, connect(address)).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(format!("{address}: {error}")),
                Err(_) => Err(format!("{address}: no answer within {limit:?}")),
            }
        });
    }
    while let Some(done) = attempts.join_next().await {
        done.map_err(|error| error.to_string())??;
    }
    Ok(())
}

async fn connect(address: SocketAddr) -> io::Result<()> {
    refuse_self(&TcpStream::connect(address).await?)
}

/// Where nobody listens on a port of the ephemeral range, a connection from this machine may get
/// that very port as its own, and so reach itself (RFC 9293 section 3.5, simultaneous open).
fn refuse_self(stream: &TcpStream) -> io::Result<()> {
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn a_connection_to_itself_is_no_application() {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(any).expect("a port");
        let own = socket.local_addr().expect("its port");
        let stream = socket.connect(own).await.expect("a connection to itself");
        refuse_self(&stream).expect_err("nobody listens there");

        let listener = TcpListener::bind(any).await.expect("a listener");
        let address = listener.local_addr().expect("its port");
        connect(address).await.expect("somebody listens there");
    }
}
