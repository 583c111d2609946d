//! Netlink messages around attributes: requests out, answers in.

use netlink_packet_core::{
    DecodeError, Emitable, NLA_ALIGNTO, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP_INTR,
    NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    ParseableParametrized,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};

use crate::attr::{Wrong, read};
use crate::uapi;

/// Attributes of an extended acknowledgement, `include/uapi/linux/netlink.h`.
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;
const NLMSG_HEADER_LEN: usize = 16;

/// The body of a message of any family: its attributes, not yet read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Body(Vec<u8>);

impl GenlFamily for Body {
    fn family_name() -> &'static str {
        uapi::FAMILY_NAME
    }

    fn command(&self) -> u8 {
        0
    }

    fn version(&self) -> u8 {
        uapi::FAMILY_VERSION
    }
}

impl Emitable for Body {
    fn buffer_len(&self) -> usize {
        self.0.len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        buffer[..self.0.len()].copy_from_slice(&self.0);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Body {
    fn parse_with_param(bytes: &[u8], _: GenlHeader) -> Result<Body, DecodeError> {
        Ok(Body(bytes.to_vec()))
    }
}

/// A request's bytes. `flags` come on top of `NLM_F_REQUEST`.
pub(crate) fn request(family: u16, sequence: u32, flags: u16, cmd: u8, attrs: Vec<u8>) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = sequence;
    let version = uapi::FAMILY_VERSION;
    let body = GenlMessage::new(GenlHeader { cmd, version }, Body(attrs), family);
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(body));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// One message from the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incoming {
    /// The sequence number of the request it answers; 0 in an event.
    pub(crate) sequence: u32,
    /// The family it is of, or a control message's type.
    pub(crate) family: u16,
    /// Whether the table changed since the dump began.
    pub(crate) interrupted: bool,
    /// What it says.
    pub(crate) content: Content,
}

/// What a message from the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Data, with the command and the attributes.
    Data(u8, Vec<u8>),
    /// The request is done, or its dump has ended.
    Done,
    /// The request failed.
    Failed(Failure),
    /// Nothing of interest.
    Nothing,
}

/// Why a request failed, as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The error number, positive.
    pub(crate) errno: i32,
    /// In words.
    pub(crate) message: Option<String>,
    /// Offset of the attribute to blame in the request.
    pub(crate) attribute: Option<u32>,
}

/// The messages in one datagram.
pub(crate) fn parse(mut datagram: &[u8]) -> Result<Vec<Incoming>, Wrong> {
    let mut messages = Vec::new();
    while !datagram.is_empty() {
        let length = NetlinkBuffer::new_checked(datagram)
            .map_err(|error| error.to_string())?
            .length() as usize;
        let message = NetlinkMessage::<GenlMessage<Body>>::deserialize(datagram)
            .map_err(|error| error.to_string())?;
        messages.push(incoming(message));
        let next = length.next_multiple_of(NLA_ALIGNTO).max(NLMSG_HEADER_LEN);
        datagram = datagram.get(next..).unwrap_or_default();
    }
    Ok(messages)
}

fn incoming(message: NetlinkMessage<GenlMessage<Body>>) -> Incoming {
    let (header, payload) = message.into_parts();
    let content = match payload {
        NetlinkPayload::InnerMessage(message) => {
            let (genl, Body(attrs)) = message.into_parts();
            Content::Data(genl.cmd, attrs)
        }
        NetlinkPayload::Error(error) => match error.raw_code() {
            0 => Content::Done,
            code => {
                // The request comes back in front of the attributes: its header, and all
                // of it where it was not capped.
                let request = if header.flags & NLM_F_CAPPED == 0 {
                    let inner = NetlinkBuffer::new(&error.header);
                    match error.header.len() {
                        NLMSG_HEADER_LEN.. => inner.length() as usize,
                        short => short,
                    }
                } else {
                    NLMSG_HEADER_LEN
                };
                let request = request.checked_next_multiple_of(NLA_ALIGNTO);
                let tlvs = request.and_then(|end| error.header.get(end..));
                failure(code, header.flags, tlvs.unwrap_or_default())
            }
        },
        NetlinkPayload::Done(done) => match done.code {
            0.. => Content::Done,
            code => failure(code, header.flags, &done.extended_ack),
        },
        _ => Content::Nothing,
    };
    Incoming {
        sequence: header.sequence_number,
        family: header.message_type,
        interrupted: header.flags & NLM_F_DUMP_INTR != 0,
        content,
    }
}

fn failure(code: i32, flags: u16, tlvs: &[u8]) -> Content {
    let (mut message, mut attribute) = (None, None);
    // What cannot be read here only leaves the error less explained.
    if flags & NLM_F_ACK_TLVS != 0 {
        for attr in read(tlvs).map_while(Result::ok) {
            match attr.kind {
                NLMSGERR_ATTR_MSG => message = attr.string().ok(),
                NLMSGERR_ATTR_OFFS => attribute = attr.u32().ok(),
                _ => {}
            }
        }
    }
    Content::Failed(Failure {
        errno: code.saturating_abs(),
        message,
        attribute,
    })
}
