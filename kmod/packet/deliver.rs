// SPDX-License-Identifier: GPL-2.0
//! How a listener's packets get to their node.

/// What is done with a packet for a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Deliver {
    /// Its destination is rewritten, and the node's answers come back this way.
    #[default]
    Nat,
    /// It is left as it is and sent to the node's link address. The node has the VIP too, and
    /// answers the client directly (direct server return).
    Dsr,
    /// It is sent inside another packet of its IP version, to a node on any network. The node has
    /// the VIP too, and answers the client directly.
    Ipip,
}

impl Deliver {
    /// From the number in the netlink spec.
    pub fn from_number(number: u8) -> Option<Deliver> {
        match number {
            0 => Some(Deliver::Nat),
            1 => Some(Deliver::Dsr),
            2 => Some(Deliver::Ipip),
            _ => None,
        }
    }

    /// The number in the netlink spec.
    pub fn number(self) -> u8 {
        match self {
            Deliver::Nat => 0,
            Deliver::Dsr => 1,
            Deliver::Ipip => 2,
        }
    }
}
