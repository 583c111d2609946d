//! A daemon on real sockets, with a real store; only the kernel's table is in memory, since a
//! module cannot be loaded here. The scenarios under tests/ at the top of the repository run the
//! same daemon on the real one.
#![allow(dead_code, reason = "not every test uses every part")]

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use halod::config::Config;
use halod::daemon::{Daemon, DaemonError};
use halod::kernel::{Changes, Kernel};
use halod::shutdown::{self, Trigger};
use halod_control::{Client, Event, NodeReport, Request, RouteReport, StatusReport, Watch};
use halod_netlink::{Error, Former, Result, Status, Table};
use halod_proto::{FromHalod, MovedRoutes, URGENT, Welcome};
use halod_routes::RouteSet;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long anything may take that is to happen.
pub const SOON: Duration = Duration::from_secs(10);

/// The kernel's table by its rules: one in force, generations rise, others are refused.
#[derive(Clone, Default)]
pub struct Memory(pub Arc<Mutex<MemoryState>>);

#[derive(Default)]
pub struct MemoryState {
    pub table: Table,
    /// When it was committed: its drains end by themselves.
    pub since: Option<Instant>,
    pub commits: u32,
    /// The counter `forward_full`.
    pub full: u64,
    /// What every commit is refused with.
    pub refuse: Option<&'static str>,
    /// How long it takes to tell of itself.
    pub slow: Duration,
    /// The module is unloaded.
    pub gone: bool,
    /// The store, which must have a generation before the kernel gets it.
    pub store: Option<PathBuf>,
    changes: Vec<mpsc::Sender<Option<u64>>>,
}

impl Memory {
    /// As the kernel would tell it now.
    pub fn table(&self) -> Table {
        self.0.lock().expect("kernel").now()
    }

    /// Route, node and time left, for every former node that keeps connections yet.
    pub fn drains(&self) -> Vec<(u32, String, u32)> {
        let table = self.table();
        let name = |id: u32| {
            let node = table.nodes.iter().find(|node| node.id == id);
            node.expect("a node of the table").name.clone()
        };
        let legs = table.drains.iter().flat_map(|drain| {
            let leg = |former: &Former| (drain.route, name(former.node), former.left_ms);
            drain.formers.iter().map(leg).collect::<Vec<_>>()
        });
        legs.filter(|(_, _, left)| *left > 0).collect()
    }

    /// The routes of which a node keeps connections.
    pub fn kept_by(&self, name: &str) -> String {
        let drains = self.drains();
        let kept = drains.iter().filter(|(_, node, _)| node == name);
        let routes: RouteSet = kept.map(|(route, _, _)| *route).collect();
        routes.to_string()
    }

    pub fn generation(&self) -> u64 {
        self.table().generation
    }

    pub fn commits(&self) -> u32 {
        self.0.lock().expect("kernel").commits
    }

    pub fn set(&self, change: impl FnOnce(&mut MemoryState)) {
        change(&mut self.0.lock().expect("kernel"));
    }

    /// Another program's commit.
    pub fn intrude(&self, change: impl FnOnce(&mut Table)) {
        let mut state = self.0.lock().expect("kernel");
        change(&mut state.table);
        state.tell();
    }

    /// The name of the node of every route, by route - 1; `-` for none.
    pub fn map(&self) -> Vec<String> {
        let table = self.table();
        let name = |id: &u32| match table.nodes.iter().find(|n| n.id == *id) {
            Some(node) => node.name.clone(),
            None => "-".to_owned(),
        };
        table.routes.iter().map(name).collect()
    }

    /// How many routes a node has.
    pub fn share(&self, name: &str) -> usize {
        self.map().iter().filter(|n| *n == name).count()
    }
}

impl MemoryState {
    fn now(&self) -> Table {
        let mut table = self.table.clone();
        let passed = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        let passed = passed.as_millis() as u32;
        for drain in &mut table.drains {
            drain.udp_left_ms = drain.udp_left_ms.saturating_sub(passed);
            for former in &mut drain.formers {
                former.left_ms = former.left_ms.saturating_sub(passed);
            }
        }
        table
    }

    fn there(&self) -> Result<()> {
        if self.gone {
            Err(Error::NoModule)
        } else {
            Ok(())
        }
    }

    fn tell(&mut self) {
        let generation = Some(self.table.generation);
        self.changes.retain(|c| !c.is_closed());
        for change in &self.changes {
            let _ = change.try_send(generation);
        }
    }
}

