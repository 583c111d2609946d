// SPDX-License-Identifier: GPL-2.0
//! Routes that drain: connections that existed before a move stay with the former node.
//!
//! A SYN goes to the route's node, and its flow is remembered under that node's tag. Any other
//! packet of a remembered flow goes to the tag's node; a packet of an unknown flow belongs to a
//! connection from before the first move, and goes to the oldest former node. So a route may move
//! again while it drains, up to [`FORMERS_MAX`] times: each node on its way keeps its connections.
//! A route that has no node any more drains just so, only that it takes no SYN.
//!
//! UDP has no first packet to know a flow by. All of it stays with the oldest former node for a
//! while, or none.

use super::flows::Tag;
use super::refusal::Refusal;
use super::table::{Id, Input};

/// Most former nodes that a route can have at a time.
pub const FORMERS_MAX: usize = 3;

/// A node that a route has left, and until when it keeps the connections it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Former {
    /// The route, from 1.
    pub route: u32,
    /// The node's id.
    pub node: u32,
    /// When its connections go to the route's node after all, on the clock of
    /// [`Drain::node_of`].
    pub deadline: u64,
    /// When the route's UDP packets go to the route's node; 0 for at once. Counts for the oldest
    /// node of a route.
    pub udp: u64,
}

// A table's new nodes get tags that the table before had no use for: a flow that was remembered
// by the one is then never taken for another node's by the other.
const _: () = assert!(Tag::ALL.len() >= 2 * FORMERS_MAX);

/// A node on a draining route's way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Leg {
    /// Its id; 0 for none.
    id: u32,
    /// Its index + 1; 0 for none.
    node: u16,
    deadline: u64,
}

impl Leg {
    fn at(&self, now: u64) -> Option<u16> {
        (self.node != 0 && now < self.deadline).then_some(self.node)
    }

    /// Lets a node that is there again keep its connections as long as it may by either leg.
    fn extend(&mut self, other: &Leg) {
        if self.id == other.id {
            self.deadline = self.deadline.max(other.deadline);
        }
    }
}

/// A route that drains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drain {
    /// The route, from 0.
    pub(super) route: u16,
    /// The node of all flows that are not remembered.
    oldest: Leg,
    /// When that is no longer the node of UDP.
    udp: u64,
    /// The nodes of those that are, by tag.
    tagged: [Leg; Tag::ALL.len()],
    /// Whether a tag meant a node in the table before.
    kept: [bool; Tag::ALL.len()],
    /// The tag of the route's node, if it has one.
    current: Option<Tag>,
}

impl Default for Drain {
    fn default() -> Self {
        Drain {
            route: 0,
            oldest: Leg::default(),
            udp: 0,
            tagged: [Leg::default(); Tag::ALL.len()],
            kept: [false; Tag::ALL.len()],
            current: None,
        }
    }
}

impl Drain {
    /// The route, from 1.
    pub fn route(&self) -> u32 {
        u32::from(self.route).wrapping_add(1)
    }

    /// The tag under which new flows are remembered; None where the route has no node for them.
    #[inline]
    pub fn current(&self) -> Option<Tag> {
        self.current
    }

    /// The node (index + 1) of the route's UDP packets; None for the route's own node.
    #[inline]
    pub fn udp_node(&self, now: u64) -> Option<u16> {
        (now < self.udp).then_some(self.oldest.node)
    }

    /// The node (index + 1) of a flow remembered under `tag`, or of one that is not remembered;
    /// None for the route's own node, after a deadline.
    #[inline]
    pub fn node_of(&self, tag: Option<Tag>, now: u64) -> Option<u16> {
        tag.and_then(|tag| self.leg(tag))
            .unwrap_or(&self.oldest)
            .at(now)
    }

    /// The node (index + 1) under whose tag flows are remembered, whatever the time.
    #[inline]
    pub fn owner(&self, tag: Tag) -> Option<u16> {
        self.leg(tag).map(|leg| leg.node)
    }

    /// Whether `tag` means a node.
    #[inline]
    pub fn uses(&self, tag: Tag) -> bool {
        self.leg(tag).is_some()
    }

    /// Whether `tag` meant a node in the table before, where the route drained already.
    pub fn keeps(&self, tag: Tag) -> bool {
        self.kept.get(tag.index()).copied().unwrap_or(false)
    }

    #[inline]
    fn leg(&self, tag: Tag) -> Option<&Leg> {
        self.tagged.get(tag.index()).filter(|leg| leg.node != 0)
    }

