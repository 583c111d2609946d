//! The real program, and a control socket that answers as a daemon would.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use halod_control::Request;
use serde_json::Value;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A control socket. Each request gets the lines that belong to its command, then the next is
/// read; a request whose lines are `None` gets none, and the connection stays open.
pub struct Daemon {
    pub socket: PathBuf,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

/// What to say to which command.
pub type Script = HashMap<&'static str, Option<Vec<String>>>;

impl Daemon {
    pub fn start(script: Script) -> Daemon {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("halodctl-{}-{number}.sock", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&socket).expect("a socket in the temporary folder");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serve(stream, &script, &log);
            }
        });
        Daemon { socket, requests }
    }

    /// The program's run against this daemon.
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["--socket", self.socket.to_str().expect("UTF-8")];
        all.extend(arguments);
        ctl(&all)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn serve(stream: UnixStream, script: &Script, log: &Mutex<Vec<Request>>) {
    let mut writer = stream.try_clone().expect("a second handle");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(line) = lines.next() {
        let request: Request = serde_json::from_str(&line).expect("a request of the API");
        let value: Value = serde_json::from_str(&line).expect("JSON");
        let command = value["command"].as_str().expect("a command").to_owned();
        log.lock().expect("no panic").push(request);
        match script.get(command.as_str()) {
            Some(Some(answers)) => {
                for answer in answers {
                    if writeln!(writer, "{answer}").is_err() {
                        return;
                    }
                }
            }
            Some(None) => {
                // Says nothing until the client has gone.
                while lines.next().is_some() {}
            }
            None => return,
        }
        if command == "watch" {
            return;
        }
    }
}

/// A run of the program, without a terminal.
pub fn ctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_halodctl"))
        .args(arguments)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

pub fn code(output: &Output) -> i32 {
    output.status.code().expect("no signal")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("the output is JSON")
}

/// Whether the kernel that runs this has the module.
pub fn module_is_loaded() -> bool {
    Path::new("/sys/module/halod").exists()
}
