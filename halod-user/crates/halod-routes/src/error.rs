use crate::{MAX_ROUTES, MAX_SLOTS, RouteId, SlotId};

/// Why an assignment cannot be made or changed. Nothing has changed when one is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The number of routes is out of range.
    #[error("{0} routes: a cluster has 1 to {MAX_ROUTES} routes")]
    Routes(u32),
    /// Each slot holds at least one route, so there are never more slots than routes.
    #[error("{slots} slots for {routes} routes: there are at most as many slots as routes")]
    MoreSlotsThanRoutes {
        /// The slots asked for.
        slots: u32,
        /// The routes there are.
        routes: u32,
    },
    /// The number of slots is out of range.
    #[error("{0} slots: there are at most {MAX_SLOTS}")]
    Slots(u32),
    /// There is no slot to remove.
    #[error("there is no slot to remove")]
    NoSlot,
    /// A slot of a given table holds nothing.
    #[error("slot {0} holds no route")]
    EmptySlot(SlotId),
    /// A route of a given table is out of range.
    #[error("there is no route {route}: routes are 1 to {routes}")]
    NoSuchRoute {
        /// The route.
        route: RouteId,
        /// N.
        routes: u32,
    },
    /// A route is in two slots of a given table.
    #[error("route {0} is held twice")]
    HeldTwice(RouteId),
    /// A route is in no slot of a given table.
    #[error("route {0} is held by no slot")]
    HeldByNone(RouteId),
}
