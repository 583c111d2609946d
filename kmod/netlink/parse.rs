// SPDX-License-Identifier: GPL-2.0

//! From a commit's attributes to a table as it is asked for. Their types and limits were checked
//! by policy; what is left to check here is presence, number and length.

use core::fmt;
use kernel::alloc::Flags;
use kernel::prelude::*;

use crate::ffi::bindings as uapi;
use crate::ffi::clock;
use crate::ffi::genl::Request;
use crate::ingress::FastPath;
use crate::netlink::attr::Attr;
use crate::packet::{
    Address, Deliver, Former, Listener, Node, Protocol, Select, SelectKey, Target, FORMERS_MAX,
};
use crate::table::{Name, Request as TableRequest, NAME_SIZE};

const FLAGS: Flags = GFP_KERNEL_ACCOUNT;

const EXPECTED_GENERATION: u16 = uapi::HALOD_A_TABLE_EXPECTED_GENERATION as u16;
const GENERATION: u16 = uapi::HALOD_A_TABLE_GENERATION as u16;
const ROUTES: u16 = uapi::HALOD_A_TABLE_ROUTES as u16;
const LISTENER: u16 = uapi::HALOD_A_TABLE_LISTENER as u16;
const NODE: u16 = uapi::HALOD_A_TABLE_NODE as u16;
const RUN: u16 = uapi::HALOD_A_TABLE_RUN as u16;
const DRAIN: u16 = uapi::HALOD_A_TABLE_DRAIN as u16;
const FAST_PATH: u16 = uapi::HALOD_A_TABLE_FAST_PATH as u16;
const SELECT_KEY: u16 = uapi::HALOD_A_TABLE_SELECT_KEY as u16;

/// Stands for a route that no run has described yet. No node can have this id: see `run`.
const UNDESCRIBED: u32 = u32::MAX;

/// The request, and how to refuse an attribute of it.
struct Parser<'r, 'a>(&'r Request<'a>);

/// The generation that the sender expects, and the one it wants.
pub(crate) fn generations(request: &Request<'_>) -> Result<(Option<u64>, Option<u64>)> {
    let (mut expected, mut wanted) = (None, None);
    for attr in request.attrs() {
        match attr.kind() {
            EXPECTED_GENERATION => expected = attr.u64(),
            GENERATION => wanted = attr.u64(),
            _ => {}
        }
    }
    Ok((expected, wanted))
}

/// The table that a commit asks for.
pub(crate) fn table(request: &Request<'_>) -> Result<TableRequest> {
    let parser = Parser(request);
    let mut table = TableRequest::default();
    // The number of routes first, wherever it stands: the runs need it.
    for attr in request.attrs().filter(|attr| attr.kind() == ROUTES) {
        table.routes = parser.number(&attr, attr.u32())?;
    }
    if table.routes == 0 {
        return Err(request.refuse(
            EINVAL,
            None,
            format_args!("routes is missing: 1 to {}", uapi::HALOD_MAX_ROUTES),
        ));
    }
    table.route_nodes = KVVec::from_elem(UNDESCRIBED, table.routes as usize, FLAGS)?;
    for attr in request.attrs() {
        match attr.kind() {
            LISTENER => parser.listener(&attr, &mut table)?,
            NODE => parser.node(&attr, &mut table)?,
            RUN => parser.run(&attr, &mut table)?,
            DRAIN => parser.drain(&attr, &mut table)?,
            FAST_PATH => {
                let number = parser.number(&attr, attr.u8())?;
                table.fast_path = FastPath::of_number(number);
            }
            SELECT_KEY => {
                let bytes = parser.number(&attr, attr.payload().try_into().ok())?;
                table.select_key = Some(SelectKey::from_bytes(bytes));
            }
            _ => {}
        }
    }
    match table.route_nodes.iter().position(|id| *id == UNDESCRIBED) {
        None => Ok(table),
        Some(index) => Err(request.refuse(
            EINVAL,
            None,
            format_args!("route {} is in no run (0 stands for no node)", index + 1),
        )),
    }
}

impl Parser<'_, '_> {
    fn refuse(&self, attr: &Attr<'_>, why: fmt::Arguments<'_>) -> Error {
        self.0.refuse(EINVAL, Some(attr.whole()), why)
    }

    fn missing(&self, attr: &Attr<'_>, what: &str) -> Error {
        self.refuse(attr, format_args!("{what} is missing"))
    }

