//! The one task that decides. It owns the cluster's state machine, hands it what happens, and
//! carries out what comes back, strictly in order.
//!
//! | file | what happens there |
//! |---|---|
//! | `input` | what other tasks send to it |
//! | `peers` | messages to nodes |
//! | `pulse` | heartbeats that wait to be heard |
//! | `commit` | a change becomes durable, then the kernel's |
//! | `watch` | what happened, for logs and watchers |
//! | `report` | answers to the control socket |
//! | `plan` | what would move if a node went |

mod commit;
mod input;
mod peers;
mod plan;
mod probe;
mod pulse;
mod report;
mod watch;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use halod_cluster::{Action, Cluster, Command, ConnId, Event, NodeName, Notice, Time};
use halod_control::Request;
use halod_netlink::Status;
use halod_proto::FromHalod;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use crate::config::MAX_NODES;
use crate::kernel::{Changes, Kernel};
use crate::server::Handshakes;
use crate::shutdown::Shutdown;
use crate::store::Keeper;

pub use input::{Input, Reply};
pub use peers::{Mail, Outbox};
pub use pulse::Pulse;

use commit::InKernel;
use peers::Peers;
use watch::Watchers;

/// How many inputs wait for the heart. Sessions wait with further ones.
const QUEUE: usize = 1024;

/// In so many rounds every node is heard, although each has said a few things: the queue holds 1,024,
/// and of so many sockets the runtime hears at once.
const ROUNDS: usize = 4 * MAX_NODES as usize / QUEUE;

/// For how long inputs are heard in a row. Far less than a heartbeat's interval.
const MOMENT: Duration = Duration::from_millis(1);

/// How often the kernel's table is looked at although nothing was heard of it.
const CHECK: Duration = Duration::from_secs(1);

/// See the module.
pub struct Heart<K> {
    cluster: Cluster,
    kernel: K,
    changes: Option<Changes>,
    in_kernel: InKernel,
    keeper: Keeper,
    store: PathBuf,
    /// What the store said last, if it failed.
    store_error: Option<String>,
    /// The zero of the cluster's clock.
    origin: Instant,
    inputs: mpsc::Receiver<Input>,
    /// For tasks that the heart starts itself; weak, so that it sees the end of all others.
    own_inputs: mpsc::WeakSender<Input>,
    peers: Peers,
    /// When the connections of nodes that are away ended.
    away: HashMap<NodeName, Instant>,
    operators: HashMap<u64, oneshot::Sender<Reply>>,
    next_request: u64,
    watchers: Watchers,
    handshakes: Handshakes,
}

/// What a heart begins with.
pub struct Parts<K> {
    /// The cluster, whose table the kernel has.
    pub cluster: Cluster,
    /// The kernel.
    pub kernel: K,
    /// Its changes, subscribed before its table was read.
    pub changes: Changes,
    /// What it said of itself.
    pub kernel_status: Status,
    /// The store, which holds the cluster's state.
    pub keeper: Keeper,
    /// The store's path, for reports.
    pub store: PathBuf,
    /// The zero of the cluster's clock.
    pub origin: Instant,
    /// Connections that have not said hello, for reports.
    pub handshakes: Handshakes,
}

impl<K: Kernel> Heart<K> {
    /// A heart, and where other tasks send what happens.
    pub fn new(parts: Parts<K>) -> (Heart<K>, mpsc::Sender<Input>) {
        let (sender, inputs) = mpsc::channel(QUEUE);
        let heart = Heart {
            in_kernel: InKernel::in_step(parts.cluster.generation(), parts.kernel_status),
            cluster: parts.cluster,
            kernel: parts.kernel,
            changes: Some(parts.changes),
            keeper: parts.keeper,
            store: parts.store,
            store_error: None,
            origin: parts.origin,
            inputs,
            own_inputs: sender.downgrade(),
            peers: Peers::default(),
            away: HashMap::new(),
            operators: HashMap::new(),
            next_request: 0,
            watchers: Watchers::default(),
            handshakes: parts.handshakes,
        };
        (heart, sender)
    }

