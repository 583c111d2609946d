// SPDX-License-Identifier: GPL-2.0

//! The only unsafe code of the module, and the only user of the C bindings.
//!
//! Each file turns one piece of the kernel's C interface into a safe type. The functions that C
//! calls are here too: they turn pointers into those types and call a safe method, no more.

pub(crate) mod bindings;
pub(crate) mod cells;
pub(crate) mod clock;
pub(crate) mod defrag;
pub(crate) mod deliver;
pub(crate) mod genl;
pub(crate) mod ingress;
pub(crate) mod netdev;
pub(crate) mod netfilter;
pub(crate) mod percpu;
pub(crate) mod pernet;
pub(crate) mod random;
pub(crate) mod rcu;
pub(crate) mod route;
pub(crate) mod route_key;
pub(crate) mod skb;
pub(crate) mod tunnel;
pub(crate) mod way;
