//! The wish to end, as one value that every task can wait for.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Makes the wish known.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Hears of the wish.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A pair of the two.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// From now on [`Shutdown::requested`] returns.
    pub fn shut_down(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Returns once somebody wants the daemon to end, or nobody can want it any more.
    /// Cancel safe.
    pub async fn requested(&mut self) {
        let _ = self.0.wait_for(|wanted| *wanted).await;
    }
}

/// A [`Shutdown`] that follows SIGTERM and SIGINT.
///
/// # Errors
/// The signals cannot be handled.
pub fn on_signals() -> std::io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (trigger, shutdown) = channel();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: ending; the kernel goes on forwarding"),
            _ = interrupt.recv() => tracing::info!("SIGINT: ending; the kernel goes on forwarding"),
        }
        trigger.shut_down();
    });
    Ok(shutdown)
}
