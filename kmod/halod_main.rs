// SPDX-License-Identifier: GPL-2.0

//! HaloD's kernel module: shares out numbered routes among nodes, packet by packet.
//!
//! A packet passes `ffi/netfilter.rs` (the hook), `hooks.rs` (what the hook does), `packet/` (what
//! that is by the route table) and `ffi/skb.rs` (the bytes); most pass `ffi/ingress.rs` and `ingress.rs`
//! before, and are sent on from there (`ffi/way.rs`). A command passes `ffi/genl.rs` (the
//! request), `netlink/` (what it means), `namespace.rs` (where the table is) and `table.rs`.

use kernel::prelude::*;

mod deliver;
mod ffi;
mod flows;
mod hooks;
mod ingress;
mod namespace;
mod netlink;
#[allow(dead_code, unreachable_pub, unused_imports)]
mod packet;
mod table;

module! {
    type: Halod,
    name: "halod",
    authors: ["The HaloD developers"],
    description: "Layer-4 load balancer for push servers",
    license: "GPL",
    params: {
        flows: u32 {
            default: 65536,
            description: "Room for new connections of draining routes, 16 to 4194304",
        },
    },
}

/// What is registered while the module is loaded. Dropped from the top down: first nobody can
/// give commands, then no packet passes through, then the last tables are gone.
struct Halod {
    _family: ffi::genl::Registration,
    _namespaces: ffi::pernet::Subsystem,
    _neighbours: ffi::way::NeighboursWatched,
    _tables: TablesFreed,
}

impl kernel::Module for Halod {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let tables = TablesFreed;
        let neighbours = ffi::way::NeighboursWatched::begin()?;
        let namespaces = ffi::pernet::Subsystem::register()?;
        let family = ffi::genl::Registration::register()?;
        pr_info!("loaded, no table yet\n");
        Ok(Self {
            _family: family,
            _namespaces: namespaces,
            _neighbours: neighbours,
            _tables: tables,
        })
    }
}

/// Waits, when dropped, until the tables that were let go of are freed: by code of this module.
struct TablesFreed;

impl Drop for TablesFreed {
    fn drop(&mut self) {
        ffi::rcu::barrier();
    }
}
