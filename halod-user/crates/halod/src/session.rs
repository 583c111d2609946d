//! One node's connection: its hello within a time, then its messages to the heart and the
//! heart's to it. Whatever is wrong with it ends it, with a reason, and harms no other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use halod_cluster::ConnId;
use halod_proto::{FromHalod, Hello, LineCodec, MAX_HELLO, MAX_LINE_TO_HALOD, ToHalod, URGENT};
use halod_tls::Certificate;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::heart::{Input, Mail, Outbox, Pulse};
use crate::server::Shared;
use crate::socket::{NodeSocket, Watch};
use crate::tls::{self, Encrypted};

/// How long a node may take to read one message before its connection is cut.
const WRITE: Duration = Duration::from_secs(5);

/// How much of a connection is read at once: many heartbeats, and little memory for each of
/// thousands of nodes.
const READ: usize = 512;

/// Heartbeats that come so often may wait for the next few: what they say of load is old by about a second then.
const FREQUENT: Duration = Duration::from_millis(250);

/// How long a connection that is being closed may take to read why.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection, encrypted or not, for two tasks.
pub trait Stream {
    /// What encryption adds to a line, in bytes.
    const OVERHEAD: usize;
    /// What is read from.
    type Read: AsyncRead + Send + Unpin + 'static;
    /// What is written to.
    type Write: AsyncWrite + Send + Unpin + 'static;

    /// Both.
    fn halves(self) -> (Self::Read, Self::Write);
}

impl Stream for NodeSocket {
    const OVERHEAD: usize = 0;
    type Read = NodeSocket;
    type Write = NodeSocket;

    fn halves(self) -> (NodeSocket, NodeSocket) {
        (self.clone(), self)
    }
}

impl Stream for Encrypted {
    /// A record's header, type and tag (RFC 8446, 5.2).
    const OVERHEAD: usize = 5 + 1 + 16;
    type Read = ReadHalf<Encrypted>;
    type Write = WriteHalf<Encrypted>;

    // One lock for both, since each way of TLS may have to read and to write.
    fn halves(self) -> (ReadHalf<Encrypted>, WriteHalf<Encrypted>) {
        split(self)
    }
}

/// A connection that has not said hello.
#[derive(Debug)]
pub struct Newcomer {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// What carries it.
    pub socket: NodeSocket,
    /// When it must have said hello.
    pub deadline: Instant,
    /// One of so many that there may be; given back after the hello.
    pub permit: OwnedSemaphorePermit,
}

/// The bytes of a connection as messages.
struct Reader<R> {
    stream: R,
    codec: LineCodec,
    buffer: Box<[u8]>,
}

/// Why no more messages come.
enum End {
    /// The node closed, or its connection broke.
    Closed,
    /// The node said something wrong.
    Wrong(String),
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Cancel safe.
    async fn next(&mut self) -> Result<ToHalod, End> {
        loop {
            match self.codec.next_line() {
                Ok(Some(line)) => {
                    return ToHalod::parse(line).map_err(|error| End::Wrong(error.to_string()));
                }
                Ok(None) => {}
                Err(error) => return Err(End::Wrong(error.to_string())),
            }
            match self.stream.read(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(End::Closed),
                Ok(n) => self.codec.feed(&self.buffer[..n]),
            }
        }
    }
}

/// Serves a connection to its end. A `certificate` must be for the name that its hello says.
pub async fn run<S: Stream>(
    stream: S,
    certificate: Option<Certificate>,
    newcomer: Newcomer,
    shared: Arc<Shared>,
) {
    let Newcomer {
        peer,
        socket,
        deadline,
        permit,
    } = newcomer;
    let (read, write) = stream.halves();
    let mut reader = Reader {
        stream: read,
        codec: LineCodec::new(MAX_HELLO),
        buffer: vec![0; READ].into(),
    };
    let reason = match timeout_at(deadline, reader.next()).await {
        Ok(Ok(ToHalod::Hello(hello))) => match admitted(certificate.as_ref(), &hello) {
            Ok(token) => {
                drop(permit);
                if shared.nodes.heartbeat <= FREQUENT {
                    socket.wake_at(URGENT + S::OVERHEAD);
                }
                let watch = socket.watch();
                drop(socket);
                return serve(reader, write, hello, token, peer, watch, &shared).await;
            }
            Err(reason) => reason,
        },
        Ok(Ok(other)) => format!(
            "the first message must be a hello; this is {}",
            other.kind()
        ),
        Ok(Err(End::Closed)) => return shared.failed(peer, "closed before a hello"),
        Ok(Err(End::Wrong(reason))) => reason,
        Err(_) => no_hello(&shared),
    };
    shared.failed(peer, &reason);
    close(reader.stream, write, Some(reason)).await;
}

/// What a connection is told that took too long.
pub fn no_hello(shared: &Shared) -> String {
    format!(
        "no hello within {} ms",
        shared.nodes.hello_timeout.as_millis()
    )
}

/// A token for a node whose certificate, where it has shown one, is its own.
fn admitted(certificate: Option<&Certificate>, hello: &Hello) -> Result<String, String> {
    if let Some(certificate) = certificate {
        tls::is_for(certificate, &hello.name)?;
    }
    fresh_token().map_err(|error| format!("halod has no random numbers: {error}"))
}

