//! A client of the control socket.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::{Answer, Event, LineError, MAX_ANSWER, Request, read_line};

/// Why a request got no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No daemon to talk to, or not allowed to.
    #[error("cannot connect to halod at {path}: {source} ({})", hint(.source))]
    Connect {
        /// The socket's path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The daemon refused, with its reason; nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// The daemon closed the connection instead of answering.
    #[error("halod closed the connection without an answer")]
    Closed,
    /// A line that cannot be read.
    #[error("from halod: {0}")]
    Line(#[from] LineError),
    /// An answer of another form: daemon and client are of different versions.
    #[error("halod's answer is not understood ({0}): is it of another version?")]
    Form(#[from] serde_json::Error),
    /// The request could not be sent.
    #[error("cannot send to halod: {0}")]
    Send(#[source] io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "no such socket: is halod running?",
        io::ErrorKind::ConnectionRefused => {
            "nobody listens there: halod has ended without cleaning up"
        }
        io::ErrorKind::PermissionDenied => "only the user that halod runs as may: try as root",
        _ => "is this halod's control socket?",
    }
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the daemon's socket at `path`.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub async fn connect(path: &Path) -> Result<Client, ClientError> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| ClientError::Connect {
                path: path.to_owned(),
                source,
            })?;
        Ok(Client {
            stream: BufReader::new(stream),
        })
    }

    /// Asks, and waits for the answer. `T` is the report that [`Request`] names for this request.
    ///
    /// # Errors
    /// All but [`ClientError::Connect`].
    pub async fn request<T: DeserializeOwned>(
        &mut self,
        request: &Request,
    ) -> Result<T, ClientError> {
        self.send(request).await?;
        match self.answer().await?.ok_or(ClientError::Closed)? {
            Answer::Ok(report) => Ok(report),
            Answer::Error(reason) => Err(ClientError::Refused(reason)),
            Answer::Event(event) => Err(ClientError::Refused(format!(
                "halod sent the event {:?} in place of an answer",
                event.kind
            ))),
        }
    }

    /// Asks for everything that happens from now on. The first event is `watching`:
    /// what happens after it has come is in the stream.
    ///
    /// # Errors
    /// All but [`ClientError::Connect`].
    pub async fn watch(mut self) -> Result<Watch, ClientError> {
        self.send(&Request::Watch).await?;
        Ok(Watch { client: self })
    }

    async fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream
            .get_mut()
            .write_all(&line)
            .await
            .map_err(ClientError::Send)
    }

    async fn answer<T: DeserializeOwned>(&mut self) -> Result<Option<Answer<T>>, ClientError> {
        match read_line(&mut self.stream, MAX_ANSWER).await? {
            Some(line) => Ok(Some(serde_json::from_str(&line)?)),
            None => Ok(None),
        }
    }
}

/// The stream of events after [`Client::watch`].
#[derive(Debug)]
pub struct Watch {
    client: Client,
}

impl Watch {
    /// The next event; `None` when the daemon ended the stream.
    ///
    /// A watcher that does not keep up gets an error in the stream that says so, and its end.
    ///
    /// # Errors
    /// All but [`ClientError::Connect`]. Not cancel safe: a dropped call may lose part of a line.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        match self.client.answer::<()>().await? {
            Some(Answer::Event(event)) => Ok(Some(event)),
            Some(Answer::Error(reason)) => Err(ClientError::Refused(reason)),
            Some(Answer::Ok(())) | None => Ok(None),
        }
    }
}
