// SPDX-License-Identifier: GPL-2.0

//! `get-status`, and the event `table-changed`, which has the same attributes.

use kernel::prelude::*;
use kernel::sync::rcu;

use crate::ffi::bindings as uapi;
use crate::ffi::genl::{multicast, Message, Request};
use crate::ffi::pernet::Net;
use crate::ffi::rcu::ReadSide;
use crate::namespace::Namespace;

/// The module's version, as `halodctl` shows it.
const VERSION: &CStr = c"0.1.0";

/// Room for the attributes of either message.
const SIZE: usize = 160;

/// The size of a table.
struct Counts {
    generation: u64,
    routes: u32,
    listeners: u32,
    nodes: u32,
    draining: u32,
    flows: u32,
    flow_slots: u32,
}

impl Counts {
    fn of(namespace: Pin<&Namespace>) -> Self {
        let guard = rcu::read_lock();
        match namespace.table(ReadSide::of(&guard)) {
            Some(table) => Self {
                generation: table.generation,
                routes: table.request.routes,
                listeners: table.request.listeners.len() as u32,
                nodes: table.request.nodes.len() as u32,
                draining: table.drains().len() as u32,
                flows: table.flows().map_or(0, |flows| flows.view().used()) as u32,
                flow_slots: table.flows().map_or(0, |flows| flows.slots()) as u32,
            },
            None => {
                // The lock behind `generation` sleeps.
                drop(guard);
                Self {
                    generation: namespace.generation(),
                    routes: 0,
                    listeners: 0,
                    nodes: 0,
                    draining: 0,
                    flows: 0,
                    flow_slots: 0,
                }
            }
        }
    }

    fn put(&self, message: &mut Message) -> Result {
        message.put_u64(uapi::HALOD_A_STATUS_GENERATION as u16, self.generation)?;
        message.put_u32(uapi::HALOD_A_STATUS_ROUTES as u16, self.routes)?;
        message.put_u32(uapi::HALOD_A_STATUS_LISTENERS as u16, self.listeners)?;
        message.put_u32(uapi::HALOD_A_STATUS_NODES as u16, self.nodes)?;
        message.put_u32(uapi::HALOD_A_STATUS_DRAINING as u16, self.draining)
    }
}

/// Answers `get-status`.
pub(crate) fn get(request: &Request<'_>, namespace: Pin<&Namespace>) -> Result {
    let counts = Counts::of(namespace);
    request.prepare(SIZE)?.send(|message| {
        message.put(
            uapi::HALOD_A_STATUS_VERSION as u16,
            VERSION.to_bytes_with_nul(),
        )?;
        counts.put(message)?;
        message.put_u32(uapi::HALOD_A_STATUS_FLOWS as u16, counts.flows)?;
        message.put_u32(uapi::HALOD_A_STATUS_FLOW_SLOTS as u16, counts.flow_slots)
    })
}

/// Tells whoever listens that the table has changed. Best effort: the change stands all the
/// same, and a listener that loses events is told so by its socket (ENOBUFS).
pub(crate) fn announce(net: Net<'_>, namespace: Pin<&Namespace>) {
    let counts = Counts::of(namespace);
    let _ = multicast(net, SIZE, |message| counts.put(message));
}
