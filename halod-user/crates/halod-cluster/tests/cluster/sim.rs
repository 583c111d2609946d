//! A caller that carries out actions, and nodes that believe what they are told.

use std::collections::BTreeMap;

use halod_cluster::{
    Action, Cluster, Command, Config, ConnId, Deliver, Event, Failover, FastPath, Hello,
    ListenerInfo, NodeId, NodeName, Notice, ProbeId, Protocol, RouteSet, Saved, Select, SelectKey,
    Time,
};
use halod_proto::{Load, ToHalod, VERSION};

use crate::agent::Agent;
use crate::ledger::{self, Ledger};
use crate::oracle::{self, View};

pub fn config(routes: u32, active_min: u32, reserve: u32) -> Config {
    let listener = |name: &str, address: &str, port| ListenerInfo {
        name: name.to_owned(),
        address: address.parse().expect("an address"),
        protocol: Protocol::Tcp,
        port,
        node_port: None,
        select: Select::Port,
        deliver: Deliver::Nat,
    };
    Config {
        cluster: "push".to_owned(),
        routes,
        active_min,
        reserve,
        heartbeat_ms: 100,
        heartbeat_misses: 3,
        rejoin_ms: 2_000,
        restart_grace_ms: 5_000,
        max_nodes: 16,
        listeners: vec![
            listener("browsers", "198.51.100.1", 8_000),
            listener("browsers", "2001:db8:1::1", 8_000),
            listener("apps", "198.51.100.1", 9_000),
        ],
        select_key: SelectKey([7; 16]),
        drain_ms: 0,
        udp_stay_ms: 0,
        failover: Failover::Replace,
        fast_path: FastPath::default(),
        hold_back_ms: 0,
        hold_back_max_ms: 0,
        scale: None,
    }
}

pub fn name(text: &str) -> NodeName {
    text.parse().expect("a name")
}

/// When the cluster must take a node for lost, as the rules say.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    pub at: u64,
    pub excused: bool,
}

/// What a node's losses cost it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flaps {
    pub losses: u32,
    /// Until when it is held back.
    pub held: Option<u64>,
    /// When its losses are forgotten.
    pub forget: u64,
    /// It was lost, and is not back yet.
    pub owed: bool,
}

pub struct Sim {
    pub cluster: Cluster,
    pub now: u64,
    pub agents: BTreeMap<String, Agent>,
    /// Connections that were closed, by either side.
    pub dead: Vec<ConnId>,
    /// Probes not answered yet.
    pub probes: Vec<ProbeId>,
    /// The last probe of each node.
    last_probes: BTreeMap<NodeId, ProbeId>,
    /// The node whose last probe the event under way answers.
    pub asked: Option<NodeId>,
    pub due: BTreeMap<NodeId, Due>,
    /// The table as the kernel has it: made of commits alone.
    pub table: Vec<Option<NodeId>>,
    pub generation: u64,
    pub ledger: Ledger,
    pub flaps: BTreeMap<NodeId, Flaps>,
    /// The load that each node says.
    pub loads: BTreeMap<String, u64>,
    /// Which slot held each route at a restart, where that is not the algorithm's.
    pub found: Option<Vec<Option<u32>>>,
    /// Hellos without an answer: whose, and whether with the right token.
    pub hellos: BTreeMap<ConnId, (String, bool)>,
    conns: u64,
    tokens: u64,
}

impl Sim {
    pub fn new(config: Config) -> Sim {
        let cluster = Cluster::new(config).expect("a good configuration");
        Sim {
            table: vec![None; cluster.routes() as usize],
            cluster,
            now: 1_000,
            agents: BTreeMap::new(),
            dead: Vec::new(),
            probes: Vec::new(),
            last_probes: BTreeMap::new(),
            asked: None,
            due: BTreeMap::new(),
            generation: 0,
            ledger: Ledger::default(),
            flaps: BTreeMap::new(),
            loads: BTreeMap::new(),
            found: None,
            hellos: BTreeMap::new(),
            conns: 0,
            tokens: 0,
        }
    }