impl Kernel for Memory {
    async fn status(&mut self) -> Result<Status> {
        let slow = self.0.lock().expect("kernel").slow;
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        let state = self.0.lock().expect("kernel");
        state.there()?;
        Ok(Status {
            version: "memory".into(),
            generation: state.table.generation,
            routes: state.table.routes.len() as u32,
            listeners: state.table.listeners.len() as u32,
            nodes: state.table.nodes.len() as u32,
            draining: state.table.drains.len() as u32,
            flows: 0,
            flow_slots: 65_536 * u32::from(!state.table.drains.is_empty()),
        })
    }

    async fn table(&mut self) -> Result<Table> {
        let state = self.0.lock().expect("kernel");
        state.there()?;
        Ok(state.now())
    }

    async fn counters(&mut self) -> Result<Vec<(String, u64)>> {
        let state = self.0.lock().expect("kernel");
        state.there()?;
        Ok(vec![("forward_full".to_owned(), state.full)])
    }

    async fn commit(&mut self, table: &Table, expected: u64) -> Result<u64> {
        let mut state = self.0.lock().expect("kernel");
        state.there()?;
        let what = "committing a table";
        if state.table.generation != expected {
            return Err(Error::Stale {
                what,
                expected,
                message: None,
            });
        }
        let refuse = |message: &str| {
            Err(Error::Kernel {
                what,
                errno: 22,
                message: Some(message.to_owned()),
                attribute: None,
            })
        };
        if let Some(message) = state.refuse {
            return refuse(message);
        }
        if table.generation <= expected {
            return refuse("generation must be greater than the expected one");
        }
        let known: HashSet<u32> = table.nodes.iter().map(|n| n.id).chain([0]).collect();
        if table.routes.is_empty() || !table.routes.iter().all(|id| known.contains(id)) {
            return refuse("a route has a node that is not in the table");
        }
        if let Some(store) = &state.store {
            let db = rusqlite::Connection::open(store).expect("the store");
            let saved: i64 = db
                .query_row("SELECT generation FROM cluster", [], |r| r.get(0))
                .expect("a saved generation");
            assert_eq!(
                saved as u64, table.generation,
                "durable before it is the kernel's"
            );
        }
        let ascending = table.drains.is_sorted_by(|a, b| a.route < b.route);
        let whole = table.drains.iter().all(|drain| {
            (1..=3).contains(&drain.formers.len())
                && drain.formers.iter().all(|f| known.contains(&f.node))
        });
        if !ascending || !whole {
            return refuse("a drain is wrong");
        }
        state.table = table.clone();
        state.since = Some(Instant::now());
        state.commits += 1;
        state.tell();
        Ok(table.generation)
    }

    fn subscribe(&mut self) -> Result<Changes> {
        let (sender, receiver) = mpsc::channel(16);
        let mut state = self.0.lock().expect("kernel");
        state.there()?;
        state.changes.push(sender);
        Ok(receiver)
    }
}

/// A daemon, its directory and its kernel. Stopped or killed, it can be started again.
pub struct Rig {
    pub dir: TempDir,
    pub kernel: Memory,
    pub config: String,
    running: Option<(Trigger, JoinHandle<()>)>,
    pub address: SocketAddr,
}

/// A configuration; heartbeats are so rare that nodes need not send any.
pub fn config(dir: &Path) -> String {
    format!(
        r#"cluster = "push"
routes = 24
active_min = 2
reserve = 1
drain = "0s"
store = "{dir}/halod.db"
control = "{dir}/control.sock"
[[listener]]
name = "browsers"
addresses = ["198.51.100.1", "2001:db8:1::1"]
protocol = "tcp"
port = 8000
[[listener]]
name = "apps"
addresses = ["198.51.100.1"]
protocol = "udp"
port = 9000
[nodes]
listen = ["127.0.0.1:0"]
plaintext_from = ["127.0.0.0/8"]
heartbeat = "20s"
rejoin = "10s"
restart_grace = "10s"
hello_timeout = "500ms"
max_handshakes = 8
"#,
        dir = dir.display()
    )
}

impl Rig {
    /// Not started yet.
    pub fn new() -> Rig {
        let dir = tempfile::tempdir().expect("a directory");
        let kernel = Memory::default();
        let store = dir.path().join("halod.db");
        kernel.set(|k| k.store = Some(store));
        Rig {
            config: config(dir.path()),
            kernel,
            running: None,
            address: ([127, 0, 0, 1], 0).into(),
            dir,
        }
    }

    /// Started, with parts of the configuration replaced.
    pub async fn started(replaced: &[(&str, &str)]) -> Rig {
        let mut rig = Rig::new();
        rig.replace(replaced);
        rig.start().await.unwrap_or_else(|e| panic!("{e}"));
        rig
    }

