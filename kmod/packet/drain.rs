// SPDX-License-Identifier: GPL-2.0
//! Routes that drain: connections that existed before a move stay with the former node.
//!
//! A SYN goes to the route's node, and its flow is remembered under that node's tag. Any other
//! packet of a remembered flow goes to the tag's node; a packet of an unknown flow belongs to a
//! connection from before the first move, and goes to the oldest former node. So a route may move
//! again while it drains, up to [`FORMERS_MAX`] times: each node on its way keeps its connections.

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
}

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
}

/// A route that drains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drain {
    /// The route, from 0.
    pub(super) route: u16,
    /// The node of all flows that are not remembered.
    oldest: Leg,
    /// The nodes of those that are, by tag.
    tagged: [Leg; Tag::ALL.len()],
    /// Whether a tag meant the same node in the table before.
    kept: [bool; Tag::ALL.len()],
    /// The tag of the route's node.
    current: Tag,
}

impl Default for Drain {
    fn default() -> Self {
        Drain {
            route: 0,
            oldest: Leg::default(),
            tagged: [Leg::default(); Tag::ALL.len()],
            kept: [false; Tag::ALL.len()],
            current: Tag::FIRST,
        }
    }
}

impl Drain {
    /// The route, from 1.
    pub fn route(&self) -> u32 {
        u32::from(self.route).wrapping_add(1)
    }

    /// The tag under which new flows are remembered.
    #[inline]
    pub fn current(&self) -> Tag {
        self.current
    }

    /// The node (index + 1) of a flow remembered under `tag`, or of one that is not remembered;
    /// None for the route's own node, after a deadline.
    #[inline]
    pub fn node_of(&self, tag: Option<Tag>, now: u64) -> Option<u16> {
        tag.and_then(|tag| self.tagged.get(tag.index()))
            .filter(|leg| leg.node != 0)
            .unwrap_or(&self.oldest)
            .at(now)
    }

    /// Whether `tag` means a node.
    #[inline]
    pub fn uses(&self, tag: Tag) -> bool {
        self.tagged
            .get(tag.index())
            .is_some_and(|leg| leg.node != 0)
    }

    /// Whether flows remembered under `tag` before this table are still right.
    pub fn keeps(&self, tag: Tag) -> bool {
        self.kept.get(tag.index()).copied().unwrap_or(false)
    }

    fn set(&mut self, tag: Tag, leg: Leg, kept: bool) {
        if let (Some(place), Some(flag)) = (
            self.tagged.get_mut(tag.index()),
            self.kept.get_mut(tag.index()),
        ) {
            (*place, *flag) = (leg, kept);
        }
    }

    fn free_tag(&self) -> Option<Tag> {
        let mut tags = Tag::ALL.into_iter().zip(&self.tagged);
        tags.find(|(_, leg)| leg.node == 0).map(|(tag, _)| tag)
    }
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
/// among them + 1. Tags that meant a node in `previous` go on meaning it.
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
        let before = previous
            .binary_search_by_key(&route, |drain| drain.route)
            .ok()
            .and_then(|at| previous.get(at));
        *drain = Drain {
            route,
            oldest: leg(first, ids)?,
            ..Drain::default()
        };
        formers.next();
        // The oldest needs no tag: it has whatever is not remembered.
        let mut waiting = [Leg::default(); FORMERS_MAX];
        let mut places = waiting.iter_mut();
        while let Some(former) = formers.next_if(|former| former.route == first.route) {
            if let Some(place) = places.next() {
                *place = leg(*former, ids)?;
            }
        }
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
        if current.node == 0 {
            return Err(Refusal::DrainNoNode(first.route));
        }
        if let Some(place) = places.next() {
            *place = current;
        }
        assign(drain, before, &waiting);
        if let Some(place) = draining.get_mut(usize::from(route)) {
            // At most 32,768 routes drain.
            *place = (index as u16).wrapping_add(1);
        }
    }
    Ok(())
}

/// Gives the legs their tags, first those that had one. The last leg is the route's node.
fn assign(drain: &mut Drain, before: Option<&Drain>, legs: &[Leg]) {
    let legs = || legs.iter().filter(|leg| leg.node != 0);
    let tag_before = |leg: &Leg| {
        let before = before?;
        let mut tags = Tag::ALL.into_iter().zip(&before.tagged);
        tags.find(|(_, had)| had.node != 0 && had.id == leg.id)
            .map(|(tag, _)| tag)
    };
    for leg in legs() {
        if let Some(tag) = tag_before(leg) {
            drain.set(tag, *leg, true);
        }
    }
    for leg in legs() {
        // A node that left and came back is there twice: the same tag, and no deadline.
        let mut tags = Tag::ALL.into_iter().zip(&drain.tagged);
        let has = tags.find(|(_, at)| at.id == leg.id).map(|(tag, _)| tag);
        if let Some(tag) = has.or_else(|| drain.free_tag()) {
            drain.set(tag, *leg, drain.keeps(tag));
            drain.current = tag;
        }
    }
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
