//! The nodes: connections that beat.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::common::Node;
use crate::pki::{Ca, node};

/// halod's default.
const BEAT: Duration = Duration::from_millis(100);

/// How many names one certificate has: making one for each node would take longer than all else.
const NAMES: usize = 32;

pub struct Nodes {
    /// In the order in which they registered.
    tasks: VecDeque<JoinHandle<()>>,
    beats: Arc<AtomicU64>,
    late: Arc<AtomicU64>,
}

impl Nodes {
    /// Registers `count` nodes, one after another: the first are put to work, the last wait.
    pub async fn register(address: SocketAddr, count: usize, ca: Option<&Ca>) -> Nodes {
        let (beats, late) = (Arc::default(), Arc::default());
        tokio::spawn(watch(Arc::clone(&late)));
        let mut tasks = VecDeque::new();
        let mut connector = None;
        for n in 0..count {
            let stream = TcpStream::connect(address).await.expect("a connection");
            stream.set_nodelay(true).expect("a connection");
            if let Some(ca) = ca.filter(|_| n % NAMES == 0) {
                connector = Some(TlsConnector::from(Arc::new(client(ca, n))));
            }
            let beats = Arc::clone(&beats);
            let task = match &connector {
                None => tokio::spawn(beat(registered(stream, n).await, n, beats)),
                Some(connector) => {
                    let halod = ServerName::try_from("halod").expect("a name");
                    let stream = connector.connect(halod, stream).await;
                    let stream = stream.expect("a handshake");
                    tokio::spawn(beat(registered(stream, n).await, n, beats))
                }
            };
            tasks.push_back(task);
        }
        Nodes { tasks, beats, late }
    }

    /// How many heartbeats all nodes have sent.
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// How long all nodes stood still at most since the last call: not halod's fault.
    pub fn late(&self) -> Duration {
        Duration::from_micros(self.late.swap(0, Ordering::Relaxed))
    }

    /// How many nodes halod has not given up.
    pub fn alive(&self) -> usize {
        self.tasks.iter().filter(|task| !task.is_finished()).count()
    }

    /// Ends the connection of a node that works: at once, and without a word.
    pub fn kill(&mut self) {
        let mut alive = std::iter::from_fn(|| self.tasks.pop_front());
        let task = alive.find(|task| !task.is_finished());
        task.expect("one that halod has not given up").abort();
    }
}

/// Notes by how much this process is late itself.
async fn watch(late: Arc<AtomicU64>) {
    let pause = Duration::from_millis(5);
    loop {
        let before = Instant::now();
        tokio::time::sleep(pause).await;
        let over = before.elapsed().saturating_sub(pause).as_micros();
        late.fetch_max(u64::try_from(over).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

fn client(ca: &Ca, first: usize) -> ClientConfig {
    let names: Vec<String> = (first..first + NAMES).map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let files = ca.issue("nodes", &node(&names));
    let client = files.load().and_then(halod_tls::client);
    client.unwrap_or_else(|e| panic!("{e}"))
}

fn name(n: usize) -> String {
    format!("n{n}")
}

/// 198.18.0.0/15 is for benchmarks (RFC 2544).
async fn registered<S: AsyncRead + AsyncWrite + Unpin>(stream: S, n: usize) -> S {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 1, 0)) + n as u32);
    let hello = format!(
        r#"{{"type":"hello","version":1,"name":"{}","addresses":["{address}"]}}"#,
        name(n)
    );
    Node::over(stream)
        .welcomed(&hello)
        .await
        .stream
        .into_inner()
}

async fn beat<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, n: usize, beats: Arc<AtomicU64>) {
    // Each at its own moment within the interval.
    tokio::time::sleep(BEAT * (n as u32 % 100) / 100).await;
    let mut beat = tokio::time::interval(BEAT);
    let mut heard = [0; 1024];
    for seq in 0_u64.. {
        loop {
            tokio::select! {
                _ = beat.tick() => break,
                read = stream.read(&mut heard) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                },
            }
        }
        let line = format!(
            "{{\"type\":\"heartbeat\",\"seq\":{seq},\"load\":{{\"connections\":{}}}}}\n",
            1000 + seq % 100
        );
        let written = async {
            stream.write_all(line.as_bytes()).await?;
            stream.flush().await
        };
        if written.await.is_err() {
            return;
        }
        beats.fetch_add(1, Ordering::Relaxed);
    }
}
