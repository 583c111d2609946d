//! The control socket.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use halod_control::{MAX_REQUEST, Request, read_line};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::heart::{Input, Reply};
use crate::shutdown::Shutdown;

/// Most connections at a time.
const CONNECTIONS: usize = 64;

/// How long a client may take to read a line.
const WRITE: Duration = Duration::from_secs(10);

/// The socket; removed when dropped.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Makes the socket, for the daemon's user only. One that a killed daemon has left is replaced.
    ///
    /// # Errors
    /// It cannot be made, or `path` is something else.
    pub fn bind(path: &Path) -> io::Result<Control> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        match fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file of that name already, and it is not a socket",
                ));
            }
            _ => {}
        }
        // Nobody knows the socket by this name while it still has the mode of our umask.
        let mut hidden = path.as_os_str().to_owned();
        hidden.push(format!(".{}", std::process::id()));
        let hidden = PathBuf::from(hidden);
        let _ = fs::remove_file(&hidden);
        let listener = UnixListener::bind(&hidden)?;
        fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600))?;
        fs::rename(&hidden, path)?;
        Ok(Control {
            listener,
            path: path.to_owned(),
        })
    }

    /// Serves until the daemon shall end.
    pub async fn run(self, inputs: mpsc::Sender<Input>, mut shutdown: Shutdown) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                () = shutdown.requested() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => {
                        let inputs = inputs.clone();
                        tokio::spawn(async move {
                            if let Err(error) = serve(stream, inputs).await {
                                tracing::debug!("control: {error}");
                            }
                            drop(place);
                        });
                    }
                    Err(_) => tracing::warn!("control: {CONNECTIONS} connections already"),
                },
                Err(error) => {
                    tracing::error!("control: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn serve(stream: UnixStream, inputs: mpsc::Sender<Input>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let line = match read_line(&mut read, MAX_REQUEST).await {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(error) => {
                return reply(&mut write, &Reply::refused(&error.to_string())).await;
            }
        };
        let request = match serde_json::from_str::<Request>(&line) {
            Ok(request) => request,
            Err(error) => {
                let reason = format!("not a request: {error}");
                reply(&mut write, &Reply::refused(&reason)).await?;
                continue;
            }
        };
        let (sender, answer) = oneshot::channel();
        let input = Input::Control {
            request,
            reply: sender,
            at: Instant::now(),
        };
        if inputs.send(input).await.is_err() {
            return Ok(());
        }
        let answer = answer
            .await
            .unwrap_or_else(|_| Reply::refused("halod is ending, and did not do it"));
        reply(&mut write, &answer).await?;
        if let Reply::Watch(_, events) = answer {
            return watch(&mut read, &mut write, events).await;
        }
    }
}

/// Sends events until the client closes or falls behind.
async fn watch(
    read: &mut BufReader<tokio::net::unix::OwnedReadHalf>,
    write: &mut OwnedWriteHalf,
    mut events: broadcast::Receiver<Arc<str>>,
) -> io::Result<()> {
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            // Whatever a watcher says ends the stream, its close above all.
            _ = read_line(read, MAX_REQUEST) => return Ok(()),
        };
        match event {
            Ok(event) => send(write, &event).await?,
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                let reason = format!("{missed} events were missed: watch again, and read faster");
                return reply(write, &Reply::refused(&reason)).await;
            }
        }
    }
}

async fn reply(write: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<()> {
    match reply {
        Reply::Line(line) => send(write, line).await,
        Reply::Watch(first, _) => send(write, first).await,
    }
}

async fn send(write: &mut OwnedWriteHalf, line: &str) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(line.len() + 1);
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    match timeout(WRITE, write.write_all(&bytes)).await {
        Ok(written) => written,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read",
        )),
    }
}
