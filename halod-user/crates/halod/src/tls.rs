//! TLS at the nodes' port: the certificates in use, read again when their files change, and what
//! a node's certificate says.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use halod_proto::NodeName;
use halod_tls::{Certificate, Error, Files, SOON};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::shutdown::Shutdown;
use crate::socket::NodeSocket;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// How often the own certificate is warned of.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Most bytes that are read of a peer until its certificate is known to be good: a hello of TLS
/// and a chain of certificates are a few thousand.
pub const UNKNOWN: usize = 16 * 1024;

/// The certificates in use.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    current: Mutex<Current>,
}

#[derive(Clone, Debug)]
struct Current {
    config: Arc<ServerConfig>,
    certificate: Certificate,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file that cannot be used, and why.
    pub fn load(files: &Files) -> Result<Tls, Error> {
        let current = Current::of(files, &files.contents()?)?;
        Ok(Tls {
            files: files.clone(),
            current: Mutex::new(current),
        })
    }

    /// Whole days that HaloD's own certificate is still good for; none when it has expired.
    pub fn days_left(&self) -> Option<u64> {
        self.current().certificate.days_left(SystemTime::now())
    }

    fn current(&self) -> Current {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    /// Reads the files again when they change and on SIGHUP, until the daemon shall end.
    /// Connections go on with what they began with.
    pub async fn keep_fresh(self: Arc<Tls>, mut hangups: Signal, mut shutdown: Shutdown) {
        let mut look = tokio::time::interval(LOOK);
        let mut warn = tokio::time::interval(DAY);
        // What is there now may be newer than what was loaded at start.
        let mut seen = None;
        loop {
            let asked = tokio::select! {
                () = shutdown.requested() => return,
                _ = warn.tick() => {
                    warn_of_end("halod's own certificate", &self.current().certificate);
                    continue;
                }
                _ = hangups.recv() => true,
                _ = look.tick() => false,
            };
            let found = self.files.contents().map_err(|error| error.to_string());
            if !asked && seen.as_ref() == Some(&found) {
                continue;
            }
            let first = seen.is_none();
            let fresh = found
                .as_ref()
                .map_err(String::clone)
                .and_then(|found| Current::of(&self.files, found).map_err(|e| e.to_string()));
            match fresh {
                Ok(fresh) => {
                    if !first {
                        tracing::info!("the certificates were read again and are in use");
                        warn_of_end("halod's own certificate", &fresh.certificate);
                    }
                    *self.current.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
                }
                Err(error) => tracing::error!("{error}; the former certificates stay in use"),
            }
            seen = Some(found);
        }
    }

    /// Shakes hands, and reads the node's certificate. A failure is one for people, with the
    /// connection, on which the other side was told by an alert.
    pub async fn accept(
        &self,
        stream: NodeSocket,
    ) -> Result<(Encrypted, Certificate), (String, NodeSocket)> {
        let stream = Bounded {
            stream,
            left: UNKNOWN,
        };
        let accept = TlsAcceptor::from(self.current().config).accept(stream);
        let mut stream = match accept.into_fallible().await {
            Ok(stream) => stream,
            Err((error, bounded)) => return Err((format!("no TLS: {error}"), bounded.stream)),
        };
        let (bounded, tls) = stream.get_mut();
        let certificate = match tls.peer_certificates() {
            Some([first, ..]) => Certificate::parse(first),
            _ => Err("there is none".to_owned()),
        };
        match certificate {
            Ok(certificate) => {
                bounded.left = usize::MAX;
                Ok((Box::new(stream), certificate))
            }
            Err(error) => {
                let (bounded, _) = stream.into_inner();
                Err((format!("the node's certificate: {error}"), bounded.stream))
            }
        }
    }
}

impl Current {
    fn of(files: &Files, contents: &[Vec<u8>; 3]) -> Result<Current, Error> {
        let credentials = files.parse(contents)?;
        Ok(Current {
            certificate: credentials.certificate()?,
            config: Arc::new(halod_tls::server(credentials)?),
        })
    }
}

/// SIGHUP, which reads the certificates again.
///
/// # Errors
/// It cannot be handled.
pub fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Whether the node that shows `certificate` may say that it is `name`.
///
/// # Errors
/// Both names, for the node to read.
pub fn is_for(certificate: &Certificate, name: &NodeName) -> Result<(), String> {
    if certificate.names.iter().any(|n| n == name.as_str()) {
        warn_of_end(&format!("the certificate of node {name}"), certificate);
        return Ok(());
    }
    let names = match &certificate.names[..] {
        [] => "no DNS name at all".to_owned(),
        names => names.join(", ").escape_debug().to_string(),
    };
    Err(format!(
        "the hello is of {name}, but the certificate is for {names}; `halodctl pki issue {name}` \
         makes the right one"
    ))
}

fn warn_of_end(what: &str, certificate: &Certificate) {
    match certificate.days_left(SystemTime::now()) {
        None => tracing::error!("{what} has expired"),
        Some(days) if days < SOON => tracing::warn!("{what} expires in {days} days"),
        Some(_) => {}
    }
}

/// A connection that speaks TLS.
pub type Encrypted = Box<TlsStream<Bounded>>;

/// A connection of which only so much is read.
#[derive(Debug)]
pub struct Bounded {
    stream: NodeSocket,
    /// Reading goes on while this is not 0; what one read takes beyond it is taken.
    left: usize,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            let text = format!("more than {UNKNOWN} bytes without a good certificate");
            return Poll::Ready(Err(io::Error::other(text)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
