//! Whether the application of a node that is away still answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use halod_cluster::ProbeId;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::Input;

/// What to find out, as `halod_cluster::Action::Probe` has it.
pub(super) struct Probe {
    pub(super) id: ProbeId,
    pub(super) address: SocketAddr,
    pub(super) delay_ms: u32,
    pub(super) timeout_ms: u32,
}

/// Connects in the background, and reports to the heart.
pub(super) fn start(inputs: mpsc::WeakSender<Input>, probe: Probe) {
    let Probe { id, address, .. } = probe;
    tokio::spawn(async move {
        // A sleep of no time is one to the next millisecond.
        if probe.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(probe.delay_ms.into())).await;
        }
        let limit = Duration::from_millis(probe.timeout_ms.into());
        let reachable = match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                tracing::debug!(%address, "probe: {error}");
                !means_dead(&error)
            }
            Err(_) => false,
        };
        if let Some(inputs) = inputs.upgrade() {
            let at = Instant::now();
            // The heart may have ended.
            let _ = inputs
                .send(Input::Probed {
                    probe: id,
                    reachable,
                    at,
                })
                .await;
        }
    });
}

/// Other errors are our own (too many open files, say) and tell nothing of the node: it keeps
/// the time that it has.
fn means_dead(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::TimedOut
    )
}
