//! Which routes the node has lost, whose users it still holds, and what is to be done about those.
//!
//! No I/O and no clock: time comes in milliseconds of any origin, randomness from a given generator.
//! [`Drains`] is told what HaloD says and what was seen on the routes' ports, and answers what to do.

use std::collections::{BTreeMap, HashMap};

use halod_proto::{MovedRoutes, NodeName};
use halod_routes::{RouteId, RouteSet};

use crate::ports::{Client, View};

/// A moment, in milliseconds.
pub type Time = u64;

/// A route is empty when two looks this far apart find no connection.
const EMPTY_FOR: u64 = 100;

/// For how long after a route went a connection may still begin here: its first packet was under way.
const UNDER_WAY: u64 = 1_000;

/// The most connections of one [`Users`], which becomes one line.
const MOST_CLIENTS: usize = 500;

/// What to do with the users of a lost route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The application asks them to reconnect; what is left at the deadline is closed.
    Notify,
    /// Their connections are closed.
    Close,
    /// They are left alone.
    None,
}

/// Routes that went the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// The version of the route table in which they went.
    pub generation: u64,
    /// The routes.
    pub routes: RouteSet,
    /// The node that has them now.
    pub to: Option<NodeName>,
    /// How long from now until the deadline; 0 where HaloD keeps no connection of them.
    pub left_ms: u64,
}

/// Connections of routes that went the same way; at most 500.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    /// The version of the route table in which the routes went.
    pub generation: u64,
    /// The node that has them now.
    pub to: Option<NodeName>,
    /// The connections.
    pub clients: Vec<Client>,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// To ask these users to reconnect.
    Reconnect(Users),
    /// To close these connections.
    Close(Users),
    /// To say that these routes have no connection left.
    Drained {
        /// The version of the route table in which they went.
        generation: u64,
        /// The routes.
        routes: RouteSet,
    },
}

#[derive(Debug)]
struct Route {
    generation: u64,
    to: Option<NodeName>,
    /// HaloD still leads existing connections here, and wants to hear when there are none.
    kept: bool,
    /// Until when users are spread.
    window: Time,
    deadline: Time,
    /// From when on it can be empty: see [`UNDER_WAY`].
    settled: Time,
    /// When a look first found it empty.
    empty: Option<Time>,
    /// Each connection seen, by its cookie, and when its user shall be told; `None` once told. One
    /// that is gone is remembered: a listing may leave out a socket that the next one has.
    seen: HashMap<u64, Option<Time>>,
}

/// The bookkeeping.
#[derive(Debug)]
pub struct Drains {
    policy: Policy,
    closes: bool,
    spread: u64,
    random: fastrand::Rng,
    held: RouteSet,
    lost: BTreeMap<RouteId, Route>,
}

impl Drains {
    /// Nothing held and nothing lost. Users are told within `spread` milliseconds.
    pub fn new(policy: Policy, spread: u64, random: fastrand::Rng) -> Drains {
        Drains {
            policy,
            closes: policy != Policy::None,
            spread,
            random,
            held: RouteSet::new(),
            lost: BTreeMap::new(),
        }
    }

    /// The policy in force, and whether what is left at a deadline is closed.
    pub fn policy(&self) -> (Policy, bool) {
        (self.policy, self.closes)
    }

    /// Connections cannot be closed here: users can still be asked.
    pub fn cannot_close(&mut self) {
        self.closes = false;
        if self.policy == Policy::Close {
            self.policy = Policy::Notify;
        }
    }

    /// The node has lost routes, and keeps their connections for `left` milliseconds; 0 if they are
    /// cut. Gives the time within which their users are told. Said again of a route, the
    /// last word counts, and who was told is not told again.
    pub fn lost(&mut self, now: Time, generation: u64, moved: &MovedRoutes, left: u64) -> u64 {
        // Users of a cut route reach another server with their next packet, which resets them; those
        // who wait for one should hear of it too, and not all at once.
        let left_or_cut = if left == 0 { self.spread } else { left };
        let window = self.spread.min(left_or_cut / 5 * 4);
        for id in moved.routes.iter() {
            let seen = self.lost.remove(&id).map(|route| route.seen);
            let route = Route {
                generation,
                to: moved.to.clone(),
                kept: left > 0,
                window: now + window,
                deadline: now.saturating_add(left_or_cut),
                settled: now + UNDER_WAY,
                empty: None,
                seen: seen.unwrap_or_default(),
            };
            self.lost.insert(id, route);
        }
        let gone = |id: &RouteId| !moved.routes.contains(*id);
        self.held = self.held.iter().filter(gone).collect();
        window
    }

