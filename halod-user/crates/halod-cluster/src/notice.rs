use std::fmt;

use halod_proto::{NodeName, NodeState};
use halod_routes::{RouteSet, SlotId};
use serde::Serialize;

/// What happened, for logs and `halodctl watch`. `Display` is a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Notice {
    /// A node has registered.
    NodeJoined {
        /// The node.
        node: NodeName,
        /// What it became.
        state: NodeState,
    },
    /// A node's connection has closed; for now nothing moves.
    NodeAway {
        /// The node.
        node: NodeName,
        /// How long it may take to come back.
        rejoin_ms: u32,
    },
    /// A node that was away has come back in time; nothing moves.
    NodeBack {
        /// The node.
        node: NodeName,
        /// What it is.
        state: NodeState,
    },
    /// A node is lost.
    NodeLost {
        /// The node.
        node: NodeName,
        /// The slot that it filled.
        slot: Option<SlotId>,
        /// How it was lost.
        cause: LossCause,
    },
    /// A reserve node's application does not answer.
    NodeUnhealthy {
        /// The node.
        node: NodeName,
        /// As the node said it.
        reason: String,
    },
    /// A reserve node's application answers again.
    NodeHealthy {
        /// The node.
        node: NodeName,
    },
    /// A node that was lost again and again is back, and is not put to work for a while.
    NodeHeld {
        /// The node.
        node: NodeName,
        /// How often in a row it was lost.
        losses: u32,
        /// For how long it is held back, in milliseconds.
        held_ms: u64,
    },
    /// That while is over.
    NodeReleased {
        /// The node.
        node: NodeName,
    },
    /// Load has made a node active, or put one into reserve.
    Scaled {
        /// The node.
        node: NodeName,
        /// Whether it is active now.
        up: bool,
        /// What the load was.
        why: String,
    },
    /// An operator has put an active node into reserve.
    NodeReserved {
        /// The node.
        node: NodeName,
    },
    /// An operator drains an active node.
    NodeDraining {
        /// The node.
        node: NodeName,
        /// The slot that it filled.
        slot: Option<SlotId>,
    },
    /// A node says that it leaves.
    NodeLeaving {
        /// The node.
        node: NodeName,
        /// The slot that it filled.
        slot: Option<SlotId>,
    },
    /// A node that an operator drains keeps no connection any more.
    NodeEmpty {
        /// The node.
        node: NodeName,
    },
    /// A node keeps the connections of routes no longer.
    DrainEnded {
        /// The node.
        node: NodeName,
        /// The routes.
        routes: RouteSet,
        /// Why.
        cause: DrainEnd,
    },
    /// An operator has removed a node.
    NodeRemoved {
        /// The node.
        node: NodeName,
    },
    /// A lost node's record was dropped to make room for another.
    NodeForgotten {
        /// The node.
        node: NodeName,
    },
    /// A slot has another node than before, or is new.
    SlotFilled {
        /// The slot.
        slot: SlotId,
        /// Its node.
        node: NodeName,
    },
    /// No node is left to fill a slot; packets to its routes are dropped.
    SlotVacant {
        /// The slot.
        slot: SlotId,
    },
    /// Routes have changed their nodes.
    RoutesMoved {
        /// The table's generation since.
        generation: u64,
        /// What went where.
        moves: Vec<MovedBetween>,
    },
    /// A tick came too late, so that nodes may have spoken unheard: those due get one more
    /// heartbeat interval.
    TickLate {
        /// By how much, in milliseconds.
        late_ms: u64,
    },
}

/// Routes that went from one node to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MovedBetween {
    /// The routes.
    pub routes: RouteSet,
    /// The node that had them, if any.
    pub from: Option<NodeName>,
    /// The node that has them now, if any.
    pub to: Option<NodeName>,
}

/// How a node was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LossCause {
    /// Its connection closed, and it did not come back in time.
    Closed,
    /// Its connection closed, and its application did not answer.
    Unreachable,
    /// Nothing was heard from it for too long.
    Silent,
    /// It says that its application does not answer.
    Unhealthy,
    /// It said that it leaves.
    Leaving,
    /// An operator removed it.
    Removed,
}

