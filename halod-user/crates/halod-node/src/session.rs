//! What is said over one connection, from hello to its end.

use std::time::Duration;

use halod_proto::{FromHalod, Hello, MAX_REASON, ToHalod, VERSION, Welcome};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::connection::{Connection, ConnectionError};
use crate::drainer::{Drainer, News};
use crate::health::Health;
use crate::shutdown::Shutdown;

/// The most ranges of routes that are said in one line.
const MOST_RANGES: usize = 4_000;

/// How long HaloD may take for its welcome. It may be busy with the hellos of a whole cluster; and who
/// gives up after his hello was heard has a name in use, for as long as HaloD waits for him to come back.
const WELCOME: Duration = Duration::from_secs(5);

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
        let answer = timeout(WELCOME, connection.next()).await;
        match answer.map_err(|_| ConnectionError::Late("welcome", WELCOME))?? {
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

    /// Beats, tells of the application's health and of routes that are drained, and passes on what HaloD
    /// says, until the node has left: the agent shall end, and HaloD lets it go or `patience` is
    /// over. `said` is the health that the hello told.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn run(
        mut self,
        mut said: bool,
        health: &mut watch::Receiver<Health>,
        drainer: &mut Drainer,
        shutdown: &mut Shutdown,
        patience: Duration,
    ) -> Result<(), ConnectionError> {
        let period = Duration::from_millis(self.welcome.heartbeat_ms.into());
        let mut beat = interval(period);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seq = 0;
        drainer.begin();
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
                    let load = drainer.load();
                    self.connection.send(&ToHalod::Heartbeat { seq, load }).await?;
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
                routes = drainer.drained() => {
                    for part in routes.ranges().chunks(MOST_RANGES) {
                        let routes = part.iter().flat_map(|&(first, last)| first..=last).collect();
                        self.connection.send(&ToHalod::Drained { routes }).await?;
                    }
                }
                message = self.connection.next() => {
                    let message = match message {
                        Ok(message @ (FromHalod::Welcome(_) | FromHalod::Error { .. })) => {
                            return Err(ConnectionError::Order(message.kind()));
                        }
                        Ok(message) => message,
                        Err(error) if end.is_some() => {
                            tracing::info!("left: {error}");
                            break;
                        }
                        Err(error) => return Err(error),
                    };
                    let done = end.is_some() && matches!(message, FromHalod::MayStop { .. });
                    drainer.tell(News::Message(message));
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
