//! The chains of all routes that drain.

use std::collections::BTreeMap;

use halod_routes::{RouteId, RouteSet};

use crate::chain::{Chain, Former, Stay};
use crate::{Move, NodeId, Time};

/// The former nodes of all routes that have some.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drains {
    chains: BTreeMap<RouteId, Chain>,
    /// Of how many routes each node keeps connections, if any.
    legs: BTreeMap<NodeId, u32>,
    /// When the next one is over.
    next_end: Option<Time>,
}

/// A node keeps the connections of a route no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) route: RouteId,
    pub(crate) node: NodeId,
}

/// A table by route - 1.
type Table = [Option<NodeId>];

fn node_of(table: &Table, route: RouteId) -> Option<NodeId> {
    let index = (route as usize).checked_sub(1)?;
    table.get(index).copied().flatten()
}

impl Drains {
    pub(crate) fn new(chains: BTreeMap<RouteId, Chain>, table: &Table) -> Drains {
        let mut drains = Drains {
            chains,
            ..Drains::default()
        };
        drains.index(table);
        drains
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (RouteId, &[Former])> {
        let pair = |(route, chain): (&RouteId, _)| (*route, Chain::formers(chain));
        self.chains.iter().map(pair)
    }

    pub(crate) fn formers(&self, route: RouteId) -> &[Former] {
        self.chains.get(&route).map_or(&[], Chain::formers)
    }

    /// The routes whose connections each node keeps.
    pub(crate) fn kept(&self, table: &Table) -> BTreeMap<NodeId, RouteSet> {
        let mut kept: BTreeMap<NodeId, Vec<RouteId>> = BTreeMap::new();
        for (&route, chain) in &self.chains {
            for leg in chain.legs(node_of(table, route)) {
                kept.entry(leg.node).or_default().push(route);
            }
        }
        let set = |(node, routes): (_, Vec<RouteId>)| (node, routes.into_iter().collect());
        kept.into_iter().map(set).collect()
    }

    /// The routes whose connections a node keeps.
    pub(crate) fn kept_by(&self, node: NodeId, table: &Table) -> Vec<RouteId> {
        if self.legs_of(node) == 0 {
            return Vec::new();
        }
        let keeps = |(&route, chain): (&RouteId, &Chain)| {
            let mut legs = chain.legs(node_of(table, route));
            legs.any(|leg| leg.node == node).then_some(route)
        };
        self.chains.iter().filter_map(keeps).collect()
    }

    /// Of how many routes a node keeps connections.
    pub(crate) fn legs_of(&self, node: NodeId) -> u32 {
        self.legs.get(&node).copied().unwrap_or(0)
    }

    pub(crate) fn next_end(&self) -> Option<Time> {
        self.next_end
    }

    /// A node is gone; whether it kept any connection.
    pub(crate) fn drop_node(&mut self, node: NodeId) -> bool {
        let mut dropped = false;
        for chain in self.chains.values_mut() {
            dropped |= chain.drop_node(node);
        }
        dropped
    }

    /// A node says that a route has no connection left with it; whether anything is other than
    /// before.
    pub(crate) fn emptied(
        &mut self,
        route: RouteId,
        node: NodeId,
        table: &Table,
        now: Time,
    ) -> bool {
        let chain = self.chains.get_mut(&route);
        chain.is_some_and(|chain| chain.emptied(node, node_of(table, route), now))
    }

    /// Ends what is over; returns what that is.
    pub(crate) fn expire(&mut self, table: &Table, now: Time) -> Vec<Ended> {
        let mut ended = Vec::new();
        if self.next_end.is_some_and(|end| end <= now) {
            for (&route, chain) in &mut self.chains {
                let over = chain.expire(node_of(table, route), now);
                ended.extend(over.into_iter().map(|node| Ended { route, node }));
            }
        }
        ended
    }

    /// Routes move; `stay` says how long a node keeps what it has, if it does. Returns the nodes
    /// whose connections are cut, since a route has moved too often.
    pub(crate) fn moves(
        &mut self,
        moves: &[Move],
        stay: impl Fn(NodeId) -> Option<Stay>,
    ) -> Vec<Ended> {
        let mut cut = Vec::new();
        for &Move { route, from, to } in moves {
            let chain = self.chains.entry(route).or_default();
            let dropped = chain.moves(from, from.and_then(&stay), to);
            cut.extend(dropped.map(|former| Ended {
                route,
                node: former.node,
            }));
        }
        cut
    }

    /// To be called after changes, with the table as it is now.
    pub(crate) fn index(&mut self, table: &Table) {
        self.legs.clear();
        self.next_end = None;
        self.chains.retain(|route, chain| {
            let current = node_of(table, *route);
            for leg in chain.legs(current) {
                *self.legs.entry(leg.node).or_default() += 1;
                self.next_end = Some(self.next_end.map_or(leg.until, |end| end.min(leg.until)));
            }
            !chain.is_over(current)
        });
    }
}
