// SPDX-License-Identifier: GPL-2.0

//! Putting fragments together before any of our hooks see them, by the kernel's own code.
//!
//! C headers: `include/net/netfilter/ipv4/nf_defrag_ipv4.h`, `ipv6/nf_defrag_ipv6.h`

use kernel::error::to_result;
use kernel::prelude::*;

use super::bindings;
use super::netfilter::Family;
use super::pernet::Net;

/// One network namespace's fragments of one IP version are put together while this lives, and
/// before conntrack's and our hooks. The packets are cut up again where they leave, to what they were
/// or less (`ip_do_fragment`, `ip6_fragment`). Others may have asked for it too: the kernel counts.
///
/// # Invariants
///
/// `net`, which outlives this value, was asked for it, once, and is yet to be told of the end.
pub(crate) struct Defrag {
    net: *mut bindings::net,
    family: Family,
}

// SAFETY: The kernel's functions take a lock of their own.
unsafe impl Send for Defrag {}

impl Defrag {
    /// Begins. Process context. The value must be dropped before the namespace's state is, as
    /// `Namespace::close` does.
    pub(crate) fn enable(net: Net<'_>, family: Family) -> Result<Self> {
        let net = net.as_ptr();
        // SAFETY: `net` is a valid namespace, and this process context.
        to_result(unsafe {
            match family {
                Family::V4 => bindings::nf_defrag_ipv4_enable(net),
                Family::V6 => bindings::nf_defrag_ipv6_enable(net),
            }
        })?;
        // INVARIANT: It was just asked for.
        Ok(Self { net, family })
    }
}

impl Drop for Defrag {
    fn drop(&mut self) {
        // SAFETY: By the type invariants. Values are dropped in process context, by commits.
        unsafe {
            match self.family {
                Family::V4 => bindings::nf_defrag_ipv4_disable(self.net),
                Family::V6 => bindings::nf_defrag_ipv6_disable(self.net),
            }
        }
    }
}
