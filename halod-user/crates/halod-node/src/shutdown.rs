//! The wish to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells that the agent shall end: SIGTERM or SIGINT came.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Takes over SIGTERM and SIGINT.
    ///
    /// # Errors
    /// The signals cannot be taken over.
    pub fn on_signals() -> io::Result<Shutdown> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            sender.send_replace(true);
            // Keeps the channel; later signals change nothing.
            sender.closed().await;
        });
        Ok(Shutdown(receiver))
    }

    /// Waits for it. May be called again, and given up at any time.
    pub async fn wait(&mut self) {
        // An error means that the sender is gone, which ends the agent too.
        let _ = self.0.wait_for(|&end| end).await;
    }
}
