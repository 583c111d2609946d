//! Looks after the users of routes: carries out what [`crate::drains`] decides, and says what happens to
//! followers, to the hook, and to HaloD.

mod task;

use halod_proto::{FromHalod, Load};
use halod_routes::RouteSet;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::task::Task;
use crate::config::{Drain, LoadCommand};
use crate::followers::Followers;
use crate::hook::Hooks;
use crate::ports::Ports;

/// What the session has to tell.
#[derive(Debug)]
pub enum News {
    /// HaloD said welcome.
    Welcome(Ports),
    /// HaloD said something else.
    Message(FromHalod),
    /// The connection to HaloD is over.
    Away,
}

/// The way to the task that does it, which never makes its caller wait.
#[derive(Debug)]
pub struct Drainer {
    // HaloD says a few messages a change, and is trusted with all users: no bound.
    news: mpsc::UnboundedSender<News>,
    drained: mpsc::UnboundedReceiver<RouteSet>,
    load: watch::Receiver<Option<Load>>,
    task: JoinHandle<()>,
}

impl Drainer {
    /// Starts the task.
    pub fn start(
        drain: Drain,
        command: Option<LoadCommand>,
        followers: Option<Followers>,
        hooks: Option<Hooks>,
    ) -> Drainer {
        let (news, inbox) = mpsc::unbounded_channel();
        let (report, drained) = mpsc::unbounded_channel();
        let (counted, load) = watch::channel(None);
        let task = Task::new(drain, command, followers, hooks, counted, report);
        Drainer {
            news,
            drained,
            load,
            task: tokio::spawn(task.run(inbox)),
        }
    }

    /// Tells it something.
    pub fn tell(&self, news: News) {
        // It ends only with this.
        let _ = self.news.send(news);
    }

    /// Forgets what was to be said over a former connection: HaloD says again what drains.
    pub fn begin(&mut self) {
        while self.drained.try_recv().is_ok() {}
        self.load.mark_changed();
    }

    /// The next routes of which to say that they are drained. Given up and called again, it loses none.
    pub async fn drained(&mut self) -> RouteSet {
        match self.drained.recv().await {
            Some(routes) => routes,
            // The task has failed; it said why.
            None => std::future::pending().await,
        }
    }

    /// The load, where there is a new one.
    pub fn load(&mut self) -> Option<Load> {
        if !self.load.has_changed().unwrap_or(false) {
            return None;
        }
        self.load.borrow_and_update().clone()
    }

    /// Ends it, after a moment for hooks and followers.
    pub async fn finish(self) {
        drop(self.news);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "what looks after drains failed");
        }
    }
}
