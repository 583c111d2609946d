"""The steps of the demo, and what must be true after each: all of it worked out by hand.

The tables are assignment(24, M), from the algorithm's text:

1 slot    {1-24}
2 slots   {1-12} {13-24}: slot 1 gives its highest, 24, 23, ... until floor(24/2) = 12 have moved,
          and these are slot 2's. (Its own text: the list is slot 1 alone.)
3 slots   {1-8} {13-20} {9-12, 21-24}: slots 2 and 1 hold 12 each, so the list is 2, 1; one from
          each in turn, 24, 12, 23, 11, 22, 10, 21, 9, until floor(24/3) = 8 have moved.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lab.cluster import Cluster

KEEPALIVE = 5  # of idle clients, seconds


def ranges(text: str) -> set[int]:
    """`9-12,21` as the set {9, 10, 11, 12, 21}."""
    routes: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        routes |= {*range(int(first), int(last or first) + 1)}
    return routes


@dataclass(frozen=True)
class Step:
    """Something happens to the cluster."""

    title: str
    # Makes it happen. Returns the moment (time.monotonic) of a machine's end, None where none ends.
    act: Callable[[Cluster], float | None]
    slots: tuple[str, ...]  # the nodes in slots 1, 2, ...
    table: dict[str, str]  # what each node holds
    moved: dict[tuple[str, str], str]  # (from, to): routes; "" is no node
    reserve: tuple[str, ...] = ()
    draining: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    note: str = ""

    def holders(self) -> list[str]:
        """The node of each route."""
        routes = {route: node for node, text in self.table.items() for route in ranges(text)}
        return [routes[route] for route in sorted(routes)]

    def cut(self) -> set[int]:
        """The routes whose users lose their connections: those of nodes that are lost in this step."""
        return set().union(*(ranges(text) for (old, _), text in self.moved.items() if old in self.lost))

    def states(self) -> dict[str, tuple[str, int | None]]:
        """Each node's state and slot."""
        states: dict[str, tuple[str, int | None]] = {}
        states |= {name: ("active", slot) for slot, name in enumerate(self.slots, 1)}
        states |= {name: ("reserve", None) for name in self.reserve}
        states |= {name: ("draining", None) for name in self.draining}
        return states | {name: ("lost", None) for name in self.lost}


def starts(number: int) -> Callable[[Cluster], None]:
    """A machine boots: its push server, then its agent."""

    def act(cluster: Cluster) -> None:
        cluster.machine(number).start()

    return act


def power_off(number: int) -> Callable[[Cluster], float]:
    """A machine loses its power: its link is down, its processes are gone."""
    return lambda cluster: cluster.machine(number).power_off()


def killed(number: int) -> Callable[[Cluster], float]:
    """All processes of a machine are killed, the push server first; its kernel closes their connections."""

    def act(cluster: Cluster) -> float:
        machine = cluster.machine(number)
        assert machine.server is not None
        moment = machine.server.kill_group()
        machine.kill()
        return moment

    return act


def drained(number: int) -> Callable[[Cluster], None]:
    """The operator takes a node out, for good or for its maintenance."""

    def act(cluster: Cluster) -> None:
        cluster.daemon.ctl("node", "drain", f"n{number}")

    return act


def restarted(number: int) -> Callable[[Cluster], None]:
    """A machine that may stop is switched off, and on again."""

    def act(cluster: Cluster) -> None:
        machine = cluster.machine(number)
        assert machine.agent is not None and machine.server is not None
        machine.agent.stop()
        machine.server.kill()
        machine.start()

    return act


STEPS = (
    Step(
        "n1 starts, alone: it takes every route",
        starts(1),
        slots=("n1",),
        table={"n1": "1-24"},
        moved={("", "n1"): "1-24"},
    ),
    Step(
        "n2 starts: it gets floor(24 / 2) = 12 routes",
        starts(2),
        slots=("n1", "n2"),
        table={"n1": "1-12", "n2": "13-24"},
        moved={("n1", "n2"): "13-24"},
        note="Their users stay connected to n1, until it has asked each of them to reconnect.",
    ),
    Step(
        "n3 starts: it gets floor(24 / 3) = 8 routes, 4 of each",
        starts(3),
        slots=("n1", "n2", "n3"),
        table={"n1": "1-8", "n2": "13-20", "n3": "9-12,21-24"},
        moved={("n1", "n3"): "9-12", ("n2", "n3"): "21-24"},
    ),
    Step(
        "n4 starts: three are at work, so it waits in reserve",
        starts(4),
        slots=("n1", "n2", "n3"),
        reserve=("n4",),
        table={"n1": "1-8", "n2": "13-20", "n3": "9-12,21-24"},
        moved={},
    ),
    Step(
        "halodctl node drain n2: the reserve node takes its slot",
        drained(2),
        slots=("n1", "n4", "n3"),
        draining=("n2",),
        table={"n1": "1-8", "n4": "13-20", "n3": "9-12,21-24"},
        moved={("n2", "n4"): "13-20"},
        note="A planned removal: n2 hears when its last user has gone, and that it may stop.",
    ),
    Step(
        "n2 is switched off and on again: it waits in reserve",
        restarted(2),
        slots=("n1", "n4", "n3"),
        reserve=("n2",),
        table={"n1": "1-8", "n4": "13-20", "n3": "9-12,21-24"},
        moved={},
    ),
    Step(
        "n1 loses power: n2 takes its slot, just its routes",
        power_off(1),
        slots=("n2", "n4", "n3"),
        lost=("n1",),
        table={"n2": "1-8", "n4": "13-20", "n3": "9-12,21-24"},
        moved={("n1", "n2"): "1-8"},
        note="Its link is down, so that only silence tells. Nobody can ask its users: they notice"
        f" at their next keepalive, after {KEEPALIVE} s of silence (45 s in browsers), and resume on n2.",
    ),
    # n3, of the highest slot, fills slot 1. Its own routes go back to assignment(24, 2): 9-12 to slot 1,
    # which is n3 again, so they stay where they are; 21-24 to slot 2, n4, and n3's users there are asked.
    Step(
        "n2 is killed, no reserve is left: n3 leaves slot 3, and fills slot 1",
        killed(2),
        slots=("n3", "n4"),
        lost=("n1", "n2"),
        table={"n3": "1-12", "n4": "13-24"},
        moved={("n2", "n3"): "1-8", ("n3", "n4"): "21-24"},
        note="SIGKILL to all its processes: their connections end, so that everybody knows at once."
        " Routes 21-24 move from a node that lives, and so without a disconnect.",
    ),
)
