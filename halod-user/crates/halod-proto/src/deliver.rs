//! How a listener's packets get to their node.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is done with a packet for a node.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Deliver {
    /// Its destination is rewritten to the node's.
    #[default]
    Nat,
    /// It arrives as the client sent it, to the VIP, which the node has too.
    Dsr,
    /// The same inside another packet of its IP version, from HaloD to the node's own address.
    Ipip,
}

impl Deliver {
    /// Whether it is [`Deliver::Nat`].
    pub fn is_nat(&self) -> bool {
        *self == Deliver::Nat
    }
}

impl fmt::Display for Deliver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Deliver::Nat => "nat",
            Deliver::Dsr => "dsr",
            Deliver::Ipip => "ipip",
        })
    }
}
