//! The task behind [`super::Drainer`].

use std::time::Duration;

use halod_proto::{FromHalod, Load, MovedRoutes, NodeState};
use halod_routes::RouteSet;
use halod_sockets::{Closed, Sockets, SocketsError};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval};

use super::News;
use crate::config::{Drain, LoadCommand};
use crate::drains::{Action, Drains, Time, Users};
use crate::event::Event;
use crate::followers::Followers;
use crate::hook::Hooks;
use crate::load;
use crate::ports::{Ports, View};

/// How often sockets are looked at while a route drains; more rarely, down to [`RARELY`], where a look
/// takes more than a tenth of it, as with a few 100,000 connections.
const LOOK: Duration = Duration::from_millis(150);
const RARELY: Duration = Duration::from_millis(500);

/// How often, in milliseconds, all are counted.
const COUNT: Time = 1_000;

/// What it works with.
pub struct Task {
    start: Instant,
    drains: Drains,
    ports: Ports,
    /// Of the last message that said one.
    generation: u64,
    /// Of the last assign.
    slot: u32,
    connected: bool,
    sockets: Option<Sockets>,
    /// Why the last look failed, so that the same is not logged every time.
    trouble: String,
    next_count: Time,
    followers: Option<Followers>,
    hooks: Option<Hooks>,
    value: Option<watch::Receiver<Option<f64>>>,
    load: watch::Sender<Option<Load>>,
    drained: mpsc::UnboundedSender<RouteSet>,
}

impl Task {
    /// Says loads to `load`, and to `drained` what HaloD is to hear.
    pub fn new(
        drain: Drain,
        command: Option<LoadCommand>,
        followers: Option<Followers>,
        hooks: Option<Hooks>,
        load: watch::Sender<Option<Load>>,
        drained: mpsc::UnboundedSender<RouteSet>,
    ) -> Task {
        let spread = drain.spread.as_millis().try_into().unwrap_or(Time::MAX);
        Task {
            start: Instant::now(),
            drains: Drains::new(drain.policy, spread, fastrand::Rng::new()),
            ports: Ports::default(),
            generation: 0,
            slot: 0,
            connected: false,
            sockets: open(),
            trouble: String::new(),
            next_count: 0,
            followers,
            hooks,
            value: command.map(load::watch),
            load,
            drained,
        }
    }

