//! Requests to one family and their answers, over one socket.

use std::os::fd::AsFd;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use rustix::io::Errno;
use rustix::net::sockopt;

use crate::error::{Error, Result};
use crate::family::{self, DATAGRAM};
use crate::message::{self, Content, Failure, Incoming};

/// How often a dump is tried again where the table changes meanwhile.
const ATTEMPTS: u32 = 32;
/// The kernel keeps a few bytes of the send buffer for itself.
const SEND_SLACK: usize = 4096;
const OPEN: &str = "opening a netlink socket";

/// A data message: its command and its attributes.
pub(crate) type Data = (u8, Vec<u8>);

/// A socket that talks to one family.
pub(crate) struct Connection {
    name: &'static str,
    family: u16,
    socket: TokioSocket,
    sequence: u32,
    /// A request was given up in its middle: what comes now on this socket is its rest.
    unfinished: bool,
}

/// A socket with all that makes the kernel explain its refusals.
pub(crate) fn open() -> Result<TokioSocket> {
    let io = || Error::io(OPEN);
    let mut socket = TokioSocket::new(NETLINK_GENERIC).map_err(io())?;
    socket.socket_mut().bind_auto().map_err(io())?;
    let plain = socket.socket_ref();
    plain.set_ext_ack(true).map_err(io())?;
    plain.set_cap_ack(true).map_err(io())?;
    Ok(socket)
}

/// The messages of the next datagram that comes from the kernel itself.
pub(crate) async fn receive(socket: &TokioSocket, what: &'static str) -> Result<Vec<Incoming>> {
    loop {
        let mut datagram = Vec::with_capacity(DATAGRAM);
        let from = socket
            .recv_from(&mut datagram)
            .await
            .map_err(Error::io(what))?;
        // Other processes may send here too; only the kernel has port 0.
        if from.port_number() == 0 {
            return message::parse(&datagram).map_err(Error::malformed(what));
        }
    }
}

impl Connection {
    /// Opens a socket to the family called `name`.
    pub(crate) fn open(name: &'static str) -> Result<Connection> {
        let family = family::resolve(name)?.id;
        Ok(Connection {
            name,
            family,
            socket: open()?,
            sequence: 0,
            unfinished: false,
        })
    }

    /// Sends a request that changes or asks for one thing. Gives its data messages.
    pub(crate) async fn ask(
        &mut self,
        what: &'static str,
        cmd: u8,
        attrs: Vec<u8>,
    ) -> Result<std::result::Result<Vec<Data>, Failure>> {
        let (answer, _) = self.exchange(what, NLM_F_ACK, cmd, attrs).await?;
        Ok(answer)
    }

    /// Reads all of a list, without a change in its middle.
    pub(crate) async fn dump(
        &mut self,
        what: &'static str,
        cmd: u8,
    ) -> Result<std::result::Result<Vec<Data>, Failure>> {
        for _ in 0..ATTEMPTS {
            let (answer, interrupted) = self.exchange(what, NLM_F_DUMP, cmd, Vec::new()).await?;
            if !interrupted {
                return Ok(answer);
            }
        }
        Err(Error::Interrupted {
            what,
            attempts: ATTEMPTS,
        })
    }

    /// Like `once`, but finds the family again where the module was loaded anew.
    async fn exchange(
        &mut self,
        what: &'static str,
        flags: u16,
        cmd: u8,
        attrs: Vec<u8>,
    ) -> Result<(std::result::Result<Vec<Data>, Failure>, bool)> {
        let (answer, interrupted) = self.once(what, flags, cmd, attrs.clone()).await?;
        if let Err(failure) = &answer
            && failure.errno == Errno::NOENT.raw_os_error()
        {
            let family = family::resolve(self.name)?.id;
            if family != self.family {
                self.family = family;
                return self.once(what, flags, cmd, attrs).await;
            }
        }
        Ok((answer, interrupted))
    }

    async fn once(
        &mut self,
        what: &'static str,
        flags: u16,
        cmd: u8,
        attrs: Vec<u8>,
    ) -> Result<(std::result::Result<Vec<Data>, Failure>, bool)> {
        if self.unfinished {
            self.socket = open()?;
        }
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let request = message::request(self.family, self.sequence, flags, cmd, attrs);
        self.make_room(request.len()).map_err(Error::io(what))?;
        self.unfinished = true;
        let kernel = SocketAddr::new(0, 0);
        self.socket
            .send_to(&request, &kernel)
            .await
            .map_err(Error::io(what))?;
        let (mut data, mut interrupted) = (Vec::new(), false);
        loop {
            for message in receive(&self.socket, what).await? {
                if message.sequence != self.sequence {
                    continue;
                }
                interrupted |= message.interrupted;
                match message.content {
                    Content::Data(cmd, attrs) => data.push((cmd, attrs)),
                    Content::Done => {
                        self.unfinished = false;
                        return Ok((Ok(data), interrupted));
                    }
                    Content::Failed(failure) => {
                        self.unfinished = false;
                        return Ok((Err(failure), interrupted));
                    }
                    Content::Nothing => {}
                }
            }
        }
    }

