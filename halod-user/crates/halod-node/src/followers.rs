//! The event stream: programs on this machine that follow what happens to the routes.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as Probe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::event::Event;

/// How many lines may wait for a follower. Lines are shared between followers.
const WAITING: usize = 256;

/// How many followers there may be.
const MOST: usize = 64;

/// A follower that takes no byte for so long is cut off.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the agent's end waits for followers to take their last lines.
const AT_THE_END: Duration = Duration::from_millis(500);

/// The socket cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("event socket {path}: {error}", path = path.display())]
pub struct SocketError {
    path: PathBuf,
    error: io::Error,
}

/// The socket and its followers.
#[derive(Debug)]
pub struct Followers {
    path: PathBuf,
    listener: UnixListener,
    followers: Vec<mpsc::Sender<Arc<str>>>,
    tasks: JoinSet<()>,
}

impl Followers {
    /// Makes the socket, mode 0660; replaces one that nobody serves any more.
    ///
    /// # Errors
    /// There is something else at this path, or it cannot be made there.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn bind(path: &Path) -> Result<Followers, SocketError> {
        let bind = || {
            remove_stale(path)?;
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, Permissions::from_mode(0o660))?;
            Ok(listener)
        };
        let listener = bind().map_err(|error| SocketError {
            path: path.to_owned(),
            error,
        })?;
        Ok(Followers {
            path: path.to_owned(),
            listener,
            followers: Vec::new(),
            tasks: JoinSet::new(),
        })
    }

    /// The next that wants to follow. Given up and called again, it loses none.
    pub async fn accept(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a follower of the event stream");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Begins to serve one; `state` is its first line.
    pub fn add(&mut self, stream: UnixStream, state: &Event<'_>) {
        while self.tasks.try_join_next().is_some() {}
        self.followers.retain(|follower| !follower.is_closed());
        let (sender, lines) = mpsc::channel(WAITING);
        if self.followers.len() < MOST {
            let _ = sender.try_send(state.to_line().into());
            self.followers.push(sender);
        } else {
            tracing::warn!("{MOST} programs follow the event stream; another one is refused");
            let _ = sender.try_send(cut(&format!("{MOST} programs follow already; no more may")));
        }
        self.tasks.spawn(serve(stream, lines));
    }

    /// Says something to all, without ever waiting for one.
    pub fn say(&mut self, event: &Event<'_>) {
        let line: Arc<str> = event.to_line().into();
        self.followers.retain(|follower| match follower.capacity() {
            // The last place is for the last word.
            0 | 1 => {
                tracing::warn!("a follower of the event stream is too slow; cut off");
                let reason = format!("too slow: {WAITING} lines wait; connect again");
                let _ = follower.try_send(cut(&reason));
                false
            }
            // An error: it has gone.
            _ => follower.try_send(Arc::clone(&line)).is_ok(),
        });
    }

    /// Ends it, after a moment for the last lines.
    pub async fn finish(mut self) {
        self.followers.clear();
        let mut tasks = std::mem::take(&mut self.tasks);
        let _ = timeout(AT_THE_END, async {
            while tasks.join_next().await.is_some() {}
        })
        .await;
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn cut(reason: &str) -> Arc<str> {
    Event::Cut { reason }.to_line().into()
}

/// Removes a socket that a killed agent left.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::other("there is something that is no socket"))
        }
        Ok(_) => match Probe::connect(path) {
            Ok(_) => Err(io::Error::other("another program serves it")),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
            Err(error) => Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

async fn serve(mut stream: UnixStream, mut lines: mpsc::Receiver<Arc<str>>) {
    let (mut input, mut output) = stream.split();
    let mut ignored = [0; 256];
    loop {
        tokio::select! {
            line = lines.recv() => {
                let Some(line) = line else { return };
                if !matches!(timeout(PATIENCE, output.write_all(line.as_bytes())).await, Ok(Ok(()))) {
                    return;
                }
            }
            // Followers have nothing to say, but they go.
            read = input.read(&mut ignored) => if !matches!(read, Ok(1..)) {
                return;
            }
        }
    }
}
