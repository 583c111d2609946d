"""A path of packets through the balancer, and measuring its rows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

from lab.netns import Namespace

from .frames import FLOWS, KINDS, TCP4, TCP6, UDP4, Book, Frames, Kind, Traffic
from .source import BATCH, Verify, send
from .world import World

# Sent by the nodes' end.
FROM_NODES = frozenset(traffic for traffic in Traffic if "REVERSE" in traffic.name or traffic is Traffic.ANSWER)
HANDSHAKE = (Traffic.OPEN, Traffic.ANSWER, Traffic.FORWARD, Traffic.REVERSE, Traffic.FORWARD)
WARM = 2 * FLOWS


@dataclass(frozen=True)
class Row:
    """One kind of packets on a path."""

    traffic: Traffic
    kind: Kind = TCP4


# What most paths are measured with. New flows come last: they fill the tables of those that have any.
FORWARD = tuple(Row(Traffic.FORWARD, kind) for kind in KINDS)
NEW = tuple(Row(Traffic.NEW, kind) for kind in KINDS)
REVERSE = tuple(Row(Traffic.REVERSE, kind) for kind in KINDS)
USUAL = (
    Row(Traffic.FORWARD), Row(Traffic.REVERSE), Row(Traffic.FORWARD, UDP4), Row(Traffic.FORWARD, TCP6),
    Row(Traffic.NEW), Row(Traffic.NEW, UDP4),
)


@dataclass(frozen=True)
class Path:
    """A way through the balancer."""

    name: str
    title: str
    setup: Callable[[World], None]
    rows: tuple[Row, ...] = USUAL
    verify: Verify = Verify.EXPECTED
    handshake: bool = False  # flows exist only where their first packets were seen
    control: bool = False  # the sink is at the balancer's own end of the links
    quick: bool = True  # measured in the quick run too


@dataclass
class Measured:
    """A row's figures: one of each round, in ticks a packet."""

    path: str
    traffic: str
    kind: str
    rounds: list[float]

    def times(self, factor: float) -> "Measured":
        """The same in another unit."""
        return replace(self, rounds=[figure * factor for figure in self.rounds])


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    packets: int  # in a window
    rounds: int

    def new(self) -> int:
        """Frames that open connections, for all rounds of a row."""
        return self.rounds * (BATCH + self.packets)


def measure(path: Path, book: Book, plan: Plan) -> list[Measured]:
    """Builds the path and measures all of its rows, each in as many rounds as planned."""
    world = World(path.name)
    if path.control:
        world.sink_balancer()
    else:
        world.sink_ends()
    path.setup(world)
    if path.handshake:
        for kind in sorted({row.kind for row in path.rows}):
            shake(world, book, kind, path.verify)
    return [
        Measured(
            path.name,
            row.traffic.name.lower(),
            str(row.kind),
            [_window(path, world, row, book.frames(row.traffic, row.kind), number, plan) for number in range(plan.rounds)],
        )
        for row in path.rows
    ]


def shake(world: World, book: Book, kind: Kind, verify: Verify) -> None:
    """The first packets of the flows, as far as the balancer sees them."""
    for traffic in HANDSHAKE:
        if traffic in FROM_NODES and verify in (Verify.UNCHANGED, Verify.INSIDE):
            continue  # direct return: the balancer sees no answers
        send(_end(world, traffic), book.frames(traffic, kind), FLOWS, verify)


def _window(path: Path, world: World, row: Row, frames: Frames, number: int, plan: Plan) -> float:
    """One row in one round: packets that are verified, then packets that are timed.

    The figure is the median batch's: a timer's tick falls into few batches, and
    counts in none of the others.
    """
    end = _end(world, row.traffic)
    if row.traffic is Traffic.NEW:
        start = number * (BATCH + plan.packets)
        send(end, frames.part(start, BATCH), BATCH, path.verify)
        return median(send(end, frames.part(start + BATCH, plan.packets), plan.packets))
    send(end, frames, max(WARM, frames.count), path.verify)
    figure = median(send(end, frames, plan.packets))
    send(end, frames, FLOWS, path.verify)
    return figure


def _end(world: World, traffic: Traffic) -> Namespace:
    return world.nodes if traffic in FROM_NODES else world.client
