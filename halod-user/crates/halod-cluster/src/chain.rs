//! The way of one route: the nodes that it has left and that keep the connections they have.
//!
//! The kernel leads a packet of a connection that began while the route drained to the node where
//! it began, and any other to the oldest former node. So the order of the chain matters, and a
//! node whose turn it is again stays where it is at the chain's head, for what is not remembered
//! is its own.

use crate::{NodeId, Time};

/// The most former nodes of a route; the kernel's table has no room for more.
pub const MAX_FORMERS: usize = 3;

/// A node that a route has left, and that keeps the connections it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Former {
    /// The node.
    pub node: NodeId,
    /// Until when its connections are led to it. Without meaning while the route is the node's
    /// again.
    pub until: Time,
    /// Until when all UDP of the route is led to it; in the past, or `Time(0)`, where UDP goes to
    /// the route's node. Only ever said of the oldest.
    pub udp_until: Time,
}

/// How long a node keeps what it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stay {
    /// Of TCP.
    pub(crate) until: Time,
    /// Of UDP; `Time(0)` where it moves at once.
    pub(crate) udp_until: Time,
}

/// The former nodes of a route, the oldest first; each at most once. The route's own node is
/// among them only at the head, before others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain(Vec<Former>);

impl Chain {
    pub(crate) fn new(formers: Vec<Former>) -> Chain {
        Chain(formers)
    }

    pub(crate) fn formers(&self) -> &[Former] {
        &self.0
    }

    /// The nodes that keep connections, while the route is that of `current`.
    pub(crate) fn legs(&self, current: Option<NodeId>) -> impl Iterator<Item = &Former> {
        self.0.iter().filter(move |leg| Some(leg.node) != current)
    }

    /// The route moves. `stay` is how long its former node keeps what it has, if it does. Returns
    /// the one for which the chain has become too long: its connections are cut.
    pub(crate) fn moves(
        &mut self,
        from: Option<NodeId>,
        stay: Option<Stay>,
        to: Option<NodeId>,
    ) -> Option<Former> {
        match (from, stay) {
            (Some(from), Some(stay)) => self.leaves(from, stay),
            (Some(from), None) => self.0.retain(|former| former.node != from),
            (None, _) => {}
        }
        let again = self.0.iter().position(|former| Some(former.node) == to);
        if again.is_some_and(|at| at > 0 || self.0.len() == 1) {
            self.0.retain(|former| Some(former.node) != to);
        }
        if self.0.len() <= MAX_FORMERS {
            return None;
        }
        let soonest = self.legs(to).min_by_key(|leg| leg.until).copied();
        self.0.retain(|former| Some(*former) != soonest);
        soonest
    }

    fn leaves(&mut self, node: NodeId, stay: Stay) {
        let Stay { until, udp_until } = stay;
        match self.0.first_mut() {
            // What came while the route was its own again is among what is not remembered.
            Some(head) if head.node == node => {
                head.until = until;
                head.udp_until = udp_until;
            }
            // UDP is the oldest's, or moves.
            Some(_) => self.0.push(Former {
                node,
                until,
                udp_until: Time(0),
            }),
            None => self.0.push(Former {
                node,
                until,
                udp_until,
            }),
        }
    }

    /// A node has no TCP connection left. Its leg ends, or stays for its UDP's sake. Whether
    /// anything is other than before.
    pub(crate) fn emptied(&mut self, node: NodeId, current: Option<NodeId>, now: Time) -> bool {
        let leg = self.0.iter_mut().find(|former| former.node == node);
        match leg.filter(|leg| Some(leg.node) != current) {
            Some(leg) if leg.udp_until > now => {
                let sooner = leg.udp_until < leg.until;
                leg.until = leg.until.min(leg.udp_until);
                sooner
            }
            Some(_) => self.drop_node(node),
            None => false,
        }
    }

    /// A node is gone; whether it was there.
    pub(crate) fn drop_node(&mut self, node: NodeId) -> bool {
        let before = self.0.len();
        self.0.retain(|former| former.node != node);
        self.0.len() < before
    }

    /// Ends what is over; returns the nodes.
    pub(crate) fn expire(&mut self, current: Option<NodeId>, now: Time) -> Vec<NodeId> {
        let over = self.legs(current).filter(|leg| leg.until <= now);
        let over: Vec<NodeId> = over.map(|leg| leg.node).collect();
        self.0.retain(|former| !over.contains(&former.node));
        over
    }

    /// Whether nothing is led elsewhere than to the route's node any more.
    pub(crate) fn is_over(&self, current: Option<NodeId>) -> bool {
        self.legs(current).next().is_none()
    }
}

#[cfg(test)]
mod tests;
