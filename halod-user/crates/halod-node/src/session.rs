//! What is said over one connection, from hello to its end.

use std::time::Duration;

use halod_proto::{FromHalod, Hello, MAX_REASON, ToHalod, VERSION, Welcome};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::connection::{Connection, ConnectionError, PATIENCE};
use crate::health::Health;
use crate::hook::Hooks;
use crate::shutdown::Shutdown;

/// A connection on which HaloD said welcome.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    /// What HaloD said.
    pub welcome: Welcome,
}

impl Session {
    /// Says hello and waits for the welcome.
    ///
    /// # Errors
    /// HaloD refused, said something else, or nothing.
    pub async fn begin(
        mut connection: Connection,
        hello: Hello,
    ) -> Result<Session, ConnectionError> {
        connection.send(&ToHalod::Hello(hello)).await?;
        let answer = timeout(PATIENCE, connection.next()).await;
        match answer.map_err(|_| ConnectionError::Late("welcome"))?? {
            FromHalod::Welcome(welcome) if welcome.version != VERSION => {
                Err(ConnectionError::Version(welcome.version))
            }
            FromHalod::Welcome(welcome) if welcome.heartbeat_ms == 0 => {
                Err(ConnectionError::NoInterval)
            }
            FromHalod::Welcome(welcome) => Ok(Session {
                connection,
                welcome,
            }),
            other => Err(ConnectionError::Order(other.kind())),
        }
    }

    /// Beats, tells of the application's health, and passes on what HaloD says, until the node has left: the agent shall end, and HaloD lets it go or `patience` is
    /// over. `said` is the health that the hello told.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn run(
        mut self,
        mut said: bool,
        health: &mut watch::Receiver<Health>,
        hooks: Option<&Hooks>,
        shutdown: &mut Shutdown,
        patience: Duration,
    ) -> Result<(), ConnectionError> {
        let period = Duration::from_millis(self.welcome.heartbeat_ms.into());
        let mut beat = interval(period);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seq = 0;
        // Health may have changed between hello and welcome.
        health.mark_changed();
        let mut watching = true;
        let mut end: Option<Instant> = None;
        loop {
            tokio::select! {
                // A heartbeat that is due comes before a flood of messages.
                biased;
                () = shutdown.wait(), if end.is_none() => {
                    tracing::info!("leaving");
                    end = Some(Instant::now() + patience);
                    self.connection.send(&ToHalod::Leaving).await?;
                }
                () = until(end) => {
                    tracing::warn!(?patience, "HaloD does not let the node go in time; ending all the same");
                    break;
                }
                _ = beat.tick() => {
                    self.connection.send(&ToHalod::Heartbeat { seq, load: None }).await?;
                    seq += 1;
                }
                changed = health.changed(), if watching => {
                    watching = changed.is_ok();
                    let now = health.borrow_and_update().clone();
                    if now.is_healthy() != said {
                        said = now.is_healthy();
                        self.connection.send(&health_message(now)).await?;
                    }
                }
                message = self.connection.next() => {
                    let message = match message {
                        Ok(message) => message,
                        Err(error) if end.is_some() => {
                            tracing::info!("left: {error}");
                            break;
                        }
                        Err(error) => return Err(error),
                    };
                    let done = end.is_some() && matches!(message, FromHalod::MayStop { .. });
                    receive(message, hooks)?;
                    if done {
                        break;
                    }
                }
            }
        }
        self.connection.close().await;
        Ok(())
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn health_message(health: Health) -> ToHalod {
    match health {
        Health::Healthy => ToHalod::Healthy,
        Health::Unhealthy(mut reason) => {
            reason.truncate(reason.floor_char_boundary(MAX_REASON));
            ToHalod::Unhealthy { reason }
        }
    }
}

fn receive(message: FromHalod, hooks: Option<&Hooks>) -> Result<(), ConnectionError> {
    match &message {
        FromHalod::Assign {
            generation,
            slot,
            routes,
        } => {
            tracing::info!(generation, slot, %routes, "assigned");
        }
        FromHalod::RouteMoved { generation, moves } => {
            for moved in moves {
                let to = moved.to.as_ref().map_or("none", |to| to.as_str());
                tracing::info!(generation, routes = %moved.routes, to, "routes moved");
            }
        }
        FromHalod::Reserve { generation } => tracing::info!(generation, "in reserve"),
        FromHalod::Drain {
            generation,
            deadline_ms,
            ..
        } => {
            tracing::warn!(
                generation,
                deadline_ms,
                "drains are not supported yet; ignored"
            );
        }
        FromHalod::MayStop { generation } => tracing::info!(generation, "may stop"),
        FromHalod::Welcome(_) | FromHalod::Error { .. } => {
            return Err(ConnectionError::Order(message.kind()));
        }
    }
    if let Some(hooks) = hooks {
        hooks.tell(&message);
    }
    Ok(())
}
