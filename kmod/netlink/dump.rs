// SPDX-License-Identifier: GPL-2.0

//! `get-table`, `get-counters`, `get-fast-path` and `get-devices`.

use kernel::prelude::*;
use kernel::sync::rcu;

use crate::ffi::bindings as uapi;
use crate::ffi::clock;
use crate::ffi::genl::{Dump, Message};
use crate::ffi::netdev::Device;
use crate::ffi::netfilter::Family;
use crate::ffi::pernet::Net;
use crate::ffi::rcu::ReadSide;
use crate::ingress::{Detour, FastPath};
use crate::namespace::Namespace;
use crate::packet::{Address, Exit, Listener, Protocol, FORMERS_MAX};
use crate::table::{Name, Table};

/// Routes in one run of a dump: 2 KiB, so that several fit a reader's buffer.
const RUN: usize = 512;

/// Drains in one message of a dump: at most as long as a run, more or less.
const DRAINS: usize = 40;

/// The messages of a table's dump, in their order, by number: the head, the listeners, the
/// nodes, the runs, the drains.
enum Part {
    Head,
    Listener(usize),
    Node(usize),
    Run(usize),
    Drains(usize),
}

impl Part {
    fn at(table: &Table, position: usize) -> Option<Self> {
        let request = &table.request;
        let Some(index) = position.checked_sub(1) else {
            return Some(Part::Head);
        };
        if index < request.listeners.len() {
            return Some(Part::Listener(index));
        }
        let index = index - request.listeners.len();
        if index < request.nodes.len() {
            return Some(Part::Node(index));
        }
        let index = index - request.nodes.len();
        let runs = request.route_nodes.len().div_ceil(RUN);
        if index < runs {
            return Some(Part::Run(index * RUN));
        }
        let first = (index - runs) * DRAINS;
        (first < table.drains().len()).then_some(Part::Drains(first))
    }

    fn put(&self, table: &Table, message: &mut Message) -> Result {
        match self {
            Part::Head => {
                message.put_u64(uapi::HALOD_A_TABLE_GENERATION as u16, table.generation)?;
                message.put_u32(uapi::HALOD_A_TABLE_ROUTES as u16, table.request.routes)?;
                message.put_u8(
                    uapi::HALOD_A_TABLE_FAST_PATH as u16,
                    table.request.fast_path.number(),
                )?;
                match table.request.select_key {
                    Some(key) => {
                        message.put(uapi::HALOD_A_TABLE_SELECT_KEY as u16, &key.to_bytes())
                    }
                    None => Ok(()),
                }
            }
            Part::Listener(index) => message.nest(uapi::HALOD_A_TABLE_LISTENER as u16, |message| {
                put_listener(table, *index, message)
            }),
            Part::Node(index) => message.nest(uapi::HALOD_A_TABLE_NODE as u16, |message| {
                put_node(table, *index, message)
            }),
            Part::Run(first) => message.nest(uapi::HALOD_A_TABLE_RUN as u16, |message| {
                put_run(table, *first, message)
            }),
            Part::Drains(first) => put_drains(table, *first, message),
        }
    }
}

/// Adds messages from `dump`'s position on, until one does not fit or there are no more.
fn fill(dump: &mut Dump<'_>, mut put: impl FnMut(usize, &mut Message) -> Option<Result>) -> Result {
    loop {
        let position = *dump.position() as usize;
        let mut more = true;
        dump.message(|message| match put(position, message) {
            Some(result) => result,
            None => {
                more = false;
                // Nothing to add: the message begun is taken back.
                Err(ENODATA)
            }
        })
        .or_else(|error| if more { Err(error) } else { Ok(()) })?;
        if !more {
            return Ok(());
        }
        *dump.position() = position as isize + 1;
    }
}

/// Answers `get-table`.
pub(crate) fn table(dump: &mut Dump<'_>, namespace: Pin<&Namespace>) -> Result {
    let generation = namespace.generation();
    let guard = rcu::read_lock();
    let table = namespace.table(ReadSide::of(&guard));
    dump.set_version(table.map_or(generation, |table| table.generation));
    fill(dump, |position, message| match table {
        Some(table) => Part::at(table, position).map(|part| part.put(table, message)),
        // An empty table has a head only.
        None => (position == 0).then(|| {
            message.put_u64(uapi::HALOD_A_TABLE_GENERATION as u16, generation)?;
            message.put_u32(uapi::HALOD_A_TABLE_ROUTES as u16, 0)
        }),
    })
}

