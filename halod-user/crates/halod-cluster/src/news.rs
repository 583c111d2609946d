use std::collections::BTreeMap;

use halod_proto::{FromHalod, MovedRoutes, NodeName, NodeState, VERSION, Welcome};
use halod_routes::RouteId;

use crate::node::Standing;
use crate::{Cluster, Node, NodeId, Time};

/// Routes by where they went.
type Went = BTreeMap<Option<NodeId>, Vec<RouteId>>;

impl Cluster {
    /// What a connected node must be told, given what it was told before.
    pub(crate) fn news_of(&mut self, id: NodeId, welcome: bool) -> Vec<FromHalod> {
        let Some(node) = self.node(id) else {
            return Vec::new();
        };
        let generation = self.generation;
        let (held, standing) = (self.held(node).collect(), self.standing(node));
        let lost = node.told.difference(&held);
        let kept = node.keeps.difference(&held);

        // By when the node's time for them is over, of those of which it does not know yet.
        let mut drain: BTreeMap<Time, Went> = BTreeMap::new();
        let mut cut = Went::new();
        let mut keeps = Vec::new();
        let mut routes: BTreeMap<RouteId, bool> = kept.iter().map(|r| (r, !welcome)).collect();
        routes.extend(lost.iter().map(|route| (route, false)));
        if welcome {
            // It may have got routes and lost them again while it was away.
            let legs = self.drains.kept_by(id, &self.table);
            routes.extend(legs.into_iter().map(|route| (route, false)));
        }
        for (route, known) in routes {
            let leg = self.formers(route).iter().find(|leg| leg.node == id);
            keeps.extend(leg.map(|_| route));
            let went = match leg {
                Some(_) if known => continue,
                Some(leg) => drain.entry(leg.until).or_default(),
                None => &mut cut,
            };
            went.entry(self.node_of(route)).or_default().push(route);
        }

        let mut messages = Vec::new();
        if welcome {
            messages.push(FromHalod::Welcome(self.welcome(node)));
        }
        messages.extend(drain.into_iter().map(|(until, went)| FromHalod::Drain {
            generation,
            moves: self.moved(went),
            deadline_ms: until.since(self.now),
        }));
        if !cut.is_empty() {
            let moves = self.moved(cut);
            messages.push(FromHalod::RouteMoved { generation, moves });
        }
        let gained = !held.difference(&node.told).is_empty();
        let news = welcome || standing != node.standing;
        match (standing, node.slot) {
            (Standing::Active, Some(slot)) if news || gained => messages.push(FromHalod::Assign {
                generation,
                slot,
                routes: held.clone(),
            }),
            (Standing::Reserve, _) if news => messages.push(FromHalod::Reserve { generation }),
            (Standing::MayStop, _) if news => messages.push(FromHalod::MayStop { generation }),
            _ => {}
        }
        if let Some(node) = self.members.get_mut(id) {
            node.told = held;
            node.keeps = keeps.into_iter().collect();
            node.standing = standing;
        }
        messages
    }

    fn standing(&self, node: &Node) -> Standing {
        match node.state {
            NodeState::Active => Standing::Active,
            NodeState::Reserve => Standing::Reserve,
            NodeState::Draining if self.drains.legs_of(node.id) > 0 => Standing::Draining,
            NodeState::Draining => Standing::MayStop,
            NodeState::Lost => Standing::Unknown,
        }
    }

    fn moved(&self, went: Went) -> Vec<MovedRoutes> {
        let moved = |(to, routes): (_, Vec<RouteId>)| MovedRoutes {
            routes: routes.into_iter().collect(),
            to: self.name_of(to),
        };
        went.into_iter().map(moved).collect()
    }

    pub(crate) fn name_of(&self, id: Option<NodeId>) -> Option<NodeName> {
        Some(self.node(id?)?.name.clone())
    }

    fn welcome(&self, node: &Node) -> Welcome {
        let hashes = self.config.listeners.iter().any(|it| !it.select.is_port());
        Welcome {
            version: VERSION,
            cluster: self.config.cluster.clone(),
            routes: self.config.routes,
            state: node.state,
            heartbeat_ms: self.config.heartbeat_ms,
            heartbeat_misses: self.config.heartbeat_misses,
            resume: node.token.clone(),
            listeners: self.config.listeners.clone(),
            select_key: hashes.then_some(self.config.select_key),
        }
    }
}