    /// Works until nobody has news any more.
    pub async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<News>) {
        self.try_closing().await;
        let mut ticks = interval(LOOK);
        loop {
            tokio::select! {
                biased;
                news = inbox.recv() => match news {
                    Some(news) => self.take(news),
                    None => break,
                },
                follower = accept(self.followers.as_ref()) => {
                    let state = state(&self.drains, self.standing());
                    if let Some(followers) = &mut self.followers {
                        followers.add(follower, &state);
                    }
                }
                _ = ticks.tick() => {
                    let begin = Instant::now();
                    self.look().await;
                    ticks.reset_after((begin.elapsed() * 10).clamp(LOOK, RARELY));
                }
            }
        }
        if let Some(followers) = self.followers {
            followers.finish().await;
        }
        if let Some(hooks) = self.hooks {
            hooks.finish().await;
        }
    }

    fn now(&self) -> Time {
        self.start
            .elapsed()
            .as_millis()
            .try_into()
            .unwrap_or(Time::MAX)
    }

    fn take(&mut self, news: News) {
        match news {
            News::Welcome(ports) => {
                self.ports = ports;
                self.next_count = 0;
                self.connected = true;
                self.say_state();
            }
            News::Message(message) => self.receive(message),
            News::Away => {
                self.connected = false;
                self.say(&Event::Halod { connected: false });
            }
        }
    }

    fn receive(&mut self, message: FromHalod) {
        match message {
            FromHalod::Assign {
                generation,
                slot,
                ref routes,
            } => {
                tracing::info!(generation, slot, %routes, "assigned");
                self.slot = slot;
                self.hold(generation, routes);
                self.say(&Event::Assign {
                    generation,
                    slot,
                    routes,
                });
            }
            FromHalod::Reserve { generation } => {
                tracing::info!(generation, "in reserve");
                self.hold(generation, &RouteSet::new());
                self.say(&Event::Reserve { generation });
            }
            FromHalod::RouteMoved {
                generation,
                ref moves,
            } => self.lose(generation, moves, 0),
            FromHalod::Drain {
                generation,
                ref moves,
                deadline_ms,
            } => self.lose(generation, moves, deadline_ms),
            FromHalod::MayStop { generation } => {
                tracing::info!(generation, "may stop");
                self.generation = generation;
                self.say(&Event::MayStop);
            }
            FromHalod::Welcome(_) | FromHalod::Error { .. } => return,
        }
        if let Some(hooks) = &self.hooks {
            hooks.tell(&message);
        }
    }

    fn hold(&mut self, generation: u64, routes: &RouteSet) {
        self.generation = generation;
        let missing = self.drains.hold(routes);
        if !missing.is_empty() {
            // They went while there was no connection; their users have no server any more.
            let routes = missing;
            let moves = vec![MovedRoutes { routes, to: None }];
            self.receive(FromHalod::RouteMoved { generation, moves });
        }
    }

    fn lose(&mut self, generation: u64, moves: &[MovedRoutes], left_ms: u64) {
        self.generation = generation;
        let now = self.now();
        for moved in moves {
            let MovedRoutes { routes, to } = moved;
            let node = to.as_ref().map_or("no node", |to| to.as_str());
            tracing::info!(generation, %routes, to = node, left_ms, "routes moved");
            let window_ms = self.drains.lost(now, generation, moved, left_ms);
            let to = to.as_ref();
            self.say(&Event::RouteMoved {
                generation,
                routes,
                to,
                left_ms,
                window_ms,
            });
        }
    }

    /// Looks at the sockets where that is due, and does what is to be done.
    async fn look(&mut self) {
        let now = self.now();
        let count = now >= self.next_count;
        let routes = if count {
            self.next_count = now + COUNT;
            self.ports.all()
        } else {
            self.drains.routes()
        };
        if routes.is_empty() {
            return;
        }
        let view = self.view(&routes).await;
        if count {
            let value = self.value.as_ref().and_then(|value| *value.borrow());
            let load = view.as_ref().map(|view| load::load(value, view.by_route()));
            self.load.send_replace(load);
        }
        // Without a view nothing is told or drained, but deadlines pass.
        for action in self.drains.looked(now, &view.unwrap_or_default()) {
            match action {
                Action::Reconnect(users) => self.reconnect(&users),
                Action::Close(users) => self.close(users).await,
                Action::Drained { generation, routes } => self.report(generation, routes),
            }
        }
    }

    async fn view(&mut self, routes: &RouteSet) -> Option<View> {
        let ranges = self.ports.ranges(routes);
        match self.sockets.as_mut()?.look(&ranges).await {
            Ok(sockets) => {
                self.trouble.clear();
                Some(self.ports.view(sockets))
            }
            Err(error) => {
                let error = error.to_string();
                if error != self.trouble {
                    tracing::warn!("users' connections cannot be listed: {error}");
                }
                self.trouble = error;
                None
            }
        }
    }

    fn reconnect(&mut self, users: &Users) {
        let connections = users.clients.len();
        tracing::debug!(users.generation, connections, "users are to reconnect");
        self.say(&Event::Reconnect(users.into()));
        if let Some(hooks) = &self.hooks {
            hooks.reconnect(users);
        }
    }

    async fn close(&mut self, mut users: Users) {
        let mut closed = Vec::new();
        let mut clients = std::mem::take(&mut users.clients).into_iter();
        while let Some(client) = clients.next() {
            let Some(sockets) = &mut self.sockets else {
                break;
            };
            match sockets.close(&client.socket).await {
                Ok(Closed::Yes) => closed.push(client),
                Ok(Closed::Gone) => {}
                Ok(why @ (Closed::NotPermitted | Closed::NotSupported)) => {
                    self.cannot_close(why);
                    let clients = std::iter::once(client).chain(clients).collect();
                    self.reconnect(&Users {
                        clients,
                        ..users.clone()
                    });
                    break;
                }
                Err(error) => {
                    tracing::warn!(peer = %client.socket.peer, %error, "cannot close a connection");
                }
            }
        }
        if !closed.is_empty() {
            tracing::info!(
                users.generation,
                connections = closed.len(),
                "closed connections"
            );
            users.clients = closed;
            self.say(&Event::Closed((&users).into()));
        }
    }

    /// Finds out whether connections can be closed here, where that is to be done.
    async fn try_closing(&mut self) {
        if let (Some(sockets), (_, true)) = (&mut self.sockets, self.drains.policy()) {
            match sockets.try_closing().await {
                Ok(why @ (Closed::NotPermitted | Closed::NotSupported)) => self.cannot_close(why),
                Ok(_) => {}
                // Nothing is known; it will be seen.
                Err(error) => tracing::debug!(%error, "closing a connection cannot be tried"),
            }
        }
    }

    fn cannot_close(&mut self, why: Closed) {
        let needs = match why {
            Closed::NotPermitted => "the agent needs CAP_NET_ADMIN",
            _ => "the kernel needs CONFIG_INET_DIAG_DESTROY",
        };
        let (before, _) = self.drains.policy();
        self.drains.cannot_close();
        let (policy, _) = self.drains.policy();
        tracing::error!(
            ?before,
            ?policy,
            "connections cannot be closed: {needs}; users are only asked to reconnect"
        );
        self.say_state();
    }

    fn report(&mut self, generation: u64, routes: RouteSet) {
        tracing::info!(generation, %routes, "drained");
        let event = Event::Drained {
            generation,
            routes: &routes,
        };
        self.say(&event);
        if let Some(hooks) = &self.hooks {
            hooks.drained(generation, &routes);
        }
        if self.connected {
            let _ = self.drained.send(routes);
        }
    }

    fn say_state(&mut self) {
        let state = state(&self.drains, self.standing());
        if let Some(followers) = &mut self.followers {
            followers.say(&state);
        }
    }

    fn say(&mut self, event: &Event<'_>) {
        if let Some(followers) = &mut self.followers {
            followers.say(event);
        }
    }

    fn standing(&self) -> Standing {
        Standing {
            now: self.now(),
            generation: self.generation,
            slot: self.slot,
            connected: self.connected,
        }
    }
}

/// What a state line says besides drains.
struct Standing {
    now: Time,
    generation: u64,
    slot: u32,
    connected: bool,
}

fn state(drains: &Drains, standing: Standing) -> Event<'_> {
    let routes = drains.held();
    let draining = drains.legs(standing.now);
    let state = match (routes.is_empty(), draining.is_empty()) {
        (false, _) => NodeState::Active,
        (true, false) => NodeState::Draining,
        (true, true) => NodeState::Reserve,
    };
    let (policy, closes) = drains.policy();
    Event::State {
        generation: standing.generation,
        state,
        connected: standing.connected,
        slot: (state == NodeState::Active).then_some(standing.slot),
        routes,
        draining: draining.into_iter().map(Into::into).collect(),
        policy,
        closes,
    }
}

fn open() -> Option<Sockets> {
    let sockets = Sockets::open();
    sockets
        .inspect_err(|error: &SocketsError| {
            tracing::error!("users' connections cannot be listed: {error}");
        })
        .ok()
}

async fn accept(followers: Option<&Followers>) -> UnixStream {
    match followers {
        Some(followers) => followers.accept().await,
        None => std::future::pending().await,
    }
}