    /// Moves drain for so long; n1 and n2 are active and n3 is in reserve, and nothing drains. There
    /// are no TCP listeners, so no probes.
    pub async fn of_three(drain: &str) -> (Rig, Vec<Node>) {
        let drain = format!("drain = \"{drain}\"");
        let rig = Rig::started(&[("drain = \"0s\"", &drain), ("\"tcp\"", "\"udp\"")]).await;
        let mut n1 = rig.join(1).await;
        assert_eq!(n1.assigned().await, "1-24");
        let mut n2 = rig.join(2).await;
        assert_eq!(n2.assigned().await, "13-24");
        n1.drained().await;
        n1.say(r#"{"type":"drained","routes":[[13,24]]}"#).await;
        until("the move's drain to end", || {
            rig.kernel.table().drains.is_empty()
        })
        .await;
        let mut n3 = rig.join(3).await;
        n3.reserved().await;
        (rig, vec![n1, n2, n3])
    }

    pub fn replace(&mut self, replaced: &[(&str, &str)]) {
        for (from, to) in replaced {
            assert!(self.config.contains(from), "{from}");
            self.config = self.config.replace(from, to);
        }
    }

    pub async fn start(&mut self) -> std::result::Result<(), DaemonError> {
        self.start_with(false).await
    }

    pub async fn start_with(&mut self, reset: bool) -> std::result::Result<(), DaemonError> {
        let config =
            Config::parse(&self.config, Path::new("halod.toml")).unwrap_or_else(|e| panic!("{e}"));
        let daemon = Daemon::start(&config, reset, self.kernel.clone()).await?;
        self.address = daemon.addresses()[0];
        let (trigger, shutdown) = shutdown::channel();
        self.running = Some((trigger, tokio::spawn(daemon.run(shutdown))));
        Ok(())
    }

    /// SIGTERM.
    pub async fn stop(&mut self) {
        let (trigger, task) = self.running.take().expect("running");
        trigger.shut_down();
        tokio::time::timeout(SOON, task)
            .await
            .expect("ends soon")
            .expect("ends well");
    }

    /// As far as SIGKILL is possible to a task: it runs no line more.
    pub async fn kill(&mut self) {
        let (_trigger, task) = self.running.take().expect("running");
        task.abort();
        assert!(task.await.is_err_and(|e| e.is_cancelled()));
    }

    /// The disk is new.
    pub fn lose_store(&self) {
        for name in ["halod.db", "halod.db-wal", "halod.db-shm"] {
            let _ = std::fs::remove_file(self.dir.path().join(name));
        }
    }

    pub fn control_path(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.control_path())
            .await
            .unwrap_or_else(|e| panic!("{e}"))
    }

    pub async fn status(&self) -> StatusReport {
        self.client()
            .await
            .request(&Request::Status)
            .await
            .expect("a status")
    }

    pub async fn nodes(&self) -> Vec<NodeReport> {
        self.client()
            .await
            .request(&Request::Nodes)
            .await
            .expect("nodes")
    }

    pub async fn node(&self, name: &str) -> NodeReport {
        let nodes = self.nodes().await;
        nodes
            .into_iter()
            .find(|n| n.name == name)
            .expect("a node of that name")
    }

    pub async fn routes(&self) -> RouteReport {
        self.client()
            .await
            .request(&Request::Routes)
            .await
            .expect("routes")
    }

    pub async fn ask(&self, request: Request) -> std::result::Result<String, String> {
        let answer = self.client().await.request::<String>(&request).await;
        answer.map_err(|e| e.to_string())
    }

    /// What happens from now on.
    pub async fn watch(&self) -> Watch {
        let mut watch = self.client().await.watch().await.expect("a stream");
        let first = watch.next().await.expect("a line").expect("an event");
        assert_eq!(first.kind, "watching");
        watch
    }

    /// Registers a node whose address ends in `n`.
    pub async fn join(&self, n: u8) -> Node {
        Node::join(self.address, &hello(n, None)).await
    }
}

/// The next event of a kind.
pub async fn event(watch: &mut Watch, kind: &str) -> Event {
    let wanted = async {
        loop {
            let event = watch.next().await.expect("a line").expect("no end");
            if event.kind == kind {
                return event;
            }
        }
    };
    tokio::time::timeout(SOON, wanted)
        .await
        .unwrap_or_else(|_| panic!("no event {kind}"))
}

/// Waits for a condition.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wanted = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, wanted)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// The hello of the node `n<n>` at 203.0.113.`n`.
pub fn hello(n: u8, resume: Option<&str>) -> String {
    hello_at(n, IpAddr::from([203, 0, 113, n]), resume)
}