/// Why a node keeps the connections of a route no longer, though it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainEnd {
    /// The node says that none is left.
    Empty,
    /// Their time is over.
    Time,
    /// The route has moved more often than can be kept apart.
    Moved,
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LossCause::Closed => "its connection closed and it did not come back",
            LossCause::Unreachable => "its connection closed and its application does not answer",
            LossCause::Silent => "its heartbeats stopped",
            LossCause::Unhealthy => "its application does not answer",
            LossCause::Leaving => "it leaves",
            LossCause::Removed => "removed",
        })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::NodeJoined { node, state } => write!(f, "{node} joined, now {state}"),
            Notice::NodeAway { node, rejoin_ms } => {
                write!(f, "{node} is away, and has {rejoin_ms} ms to come back")
            }
            Notice::NodeBack { node, state } => write!(f, "{node} is back, still {state}"),
            Notice::NodeLost {
                node,
                slot: Some(slot),
                cause,
            } => write!(f, "{node} of slot {slot} is lost: {cause}"),
            Notice::NodeLost {
                node,
                cause: LossCause::Leaving,
                ..
            } => write!(f, "{node} has left"),
            Notice::NodeLost { node, cause, .. } => write!(f, "{node} is lost: {cause}"),
            Notice::NodeUnhealthy { node, reason } => write!(f, "{node} is unhealthy: {reason}"),
            Notice::NodeHealthy { node } => write!(f, "{node} is healthy"),
            Notice::NodeHeld {
                node,
                losses,
                held_ms,
            } => write!(
                f,
                "{node} was lost {losses} times in a row, and is held back for {held_ms} ms"
            ),
            Notice::NodeReleased { node } => write!(f, "{node} is held back no longer"),
            Notice::Scaled { node, up, why } => {
                let what = if *up {
                    "put to work"
                } else {
                    "put into reserve"
                };
                write!(f, "{node} is {what} by load: {why}")
            }
            Notice::NodeReserved { node } => write!(f, "{node} was put into reserve"),
            Notice::NodeDraining {
                node,
                slot: Some(slot),
            } => write!(f, "{node} of slot {slot} drains"),
            Notice::NodeDraining { node, .. } => write!(f, "{node} drains"),
            Notice::NodeLeaving {
                node,
                slot: Some(slot),
            } => write!(f, "{node} of slot {slot} leaves"),
            Notice::NodeLeaving { node, .. } => write!(f, "{node} leaves"),
            Notice::NodeEmpty { node } => {
                write!(f, "{node} keeps no connection any more, and may stop")
            }
            Notice::DrainEnded {
                node,
                routes,
                cause,
            } => match cause {
                DrainEnd::Empty => write!(f, "{node} has no connection left on {routes}"),
                DrainEnd::Time => write!(f, "the time of {node} for {routes} is over"),
                DrainEnd::Moved => write!(
                    f,
                    "{node} loses its connections on {routes}: the routes moved too often for it"
                ),
            },
            Notice::NodeRemoved { node } => write!(f, "{node} was removed"),
            Notice::NodeForgotten { node } => write!(f, "{node}, lost, was forgotten"),
            Notice::SlotFilled { slot, node } => write!(f, "{node} fills slot {slot}"),
            Notice::SlotVacant { slot } => write!(f, "slot {slot} has no node"),
            Notice::RoutesMoved { generation, moves } => {
                write!(f, "generation {generation}:")?;
                for (index, moved) in moves.iter().enumerate() {
                    let separator = if index > 0 { ";" } else { "" };
                    write!(f, "{separator} {moved}")?;
                }
                Ok(())
            }
            Notice::TickLate { late_ms } => write!(f, "HaloD stood still for {late_ms} ms"),
        }
    }
}

impl fmt::Display for MovedBetween {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |node: &Option<NodeName>| match node {
            Some(node) => node.to_string(),
            None => "none".to_owned(),
        };
        let (from, to) = (name(&self.from), name(&self.to));
        write!(f, "{} from {from} to {to}", self.routes)
    }
}