    /// A number that has the wrong length was let through by a policy for a shorter or longer one.
    fn number<T>(&self, attr: &Attr<'_>, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| {
            self.refuse(
                attr,
                format_args!(
                    "attribute of {} bytes has a wrong length",
                    attr.payload().len()
                ),
            )
        })
    }

    fn name(&self, attr: &Attr<'_>) -> Result<Name> {
        let text = attr.payload().split(|byte| *byte == 0).next();
        let text = text.unwrap_or_default();
        let mut name = [0; NAME_SIZE];
        match name.get_mut(..text.len()) {
            Some(start) if text.len() < NAME_SIZE => start.copy_from_slice(text),
            _ => {
                return Err(self.refuse(
                    attr,
                    format_args!("name of {} bytes: at most {}", text.len(), NAME_SIZE - 1),
                ))
            }
        }
        Ok(name)
    }

    fn address(&self, attr: &Attr<'_>) -> Result<Address> {
        let payload = attr.payload();
        if let Ok(bytes) = <[u8; 4]>::try_from(payload) {
            Ok(Address::V4(bytes))
        } else if let Ok(bytes) = <[u8; 16]>::try_from(payload) {
            Ok(Address::V6(bytes))
        } else {
            Err(self.refuse(
                attr,
                format_args!("address of {} bytes: 4 or 16", payload.len()),
            ))
        }
    }

    fn listener(&self, attr: &Attr<'_>, table: &mut TableRequest) -> Result {
        if table.listeners.len() >= uapi::HALOD_MAX_LISTENERS as usize {
            return Err(self.refuse(
                attr,
                format_args!("more than {} listeners", uapi::HALOD_MAX_LISTENERS),
            ));
        }
        let (mut name, mut address, mut protocol) = ([0; NAME_SIZE], None, None);
        let (mut port, mut node_port) = (None, None);
        let (mut select, mut deliver) = (Select::Port, Deliver::Nat);
        for field in attr.nested() {
            match u32::from(field.kind()) {
                uapi::HALOD_A_LISTENER_NAME => name = self.name(&field)?,
                uapi::HALOD_A_LISTENER_ADDRESS => address = Some(self.address(&field)?),
                uapi::HALOD_A_LISTENER_PROTOCOL => {
                    protocol = Some(match self.number(&field, field.u8())? {
                        6 => Protocol::Tcp,
                        17 => Protocol::Udp,
                        other => {
                            return Err(self.refuse(
                                &field,
                                format_args!("protocol {other}: 6 (TCP) or 17 (UDP)"),
                            ))
                        }
                    })
                }
                uapi::HALOD_A_LISTENER_PORT => port = Some(self.number(&field, field.u16())?),
                uapi::HALOD_A_LISTENER_NODE_PORT => {
                    node_port = Some(self.number(&field, field.u16())?)
                }
                uapi::HALOD_A_LISTENER_SELECT => {
                    select = self.number(&field, field.u8().and_then(Select::from_number))?
                }
                uapi::HALOD_A_LISTENER_DELIVER => {
                    deliver = self.number(&field, field.u8().and_then(Deliver::from_number))?
                }
                _ => {}
            }
        }
        let port = port.ok_or_else(|| self.missing(attr, "the listener's port"))?;
        let listener = Listener {
            address: address.ok_or_else(|| self.missing(attr, "the listener's address"))?,
            protocol: protocol.ok_or_else(|| self.missing(attr, "the listener's protocol"))?,
            port,
            node_port: node_port.unwrap_or(port),
            select,
            deliver,
        };
        table.listeners.push(listener, FLAGS)?;
        table.listener_names.push(name, FLAGS)?;
        Ok(())
    }

    fn node(&self, attr: &Attr<'_>, table: &mut TableRequest) -> Result {
        if table.nodes.len() >= uapi::HALOD_MAX_NODES as usize {
            return Err(self.refuse(
                attr,
                format_args!("more than {} nodes", uapi::HALOD_MAX_NODES),
            ));
        }
        let index = table.nodes.len() as u32;
        let (mut node, mut name) = (Node::default(), [0; NAME_SIZE]);
        for field in attr.nested() {
            match u32::from(field.kind()) {
                uapi::HALOD_A_NODE_ID => node.id = self.number(&field, field.u32())?,
                uapi::HALOD_A_NODE_NAME => name = self.name(&field)?,
                uapi::HALOD_A_NODE_ADDRESS => {
                    let twice = match self.address(&field)? {
                        Address::V4(bytes) => node.v4.replace(bytes).is_some(),
                        Address::V6(bytes) => node.v6.replace(bytes).is_some(),
                    };
                    if twice {
                        return Err(self.refuse(
                            &field,
                            format_args!("a node has at most one address of a family"),
                        ));
                    }
                }
                uapi::HALOD_A_NODE_TARGET => {
                    let target = self.target(&field, index)?;
                    table.targets.push(target, FLAGS)?;
                }
                _ => {}
            }
        }
        if node.id == 0 {
            return Err(self.missing(attr, "the node's id"));
        }
        table.nodes.push(node, FLAGS)?;
        table.node_names.push(name, FLAGS)?;
        Ok(())
    }

    fn target(&self, attr: &Attr<'_>, node: u32) -> Result<Target> {
        let (mut listener, mut port) = (None, None);
        for field in attr.nested() {
            match u32::from(field.kind()) {
                uapi::HALOD_A_TARGET_LISTENER => listener = Some(self.number(&field, field.u32())?),
                uapi::HALOD_A_TARGET_PORT => port = Some(self.number(&field, field.u16())?),
                _ => {}
            }
        }
        Ok(Target {
            node,
            listener: listener.ok_or_else(|| self.missing(attr, "the target's listener"))?,
            port: port.ok_or_else(|| self.missing(attr, "the target's port"))?,
        })
    }

    /// An array of u32.
    fn numbers<'b>(&self, attr: &Attr<'b>) -> Result<impl Iterator<Item = u32> + 'b> {
        let mut rest = attr.payload();
        if rest.len() % 4 != 0 {
            return Err(self.refuse(
                attr,
                format_args!("{} bytes are no array of u32", rest.len()),
            ));
        }
        Ok(core::iter::from_fn(move || {
            let (number, others) = rest.split_first_chunk()?;
            rest = others;
            Some(u32::from_ne_bytes(*number))
        }))
    }

    fn drain(&self, attr: &Attr<'_>, table: &mut TableRequest) -> Result {
        let (mut route, mut nodes, mut left, mut udp_left) = (None, None, None, 0);
        for field in attr.nested() {
            match u32::from(field.kind()) {
                uapi::HALOD_A_DRAIN_ROUTE => route = Some(self.number(&field, field.u32())?),
                uapi::HALOD_A_DRAIN_NODE => nodes = Some(field),
                uapi::HALOD_A_DRAIN_LEFT => left = Some(field),
                uapi::HALOD_A_DRAIN_UDP_LEFT => udp_left = self.number(&field, field.u32())?,
                _ => {}
            }
        }
        let route = route.ok_or_else(|| self.missing(attr, "the drain's route"))?;
        let nodes = nodes.ok_or_else(|| self.missing(attr, "the drain's node"))?;
        let left = left.ok_or_else(|| self.missing(attr, "the drain's left"))?;
        if table.formers.last().is_some_and(|last| last.route == route) {
            return Err(self.refuse(
                attr,
                format_args!("route {route}: has two drains; one has all its former nodes"),
            ));
        }
        let count = nodes.payload().len() / 4;
        if count > FORMERS_MAX || nodes.payload().len() != left.payload().len() {
            return Err(self.refuse(
                attr,
                format_args!("a drain has 1 to {FORMERS_MAX} nodes, and as many times left"),
            ));
        }
        let udp = match udp_left {
            0 => 0,
            ms => clock::after(ms),
        };
        for (node, ms) in self.numbers(&nodes)?.zip(self.numbers(&left)?) {
            let former = Former {
                route,
                node,
                deadline: clock::after(ms),
                udp,
            };
            table.formers.push(former, FLAGS)?;
        }
        Ok(())
    }

    fn run(&self, attr: &Attr<'_>, table: &mut TableRequest) -> Result {
        let (mut first, mut nodes) = (None, None);
        for field in attr.nested() {
            match u32::from(field.kind()) {
                uapi::HALOD_A_RUN_FIRST => first = Some(self.number(&field, field.u32())?),
                uapi::HALOD_A_RUN_NODES => nodes = Some(field),
                _ => {}
            }
        }
        let first = first.ok_or_else(|| self.missing(attr, "the run's first route"))?;
        let nodes = nodes.ok_or_else(|| self.missing(attr, "the run's nodes"))?;
        for (offset, id) in self.numbers(&nodes)?.enumerate() {
            let route = first as usize + offset;
            let entry = route
                .checked_sub(1)
                .and_then(|index| table.route_nodes.get_mut(index));
            let Some(entry) = entry else {
                return Err(self.refuse(
                    attr,
                    format_args!("run reaches route {route}: there are {}", table.routes),
                ));
            };
            if *entry != UNDESCRIBED {
                return Err(self.refuse(attr, format_args!("route {route} is in two runs")));
            }
            if id == UNDESCRIBED {
                return Err(self.refuse(
                    attr,
                    format_args!("node {id} of route {route} is not there"),
                ));
            }
            *entry = id;
        }
        Ok(())
    }
}
