use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use halod_proto::{NodeName, NodeState, SelectKey};
use halod_routes::{RouteId, RouteSet, SlotId};
use serde::{Deserialize, Serialize};

use crate::{Cluster, ConfigError, Former, Node, NodeId, Time};

/// All that must survive a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The table's generation.
    pub generation: u64,
    /// N.
    pub routes: u32,
    /// M.
    pub slots: u32,
    /// The nodes, those longest in their state first. Shared with what is saved next, as far as they
    /// stay as they are: see [`Cluster::save`].
    pub nodes: Vec<Arc<SavedNode>>,
    /// The routes that drain, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drains: Vec<SavedDrain>,
    /// The key of listeners with one port for all routes; none where it was saved before there
    /// were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_key: Option<SelectKey>,
}

/// A route that drains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedDrain {
    /// The route.
    pub route: RouteId,
    /// The nodes that keep its connections, the oldest first: 1 to [`crate::MAX_FORMERS`].
    pub formers: Vec<SavedFormer>,
}

/// A node that keeps connections of a route that it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFormer {
    /// The node.
    pub node: NodeId,
    /// For how long from when this was saved, in milliseconds.
    pub left_ms: u32,
    /// The same of all UDP; 0 where UDP goes to the route's node.
    #[serde(default)]
    pub udp_left_ms: u32,
}

/// What must survive of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedNode {
    /// Its number in the kernel's table.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its own ports of route 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, u16>,
    /// What it is. A node that leaves is saved as one in reserve: once HaloD is back, it says again
    /// what it wants.
    pub state: NodeState,
    /// The slot that it fills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotId>,
    /// The routes that it holds. Where no active node has any, they are those that
    /// `assignment(routes, slots)` gives its slot.
    #[serde(default, skip_serializing_if = "RouteSet::is_empty")]
    pub routes: RouteSet,
    /// Whether an operator put it into reserve.
    #[serde(default)]
    pub parked: bool,
    /// Its resume token. Empty where it is not known, since the node was found in the kernel's
    /// table alone: then the first hello of its name is taken for its.
    pub token: String,
}

/// Why what was saved cannot be taken up.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RestoreError {
    /// The configuration itself is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The number of routes is fixed for the life of a table.
    #[error(
        "the saved table has {saved} routes, the configuration says {config}; a table keeps its \
         number of routes, so set routes = {saved}, or start anew with an empty store"
    )]
    Routes {
        /// What was saved.
        saved: u32,
        /// What the configuration says.
        config: u32,
    },
    /// What was saved contradicts itself.
    #[error("the saved cluster is damaged: {0}")]
    Damaged(String),
}

impl Saved {
    pub(crate) fn of(cluster: &Cluster, nodes: Vec<Arc<SavedNode>>) -> Saved {
        let left = |until: Time| u32::try_from(until.since(cluster.now)).unwrap_or(u32::MAX);
        let former = |former: &Former| SavedFormer {
            node: former.node,
            left_ms: left(former.until),
            udp_left_ms: left(former.udp_until),
        };
        let drain = |(route, formers): (RouteId, &[Former])| SavedDrain {
            route,
            formers: formers.iter().map(former).collect(),
        };
        Saved {
            generation: cluster.generation,
            routes: cluster.config.routes,
            slots: cluster.assignment().slots(),
            nodes,
            drains: cluster.drains().map(drain).collect(),
            select_key: Some(cluster.config.select_key),
        }
    }
}

impl SavedNode {
    pub(crate) fn of(cluster: &Cluster, node: &Node) -> SavedNode {
        SavedNode {
            id: node.id,
            name: node.name.clone(),
            addresses: node.addresses.clone(),
            ports: node.ports.clone(),
            state: if node.leaving {
                NodeState::Reserve
            } else {
                node.state
            },
            slot: node.slot,
            routes: cluster.held(node).collect(),
            parked: node.parked,
            token: node.token.clone(),
        }
    }
}

/// The nodes as they were saved last, and which may be others now: of thousands, few change at a
/// time, and a look at each would take longer than the rest of a failover.
#[derive(Clone, Debug, Default)]
pub(crate) struct SavedNodes {
    by_turn: BTreeMap<u64, Arc<SavedNode>>,
    turns: HashMap<NodeId, u64>,
    changed: BTreeSet<NodeId>,
}

impl SavedNodes {
    /// Notes that something of a node may change, or that it comes or goes.
    pub(crate) fn touch(&mut self, id: NodeId) {
        self.changed.insert(id);
    }

    /// Those that were touched, each once.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<NodeId> {
        std::mem::take(&mut self.changed)
    }

    /// Takes in a node as it is now, with its turn; none where it is gone.
    pub(crate) fn update(&mut self, id: NodeId, now: Option<(u64, SavedNode)>) {
        let former = self.turns.remove(&id);
        let former = former.and_then(|turn| self.by_turn.remove(&turn));
        if let Some((turn, node)) = now {
            let same = former.filter(|former| **former == node);
            self.turns.insert(id, turn);
            self.by_turn
                .insert(turn, same.unwrap_or_else(|| node.into()));
        }
    }

    /// All of them, those longest in their state first.
    pub(crate) fn all(&self) -> Vec<Arc<SavedNode>> {
        self.by_turn.values().cloned().collect()
    }
}