    /// Beats until it shall end. The kernel keeps its table, the store has it too, and agents
    /// whose connections end now come back to the next daemon.
    pub async fn run(mut self, mut shutdown: Shutdown) {
        let mut check = tokio::time::interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let deadline = self.cluster.next_deadline().map(|t| self.instant(t));
            // Not biased: however much comes in, deadlines and checks have their turn.
            tokio::select! {
                () = shutdown.requested() => return,
                () = until(deadline) => self.tick().await,
                input = self.inputs.recv() => match input {
                    Some(input) => self.inputs_from(input).await,
                    None => return,
                },
                change = next(&mut self.changes) => self.kernel_changed(change).await,
                _ = check.tick() => {
                    self.hear_all().await;
                    self.check_kernel().await;
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
                }
            }
        }
    }

    /// Hears what came in, and what waits behind it as long as that takes but a moment: to ask about
    /// all the rest in between costs more than a heartbeat itself.
    async fn inputs_from(&mut self, first: Input) {
        let end = Instant::now() + MOMENT;
        self.input(first).await;
        while Instant::now() < end
            && let Ok(input) = self.inputs.try_recv()
        {
            self.input(input).await;
        }
    }

    /// A deadline has passed. Whatever was said before it counts first: it may lie unread in a
    /// socket or in our own queue, for as long as we were busy ourselves.
    async fn tick(&mut self) {
        for _ in 0..ROUNDS {
            // Sessions whose sockets have become readable run now.
            tokio::task::yield_now().await;
            for _ in 0..self.inputs.len() {
                if let Ok(input) = self.inputs.try_recv() {
                    self.input(input).await;
                }
            }
            self.hear_expected().await;
            if self.overdue().is_none() {
                return;
            }
        }
        if let Some(deadline) = self.overdue() {
            self.handle(Event::Tick, Instant::now(), deadline).await;
        }
    }

    /// The next deadline, if it has passed.
    fn overdue(&self) -> Option<Instant> {
        let deadline = self.instant(self.cluster.next_deadline()?);
        (deadline <= Instant::now()).then_some(deadline)
    }

    /// Hears the heartbeat that waits at a connection; tells when it came.
    async fn hear(&mut self, conn: ConnId) -> Option<Instant> {
        let (message, at) = self.peers.beat(conn)?;
        self.handle(Event::Message { conn, message }, at, at).await;
        Some(at)
    }

    /// Hears all heartbeats that wait.
    async fn hear_all(&mut self) {
        for conn in self.peers.conns() {
            self.hear(conn).await;
        }
    }

    /// Hears those who would be silent now; and who would be so soon too, or each had a wake of its own.
    /// Where no heartbeat waits one may lie unread in the socket.
    async fn hear_expected(&mut self) {
        let soon = self.time(Instant::now()).after(self.half_a_heartbeat_ms());
        for conn in self.cluster.expected(soon) {
            if self.hear(conn).await.is_none()
                && let Some(at) = self.peers.last_data(conn)
            {
                self.handle(Event::Heard { conn }, at, at).await;
            }
        }
    }

    async fn input(&mut self, input: Input) {
        match input {
            Input::Hello {
                conn,
                hello,
                token,
                peer,
                outbox,
                at,
            } => {
                self.peers.add(conn, hello.name.clone(), peer, outbox);
                self.handle(Event::Hello { conn, hello, token }, at, at)
                    .await;
            }
            Input::Message { conn, message, at } => {
                // What came before it is heard before it, and perhaps a later heartbeat. No
                // heartbeat comes this way that waited, or it could be heard after that one.
                let beat = self.hear(conn).await;
                let now = beat.map_or(at, |beat| at.max(beat));
                self.handle(Event::Message { conn, message }, now, at).await;
            }
            Input::Closed { conn, wrong, at } => {
                if let Some(reason) = wrong {
                    self.send(conn, FromHalod::Error { reason });
                }
                if let Some(name) = self.peers.remove(conn) {
                    self.away.insert(name, at);
                }
                self.handle(Event::Closed { conn }, at, at).await;
            }
            Input::Probed {
                probe,
                reachable,
                at,
            } => {
                self.handle(Event::Probe { probe, reachable }, at, at).await;
            }
            Input::Control { request, reply, at } => self.control(request, reply, at).await,
        }
    }

    async fn control(&mut self, request: Request, reply: oneshot::Sender<Reply>, at: Instant) {
        let (command, name): (fn(NodeName) -> Command, String) = match request {
            Request::NodeActivate { name } => (Command::Activate, name),
            Request::NodeReserve { name } => (Command::Reserve, name),
            Request::NodeDrain { name } => (Command::Drain, name),
            Request::NodeRemove { name } => (Command::Remove, name),
            other => {
                self.hear_all().await;
                // Whoever asked may be gone.
                let _ = reply.send(self.report(&other));
                return;
            }
        };
        match name.parse() {
            Ok(name) => {
                self.next_request += 1;
                let request = self.next_request;
                self.operators.insert(request, reply);
                self.handle(
                    Event::Operator {
                        request,
                        command: command(name),
                    },
                    at,
                    at,
                )
                .await;
                // Dropped if the cluster did not answer: whoever asked is told so.
                self.operators.remove(&request);
            }
            Err(error) => {
                let _ = reply.send(Reply::refused(&error.to_string()));
            }
        }
    }

    /// Hands an event that came at `at` to the cluster; `cause` is when what it tells of happened.
    async fn handle(&mut self, event: Event, at: Instant, cause: Instant) {
        let now = self.time(at);
        let actions = self.cluster.handle(now, event);
        let cause = self.first_cause(&actions, cause);
        for action in actions {
            match action {
                Action::Commit(change) => self.commit(&change, cause).await,
                Action::Save => self.save(None).await,
                Action::Send { conn, message } => self.send(conn, message),
                Action::Close { conn, reason } => self.close(conn, reason),
                Action::Probe {
                    probe,
                    address,
                    delay_ms,
                    timeout_ms,
                    ..
                } => {
                    let probe = probe::Probe {
                        id: probe,
                        address,
                        delay_ms,
                        timeout_ms,
                    };
                    probe::start(self.own_inputs.clone(), probe);
                }
                Action::Reply { request, result } => self.reply(request, result),
                Action::Notice(notice) => self.notice(&notice),
            }
        }
    }

    /// When that began of which these actions are the end: for a node that is lost after its
    /// connection ended, the end of the connection.
    fn first_cause(&mut self, actions: &[Action], at: Instant) -> Instant {
        let mut cause = at;
        for action in actions {
            match action {
                Action::Notice(Notice::NodeLost { node, .. }) => {
                    cause = cause.min(self.away.remove(node).unwrap_or(at));
                }
                Action::Notice(Notice::NodeBack { node, .. } | Notice::NodeJoined { node, .. }) => {
                    self.away.remove(node);
                }
                _ => {}
            }
        }
        cause
    }

    fn reply(&mut self, request: u64, result: Result<String, String>) {
        let Some(reply) = self.operators.remove(&request) else {
            return;
        };
        let result = match (result, self.in_kernel.trouble()) {
            (Ok(done), Some(trouble)) => Err(format!(
                "{done}; but the kernel does not have the new table yet: {trouble}"
            )),
            (result, _) => result,
        };
        let _ = reply.send(match result {
            Ok(text) => Reply::ok(&text),
            Err(reason) => Reply::refused(&reason),
        });
    }
}

impl<K> Heart<K> {
    /// A moment on the cluster's clock.
    fn time(&self, at: Instant) -> Time {
        Time(ms(at.saturating_duration_since(self.origin)))
    }

    fn half_a_heartbeat_ms(&self) -> u64 {
        u64::from(self.cluster.config().heartbeat_ms / 2)
    }

    fn instant(&self, time: Time) -> Instant {
        self.origin + Duration::from_millis(time.0)
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The next change of the kernel's table; `None` where changes were missed. Never returns while
/// there is no subscription: [`Heart::check_kernel`] makes a new one.
async fn next(changes: &mut Option<Changes>) -> Option<u64> {
    if let Some(receiver) = changes {
        if let Some(change) = receiver.recv().await {
            return change;
        }
        *changes = None;
    }
    std::future::pending().await
}