    /// The node holds these routes, and no others. Gives those that it held and was never told to have
    /// lost: they went while it was away.
    pub fn hold(&mut self, routes: &RouteSet) -> RouteSet {
        for id in routes.iter() {
            self.lost.remove(&id);
        }
        let missing = |id: &RouteId| !routes.contains(*id);
        let missing = self.held.iter().filter(missing).collect();
        self.held = routes.clone();
        missing
    }

    /// What the node holds.
    pub fn held(&self) -> &RouteSet {
        &self.held
    }

    /// The routes on whose ports to look.
    pub fn routes(&self) -> RouteSet {
        self.lost.keys().copied().collect()
    }

    /// What drains, for how long and where to. Cut routes are not in it.
    pub fn legs(&self, now: Time) -> Vec<Leg> {
        let mut legs: BTreeMap<(u64, &Option<NodeName>, Time), Vec<RouteId>> = BTreeMap::new();
        for (&id, route) in self.lost.iter().filter(|(_, route)| route.kept) {
            let leg = (route.generation, &route.to, route.deadline);
            legs.entry(leg).or_default().push(id);
        }
        let leg =
            |((generation, to, deadline), routes): ((_, &Option<_>, Time), Vec<RouteId>)| Leg {
                generation,
                routes: routes.into_iter().collect(),
                to: to.clone(),
                left_ms: deadline.saturating_sub(now),
            };
        legs.into_iter().map(leg).collect()
    }

    /// Takes what there was just now on the ports of [`Drains::routes`] (of others too, which does no
    /// harm), and says what to do. To be called often: what it says is due already.
    pub fn looked(&mut self, now: Time, view: &View) -> Vec<Action> {
        let mut connected: HashMap<RouteId, Vec<&Client>> = HashMap::new();
        for client in &view.clients {
            if self.lost.contains_key(&client.route) {
                connected.entry(client.route).or_default().push(client);
            }
        }
        let mut due = Due::default();
        let Drains {
            random,
            policy,
            closes,
            ..
        } = self;
        self.lost.retain(|id, route| {
            let clients = connected.remove(id).unwrap_or_default();
            if now >= route.deadline {
                if *closes {
                    add(&mut due.close, route, clients);
                }
                return false;
            }
            if clients.is_empty() && view.served.contains(*id) {
                let since = *route.empty.get_or_insert(now);
                let empty = now >= route.settled && now - since >= EMPTY_FOR;
                if empty && route.kept {
                    due.drained.entry(route.generation).or_default().push(*id);
                }
                return !empty;
            }
            route.empty = None;
            let mut told = clients;
            told.retain(|client| route.tell(client.socket.cookie, now, random));
            match policy {
                Policy::Notify => add(&mut due.reconnect, route, told),
                Policy::Close => add(&mut due.close, route, told),
                Policy::None => {}
            }
            true
        });
        due.actions()
    }
}

impl Route {
    /// Whether the user of a connection is to be told now.
    fn tell(&mut self, cookie: u64, now: Time, random: &mut fastrand::Rng) -> bool {
        let window = self.window;
        // Who comes after the window waits no longer.
        let when = || Some(now + random.u64(0..=window.saturating_sub(now)));
        let due = self.seen.entry(cookie).or_insert_with(when);
        // The window may have become shorter since.
        let now = due.is_some_and(|due| due.min(window) <= now);
        if now {
            *due = None;
        }
        now
    }
}

/// Connections by where their routes went.
type Batch = BTreeMap<(u64, Option<NodeName>), Vec<Client>>;

/// What is due.
#[derive(Default)]
struct Due {
    reconnect: Batch,
    close: Batch,
    drained: BTreeMap<u64, Vec<RouteId>>,
}

impl Due {
    fn actions(self) -> Vec<Action> {
        let reconnect = users(self.reconnect).map(Action::Reconnect);
        let close = users(self.close).map(Action::Close);
        let drained = self.drained.into_iter();
        let drained = drained.map(|(generation, routes)| Action::Drained {
            generation,
            routes: routes.into_iter().collect(),
        });
        reconnect.chain(close).chain(drained).collect()
    }
}

fn add<'a>(batch: &mut Batch, route: &Route, clients: impl IntoIterator<Item = &'a Client>) {
    let users = batch.entry((route.generation, route.to.clone()));
    users.or_default().extend(clients.into_iter().cloned());
}

fn users(batch: Batch) -> impl Iterator<Item = Users> {
    let part = |((generation, to), clients): ((u64, Option<NodeName>), Vec<Client>)| {
        let parts = clients.chunks(MOST_CLIENTS).map(|clients| Users {
            generation,
            to: to.clone(),
            clients: clients.to_vec(),
        });
        parts.collect::<Vec<_>>()
    };
    batch.into_iter().flat_map(part)
}

#[cfg(test)]
mod tests;
