//! A connection to HaloD: messages instead of bytes.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use halod_proto::{
    FromHalod, LineCodec, LineError, MAX_LINE_TO_NODE, MessageError, ToHalod, VERSION,
};
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::Tls;
use crate::values::Endpoint;

/// How long a connection, and then the answer to the hello, may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// After how long without an acknowledgement of what was sent HaloD's machine counts as gone.
/// Heartbeats are sent all the time, so there always is something to acknowledge.
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// It could not be made.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The certificates cannot be used.
    #[error(transparent)]
    Files(#[from] halod_tls::Error),
    /// HaloD's end of TLS is not as it should be.
    #[error("no TLS with HaloD: {0}{hint}", hint = hint(.0))]
    Tls(io::Error),
    /// It broke.
    #[error("connection lost: {0}")]
    Lost(io::Error),
    /// HaloD ended it.
    #[error("HaloD closed the connection")]
    Closed,
    /// Nothing came in time.
    #[error("no {0} within {1:?}")]
    Late(&'static str, Duration),
    /// HaloD says that we did something wrong.
    #[error("HaloD refuses: {}", .0.escape_debug())]
    Refused(String),
    /// What came is no line.
    #[error("HaloD sent nonsense: {0}")]
    Line(#[from] LineError),
    /// What came is no message.
    #[error("HaloD sent nonsense: {0}")]
    Message(#[from] MessageError),
    /// A message came that has no place here.
    #[error("HaloD sent {0} out of order")]
    Order(&'static str),
    /// HaloD speaks another version.
    #[error("HaloD speaks version {0} of the protocol; this agent speaks {VERSION}")]
    Version(u32),
    /// No heartbeats can be sent at this interval.
    #[error("HaloD asks for heartbeats every 0 ms")]
    NoInterval,
}

/// TCP, or TLS over it.
trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Debug + Send + Unpin> Stream for S {}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    stream: Box<dyn Stream>,
    codec: LineCodec,
    input: Box<[u8]>,
}

impl Connection {
    /// Connects; where there is something for TLS, with that alone.
    ///
    /// # Errors
    /// The name is unknown, nobody answers there in time, or not with the right certificate.
    pub async fn open(halod: &Endpoint, tls: Option<&Tls>) -> Result<Connection, ConnectionError> {
        let tls = tls.map(connector).transpose()?;
        let stream = timeout(PATIENCE, TcpStream::connect(halod.as_str()))
            .await
            .map_err(|_| ConnectionError::Late("connection", PATIENCE))?
            .map_err(ConnectionError::Connect)?;
        tune(&stream).map_err(ConnectionError::Connect)?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(stream),
            Some((connector, name)) => {
                let handshake = timeout(PATIENCE, connector.connect(name, stream)).await;
                let handshake =
                    handshake.map_err(|_| ConnectionError::Late("handshake of TLS", PATIENCE))?;
                Box::new(handshake.map_err(ConnectionError::Tls)?)
            }
        };
        let codec = LineCodec::new(MAX_LINE_TO_NODE);
        Ok(Connection {
            stream,
            codec,
            input: vec![0; 16 * 1024].into(),
        })
    }

    /// The next message. Given up and called again, it loses nothing.
    ///
    /// # Errors
    /// The connection is over; [`ConnectionError::Refused`] is HaloD's own last word.
    pub async fn next(&mut self) -> Result<FromHalod, ConnectionError> {
        loop {
            if let Some(line) = self.codec.next_line()? {
                return match FromHalod::parse(line)? {
                    FromHalod::Error { reason } => Err(ConnectionError::Refused(reason)),
                    message => Ok(message),
                };
            }
            match self.stream.read(&mut self.input).await {
                Ok(0) => return Err(ConnectionError::Closed),
                Ok(count) => self.codec.feed(&self.input[..count]),
                // HaloD judges our certificate after the handshake is over for us.
                Err(error) if rustls_error(&error).is_some() => {
                    return Err(ConnectionError::Tls(error));
                }
                Err(error) => return Err(ConnectionError::Lost(error)),
            }
        }
    }

    /// Sends a message. Given up, it may have sent a part.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn send(&mut self, message: &ToHalod) -> Result<(), ConnectionError> {
        let line = message.to_line();
        // HaloD reads all the time; where even the buffers are full, it does not any more.
        let written = async {
            self.stream.write_all(line.as_bytes()).await?;
            self.stream.flush().await
        };
        match timeout(UNACKNOWLEDGED, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ConnectionError::Lost(error)),
            Err(_) => Err(ConnectionError::Lost(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Ends the connection after what was sent, and waits a moment for HaloD to have read it:
    /// to close a socket with unread input would reset it, and could take our last message away.
    pub async fn close(mut self) {
        let end = async {
            self.stream.shutdown().await?;
            while self.stream.read(&mut self.input).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = timeout(Duration::from_millis(500), end).await;
    }
}

/// Reads the files: whoever renews them need not restart the agent.
fn connector(tls: &Tls) -> Result<(TlsConnector, ServerName<'static>), ConnectionError> {
    let credentials = tls.files.load()?;
    let days = credentials.certificate()?.days_left(SystemTime::now());
    let certificate = tls.files.certificate.display();
    match days {
        None => tracing::error!("{certificate} has expired; HaloD will refuse it"),
        Some(days) if days < halod_tls::SOON => {
            tracing::warn!("{certificate} expires in {days} days");
        }
        Some(_) => {}
    }
    let connector = TlsConnector::from(Arc::new(halod_tls::client(credentials)?));
    Ok((connector, tls.name.0.clone()))
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What to do about an error of TLS, where its own words do not say.
fn hint(error: &io::Error) -> &'static str {
    use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error};
    match rustls_error(error) {
        Some(Error::InvalidMessage(_)) => {
            "; what answers there speaks no TLS, or takes no more connections now: see halod's log"
        }
        Some(Error::InvalidCertificate(Certificate::UnknownIssuer | Certificate::BadSignature)) => {
            "; its certificate is not from the CA in --tls-ca"
        }
        Some(Error::AlertReceived(Alert::CertificateExpired)) => {
            "; it says that this node's certificate has expired: `halodctl pki issue` makes another"
        }
        Some(Error::AlertReceived(Alert::UnknownCA | Alert::DecryptError)) => {
            "; it says that this node's certificate is not from its CA"
        }
        Some(Error::AlertReceived(_)) => "; halod's log says why",
        _ => "",
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    // For the time before the first heartbeat; later there is always something on its way.
    let second = Duration::from_secs(1);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(second).with_interval(second))
}
