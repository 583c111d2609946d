use std::collections::BTreeMap;
use std::net::IpAddr;

use halod_proto::{Load, NodeName, NodeState};
use halod_routes::{RouteSet, SlotId};

use crate::{ConnId, NodeId, ProbeId, Time};

/// A node that the cluster knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its number in the kernel's table.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Where packets for it go: at most one IPv4 and one IPv6 address.
    pub addresses: Vec<IpAddr>,
    /// Its own port of route 1 by listener's name, where it differs from the listener's.
    pub ports: BTreeMap<String, u16>,
    /// What it is. An active node that is away is still active until it is lost.
    pub state: NodeState,
    /// The slot that it fills: some exactly while it is active.
    pub slot: Option<SlotId>,
    /// Its connection; none while it is away or lost.
    pub conn: Option<ConnId>,
    /// Whether its application answers, as the node says.
    pub healthy: bool,
    /// Whether an operator put it into reserve: it fills a vacant slot, but is not promoted for
    /// the sake of `active_min` alone.
    pub parked: bool,
    /// Whether it said that it leaves, and goes when it keeps no connection any more.
    pub leaving: bool,
    /// How often in a row it was lost; 0 where that is forgotten.
    pub losses: u32,
    /// Until when it is not put to work, since it was lost so often.
    pub held_until: Option<Time>,
    /// Since when it is in this state; the restart, if it was so before.
    pub since: Time,
    /// How busy it said it was last.
    pub load: Option<Load>,
    /// What it shows to take its place again.
    pub(crate) token: String,
    /// For how long it is to be held back once it is there again, in milliseconds.
    pub(crate) hold_ms: u64,
    /// Orders nodes by the time they have been in their state; no two nodes have the same.
    pub(crate) turn: u64,
    /// When it is lost unless it speaks (connected) or comes back (away).
    pub(crate) deadline: Option<Time>,
    /// When its deadline is looked at: not after it.
    pub(crate) look: Option<Time>,
    /// Had its deadline put off once because of a late tick.
    pub(crate) excused: bool,
    /// The last probe, as long as it has no answer: what others say by now is about an absence that
    /// is over.
    pub(crate) probe: Option<ProbeId>,
    /// `seq` of the connection's last heartbeat.
    pub(crate) heartbeat: Option<u64>,
    /// The routes that it thinks it holds: as it was told last.
    pub(crate) told: RouteSet,
    /// The routes whose connections it thinks it keeps.
    pub(crate) keeps: RouteSet,
    /// What it thinks it is.
    pub(crate) standing: Standing,
}

/// What a node is told to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing yet, or nothing any more.
    #[default]
    Unknown,
    Active,
    Reserve,
    /// On its way out, with connections.
    Draining,
    /// On its way out, without.
    MayStop,
}

impl Node {
    /// Whether it is connected.
    pub fn connected(&self) -> bool {
        self.conn.is_some()
    }

    /// Whether it waits and can be put to work at once.
    pub fn eligible(&self) -> bool {
        self.is_ready() && self.held_until.is_none()
    }

    /// Whether it could be put to work if it were not held back.
    pub(crate) fn is_held(&self) -> bool {
        self.is_ready() && self.held_until.is_some()
    }

    fn is_ready(&self) -> bool {
        self.state == NodeState::Reserve && self.connected() && self.healthy
    }

    /// Whether it is a reserve node to be counted on: eligible, or away for a moment.
    pub(crate) fn in_reserve(&self) -> bool {
        self.state == NodeState::Reserve && self.healthy && self.held_until.is_none()
    }
}
