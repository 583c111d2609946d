use std::collections::BTreeMap;
use std::net::IpAddr;

use halod_proto::{NodeName, NodeState};
use halod_routes::SlotId;
use serde::{Deserialize, Serialize};

use crate::members::Members;
use crate::slots::Slots;
use crate::{Cluster, Config, ConfigError, Node, NodeId, Time};

/// All that must survive a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The table's generation.
    pub generation: u64,
    /// N.
    pub routes: u32,
    /// M. With the nodes' slots this is the whole table.
    pub slots: u32,
    /// The nodes, those longest in their state first.
    pub nodes: Vec<SavedNode>,
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
    /// What it is.
    pub state: NodeState,
    /// The slot that it fills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotId>,
    /// Whether an operator put it into reserve.
    #[serde(default)]
    pub parked: bool,
    /// Its resume token. Empty where it is not known, since the node was found in the kernel's
    /// table alone: then the first hello of its name is taken for its.
    pub token: String,
}

/// Why what was saved cannot be taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    pub(crate) fn of(cluster: &Cluster) -> Saved {
        let mut nodes: Vec<&Node> = cluster.nodes().collect();
        nodes.sort_by_key(|node| node.turn);
        Saved {
            generation: cluster.generation,
            routes: cluster.config.routes,
            slots: cluster.assignment().slots(),
            nodes: nodes.into_iter().map(SavedNode::of).collect(),
        }
    }

    pub(crate) fn restore(self, config: Config, now: Time) -> Result<Cluster, RestoreError> {
        config.check()?;
        if self.routes != config.routes {
            return Err(RestoreError::Routes {
                saved: self.routes,
                config: config.routes,
            });
        }
        let slots = self.check_slots().map_err(RestoreError::Damaged)?;
        let slots = Slots::new(self.routes, slots)
            .map_err(|error| RestoreError::Damaged(error.to_string()))?;

        let mut members = Members::default();
        let grace = now.after(config.restart_grace_ms.into());
        for saved in self.nodes {
            let (id, name) = (saved.id, saved.name.clone());
            if id.0 == 0 {
                return Err(RestoreError::Damaged(format!(
                    "node {name} has the number 0"
                )));
            }
            if members.get(id).is_some() || members.named(&name).is_some() {
                return Err(RestoreError::Damaged(format!(
                    "node {name}, number {id}: name or number is there twice"
                )));
            }
            let turn = members.next_turn();
            let mut node = saved.node(turn, now);
            if node.state != NodeState::Lost {
                node.deadline = Some(grace);
            }
            if let Some(slot) = node.slot {
                node.told = slots.assignment().held_by(slot).collect();
            }
            members.insert(node);
        }
        Ok(Cluster {
            table: slots.table(),
            config,
            now,
            generation: self.generation,
            members,
            slots,
        })
    }

    /// The nodes by slot - 1, if each slot has exactly one, or the only slot none.
    fn check_slots(&self) -> Result<Vec<Option<NodeId>>, String> {
        let (routes, slots) = (self.routes, self.slots);
        if slots > routes {
            return Err(format!("{slots} slots for {routes} routes"));
        }
        let mut nodes = vec![None; slots as usize];
        for node in &self.nodes {
            let (name, state) = (&node.name, node.state);
            match (state, node.slot) {
                (NodeState::Active, Some(slot)) => {
                    let entry = (slot as usize)
                        .checked_sub(1)
                        .and_then(|i| nodes.get_mut(i));
                    match entry {
                        Some(entry @ None) => *entry = Some(node.id),
                        Some(Some(_)) => return Err(format!("slot {slot} is filled twice")),
                        None => {
                            return Err(format!(
                                "node {name} fills slot {slot}, and there are {slots}"
                            ));
                        }
                    }
                }
                (NodeState::Reserve | NodeState::Lost, None) => {}
                (_, Some(slot)) => {
                    return Err(format!("node {name} is {state} and fills slot {slot}"));
                }
                (_, None) => return Err(format!("node {name} is {state} and fills no slot")),
            }
        }
        match nodes.iter().position(Option::is_none) {
            Some(vacant) if slots > 1 => Err(format!("slot {} has no node", vacant + 1)),
            _ => Ok(nodes),
        }
    }
}

impl SavedNode {
    fn of(node: &Node) -> SavedNode {
        SavedNode {
            id: node.id,
            name: node.name.clone(),
            addresses: node.addresses.clone(),
            ports: node.ports.clone(),
            state: node.state,
            slot: node.slot,
            parked: node.parked,
            token: node.token.clone(),
        }
    }

    fn node(self, turn: u64, now: Time) -> Node {
        Node {
            id: self.id,
            name: self.name,
            addresses: self.addresses,
            ports: self.ports,
            state: self.state,
            slot: self.slot,
            conn: None,
            // Its hello says how it is now.
            healthy: self.state != NodeState::Lost,
            parked: self.parked,
            since: now,
            load: None,
            token: self.token,
            turn,
            deadline: None,
            excused: false,
            probes: 0,
            heartbeat: None,
            told: Default::default(),
        }
    }
}
