//! The kernel's word on each change of the table.

use std::io;

use netlink_sys::{AsyncSocket, TokioSocket};
use rustix::io::Errno;

use crate::connection::{open, receive};
use crate::decode;
use crate::error::{Error, Result};
use crate::family;
use crate::message::Content;
use crate::model::Status;
use crate::uapi::{FAMILY_NAME, MCGRP_TABLE, cmd};

const WHAT: &str = "listening for the kernel's events";

/// A subscription to the changes of the table of this network namespace.
///
/// It ends silently where the module is unloaded; [`crate::Client`] tells then.
pub struct Events {
    socket: TokioSocket,
    family: u16,
    pending: std::collections::VecDeque<Status>,
}

impl Events {
    /// Subscribes: every commit and flush from now on is told.
    ///
    /// # Errors
    /// [`Error::NoModule`], [`Error::Permission`], [`Error::Io`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn subscribe() -> Result<Events> {
        let family = family::resolve(FAMILY_NAME)?;
        let group = family.groups.iter().find(|(name, _)| name == MCGRP_TABLE);
        let &(_, group) = group.ok_or_else(|| Error::Malformed {
            what: WHAT,
            reason: format!("the family has no group {MCGRP_TABLE:?}"),
        })?;
        let socket = open()?;
        socket
            .socket_ref()
            .add_membership(group)
            .map_err(|source| match source.kind() {
                io::ErrorKind::PermissionDenied => Error::Permission { what: WHAT },
                _ => Error::Io { what: WHAT, source },
            })?;
        Ok(Events {
            socket,
            family: family.id,
            pending: std::collections::VecDeque::new(),
        })
    }

    /// The status after the next change. Its version is empty. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Lost`] where changes were missed: read the table, and go on. Others end it.
    pub async fn next(&mut self) -> Result<Status> {
        loop {
            if let Some(status) = self.pending.pop_front() {
                return Ok(status);
            }
            let messages = receive(&self.socket, WHAT)
                .await
                .map_err(|error| match error {
                    Error::Io { source, .. }
                        if source.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) =>
                    {
                        Error::Lost
                    }
                    other => other,
                })?;
            for message in messages {
                if let Content::Data(cmd::TABLE_CHANGED, attrs) = message.content
                    && message.family == self.family
                {
                    let status = decode::status(&attrs).map_err(Error::malformed(WHAT))?;
                    self.pending.push_back(status);
                }
            }
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("family", &self.family)
            .finish_non_exhaustive()
    }
}
