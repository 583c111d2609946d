//! What the tests of the agent share: a HaloD made of a real socket and the protocol's own
//! codec, an application made of a real listener, and the agent's own binary.

#![allow(clippy::unwrap_used)]

pub mod follower;
pub mod namespace;
pub mod users;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use halod_proto::{
    Deliver, FromHalod, Hello, LineCodec, ListenerInfo, MAX_LINE_TO_HALOD, NodeState, Protocol,
    Select, ToHalod, VERSION, Welcome,
};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before a test fails.
pub const LIMIT: Duration = Duration::from_secs(10);

pub const TOKEN: &str = "00112233445566778899aabbccddeeff";

/// Polls until `get` gives something.
pub fn until<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = get() {
            return value;
        }
        assert!(start.elapsed() < LIMIT, "waited too long for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// HaloD, as far as a node sees it.
pub struct Halod(TcpListener);

impl Halod {
    pub fn new() -> Halod {
        Halod::at("127.0.0.1:0".parse().unwrap())
    }

    /// At the place of one that was there before.
    pub fn at(address: SocketAddr) -> Halod {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Halod(listener)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next connection.
    pub fn accept(&self) -> Peer {
        let stream = until("a connection", || match self.0.accept() {
            Ok((stream, _)) => Some(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        });
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer {
            stream,
            codec: LineCodec::new(MAX_LINE_TO_HALOD),
        }
    }

    /// The next connection, with its hello.
    pub fn hello(&self) -> (Peer, Hello) {
        let mut peer = self.accept();
        match peer.next() {
            Some(ToHalod::Hello(hello)) => (peer, hello),
            other => panic!("{other:?} instead of a hello"),
        }
    }

    /// The next connection, welcomed to a cluster with the listener browsers at port 8000.
    pub fn welcome_to_browsers(&self, heartbeat_ms: u32) -> Peer {
        let (mut peer, _) = self.hello();
        let FromHalod::Welcome(mut welcome) = welcome(heartbeat_ms) else {
            unreachable!("it is one")
        };
        welcome.listeners.push(ListenerInfo {
            name: "browsers".to_owned(),
            address: "198.51.100.1".parse().unwrap(),
            protocol: Protocol::Tcp,
            port: 8000,
            node_port: None,
            select: Select::Port,
            deliver: Deliver::Nat,
        });
        peer.send(&FromHalod::Welcome(welcome));
        peer
    }

    /// The next connection, welcomed.
    pub fn welcome(&self, heartbeat_ms: u32) -> (Peer, Hello) {
        let (mut peer, hello) = self.hello();
        peer.send(&welcome(heartbeat_ms));
        (peer, hello)
    }
}

pub fn welcome(heartbeat_ms: u32) -> FromHalod {
    FromHalod::Welcome(Welcome {
        version: VERSION,
        cluster: "push".to_owned(),
        routes: 24,
        state: NodeState::Active,
        heartbeat_ms,
        heartbeat_misses: 3,
        resume: TOKEN.to_owned(),
        listeners: Vec::new(),
        select_key: None,
    })
}

/// HaloD's end of a connection.
pub struct Peer {
    stream: TcpStream,
    codec: LineCodec,
}

impl Peer {
    pub fn send(&mut self, message: &FromHalod) {
        self.send_bytes(message.to_line().as_bytes());
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Ends the connection.
    pub fn close(&self) {
        self.stream.shutdown(Shutdown::Both).unwrap();
    }

    /// The next message; `None` where the agent ended the connection.
    pub fn next(&mut self) -> Option<ToHalod> {
        self.stream.set_read_timeout(Some(LIMIT)).unwrap();
        loop {
            if let Some(line) = self.codec.next_line().unwrap() {
                return Some(ToHalod::parse(line).unwrap());
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.codec.feed(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no message: {error}"),
            }
        }
    }

    /// The next message that is no heartbeat.
    pub fn news(&mut self) -> Option<ToHalod> {
        loop {
            match self.next() {
                Some(ToHalod::Heartbeat { .. }) => {}
                other => return other,
            }
        }
    }
}

/// The agent, running. Killed when dropped.
pub struct Agent {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Agent {
    /// Starts it as n1 for that HaloD, with more arguments.
    pub fn start(halod: SocketAddr, arguments: &[&str]) -> Agent {
        let mut command = Command::new(env!("CARGO_BIN_EXE_halod-node"));
        command.args(["--name", "n1", "--address", "192.0.2.11"]);
        command
            .args(["--halod", &halod.to_string(), "--log", "debug"])
            .args(arguments);
        Agent::run(command)
    }

    pub fn run(mut command: Command) -> Agent {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let into = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // Shown when the test fails.
                eprintln!("agent: {line}");
                *into.lock().unwrap() += &(line + "\n");
            }
        });
        Agent { child, log }
    }

    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        until("the agent's end", || self.child.try_wait().unwrap())
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until its log says something.
    pub fn logs(&self, text: &str) {
        until(text, || {
            self.log.lock().unwrap().contains(text).then_some(())
        });
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