/// Answers `get-counters`.
pub(crate) fn counters(dump: &mut Dump<'_>, namespace: Pin<&Namespace>) -> Result {
    fill(dump, |position, message| {
        Exit::from_index(position).map(|exit| {
            message.put(
                uapi::HALOD_A_COUNTER_NAME as u16,
                exit.c_name().to_bytes_with_nul(),
            )?;
            message.put_u64(
                uapi::HALOD_A_COUNTER_PACKETS as u16,
                namespace.counted(exit),
            )
        })
    })
}

/// Answers `get-fast-path`.
pub(crate) fn fast_path(dump: &mut Dump<'_>, namespace: Pin<&Namespace>) -> Result {
    fill(dump, |position, message| {
        let (name, count) = match position.checked_sub(1) {
            None => (c"fast", namespace.counted_fast()),
            Some(index) => (*Detour::NAMES.get(index)?, namespace.counted_detour(index)),
        };
        Some(
            message
                .put(uapi::HALOD_A_COUNTER_NAME as u16, name.to_bytes_with_nul())
                .and_then(|()| message.put_u64(uapi::HALOD_A_COUNTER_PACKETS as u16, count)),
        )
    })
}

/// Answers `get-devices`.
pub(crate) fn devices(dump: &mut Dump<'_>, namespace: Pin<&Namespace>) -> Result {
    let net = dump.net();
    while let Some(device) = net.device_from(*dump.position() as u32) {
        let states = device_states(net, &device, namespace);
        dump.message(|message| {
            message.put_u32(uapi::HALOD_A_DEVICE_INDEX as u16, device.index)?;
            if let Ok(name) = CStr::from_bytes_until_nul(&device.name) {
                message.put(uapi::HALOD_A_DEVICE_NAME as u16, name.to_bytes_with_nul())?;
            }
            let [ipv4, ipv6] = states;
            message.put_u8(uapi::HALOD_A_DEVICE_IPV4 as u16, ipv4 as u8)?;
            message.put_u8(uapi::HALOD_A_DEVICE_IPV6 as u16, ipv6 as u8)
        })?;
        *dump.position() = device.index as isize + 1;
    }
    Ok(())
}

/// What packets that arrive by a device take, IPv4 and IPv6, or why.
fn device_states(net: Net<'_>, device: &Device, namespace: Pin<&Namespace>) -> [u32; 2] {
    let watched = namespace.watches(device.index);
    let guard = rcu::read_lock();
    let read_side = ReadSide::of(&guard);
    let mode = (namespace.table(read_side)).map_or(FastPath::Off, |table| table.request.fast_path);
    [Family::V4, Family::V6].map(|family| {
        let [policy4, policy6] = device.policy;
        let policy = match family {
            Family::V4 => policy4,
            Family::V6 => policy6,
        };
        if device.loopback {
            uapi::halod_device_state_HALOD_DEVICE_STATE_LOOPBACK
        } else if device.enslaved {
            uapi::halod_device_state_HALOD_DEVICE_STATE_ENSLAVED
        } else if mode == FastPath::Off || !watched {
            uapi::halod_device_state_HALOD_DEVICE_STATE_OFF
        } else if device.taken {
            uapi::halod_device_state_HALOD_DEVICE_STATE_TAKEN
        } else if policy {
            uapi::halod_device_state_HALOD_DEVICE_STATE_POLICY
        } else if mode == FastPath::Auto && !net.meets_nobody(read_side, family, &namespace) {
            uapi::halod_device_state_HALOD_DEVICE_STATE_FIREWALL
        } else {
            uapi::halod_device_state_HALOD_DEVICE_STATE_FAST
        }
    })
}

fn put_name(kind: u32, name: Option<&Name>, message: &mut Message) -> Result {
    let name = name.and_then(|name| CStr::from_bytes_until_nul(name).ok());
    match name {
        Some(name) if !name.is_empty() => message.put(kind as u16, name.to_bytes_with_nul()),
        _ => Ok(()),
    }
}

