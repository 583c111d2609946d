//! The wish to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells that the agent shall end: SIGTERM or SIGINT came.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<u32>);

impl Shutdown {
    /// Takes over SIGTERM and SIGINT.
    ///
    /// # Errors
    /// The signals cannot be taken over.
    pub fn on_signals() -> io::Result<Shutdown> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (sender, receiver) = watch::channel(0_u32);
        tokio::spawn(async move {
            while !sender.is_closed() {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                sender.send_modify(|count| *count = count.saturating_add(1));
            }
        });
        Ok(Shutdown(receiver))
    }

    /// Waits for it. May be called again, and given up at any time.
    pub async fn wait(&mut self) {
        self.signals(1).await;
    }

    /// Waits for a second signal: the agent shall end at once.
    pub async fn wait_again(&mut self) {
        self.signals(2).await;
    }

    async fn signals(&mut self, count: u32) {
        // An error means that the sender is gone, which ends the agent too.
        let _ = self.0.wait_for(|&came| came >= count).await;
    }
}
