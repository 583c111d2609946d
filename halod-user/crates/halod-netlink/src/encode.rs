//! From a table to the attributes of a commit.

use crate::attr::Writer;
use crate::error::Result;
use crate::model::{Deliver, Drain, Listener, Node, Select, Table};
use crate::uapi;

/// The attributes of a commit of `table` where `expected` is in force.
pub(crate) fn commit(table: &Table, expected: u64) -> Result<Vec<u8>> {
    let mut out = Writer::default();
    out.u64(uapi::table::EXPECTED_GENERATION, expected)?;
    if table.generation != 0 {
        out.u64(uapi::table::GENERATION, table.generation)?;
    }
    let routes = u32::try_from(table.routes.len()).unwrap_or(u32::MAX);
    out.u32(uapi::table::ROUTES, routes)?;
    if let Some(key) = &table.select_key {
        out.bytes(uapi::table::SELECT_KEY, key)?;
    }
    out.u8(uapi::table::FAST_PATH, table.fast_path.number())?;
    content(&mut out, table)?;
    Ok(out.finish())
}

/// The attributes of a flush.
pub(crate) fn flush(expected: Option<u64>) -> Result<Vec<u8>> {
    let mut out = Writer::default();
    if let Some(expected) = expected {
        out.u64(uapi::table::EXPECTED_GENERATION, expected)?;
    }
    Ok(out.finish())
}

/// Listeners, nodes, runs and drains.
pub(crate) fn content(out: &mut Writer, table: &Table) -> Result<()> {
    for it in &table.listeners {
        out.nest(uapi::table::LISTENER, |out| listener(out, it))?;
    }
    for it in &table.nodes {
        out.nest(uapi::table::NODE, |out| node(out, it))?;
    }
    let mut first = 1;
    for run in table.routes.chunks(uapi::MAX_RUN as usize) {
        out.nest(uapi::table::RUN, |out| {
            out.u32(uapi::run::FIRST, first)?;
            out.u32s(uapi::run::NODES, run.iter().copied())
        })?;
        first += uapi::MAX_RUN;
    }
    for it in &table.drains {
        out.nest(uapi::table::DRAIN, |out| drain(out, it))?;
    }
    Ok(())
}

fn drain(out: &mut Writer, drain: &Drain) -> Result<()> {
    out.u32(uapi::drain::ROUTE, drain.route)?;
    out.u32s(uapi::drain::NODE, drain.formers.iter().map(|it| it.node))?;
    out.u32s(uapi::drain::LEFT, drain.formers.iter().map(|it| it.left_ms))?;
    match drain.udp_left_ms {
        0 => Ok(()),
        left => out.u32(uapi::drain::UDP_LEFT, left),
    }
}

fn listener(out: &mut Writer, listener: &Listener) -> Result<()> {
    out.string(uapi::listener::NAME, &listener.name)?;
    out.address(uapi::listener::ADDRESS, listener.address)?;
    out.u8(uapi::listener::PROTOCOL, listener.protocol.number())?;
    out.u16(uapi::listener::PORT, listener.port)?;
    if let Some(port) = listener.node_port {
        out.u16(uapi::listener::NODE_PORT, port)?;
    }
    match listener.select {
        // What a module that knows nothing else does.
        Select::Port => {}
        select => out.u8(uapi::listener::SELECT, select.number())?,
    }
    match listener.deliver {
        Deliver::Nat => Ok(()),
        deliver => out.u8(uapi::listener::DELIVER, deliver.number()),
    }
}

fn node(out: &mut Writer, node: &Node) -> Result<()> {
    out.u32(uapi::node::ID, node.id)?;
    out.string(uapi::node::NAME, &node.name)?;
    for &address in &node.addresses {
        out.address(uapi::node::ADDRESS, address)?;
    }
    for &(listener, port) in &node.targets {
        out.nest(uapi::node::TARGET, |out| {
            out.u32(uapi::target::LISTENER, listener)?;
            out.u16(uapi::target::PORT, port)
        })?;
    }
    Ok(())
}
