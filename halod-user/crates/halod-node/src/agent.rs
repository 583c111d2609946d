//! The agent: one session after the other.

use tokio::sync::watch;
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::config::Config;
use crate::connection::{Connection, ConnectionError};
use crate::drainer::{Drainer, News};
use crate::followers::{Followers, SocketError};
use crate::health::{self, Health};
use crate::hook::Hooks;
use crate::ports::Ports;
use crate::session::Session;
use crate::shutdown::Shutdown;
use crate::token::{TokenError, TokenFile};

/// The agent.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    file: Option<TokenFile>,
    followers: Option<Followers>,
    /// Of the last welcome.
    token: Option<String>,
    /// What went wrong last, so that the same is not logged every second.
    trouble: String,
}

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The state directory cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The event stream's socket cannot be made.
    #[error(transparent)]
    Events(#[from] SocketError),
}

impl Agent {
    /// An agent that is not started.
    ///
    /// # Errors
    /// The state directory or the event stream's path cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn new(config: Config) -> Result<Agent, AgentError> {
        let name = &config.hello.name;
        let file = config
            .state_dir
            .as_deref()
            .map(|dir| TokenFile::new(dir, name))
            .transpose()?;
        let token = file.as_ref().and_then(TokenFile::read);
        let followers = config.events.as_deref().map(Followers::bind).transpose()?;
        Ok(Agent {
            config,
            file,
            followers,
            token,
            trouble: String::new(),
        })
    }

    /// Keeps up a session with HaloD until the agent shall end.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut again = shutdown.clone();
        let work = async {
            let hooks = self.config.hook.clone().map(Hooks::start);
            let (drain, load) = (self.config.drain, self.config.load.clone());
            let mut drainer = Drainer::start(drain, load, self.followers.take(), hooks);
            self.serve(&mut drainer, shutdown).await;
            drainer.finish().await;
        };
        tokio::select! {
            () = work => {}
            () = again.wait_again() => tracing::warn!("told again to end; ending at once"),
        }
    }

    async fn serve(&mut self, drainer: &mut Drainer, mut shutdown: Shutdown) {
        let mut end = shutdown.clone();
        let mut health = tokio::select! {
            () = end.wait() => return,
            health = health::start(self.config.watch.clone()) => health,
        };
        let mut backoff = Backoff::new();
        loop {
            let ended = tokio::select! {
                () = end.wait() => return,
                begun = self.begin(&mut health) => match begun {
                    Ok((session, said)) => {
                        backoff = Backoff::new();
                        drainer.tell(News::Welcome(Ports::new(&self.config.hello, &session.welcome)));
                        let patience = self.config.leave_timeout;
                        let ended = session
                            .run(said, &mut health, drainer, &mut shutdown, patience)
                            .await;
                        drainer.tell(News::Away);
                        ended
                    }
                    Err(error) => Err(error),
                },
            };
            match ended {
                Ok(()) => return,
                Err(error) => self.complain(&error),
            }
            tokio::select! {
                () = end.wait() => return,
                () = sleep(backoff.next(fastrand::f64())) => {}
            }
        }
    }

    /// Connects and says hello; gives what it said of the application's health too.
    async fn begin(
        &mut self,
        health: &mut watch::Receiver<Health>,
    ) -> Result<(Session, bool), ConnectionError> {
        let connection = Connection::open(&self.config.halod, self.config.tls.as_ref()).await?;
        let mut hello = self.config.hello.clone();
        hello.resume = self.token.clone();
        hello.healthy = health.borrow_and_update().is_healthy();
        let said = hello.healthy;
        let session = Session::begin(connection, hello).await?;
        let welcome = &session.welcome;
        tracing::info!(
            halod = self.config.halod.as_str(),
            cluster = %welcome.cluster.escape_debug(),
            routes = welcome.routes,
            state = %welcome.state,
            heartbeat_ms = welcome.heartbeat_ms,
            "registered",
        );
        self.trouble.clear();
        self.keep(welcome.resume.clone());
        Ok((session, said))
    }

    fn keep(&mut self, token: String) {
        if self.token.as_ref() == Some(&token) {
            return;
        }
        if let Some(Err(error)) = self.file.as_ref().map(|file| file.write(&token)) {
            tracing::warn!(%error, "cannot keep the resume token for a restart");
        }
        self.token = Some(token);
    }

    fn complain(&mut self, error: &ConnectionError) {
        let text = error.to_string();
        let halod = self.config.halod.as_str();
        if text == self.trouble {
            tracing::debug!(halod, "{text}");
        } else {
            tracing::warn!(halod, "{text}; trying again");
            self.trouble = text;
        }
    }
}
