//! A program that follows the event stream.

use std::io::{BufRead, BufReader};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use serde_json::Value;

use super::{LIMIT, until};

/// A follower that reads all the time.
pub struct Follower {
    lines: Receiver<Value>,
    stream: UnixStream,
}

impl Follower {
    /// Connects as soon as there is a socket.
    pub fn start(path: &Path) -> Follower {
        Follower::of(until("the event socket", || UnixStream::connect(path).ok()))
    }

    /// Begins to read.
    pub fn of(stream: UnixStream) -> Follower {
        let (sender, lines) = channel();
        let reader = BufReader::new(stream.try_clone().unwrap());
        thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                eprintln!("event: {}", &line[..line.len().min(300)]);
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        Follower { lines, stream }
    }

    /// The next line; none at the end of the stream.
    pub fn next(&self) -> Option<Value> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no event within {LIMIT:?}"),
        }
    }

    /// The next line of that event; others before it are skipped.
    pub fn find(&self, event: &str) -> Value {
        loop {
            let line = self
                .next()
                .unwrap_or_else(|| panic!("the end instead of {event}"));
            if line["event"] == event {
                return line;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // The reading thread has the socket too.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// The peers of a reconnect or closed line.
pub fn peers(line: &Value) -> Vec<String> {
    let connections = line["connections"].as_array().unwrap().iter();
    connections
        .map(|c| c["peer"].as_str().unwrap().to_owned())
        .collect()
}
