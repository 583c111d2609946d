// SPDX-License-Identifier: GPL-2.0
//! The named ways by which a packet leaves HaloD. docs/counters.md explains each.

use core::ffi::CStr;

macro_rules! exits {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// How a packet left: one counter each, with the same name everywhere.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Exit {
            $($(#[$doc])* $variant,)*
        }

        impl Exit {
            /// All of them, in the order of their indexes.
            pub const ALL: [Exit; Exit::COUNT] = [$(Exit::$variant,)*];
            /// How many there are.
            pub const COUNT: usize = [$($name,)*].len();

            /// The name in netlink, CLI, metrics and docs.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Exit::$variant => $name,)*
                }
            }

            /// The same with a final NUL.
            pub const fn c_name(self) -> &'static CStr {
                match self {
                    $(Exit::$variant => {
                        const NAME: &CStr =
                            match CStr::from_bytes_with_nul(concat!($name, "\0").as_bytes()) {
                                Ok(name) => name,
                                Err(_) => c"",
                            };
                        NAME
                    })*
                }
            }
        }
    };
}

exits! {
    /// Client to VIP, sent on to a node.
    Forward = "forward",
    /// The same of what stays with a former node: a connection from before a move, or UDP.
    ForwardFormer = "forward_former",
    /// A new connection of a draining route, to the oldest former node because the set of flows is
    /// full.
    ForwardFull = "forward_full",
    /// Node to client, sent on as from the VIP.
    Reverse = "reverse",
    /// This machine's own packet to a VIP, sent on to a node.
    LocalOut = "local_out",
    /// A node's answer to this machine itself, delivered as from the VIP.
    LocalIn = "local_in",
    /// An ICMP error about a packet from the VIP to a client, sent on to the node that sent it.
    IcmpToNode = "icmp_to_node",
    /// An ICMP error about a packet to a node, sent on to the client, or delivered to this machine.
    IcmpToClient = "icmp_to_client",
    /// An ICMP error about a packet in which another was sent to a node: it stays here.
    IcmpTunnel = "icmp_tunnel",
    /// Not HaloD's: untouched.
    Pass = "pass",
    /// The route has no node.
    DropNoNode = "drop_no_node",
    /// The route's node has no address of the packet's family.
    DropNoAddress = "drop_no_address",
    /// The packet ends before its transport header does.
    DropTruncated = "drop_truncated",
    /// A header contradicts itself.
    DropMalformed = "drop_malformed",
    /// A fragment to a VIP.
    DropFragment = "drop_fragment",
    /// IPv6 extension headers too many or too long to look behind.
    DropExtension = "drop_extension",
    /// An ICMP error that quotes of a packet from a VIP too little to know its node by.
    DropIcmpQuote = "drop_icmp_quote",
    /// The packet's memory could not be made writable.
    DropNotWritable = "drop_not_writable",
    /// This machine has no route to the node.
    DropNoRoute = "drop_no_route",
    /// Its listener delivers to the node's link address, and the node is on no network of this
    /// machine.
    DropFarNode = "drop_far_node",
    /// Its source address cannot be there, or not where it came in (martian, rp_filter).
    DropSource = "drop_source",
    /// To be sent inside another packet, and its time to live ends here: its sender is told.
    DropExpired = "drop_expired",
    /// The same, and too big for the path to the node: its sender is told how much is not.
    DropTooBig = "drop_too_big",
    /// This machine's own, from a VIP to a listener whose nodes have that address too.
    DropOwnVip = "drop_own_vip",
    /// From a node of a draining route, about a connection that another node has by now.
    DropStale = "drop_stale",
}

impl Exit {
    /// Its place in `ALL`, below `COUNT`.
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The exit at a place in `ALL`.
    pub fn from_index(index: usize) -> Option<Exit> {
        Exit::ALL.get(index).copied()
    }

    /// Whether the packet ends here.
    pub const fn is_drop(self) -> bool {
        !matches!(
            self,
            Exit::Forward
                | Exit::ForwardFormer
                | Exit::ForwardFull
                | Exit::Reverse
                | Exit::LocalOut
                | Exit::LocalIn
                | Exit::IcmpToNode
                | Exit::IcmpToClient
                | Exit::IcmpTunnel
                | Exit::Pass
        )
    }
}