    fn tag_of(&self, id: u32) -> Option<Tag> {
        let mut tags = Tag::ALL.into_iter();
        tags.find(|tag| self.leg(*tag).is_some_and(|leg| leg.id == id))
    }

    /// Puts a leg under its tag: the one it has, had in the table before, or one that was free
    /// there and is here. Gives the tag.
    fn add(&mut self, mut leg: Leg, before: Option<&Drain>) -> Option<Tag> {
        self.oldest.extend(&leg);
        leg.extend(&self.oldest);
        let free = |tag: &Tag| !self.uses(*tag) && !self.keeps(*tag);
        let tag = self
            .tag_of(leg.id)
            .or_else(|| before?.tag_of(leg.id))
            .or_else(|| Tag::ALL.into_iter().find(free))?;
        let place = self.tagged.get_mut(tag.index())?;
        leg.extend(place);
        *place = leg;
        Some(tag)
    }
}

/// Whether flows of a route (from 0) that are remembered under `tag` are of use to a table with
/// these `drains`. Between a table and the next one, after the last packet that was looked at by
/// the table before it, the flows that are of no use to it must be purged: the next one's nodes
/// may get their tags.
pub fn uses(drains: &[Drain], route: u16, tag: Tag) -> bool {
    find(drains, route).is_some_and(|drain| drain.uses(tag))
}

fn find(drains: &[Drain], route: u16) -> Option<&Drain> {
    let at = drains.binary_search_by_key(&route, |drain| drain.route);
    drains.get(at.ok()?)
}

/// How many routes drain, and whether `input.formers` is well-formed: sorted by route, and at most
/// [`FORMERS_MAX`] of one route.
pub(super) fn count(input: &Input<'_>) -> Result<usize, Refusal> {
    let (mut drains, mut last, mut depth): (usize, u32, usize) = (0, 0, 0);
    for former in input.formers {
        if former.route == 0 || former.route > input.routes || former.route < last {
            return Err(Refusal::DrainRoute(former.route));
        }
        if former.route != last {
            (drains, last, depth) = (drains.saturating_add(1), former.route, 0);
        }
        depth = depth.saturating_add(1);
        if depth > FORMERS_MAX {
            return Err(Refusal::DrainDepth(former.route));
        }
    }
    Ok(drains)
}

/// Fills `drains`, one a draining route in ascending order, and `draining`, each route's index
/// among them + 1. A tag that meant a node in `previous` goes on meaning it, or nothing.
pub(super) fn fill(
    input: &Input<'_>,
    ids: &[Id],
    routes: &[u16],
    previous: &[Drain],
    drains: &mut [Drain],
    draining: &mut [u16],
) -> Result<(), Refusal> {
    draining.fill(0);
    let mut formers = input.formers.iter().peekable();
    for (index, drain) in numbered_mut(drains) {
        let Some(&&first) = formers.peek() else { break };
        let route = first.route.wrapping_sub(1) as u16;
        let node = routes.get(usize::from(route)).copied().unwrap_or(0);
        let current = Leg {
            id: input
                .route_nodes
                .get(usize::from(route))
                .copied()
                .unwrap_or(0),
            node,
            deadline: u64::MAX,
        };
        let before = find(previous, route);
        *drain = Drain {
            route,
            // It needs no tag: it has whatever is not remembered.
            oldest: leg(first, ids)?,
            udp: first.udp,
            kept: Tag::ALL.map(|tag| before.is_some_and(|before| before.uses(tag))),
            ..Drain::default()
        };
        formers.next();
        while let Some(former) = formers.next_if(|former| former.route == first.route) {
            drain.add(leg(*former, ids)?, before);
        }
        if node != 0 {
            drain.current = drain.add(current, before);
        }
        if let Some(place) = draining.get_mut(usize::from(route)) {
            // At most 32,768 routes drain.
            *place = (index as u16).wrapping_add(1);
        }
    }
    Ok(())
}

fn leg(former: Former, ids: &[Id]) -> Result<Leg, Refusal> {
    let node = ids
        .binary_search_by_key(&former.node, |id| id.id)
        .ok()
        .and_then(|at| ids.get(at))
        .ok_or(Refusal::DrainNode {
            route: former.route,
            node: former.node,
        })?;
    Ok(Leg {
        id: former.node,
        // At most 4,096.
        node: (node.index as u16).wrapping_add(1),
        deadline: former.deadline,
    })
}

fn numbered_mut(drains: &mut [Drain]) -> impl Iterator<Item = (usize, &mut Drain)> {
    (0..=usize::MAX).zip(drains)
}
