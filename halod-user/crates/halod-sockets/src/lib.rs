//! TCP and UDP sockets as the kernel lists them (sock_diag), and closing them.

mod diag;
mod filter;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use netlink_packet_core::DecodeError;
use netlink_packet_sock_diag::inet::StateFlags;
use netlink_packet_sock_diag::inet::{InetResponseHeader, SocketId};
use netlink_packet_sock_diag::{IPPROTO_TCP, IPPROTO_UDP, TCP_CLOSE, TCP_LISTEN};
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};

use self::diag::{Diag, Request};
pub use self::filter::MOST_RANGES;

/// How often a listing is tried again where sockets changed in its middle.
const ATTEMPTS: u32 = 4;

/// A socket with a peer, or of a listening server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Socket {
    /// Its own end; IPv4 in IPv6 is said as IPv4.
    pub local: SocketAddr,
    /// The other end, likewise.
    pub peer: SocketAddr,
    /// Index of the interface that it is bound to, or 0.
    pub interface: u32,
    /// The kernel's number for it, which no other socket ever has.
    pub cookie: u64,
    /// Whether it takes what comes from anybody; then there is no peer.
    pub listens: bool,
    /// The number by which programs' files name it (`socket:[INODE]`); 0 where none has it yet, or any more.
    pub inode: u32,
}

/// Why sockets cannot be listed or closed.
#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    /// No netlink.
    #[error("no netlink socket: {0}")]
    Io(#[from] io::Error),
    /// The kernel says no.
    #[error("the kernel refuses: {0}")]
    Kernel(io::Error),
    /// The answer cannot be read.
    #[error("the kernel's answer cannot be read: {0}")]
    Answer(#[from] DecodeError),
    /// Never a listing without a change in its middle.
    #[error("sockets changed in the middle of {ATTEMPTS} listings")]
    Interrupted,
}

/// What closing a socket came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The peer got a reset, the application an error (ECONNABORTED).
    Yes,
    /// It was gone already.
    Gone,
    /// This process may not: it needs CAP_NET_ADMIN.
    NotPermitted,
    /// This kernel cannot: it needs CONFIG_INET_DIAG_DESTROY.
    NotSupported,
}

/// The kernel's socket table of this network namespace.
#[derive(Debug)]
pub struct Sockets(Diag);

impl Sockets {
    /// Opens a way to it.
    ///
    /// # Errors
    /// There is no netlink.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn open() -> Result<Sockets, SocketsError> {
        Ok(Sockets(Diag::open()?))
    }

    /// All TCP sockets whose own port is in one of the ranges, and that listen or still exchange
    /// packets. Sockets that come or go meanwhile may be missing, or there twice. To be awaited to its end.
    ///
    /// # Errors
    /// See [`SocketsError`].
    pub async fn look(
        &mut self,
        ports: &[RangeInclusive<u16>],
    ) -> Result<Vec<Socket>, SocketsError> {
        let states = StateFlags::all()
            .difference(StateFlags::SYN_SENT | StateFlags::TIME_WAIT | StateFlags::CLOSE);
        self.list(IPPROTO_TCP, &states, ports).await
    }

    /// All UDP sockets whose own port is in one of the ranges. To be awaited to its end.
    ///
    /// # Errors
    /// See [`SocketsError`].
    pub async fn look_udp(
        &mut self,
        ports: &[RangeInclusive<u16>],
    ) -> Result<Vec<Socket>, SocketsError> {
        self.list(IPPROTO_UDP, &StateFlags::all(), ports).await
    }

    async fn list(
        &mut self,
        protocol: u8,
        states: &StateFlags,
        ports: &[RangeInclusive<u16>],
    ) -> Result<Vec<Socket>, SocketsError> {
        let mut sockets = Vec::new();
        if ports.is_empty() {
            return Ok(sockets);
        }
        let filter = filter::own_port(ports);
        // IPv4 connections of a server that listens on both are among the IPv6 ones.
        for id in [SocketId::new_v4(), SocketId::new_v6()] {
            let request = Request::list(protocol, id, states.clone(), filter.clone());
            let before = sockets.len();
            let mut attempts = 0;
            while self
                .0
                .list(&request, |found| sockets.push(socket(protocol, found)))
                .await?
            {
                sockets.truncate(before);
                attempts += 1;
                if attempts == ATTEMPTS {
                    return Err(SocketsError::Interrupted);
                }
            }
        }
        Ok(sockets)
    }

    /// Closes a connection of this process's own, to see whether that can be done.
    ///
    /// # Errors
    /// It could not be tried.
    pub async fn try_closing(&mut self) -> Result<Closed, SocketsError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let peer = listener.local_addr()?;
        let stream = TcpStream::connect(peer).await?;
        let socket = Socket {
            local: stream.local_addr()?,
            peer,
            interface: 0,
            cookie: u64::MAX, // INET_DIAG_NOCOOKIE: whichever it is
            listens: false,
            inode: 0,
        };
        self.close(&socket).await
    }

    /// Closes a connection. To be awaited to its end.
    ///
    /// # Errors
    /// Anything but what [`Closed`] says.
    pub async fn close(&mut self, socket: &Socket) -> Result<Closed, SocketsError> {
        let id = SocketId {
            source_port: socket.local.port(),
            destination_port: socket.peer.port(),
            source_address: socket.local.ip(),
            destination_address: socket.peer.ip(),
            interface_id: socket.interface,
            cookie: socket.cookie.to_ne_bytes(),
        };
        let error = match self.0.ask(&Request::destroy(id)).await {
            Ok(()) => return Ok(Closed::Yes),
            Err(SocketsError::Kernel(error)) => error,
            Err(error) => return Err(error),
        };
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => Ok(Closed::Gone),
            Some(Errno::PERM | Errno::ACCESS) => Ok(Closed::NotPermitted),
            Some(Errno::OPNOTSUPP) => Ok(Closed::NotSupported),
            _ => Err(SocketsError::Kernel(error)),
        }
    }
}

fn socket(protocol: u8, found: InetResponseHeader) -> Socket {
    let id = found.socket_id;
    let end = |address: IpAddr, port| SocketAddr::new(address.to_canonical(), port);
    Socket {
        local: end(id.source_address, id.source_port),
        peer: end(id.destination_address, id.destination_port),
        interface: id.interface_id,
        cookie: u64::from_ne_bytes(id.cookie),
        listens: match protocol {
            // `udp_sk_diag_fill`: without a peer a socket is in the state of a closed TCP one.
            IPPROTO_UDP => found.state == TCP_CLOSE,
            _ => found.state == TCP_LISTEN,
        },
        inode: found.inode,
    }
}
