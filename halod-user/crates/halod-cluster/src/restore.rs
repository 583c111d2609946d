use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use halod_proto::NodeState;
use halod_routes::{Assignment, RouteId, RouteSet, SlotTable};

use crate::chain::{Chain, MAX_FORMERS};
use crate::drains::Drains;
use crate::flapping::Timers;
use crate::members::Members;
use crate::node::Standing;
use crate::scaling::Scaler;
use crate::slots::Slots;
use crate::{Cluster, Config, Former, Node, NodeId, RestoreError, Saved, SavedNode, Time};

type Damage = String;

impl Saved {
    pub(crate) fn restore(self, config: Config, now: Time) -> Result<Cluster, RestoreError> {
        config.check()?;
        if self.routes != config.routes {
            return Err(RestoreError::Routes {
                saved: self.routes,
                config: config.routes,
            });
        }
        self.checked(config, now).map_err(RestoreError::Damaged)
    }

    fn checked(self, config: Config, now: Time) -> Result<Cluster, Damage> {
        let nodes = self.nodes_by_slot()?;
        let slots = self.table(&nodes).and_then(|table| {
            Slots::new(config.failover, table, nodes).map_err(|error| error.to_string())
        })?;
        let table = slots.table();
        let drains = Drains::new(self.chains(&table, now)?, &table);

        let mut members = Members::default();
        let grace = now.after(config.restart_grace_ms.into());
        for saved in self.nodes {
            let (id, name) = (saved.id, saved.name.clone());
            if id.0 == 0 {
                return Err(format!("node {name} has the number 0"));
            }
            if members.get(id).is_some() || members.named(&name).is_some() {
                return Err(format!(
                    "node {name}, number {id}: name or number is there twice"
                ));
            }
            let turn = members.next_turn();
            let mut node = Arc::unwrap_or_clone(saved).node(turn, now);
            if node.state != NodeState::Lost {
                node.deadline = Some(grace);
            }
            if let Some(slot) = node.slot {
                node.told = slots.assignment().held_by(slot).collect();
            }
            members.insert(node);
        }
        for (node, keeps) in drains.kept(&table) {
            if let Some(node) = members.get_mut(node) {
                node.keeps = keeps;
            }
        }
        Ok(Cluster {
            table,
            config,
            now,
            generation: self.generation,
            members,
            slots,
            drains,
            timers: Timers::default(),
            scaler: Scaler::default(),
            probes: 0,
        })
    }

    /// The nodes by slot - 1, if each slot has exactly one, or the only slot none.
    fn nodes_by_slot(&self) -> Result<Vec<Option<NodeId>>, Damage> {
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
                (NodeState::Active, None) => {
                    return Err(format!("node {name} is active and fills no slot"));
                }
                (_, Some(slot)) => {
                    return Err(format!("node {name} is {state} and fills slot {slot}"));
                }
                (_, None) if !node.routes.is_empty() => {
                    let routes = &node.routes;
                    return Err(format!("node {name} is {state} and holds {routes}"));
                }
                (_, None) => {}
            }
        }
        match nodes.iter().position(Option::is_none) {
            Some(vacant) if slots > 1 => Err(format!("slot {} has no node", vacant + 1)),
            _ => Ok(nodes),
        }
    }

    /// Which slot holds which route.
    fn table(&self, nodes: &[Option<NodeId>]) -> Result<SlotTable, Damage> {
        let told = self.nodes.iter().any(|node| !node.routes.is_empty());
        let table = if told {
            let mut held = vec![RouteSet::new(); nodes.len()];
            let slots = self
                .nodes
                .iter()
                .filter_map(|node| Some((node, node.slot?)));
            for (node, slot) in slots {
                held[slot as usize - 1] = node.routes.clone();
            }
            SlotTable::of(self.routes, &held)
        } else {
            Assignment::of(self.routes, self.slots).map(|assignment| assignment.table().clone())
        };
        table.map_err(|error| error.to_string())
    }

    fn chains(
        &self,
        table: &[Option<NodeId>],
        now: Time,
    ) -> Result<BTreeMap<RouteId, Chain>, Damage> {
        let there = self.nodes.iter().filter(|n| n.state != NodeState::Lost);
        let there: BTreeSet<NodeId> = there.map(|node| node.id).collect();
        let mut chains = BTreeMap::new();
        for drain in &self.drains {
            let route = drain.route;
            let current = match (route as usize).checked_sub(1).and_then(|i| table.get(i)) {
                Some(current) => *current,
                None => return Err(format!("route {route} drains, and there is none such")),
            };
            let many = drain.formers.len();
            if !(1..=MAX_FORMERS).contains(&many) {
                return Err(format!(
                    "route {route} has {many} former nodes; it must have 1 to {MAX_FORMERS}"
                ));
            }
            let mut before = BTreeSet::new();
            for (at, former) in drain.formers.iter().enumerate() {
                let node = former.node;
                if !there.contains(&node) {
                    return Err(format!(
                        "route {route} drains from node {node}, which is gone"
                    ));
                }
                let own = Some(node) == current && (at > 0 || many == 1);
                if own || !before.insert(node) {
                    return Err(format!(
                        "route {route} drains from node {node} twice, or to itself"
                    ));
                }
            }
            let formers = drain.formers.iter().map(|former| Former {
                node: former.node,
                until: now.after(former.left_ms.into()),
                udp_until: match former.udp_left_ms {
                    0 => Time(0),
                    left => now.after(left.into()),
                },
            });
            if chains
                .insert(route, Chain::new(formers.collect()))
                .is_some()
            {
                return Err(format!("route {route} is among those that drain twice"));
            }
        }
        Ok(chains)
    }
}

impl SavedNode {
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
            leaving: false,
            losses: 0,
            held_until: None,
            hold_ms: 0,
            since: now,
            load: None,
            token: self.token,
            turn,
            deadline: None,
            look: None,
            excused: false,
            probe: None,
            heartbeat: None,
            told: RouteSet::new(),
            keeps: RouteSet::new(),
            standing: Standing::default(),
        }
    }
}
