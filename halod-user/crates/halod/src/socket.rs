//! A node's connection, whose reader is not woken for each heartbeat.
//!
//! Nearly all that a node says is that it lives, and the next heartbeat says it anew. So as long as less
//! lies unread than an urgent message, the kernel wakes nobody (`SO_RCVLOWAT`, socket(7)): five to
//! eight heartbeats are read at the cost of one. Whatever is longer, the end of the connection and its
//! reset wake at once. Whether a node is silent is asked of the kernel, which knows when data came,
//! read or not (`TCP_INFO`, tcp(7)).

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::socket::{getsockopt, setsockopt};
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

sockopt_impl!(
    /// How many bytes must lie unread for a reader to be woken.
    RcvLowat, SetOnly, libc::SOL_SOCKET, libc::SO_RCVLOWAT, i32
);
sockopt_impl!(
    /// What the kernel knows of a connection.
    TcpInfo, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, libc::tcp_info
);

/// The connection, for all that read, write or watch it.
#[derive(Clone, Debug)]
pub struct NodeSocket(Arc<TcpStream>);

/// Tells when data came last; does not keep the connection open.
#[derive(Clone, Debug, Default)]
pub struct Watch(Weak<TcpStream>);

impl NodeSocket {
    /// Of a connection that was taken.
    pub fn new(stream: TcpStream) -> NodeSocket {
        NodeSocket(Arc::new(stream))
    }

    /// For whoever asks whether the node is silent.
    pub fn watch(&self) -> Watch {
        Watch(Arc::downgrade(&self.0))
    }

    /// Wakes the reader no more until so many bytes lie unread.
    pub fn wake_at(&self, bytes: usize) {
        // Where it fails the reader is woken each time.
        let _ = setsockopt(&*self.0, RcvLowat, &(bytes as i32));
    }
}

impl Watch {
    /// When data came last, to a few milliseconds; none where the connection is gone.
    pub fn last_data(&self) -> Option<Instant> {
        let info = getsockopt(&*self.0.upgrade()?, TcpInfo).ok()?;
        Instant::now().checked_sub(Duration::from_millis(info.tcpi_last_data_recv.into()))
    }
}

impl AsyncRead for NodeSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            // What is read is not acknowledged at once, where that costs as much as all else about a heartbeat: the kernel's timer does
            // it in a few tens of ms, or what we answer. Its effect ends with each such time.
            let _ = SockRef::from(&*self.0).set_tcp_quickack(false);
            let free = buffer.initialize_unfilled();
            let size = free.len();
            let mut read = 0;
            let tried = self.0.try_io(Interest::READABLE, || {
                read = io::Read::read(&mut &*SockRef::from(&*self.0), free)?;
                // What did not fill the buffer was all: to wait for more needs no further look.
                if 0 < read && read < size {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            match tried {
                Err(error) if read == 0 && error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if read == 0 => return Poll::Ready(Err(error)),
                _ => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for NodeSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.0).shutdown(Shutdown::Write))
    }
}