fn put_listener(table: &Table, index: usize, message: &mut Message) -> Result {
    let request = &table.request;
    let Some(listener): Option<&Listener> = request.listeners.get(index) else {
        return Ok(());
    };
    let name = request.listener_names.get(index);
    put_name(uapi::HALOD_A_LISTENER_NAME, name, message)?;
    let kind = uapi::HALOD_A_LISTENER_ADDRESS as u16;
    match listener.address {
        Address::V4(bytes) => message.put(kind, &bytes)?,
        Address::V6(bytes) => message.put(kind, &bytes)?,
    }
    let protocol = match listener.protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    };
    message.put_u8(uapi::HALOD_A_LISTENER_PROTOCOL as u16, protocol)?;
    message.put_u16(uapi::HALOD_A_LISTENER_PORT as u16, listener.port)?;
    message.put_u16(uapi::HALOD_A_LISTENER_NODE_PORT as u16, listener.node_port)?;
    message.put_u8(
        uapi::HALOD_A_LISTENER_SELECT as u16,
        listener.select.number(),
    )?;
    message.put_u8(
        uapi::HALOD_A_LISTENER_DELIVER as u16,
        listener.deliver.number(),
    )
}

fn put_node(table: &Table, index: usize, message: &mut Message) -> Result {
    let request = &table.request;
    let Some(node) = request.nodes.get(index) else {
        return Ok(());
    };
    message.put_u32(uapi::HALOD_A_NODE_ID as u16, node.id)?;
    put_name(
        uapi::HALOD_A_NODE_NAME,
        request.node_names.get(index),
        message,
    )?;
    if let Some(bytes) = node.v4 {
        message.put(uapi::HALOD_A_NODE_ADDRESS as u16, &bytes)?;
    }
    if let Some(bytes) = node.v6 {
        message.put(uapi::HALOD_A_NODE_ADDRESS as u16, &bytes)?;
    }
    // The targets are in the order of their nodes, as the commit's were.
    let targets = request.targets.as_slice();
    let start = targets.partition_point(|target| (target.node as usize) < index);
    for target in targets.iter().skip(start) {
        if target.node as usize != index {
            break;
        }
        message.nest(uapi::HALOD_A_NODE_TARGET as u16, |message| {
            message.put_u32(uapi::HALOD_A_TARGET_LISTENER as u16, target.listener)?;
            message.put_u16(uapi::HALOD_A_TARGET_PORT as u16, target.port)
        })?;
    }
    Ok(())
}

fn put_run(table: &Table, first: usize, message: &mut Message) -> Result {
    let ids = table.request.route_nodes.iter().skip(first).take(RUN);
    let mut bytes = [0; RUN * 4];
    let mut used = 0;
    for (place, id) in bytes.chunks_exact_mut(4).zip(ids) {
        place.copy_from_slice(&id.to_ne_bytes());
        used += 4;
    }
    message.put_u32(uapi::HALOD_A_RUN_FIRST as u16, first as u32 + 1)?;
    message.put(
        uapi::HALOD_A_RUN_NODES as u16,
        bytes.get(..used).unwrap_or_default(),
    )
}

fn put_drains(table: &Table, first: usize, message: &mut Message) -> Result {
    for drain in table.drains().iter().skip(first).take(DRAINS) {
        let route = drain.route();
        let formers = table.request.formers.as_slice();
        let start = formers.partition_point(|former| former.route < route);
        let formers = formers.iter().skip(start);
        let udp = formers.clone().next().map_or(0, |oldest| oldest.udp);
        let (mut nodes, mut left) = ([0; FORMERS_MAX * 4], [0; FORMERS_MAX * 4]);
        let mut used = 0;
        for ((node, ms), former) in (nodes.chunks_exact_mut(4).zip(left.chunks_exact_mut(4)))
            .zip(formers.take_while(|former| former.route == route))
        {
            node.copy_from_slice(&former.node.to_ne_bytes());
            ms.copy_from_slice(&clock::until(former.deadline).to_ne_bytes());
            used += 4;
        }
        message.nest(uapi::HALOD_A_TABLE_DRAIN as u16, |message| {
            message.put_u32(uapi::HALOD_A_DRAIN_ROUTE as u16, route)?;
            let nodes = nodes.get(..used).unwrap_or_default();
            message.put(uapi::HALOD_A_DRAIN_NODE as u16, nodes)?;
            let left = left.get(..used).unwrap_or_default();
            message.put(uapi::HALOD_A_DRAIN_LEFT as u16, left)?;
            match clock::until(udp) {
                0 => Ok(()),
                left => message.put_u32(uapi::HALOD_A_DRAIN_UDP_LEFT as u16, left),
            }
        })?;
    }
    Ok(())
}