pub fn hello_at(n: u8, address: IpAddr, resume: Option<&str>) -> String {
    let resume = resume.map_or(String::new(), |t| format!(r#","resume":"{t}""#));
    format!(r#"{{"type":"hello","version":1,"name":"n{n}","addresses":["{address}"]{resume}}}"#)
}

/// A node's side of a connection.
pub struct Node<S = TcpStream> {
    pub stream: BufReader<S>,
    pub welcome: Option<Welcome>,
}

impl Node {
    /// Connected, nothing said.
    pub async fn connect(address: SocketAddr) -> Node {
        Node::over(TcpStream::connect(address).await.expect("a connection"))
    }

    /// Connected, hello said, welcome heard.
    pub async fn join(address: SocketAddr, hello: &str) -> Node {
        Node::connect(address).await.welcomed(hello).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Node<S> {
    /// On a connection on which nothing was said.
    pub fn over(stream: S) -> Node<S> {
        Node {
            stream: BufReader::new(stream),
            welcome: None,
        }
    }

    /// Hello said, welcome heard.
    pub async fn welcomed(mut self, hello: &str) -> Node<S> {
        self.say(hello).await;
        match self.hear().await {
            Some(FromHalod::Welcome(welcome)) => self.welcome = Some(welcome),
            other => panic!("{other:?} in place of a welcome"),
        }
        self
    }

    pub fn token(&self) -> &str {
        &self.welcome.as_ref().expect("a welcome").resume
    }

    /// Says it as a node does: what is no heartbeat is long enough to be heard at once.
    pub async fn say(&mut self, line: &str) {
        let width = if line.contains(r#""heartbeat""#) {
            0
        } else {
            URGENT - 1
        };
        self.send(format!("{line:<width$}\n").as_bytes()).await;
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.expect("sent");
        self.stream.get_mut().flush().await.expect("sent");
    }

    /// The next message; none when the connection has ended.
    pub async fn hear(&mut self) -> Option<FromHalod> {
        let mut line = String::new();
        let read = tokio::time::timeout(SOON, self.stream.read_line(&mut line)).await;
        match read.expect("a message in time") {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(FromHalod::parse(&line).unwrap_or_else(|e| panic!("{e}"))),
        }
    }

    /// The routes of the assign that comes next.
    pub async fn assigned(&mut self) -> String {
        match self.hear().await {
            Some(FromHalod::Assign { routes, .. }) => routes.to_string(),
            other => panic!("{other:?} in place of an assign"),
        }
    }

    /// The routes of the drain that comes next, who has them, and the time that it gives.
    pub async fn drained(&mut self) -> (Vec<(String, String)>, u64) {
        match self.hear().await {
            Some(FromHalod::Drain {
                moves, deadline_ms, ..
            }) => (moves.iter().map(moved).collect(), deadline_ms),
            other => panic!("{other:?} in place of a drain"),
        }
    }

    /// The routes of the route_moved that comes next, and who has them.
    pub async fn moved(&mut self) -> Vec<(String, String)> {
        match self.hear().await {
            Some(FromHalod::RouteMoved { moves, .. }) => moves.iter().map(moved).collect(),
            other => panic!("{other:?} in place of route_moved"),
        }
    }

    pub async fn reserved(&mut self) {
        let heard = self.hear().await;
        assert!(
            matches!(heard, Some(FromHalod::Reserve { .. })),
            "{heard:?}"
        );
    }

    /// The reason with which the connection is closed, as the next thing.
    pub async fn refused(&mut self) -> String {
        let reason = match self.hear().await {
            Some(FromHalod::Error { reason }) => reason,
            other => panic!("{other:?} in place of an error"),
        };
        assert_eq!(self.hear().await, None, "closed after the error");
        reason
    }
}

fn moved(moved: &MovedRoutes) -> (String, String) {
    let to = moved.to.as_ref().expect("a node has them");
    (moved.routes.to_string(), to.to_string())
}

/// A node that beats every 50 ms until it is dropped; whatever it hears ends it.
pub fn beat<S>(mut node: Node<S>) -> JoinHandle<String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(Duration::from_millis(50));
        for seq in 0.. {
            tokio::select! {
                _ = beat.tick() => node.say(&format!(r#"{{"type":"heartbeat","seq":{seq}}}"#)).await,
                heard = node.hear() => return format!("{heard:?}"),
            }
        }
        unreachable!()
    })
}

/// An address of this machine that a node may have, where there is one: probes of it are
/// answered by this machine.
pub fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Sends nothing: it only chooses the route and so the source address.
    socket.connect("198.51.100.9:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}
