//! Requests to the kernel's sock_diag and its answers (`man 7 sock_diag`).

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST,
    NetlinkBuffer, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable, Parseable,
};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags,
};
use netlink_packet_sock_diag::{AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DESTROY, SOCK_DIAG_BY_FAMILY};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use super::SocketsError;

/// `INET_DIAG_REQ_BYTECODE`, `include/uapi/linux/inet_diag.h`.
const REQUEST_FILTER: u16 = 1;

/// The longest datagram of a listing (`netlink_dump`, net/netlink/af_netlink.c).
const DATAGRAM: usize = 32 * 1024;

/// A request about sockets of one protocol and family.
#[derive(Debug, Clone)]
pub struct Request {
    kind: u16,
    inet: InetRequest,
    filter: Option<DefaultNla>,
}

impl Request {
    /// To list the sockets of the id's family that are in one of the states and pass the filter.
    pub fn list(protocol: u8, id: SocketId, states: StateFlags, filter: Vec<u8>) -> Request {
        Request {
            kind: SOCK_DIAG_BY_FAMILY,
            inet: inet(protocol, id, states),
            filter: Some(DefaultNla::new(REQUEST_FILTER, filter)),
        }
    }

    /// To destroy one TCP socket.
    pub fn destroy(id: SocketId) -> Request {
        Request {
            kind: SOCK_DESTROY,
            inet: inet(IPPROTO_TCP, id, StateFlags::all()),
            filter: None,
        }
    }
}

fn inet(protocol: u8, socket_id: SocketId, states: StateFlags) -> InetRequest {
    InetRequest {
        family: match socket_id.source_address {
            std::net::IpAddr::V4(_) => AF_INET,
            std::net::IpAddr::V6(_) => AF_INET6,
        },
        protocol,
        extensions: ExtensionFlags::empty(),
        states,
        socket_id,
    }
}

impl NetlinkSerializable for Request {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.inet.buffer_len() + self.filter.as_ref().map_or(0, Emitable::buffer_len)
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let (inet, filter) = buffer.split_at_mut(self.inet.buffer_len());
        self.inet.emit(inet);
        if let Some(nla) = &self.filter {
            nla.emit(filter);
        }
    }
}

/// An answer: a socket. Attributes follow that nobody needs here.
struct Answer(InetResponseHeader);

impl NetlinkDeserializable for Answer {
    type Error = DecodeError;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Answer, DecodeError> {
        InetResponseHeader::parse(payload).map(Answer)
    }
}

/// A netlink socket to sock_diag. One request at a time, each awaited to its end: the kernel starts
/// no listing while one is not read.
pub struct Diag {
    socket: TokioSocket,
    sequence: u32,
}

impl Diag {
    /// Opens it.
    pub fn open() -> Result<Diag, SocketsError> {
        let socket = TokioSocket::new(NETLINK_SOCK_DIAG)?;
        Ok(Diag {
            socket,
            sequence: 0,
        })
    }

    /// Lists sockets; gives whether they changed meanwhile, so that some may have been left out.
    pub async fn list(
        &mut self,
        request: &Request,
        found: impl FnMut(InetResponseHeader),
    ) -> Result<bool, SocketsError> {
        self.exchange(NLM_F_DUMP, request, found).await
    }

    /// Asks for a change.
    pub async fn ask(&mut self, request: &Request) -> Result<(), SocketsError> {
        self.exchange(NLM_F_ACK, request, |_| ()).await.map(|_| ())
    }

    async fn exchange(
        &mut self,
        flags: u16,
        request: &Request,
        mut found: impl FnMut(InetResponseHeader),
    ) -> Result<bool, SocketsError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let payload = NetlinkPayload::InnerMessage(request.clone());
        let mut message = NetlinkMessage::new(header, payload);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0)).await?;

        let mut datagram = Vec::with_capacity(DATAGRAM);
        let mut interrupted = false;
        loop {
            datagram.clear();
            let from = self.socket.recv_from(&mut datagram).await?;
            // Other processes may send here too; only the kernel has port 0.
            if from.port_number() != 0 {
                continue;
            }
            let mut rest = datagram.as_slice();
            while !rest.is_empty() {
                let length = NetlinkBuffer::new_checked(rest)?.length() as usize;
                let (header, payload) = NetlinkMessage::<Answer>::deserialize(rest)?.into_parts();
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
                if header.sequence_number != self.sequence {
                    continue;
                }
                interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
                match payload {
                    NetlinkPayload::InnerMessage(Answer(socket)) => found(socket),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(SocketsError::Kernel(error.to_io()));
                    }
                    NetlinkPayload::Error(_) => return Ok(interrupted),
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        let error = std::io::Error::from_raw_os_error(-done.code);
                        return Err(SocketsError::Kernel(error));
                    }
                    NetlinkPayload::Done(_) => return Ok(interrupted),
                    _ => {}
                }
            }
            // Each datagram takes the kernel and us a while; heartbeats come first.
            tokio::task::yield_now().await;
        }
    }
}

impl std::fmt::Debug for Diag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Diag").finish_non_exhaustive()
    }
}