/// After the hello.
async fn serve<R, W>(
    mut reader: Reader<R>,
    write: W,
    hello: Hello,
    token: String,
    peer: SocketAddr,
    watch: Watch,
    shared: &Arc<Shared>,
) where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    reader.codec.set_max(MAX_LINE_TO_HALOD);
    let conn = shared.next_conn();
    let name = hello.name.clone();
    let (outbox, mail) = Outbox::new(watch);
    let Mail {
        messages,
        cut,
        pulse,
    } = mail;
    let hello = Input::Hello {
        conn,
        hello,
        token,
        peer,
        outbox,
        at: Instant::now(),
    };
    if shared.inputs.send(hello).await.is_err() {
        return;
    }
    // Tasks of their own: a heartbeat wakes the one that reads, and nothing else.
    let mut reading = Part(tokio::spawn(pass_on(
        reader,
        conn,
        pulse,
        Arc::clone(shared),
    )));
    let mut writing = Part(tokio::spawn(write_all(write, messages, cut)));
    tokio::select! {
        read = &mut reading.0 => {
            // The time counts that passes from here to the kernel's new table.
            let at = Instant::now();
            let (reader, wrong) = match read {
                Ok((reader, End::Wrong(reason))) => (Some(reader), Some(reason)),
                Ok((reader, End::Closed)) => (Some(reader), None),
                Err(_) => (None, None),
            };
            if let Some(reason) = &wrong {
                tracing::warn!(node = %name, %peer, reason, "connection closed");
            }
            // The heart drops its outbox then, and the writer ends with what is queued.
            let _ = shared.inputs.send(Input::Closed { conn, wrong, at }).await;
            let written = timeout(WRITE, &mut writing.0).await;
            if let (Some(reader), Ok(Ok(Some(write)))) = (reader, written) {
                close(reader.stream, write, None).await;
            }
        }
        // The heart has closed it, or it cannot be written to.
        written = &mut writing.0 => {
            let closed = Input::Closed { conn, wrong: None, at: Instant::now() };
            let _ = shared.inputs.send(closed).await;
            if let Ok(Some(mut write)) = written {
                // What still comes is read, and ignored by the heart: see `close`.
                let closing = async {
                    let _ = write.shutdown().await;
                    let _ = (&mut reading.0).await;
                };
                let _ = timeout(LAST_WORDS, closing).await;
            }
        }
    }
}

/// A task that ends at the latest with the session whose part it is.
struct Part<T>(JoinHandle<T>);

impl<T> Drop for Part<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Passes messages on until the connection ends or says something wrong.
async fn pass_on<R: AsyncRead + Unpin>(
    mut reader: Reader<R>,
    conn: ConnId,
    pulse: Pulse,
    shared: Arc<Shared>,
) -> (Reader<R>, End) {
    loop {
        let message = match reader.next().await {
            Ok(message) => message,
            Err(end) => return (reader, end),
        };
        let Some(message) = pulse.leave(message) else {
            continue;
        };
        // Waits while the heart is busy: a node that talks too much only slows itself.
        let at = Instant::now();
        let input = Input::Message { conn, message, at };
        if shared.inputs.send(input).await.is_err() {
            return (reader, End::Closed);
        }
    }
}

/// Writes messages until the heart drops the outbox. Gives the stream back where it still works.
async fn write_all<W: AsyncWrite + Unpin>(
    mut write: W,
    mut messages: mpsc::Receiver<FromHalod>,
    cut: Arc<Notify>,
) -> Option<W> {
    loop {
        let message = tokio::select! {
            message = messages.recv() => message,
            () = cut.notified() => return None,
        };
        let Some(message) = message else {
            return Some(write);
        };
        let line = message.to_line();
        let written = tokio::select! {
            written = timeout(WRITE, send(&mut write, &line)) => written,
            () = cut.notified() => return None,
        };
        match written {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return None,
            Err(_) => {
                tracing::warn!("a node has not read a message in {} s", WRITE.as_secs());
                return None;
            }
        }
    }
}

/// Writes a whole line, and what TLS may still hold of it.
async fn send(write: &mut (impl AsyncWrite + Unpin), line: &str) -> io::Result<()> {
    write.write_all(line.as_bytes()).await?;
    write.flush().await
}

/// Refuses a connection of which nothing was read.
pub async fn refuse(socket: NodeSocket, reason: String) {
    let (read, write) = socket.halves();
    close(read, write, Some(reason)).await;
}

/// Ends a connection that was told why.
pub async fn end(socket: NodeSocket) {
    let (read, write) = socket.halves();
    close(read, write, None).await;
}

/// Refuses as far as that takes no time.
pub fn refuse_at_once(stream: &TcpStream, reason: &str) {
    let line = FromHalod::Error {
        reason: reason.to_owned(),
    }
    .to_line();
    // Best effort: the connection is closed in any case.
    let _ = stream.try_write(line.as_bytes());
}

/// Sends the reason, if there is one, and closes such that the other side can read it: a close
/// with unread input would reset the connection and take the reason with it.
async fn close(
    mut read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    reason: Option<String>,
) {
    let closing = async {
        if let Some(reason) = reason {
            let line = FromHalod::Error { reason }.to_line();
            send(&mut write, &line).await?;
        }
        write.shutdown().await?;
        let mut unread = [0; 4096];
        while read.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(LAST_WORDS, closing).await;
}

/// 32 hexadecimal characters that nobody can guess.
fn fresh_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}
