"""HaloD's own paths: tables of several sizes, draining and not, and traffic that is not HaloD's."""

from functools import partial
from typing import Any

from lab import module
from lab.addresses import VIP4, VIP6
from lab.kernel import Kernel, Listener, Node, Table

from .frames import CROWD, KINDS, LISTENERS, NODES, ONE_PORT, PORT, ROUTES, TCP4, TCP6, Kind, Traffic, node_address
from .path import FORWARD, NEW, REVERSE, Path, Row
from .source import Verify
from .world import World

LARGEST = 32768
FLOW_SLOTS = 65_536  # the module's parameter `flows`
HOUR = 3_600_000  # ms; no drain ends during the benchmark


def loaded(_: World) -> None:
    """The module, and no table."""
    module.load()


def table(routes: int = ROUTES, listeners: int = 1, fast_path: str = "off", deliver: str = "nat") -> Table:
    """Route r, from 0, belongs to node r % NODES."""
    return Table(
        [1 + route % NODES for route in range(routes)],
        [
            Listener(f"{protocol}{number}", vip, protocol, PORT + 1000 * number, deliver=deliver)
            for number in range(listeners)
            for vip in (VIP4, VIP6)
            for protocol in ("tcp", "udp")
        ],
        [_node(node) for node in range(NODES)],
        fast_path=fast_path,
    )


def _node(node: int) -> Node:
    return Node(node + 1, f"n{node + 1}", (node_address(4, node), node_address(6, node)))


def _one_port(world: World, select: str, fast_path: str = "off") -> None:
    """One port for all routes, and one node: where a client's hash leads is none of the frames' business."""
    loaded(world)
    Kernel(world.balancer).commit(
        Table(
            [1] * ROUTES,
            [
                Listener(protocol, vip, protocol, ONE_PORT, select=select)
                for vip in (VIP4, VIP6)
                for protocol in ("tcp", "udp")
            ],
            [_node(0)],
            select_key=bytes(range(16)),
            fast_path=fast_path,
        )
    )


def commit(world: World, **options: Any) -> None:
    """The usual table, or as `table` has it."""
    loaded(world)
    Kernel(world.balancer).commit(table(**options))


def next_node(node: int) -> int:
    """The node after it, in a ring."""
    return node % NODES + 1


def _drain_to_others(world: World) -> None:
    """All routes have moved away from the nodes that the flows in the frames are with."""
    loaded(world)
    drained = table()
    drained.drains = {route: [(node, HOUR)] for route, node in enumerate(drained.routes, 1)}
    drained.routes = [next_node(node) for node in drained.routes]
    Kernel(world.balancer).commit(drained)


def drain_from_others(world: World) -> None:
    """All routes have moved to the nodes that the flows in the frames are with, and will be remembered."""
    loaded(world)
    drained = table()
    drained.drains = {route: [(next_node(node), HOUR)] for route, node in enumerate(drained.routes, 1)}
    Kernel(world.balancer).commit(drained)


def _rows(*traffic: Traffic, kinds: tuple[Kind, ...] = (TCP4, TCP6)) -> tuple[Row, ...]:
    return tuple(Row(one, kind) for one in traffic for kind in kinds)


ONE_PORT_ROWS = _rows(Traffic.ONE_PORT, Traffic.ONE_PORT_REVERSE, kinds=KINDS)
FAST = partial(commit, fast_path="auto")
PATHS = (
    Path("halod", f"HaloD, {ROUTES} routes", commit, FORWARD + REVERSE + NEW),
    Path(
        "halod-crowd", f"HaloD, {CROWD:,} clients", commit,
        _rows(Traffic.CROWD, Traffic.CROWD_REVERSE),
    ),
    Path(
        "halod-wide", f"HaloD, {LARGEST:,} routes", partial(commit, routes=LARGEST),
        _rows(Traffic.WIDE, Traffic.WIDE_REVERSE, Traffic.NEW, kinds=KINDS),
    ),
    Path(
        "halod-listeners", f"HaloD, {LISTENERS} listeners", partial(commit, listeners=LISTENERS),
        _rows(Traffic.LAST, Traffic.LAST_REVERSE),
    ),
    Path(
        "halod-drain-former", "HaloD draining, flows of the former node", _drain_to_others,
        _rows(Traffic.FORWARD, Traffic.REVERSE),
    ),
    Path(
        "halod-drain-current", "HaloD draining, flows of the new node", drain_from_others,
        _rows(Traffic.FORWARD, Traffic.REVERSE, Traffic.NEW), handshake=True,
    ),
    Path("halod-dsr", "HaloD, to link addresses (dsr)", partial(commit, deliver="dsr"), FORWARD + NEW, Verify.UNCHANGED),
    Path("halod-ipip", "HaloD, inside packets (ipip)", partial(commit, deliver="ipip"), FORWARD + NEW, Verify.INSIDE),
    Path("halod-source", "HaloD, one port, by source", partial(_one_port, select="source"), ONE_PORT_ROWS),
    Path("halod-flow", "HaloD, one port, by flow", partial(_one_port, select="flow"), ONE_PORT_ROWS),
    Path(
        "not-halod", "not HaloD's", commit,
        _rows(Traffic.ROUTED, Traffic.ROUTED_REVERSE, kinds=KINDS) + _rows(Traffic.BESIDE, Traffic.BESIDE_REVERSE),
        Verify.UNCHANGED,
    ),
)
# Not before the others: with a hook at ingress anywhere, all packets everywhere pay a little.
FAST_PATHS = (
    Path("halod-fast", f"HaloD's fast path, {ROUTES} routes", FAST, FORWARD + REVERSE + NEW),
    Path(
        "halod-fast-crowd", f"HaloD's fast path, {CROWD:,} clients", FAST,
        _rows(Traffic.CROWD, Traffic.CROWD_REVERSE),
    ),
    Path(
        "halod-fast-wide", f"HaloD's fast path, {LARGEST:,} routes", partial(FAST, routes=LARGEST),
        _rows(Traffic.WIDE, Traffic.WIDE_REVERSE),
    ),
    Path(
        "halod-fast-listeners", f"HaloD's fast path, {LISTENERS} listeners", partial(FAST, listeners=LISTENERS),
        _rows(Traffic.LAST, Traffic.LAST_REVERSE),
    ),
    Path(
        "halod-fast-source", "HaloD's fast path, one port, by source",
        partial(_one_port, select="source", fast_path="auto"), ONE_PORT_ROWS,
    ),
    Path(
        "halod-fast-flow", "HaloD's fast path, one port, by flow",
        partial(_one_port, select="flow", fast_path="auto"), ONE_PORT_ROWS,
    ),
    Path(
        "not-halod-fast", "not HaloD's, beside the fast path", FAST,
        _rows(Traffic.ROUTED, Traffic.ROUTED_REVERSE) + _rows(Traffic.BESIDE, Traffic.BESIDE_REVERSE),
        Verify.UNCHANGED,
    ),
)