    /// A message has to fit into the send buffer as a whole.
    fn make_room(&self, len: usize) -> std::io::Result<()> {
        let socket = self.socket.socket_ref().as_fd();
        let needed = len + SEND_SLACK;
        if sockopt::socket_send_buffer_size(socket)? < needed {
            // Beyond the system's limit only root may; the limit may do as well.
            sockopt::set_socket_send_buffer_size_force(socket, needed)
                .or_else(|_| sockopt::set_socket_send_buffer_size(socket, needed))?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("name", &self.name)
            .field("family", &self.family)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_generic::constants::{
        CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_CMD_GETFAMILY,
    };

    use super::*;
    use crate::attr::{Writer, read};

    const WHAT: &str = "test";

    fn by_name(name: &str) -> Vec<u8> {
        let mut attrs = Writer::default();
        attrs.string(CTRL_ATTR_FAMILY_NAME, name).expect("short");
        attrs.finish()
    }

    fn names(data: &[Data]) -> Vec<String> {
        let attrs = data.iter().flat_map(|(_, attrs)| read(attrs));
        attrs
            .map(|attr| attr.expect("well-formed"))
            .filter(|attr| attr.kind == CTRL_ATTR_FAMILY_NAME)
            .map(|attr| attr.string().expect("string"))
            .collect()
    }

    #[tokio::test]
    async fn the_kernel_answers_dumps_and_names() {
        let mut nlctrl = Connection::open("nlctrl").expect("nlctrl");
        let all = nlctrl
            .dump(WHAT, CTRL_CMD_GETFAMILY)
            .await
            .expect("io")
            .expect("dump");
        assert!(names(&all).contains(&"nlctrl".to_owned()));
        for _ in 0..3 {
            let one = nlctrl
                .ask(WHAT, CTRL_CMD_GETFAMILY, by_name("nlctrl"))
                .await;
            assert_eq!(names(&one.expect("io").expect("answer")), ["nlctrl"]);
        }
    }

    #[tokio::test]
    async fn refusals_carry_the_number_and_the_kernels_words() {
        let mut nlctrl = Connection::open("nlctrl").expect("nlctrl");
        let none = nlctrl
            .ask(WHAT, CTRL_CMD_GETFAMILY, by_name("no-such"))
            .await
            .expect("io");
        assert_eq!(
            none.expect_err("refused").errno,
            Errno::NOENT.raw_os_error()
        );

        let mut attrs = Writer::default();
        attrs.u8(CTRL_ATTR_FAMILY_ID, 1).expect("short");
        let wrong = nlctrl
            .ask(WHAT, CTRL_CMD_GETFAMILY, attrs.finish())
            .await
            .expect("io");
        let wrong = wrong.expect_err("refused");
        assert!(wrong.message.is_some_and(|text| !text.is_empty()));
        // Behind the two headers.
        assert_eq!(wrong.attribute, Some(20));
    }

    #[tokio::test]
    async fn a_request_given_up_leaves_the_next_one_right() {
        let mut nlctrl = Connection::open("nlctrl").expect("nlctrl");
        // As where a dump is dropped between sending and reading.
        let request = message::request(
            nlctrl.family,
            77,
            NLM_F_DUMP,
            CTRL_CMD_GETFAMILY,
            Vec::new(),
        );
        nlctrl.unfinished = true;
        let kernel = SocketAddr::new(0, 0);
        nlctrl
            .socket
            .send_to(&request, &kernel)
            .await
            .expect("sent");
        let all = nlctrl.dump(WHAT, CTRL_CMD_GETFAMILY).await;
        assert!(names(&all.expect("io").expect("dump")).contains(&"nlctrl".to_owned()));
        let one = nlctrl
            .ask(WHAT, CTRL_CMD_GETFAMILY, by_name("nlctrl"))
            .await;
        assert_eq!(names(&one.expect("io").expect("answer")), ["nlctrl"]);
    }

    #[tokio::test]
    async fn a_message_as_large_as_the_largest_table_can_be_sent() {
        let mut nlctrl = Connection::open("nlctrl").expect("nlctrl");
        let mut attrs = Writer::default();
        while attrs.len() < 700_000 {
            attrs.bytes(0x3fff, &[0; 60_000]).expect("short");
        }
        attrs
            .string(CTRL_ATTR_FAMILY_NAME, "nlctrl")
            .expect("short");
        // The kernel took it, whatever it thinks of attributes that it does not know.
        let answer = nlctrl.ask(WHAT, CTRL_CMD_GETFAMILY, attrs.finish()).await;
        assert!(answer.is_ok(), "{answer:?}");
    }
}
