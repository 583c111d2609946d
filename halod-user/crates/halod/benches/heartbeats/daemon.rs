//! halod in a process of its own: it says when its kernel has a new table.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use halod::config::Config;
use halod::daemon::Daemon;
use halod::kernel::{Changes, Kernel};
use halod::shutdown;
use halod_netlink::{Result, Status, Table};
use halod_tls::Files;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::Options;
use crate::common::{Memory, SOON};
use crate::stolen::Machine;

/// A kernel that prints the moment of each commit.
struct Telling(Memory);

impl Kernel for Telling {
    async fn status(&mut self) -> Result<Status> {
        self.0.status().await
    }

    async fn table(&mut self) -> Result<Table> {
        Kernel::table(&mut self.0).await
    }

    async fn commit(&mut self, table: &Table, expected: u64) -> Result<u64> {
        let generation = self.0.commit(table, expected).await?;
        println!("commit {}", nanos());
        Ok(generation)
    }

    async fn counters(&mut self) -> Result<Vec<(String, u64)>> {
        self.0.counters().await
    }

    fn subscribe(&mut self) -> Result<Changes> {
        self.0.subscribe()
    }
}

/// Both processes' clock.
fn nanos() -> u128 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("a time after 1970").as_nanos()
}

/// Runs it until the standard input ends, as it does when the other process does.
pub async fn run(dir: &Path) {
    let errors = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR);
    errors.with_writer(std::io::stderr).init();
    let config = Config::load(&dir.join("halod.toml")).unwrap_or_else(|e| panic!("{e}"));
    let daemon = Daemon::start(&config, false, Telling(Memory::default()))
        .await
        .unwrap_or_else(|e| panic!("{e}"));
    println!("listening {}", daemon.addresses()[0]);
    let (trigger, shutdown) = shutdown::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        trigger.shut_down();
    });
    daemon.run(shutdown).await;
}

/// The process, as the other one sees it. Killed when dropped.
pub struct Halod {
    child: Child,
    pub address: SocketAddr,
    commits: Arc<AtomicUsize>,
    moments: mpsc::UnboundedReceiver<u128>,
}

impl Halod {
    pub async fn start(dir: &Path, options: &Options, tls: Option<&Files>) -> Halod {
        fs::write(dir.join("halod.toml"), config(dir, options, tls)).expect("a configuration");
        let mut child = Command::new(std::env::current_exe().expect("our own path"))
            .arg("--daemon")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("halod");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let (sender, moments) = mpsc::unbounded_channel();
        let commits = Arc::new(AtomicUsize::new(0));
        let first = async {
            loop {
                let line = lines.next_line().await.expect("a line").expect("no end");
                if let Some(address) = line.strip_prefix("listening ") {
                    return address.parse().expect("an address");
                }
            }
        };
        let address = tokio::time::timeout(SOON, first).await.expect("it starts");
        let counter = Arc::clone(&commits);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let moment = line.strip_prefix("commit ").and_then(|t| t.parse().ok());
                counter.fetch_add(1, Ordering::Relaxed);
                let _ = sender.send(moment.expect("a moment"));
            }
        });
        Halod {
            child,
            address,
            commits,
            moments,
        }
    }

    pub fn commits(&self) -> usize {
        self.commits.load(Ordering::Relaxed)
    }

    /// Seconds of a CPU that it has had.
    pub fn cpu(&self) -> f64 {
        let stat = self.proc("stat");
        // After the name in parentheses: state is field 3, utime and stime are 14 and 15.
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|t| t.parse::<u64>().expect("ticks")).sum();
        // USER_HZ is 100 on every architecture that the module is for.
        ticks as f64 / 100.0
    }

    /// MiB, by the name in /proc/PID/status.
    pub fn memory(&self, name: &str) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next());
        kib.and_then(|kib| kib.parse::<f64>().ok()).expect("KiB") / 1024.0
    }

    fn proc(&self, file: &str) -> String {
        let pid = self.child.id().expect("it runs");
        fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it runs")
    }

    /// From what `cause` does to the commit that comes of it; None if the machine stood still meanwhile.
    pub async fn loss(&mut self, cause: impl FnOnce()) -> Option<Duration> {
        // Not in step with heartbeats.
        tokio::time::sleep(Duration::from_millis(150 + u64::from(nanos() as u8))).await;
        while self.moments.try_recv().is_ok() {}
        let (machine, before) = (Machine::now(), nanos());
        cause();
        let moment = tokio::time::timeout(SOON, self.moments.recv()).await;
        let moment = moment.expect("a commit in time").expect("it runs");
        let took = u64::try_from(moment.saturating_sub(before)).expect("not centuries");
        let stolen = Machine::now().stolen_since(&machine);
        (stolen == 0.0).then(|| Duration::from_nanos(took))
    }
}

fn config(dir: &Path, options: &Options, tls: Option<&Files>) -> String {
    let reserve = 2 * options.losses + 8;
    let tls = tls.map_or(String::new(), |files| {
        format!(
            "[nodes.tls]\nca = {:?}\ncertificate = {:?}\nkey = {:?}\n",
            files.ca, files.certificate, files.key
        )
    });
    format!(
        r#"cluster = "heartbeats"
routes = 4096
active_min = {active}
reserve = {reserve}
drain = "0s"
store = "{dir}/halod.db"
control = "{dir}/control.sock"
[[listener]]
name = "browsers"
addresses = ["203.0.113.1"]
protocol = "tcp"
port = 8000
[nodes]
listen = ["127.0.0.1:0"]
plaintext_from = ["127.0.0.0/8"]
max_nodes = 4096
handshake_rate = 10000
{tls}"#,
        active = options.nodes - reserve,
        dir = dir.display()
    )
}