    /// One event, carried out and checked.
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        let before = View::of(self);
        self.asked = None;
        if let Event::Probe { probe, .. } = event
            && let Some(index) = self.probes.iter().position(|id| *id == probe)
        {
            self.probes.remove(index);
            let mut last = self.last_probes.iter();
            self.asked = last.find(|(_, id)| **id == probe).map(|(node, _)| *node);
        }
        let said_by = ledger::said_by(self, &event);
        self.agents
            .values_mut()
            .for_each(|agent| agent.fresh = false);
        let actions = self.cluster.handle(Time(self.now), event.clone());
        for action in &actions {
            self.carry_out(action);
        }
        Ledger::follow(self, said_by, &event, &actions);
        oracle::check(self, &before, &event, &actions);
        let cluster = &self.cluster;
        let known = |id| cluster.node(id).is_some_and(|node| before.knows(node));
        self.last_probes.retain(|id, _| known(*id));
        actions
    }

    fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Commit(change) => {
                self.generation += 1;
                assert_eq!(change.generation, self.generation, "rises by exactly one");
                assert!(!change.cause.is_empty());
                let mut last = 0;
                for moved in &change.moves {
                    assert!(moved.route > last, "each route at most once, in order");
                    last = moved.route;
                    let entry = &mut self.table[moved.route as usize - 1];
                    assert_ne!(moved.from, moved.to);
                    assert_eq!(*entry, moved.from);
                    *entry = moved.to;
                }
                let drains = self.cluster.drains().map(|(r, f)| (r, f.to_vec()));
                self.ledger.commit(drains.collect(), &self.table);
            }
            Action::Send { conn, message } => self.deliver(*conn, message),
            Action::Close { conn, reason } => {
                assert!(!reason.is_empty());
                self.hang_up(*conn);
            }
            Action::Probe { probe, node, .. } => {
                self.probes.push(*probe);
                self.last_probes.insert(*node, *probe);
            }
            Action::Notice(notice) => assert!(!notice.to_string().is_empty()),
            Action::Save | Action::Reply { .. } => {}
        }
    }

    fn hang_up(&mut self, conn: ConnId) {
        assert!(!self.dead.contains(&conn), "closed twice");
        self.dead.push(conn);
        self.hellos.remove(&conn);
        for agent in self
            .agents
            .values_mut()
            .filter(|agent| agent.conn == Some(conn))
        {
            agent.conn = None;
        }
    }

    /// Users open connections on every route.
    pub fn open(&mut self) {
        self.ledger.open(&self.table);
    }

    pub fn agent(&mut self, name: &str) -> &mut Agent {
        self.agents.entry(name.to_owned()).or_default()
    }

    /// A well-formed hello; addresses differ by name.
    pub fn hello_of(&mut self, node: &str) -> Hello {
        let number: u32 = node
            .trim_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .expect("n<number>");
        let address = format!("192.0.2.{}", 10 + number)
            .parse()
            .expect("an address");
        Hello {
            version: VERSION,
            name: name(node),
            addresses: vec![address],
            ports: BTreeMap::new(),
            resume: self.agent(node).token.clone(),
            agent: None,
            healthy: true,
        }
    }

    /// Says hello on a new connection.
    pub fn hello(&mut self, hello: Hello) -> Vec<Action> {
        self.conns += 1;
        self.tokens += 1;
        let conn = ConnId(self.conns);
        let node = hello.name.to_string();
        let token = self.agent(&node).token.clone();
        let known = token.is_some() && hello.resume == token;
        self.hellos.insert(conn, (node, known));
        let token = format!("{:032x}", self.tokens);
        self.handle(Event::Hello { conn, hello, token })
    }

    pub fn join(&mut self, node: &str) -> Vec<Action> {
        let hello = self.hello_of(node);
        self.hello(hello)
    }

    pub fn join_all(&mut self, nodes: &[&str]) {
        for node in nodes {
            self.join(node);
        }
    }

    pub fn say(&mut self, node: &str, message: ToHalod) -> Vec<Action> {
        let agent = self.agent(node);
        let conn = agent.conn.expect("a connected node");
        if let ToHalod::Drained { routes } = &message {
            agent.keeps.retain(|route, _| !routes.contains(*route));
            agent
                .emptied
                .extend(routes.iter().filter(|route| *route < 100));
        }
        self.handle(Event::Message { conn, message })
    }

    pub fn unhealthy(&mut self, node: &str) -> Vec<Action> {
        let reason = "refused".to_owned();
        self.say(node, ToHalod::Unhealthy { reason })
    }

    pub fn beat(&mut self, node: &str) -> Vec<Action> {
        let agent = self.agent(node);
        agent.seq += 1;
        let seq = agent.seq;
        let load = self.loads.get(node).map(|connections| Load {
            connections: *connections,
            value: None,
            routes: Vec::new(),
        });
        self.say(node, ToHalod::Heartbeat { seq, load })
    }

    /// Every connected node but the muted ones beats.
    pub fn beat_all(&mut self, muted: &[&str]) {
        let connected = self.agents.iter().filter(|(_, agent)| agent.conn.is_some());
        let names: Vec<String> = connected.map(|(name, _)| name.clone()).collect();
        for name in names.iter().filter(|name| !muted.contains(&name.as_str())) {
            // With the beat of another, its time to go may have come.
            if self.agent(name).conn.is_some() {
                self.beat(name);
            }
        }
    }

    /// The node's side closes.
    pub fn close(&mut self, node: &str) -> Vec<Action> {
        let conn = self.agent(node).conn.expect("a connected node");
        self.hang_up(conn);
        self.handle(Event::Closed { conn })
    }

    /// Closes, and does not come back in time.
    pub fn lose(&mut self, node: &str) -> Vec<Action> {
        self.close(node);
        let rejoin_ms = self.cluster.config().rejoin_ms.into();
        self.pass(rejoin_ms, &[])
    }

    pub fn answer_probe(&mut self, reachable: bool) -> Vec<Action> {
        let probe = self.probes[0];
        self.handle(Event::Probe { probe, reachable })
    }

    /// Time passes, ticks come in time, and the nodes that are not muted beat.
    pub fn pass(&mut self, ms: u64, muted: &[&str]) -> Vec<Action> {
        let end = self.now + ms;
        let mut actions = Vec::new();
        while self.now < end {
            self.now = end.min(self.now + 50);
            self.beat_all(muted);
            actions.extend(self.tick());
        }
        actions
    }

    pub fn tick(&mut self) -> Vec<Action> {
        self.handle(Event::Tick)
    }

    pub fn operator(&mut self, command: Command) -> (Result<String, String>, Vec<Action>) {
        let actions = self.handle(Event::Operator {
            request: 7,
            command,
        });
        let result = actions.iter().find_map(|action| match action {
            Action::Reply { request: 7, result } => Some(result.clone()),
            _ => None,
        });
        (result.expect("a reply"), actions)
    }

    /// HaloD stops without a word and starts again.
    pub fn restart(&mut self) {
        let json = serde_json::to_string(&self.cluster.saved()).expect("saved as JSON");
        let saved: Saved = serde_json::from_str(&json).expect("its own JSON");
        let config = self.cluster.config().clone();
        self.restart_with(saved, config);
    }

    /// The same with another mode of failover.
    pub fn restart_otherwise(&mut self) {
        let mut config = self.cluster.config().clone();
        config.failover = match config.failover {
            Failover::Replace => Failover::Minimal,
            Failover::Minimal => Failover::Replace,
        };
        let slots = self.cluster.assignment();
        let slot_of = |route| slots.slot_of(route);
        self.found = Some((1..=slots.routes()).map(slot_of).collect());
        let saved = self.cluster.saved();
        self.restart_with(saved, config);
    }

    fn restart_with(&mut self, saved: Saved, config: Config) {
        let grace_ms = u64::from(config.restart_grace_ms);
        let restored = Cluster::restore(config, saved, Time(self.now)).expect("its own saved");
        assert_eq!(restored.saved(), self.cluster.saved());
        let former = std::mem::replace(&mut self.cluster, restored);
        assert_eq!(self.cluster.assignment(), former.assignment());
        for agent in self.agents.values_mut() {
            agent.out_of_touch |= agent.conn.is_none();
            self.dead.extend(agent.conn.take());
        }
        // A node that left is not known to.
        self.flaps.clear();
        self.probes.clear();
        self.last_probes.clear();
        let at = self.now + grace_ms;
        for due in self.due.values_mut() {
            *due = Due { at, excused: false };
        }
        oracle::check_standing(self);
    }

    /// The names of the nodes by slot.
    pub fn slots(&self) -> Vec<String> {
        (1..=self.cluster.assignment().slots())
            .map(|slot| match self.cluster.slot_node(slot) {
                Some(id) => self
                    .cluster
                    .node(id)
                    .expect("a known node")
                    .name
                    .to_string(),
                None => "-".to_owned(),
            })
            .collect()
    }

    /// The routes that the kernel sends to a node.
    pub fn routes(&self, node: &str) -> String {
        let id = self
            .cluster
            .node_named(&name(node))
            .expect("a known node")
            .id;
        let routes = (1..)
            .zip(&self.table)
            .filter(|(_, node)| **node == Some(id));
        routes
            .map(|(route, _)| route)
            .collect::<RouteSet>()
            .to_string()
    }
}

/// How many routes the actions' commit moves, if there is one.
pub fn moved(actions: &[Action]) -> Option<usize> {
    actions.iter().find_map(|action| match action {
        Action::Commit(change) => Some(change.moves.len()),
        _ => None,
    })
}

pub fn close_reason(actions: &[Action]) -> Option<&str> {
    actions.iter().find_map(|action| match action {
        Action::Close { reason, .. } => Some(reason.as_str()),
        _ => None,
    })
}

pub fn notices<'a>(actions: &'a [Action]) -> Vec<&'a Notice> {
    let notice = |action: &'a Action| match action {
        Action::Notice(notice) => Some(notice),
        _ => None,
    };
    actions.iter().filter_map(notice).collect()
}
