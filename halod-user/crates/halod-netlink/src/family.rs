//! A family's number and groups, by its name.

use netlink_packet_core::NLM_F_ACK;
use netlink_packet_generic::constants::{
    CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_ATTR_MCAST_GROUPS, CTRL_ATTR_MCAST_GRP_ID,
    CTRL_ATTR_MCAST_GRP_NAME, CTRL_CMD_GETFAMILY, GENL_ID_CTRL,
};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;

use crate::attr::{Writer, Wrong, read};
use crate::error::{Error, Result};
use crate::message::{self, Content};

const WHAT: &str = "asking for the kernel family";
/// The kernel builds messages of at most this size.
pub(crate) const DATAGRAM: usize = 64 * 1024;

/// A family as the kernel knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Family {
    /// Its number, the type of its messages.
    pub(crate) id: u16,
    /// Its multicast groups: name and number.
    pub(crate) groups: Vec<(String, u32)>,
}

/// Asks the kernel for a family. It answers while the request is being sent, so
/// this does not wait, but for the module's load where it can be loaded by itself.
pub(crate) fn resolve(name: &str) -> Result<Family> {
    let io = || Error::io(WHAT);
    let mut socket = Socket::new(NETLINK_GENERIC).map_err(io())?;
    socket.bind_auto().map_err(io())?;
    let mut attrs = Writer::default();
    attrs.string(CTRL_ATTR_FAMILY_NAME, name)?;
    let request = message::request(
        GENL_ID_CTRL,
        1,
        NLM_F_ACK,
        CTRL_CMD_GETFAMILY,
        attrs.finish(),
    );
    socket
        .send_to(&request, &SocketAddr::new(0, 0), 0)
        .map_err(io())?;

    let mut family = None;
    loop {
        let mut datagram = Vec::with_capacity(DATAGRAM);
        let (_, from) = socket.recv_from(&mut datagram, 0).map_err(io())?;
        if from.port_number() != 0 {
            continue;
        }
        for message in message::parse(&datagram).map_err(Error::malformed(WHAT))? {
            match message.content {
                Content::Data(_, attrs) => {
                    family = Some(decode(&attrs).map_err(Error::malformed(WHAT))?);
                }
                Content::Done => return family.ok_or(Error::NoModule),
                Content::Failed(failure) if failure.errno == Errno::NOENT.raw_os_error() => {
                    return Err(Error::NoModule);
                }
                Content::Failed(failure) => {
                    return Err(Error::Kernel {
                        what: WHAT,
                        errno: failure.errno,
                        message: failure.message,
                        attribute: failure.attribute,
                    });
                }
                Content::Nothing => {}
            }
        }
    }
}

fn decode(attrs: &[u8]) -> std::result::Result<Family, Wrong> {
    let mut id = None;
    let mut groups = Vec::new();
    for attr in read(attrs) {
        let attr = attr?;
        match attr.kind {
            CTRL_ATTR_FAMILY_ID => id = Some(attr.u16()?),
            CTRL_ATTR_MCAST_GROUPS => {
                for group in read(attr.value) {
                    groups.extend(decode_group(group?.value)?);
                }
            }
            _ => {}
        }
    }
    let id = id.ok_or_else(|| "the family's id is missing".to_owned())?;
    Ok(Family { id, groups })
}

fn decode_group(attrs: &[u8]) -> std::result::Result<Option<(String, u32)>, Wrong> {
    let (mut name, mut id) = (None, None);
    for attr in read(attrs) {
        let attr = attr?;
        match attr.kind {
            CTRL_ATTR_MCAST_GRP_NAME => name = Some(attr.string()?),
            CTRL_ATTR_MCAST_GRP_ID => id = Some(attr.u32()?),
            _ => {}
        }
    }
    Ok(name.zip(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kernel has the controller of generic netlink itself.
    #[test]
    fn the_running_kernel_knows_its_controller() {
        let family = resolve("nlctrl").expect("nlctrl");
        assert_eq!(family.id, GENL_ID_CTRL);
        assert!(
            family
                .groups
                .iter()
                .any(|(name, id)| name == "notify" && *id != 0)
        );
    }

    #[test]
    fn a_family_that_is_not_there_is_told_so() {
        assert!(matches!(resolve("no-such-family"), Err(Error::NoModule)));
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_by_the_kernel() {
        let error = resolve("a-name-that-is-longer-than-sixteen").expect_err("refused");
        assert!(
            matches!(error, Error::Kernel { errno, .. } if errno > 0),
            "{error:?}"
        );
    }
}
