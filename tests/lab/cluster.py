"""A whole cluster: daemon, machines, and the kernel's table as the judge of both."""

from pathlib import Path

from . import addresses
from .daemon import Daemon, Settings
from .kernel import Kernel
from .machine import Machine, Pushes
from .pki import Pki
from .pushserver import PushServer
from .topology import Topology
from .wait import until

# assignment(24, M), worked out by hand from the algorithm's text:
# 2 slots: slot 1 gives its highest, 24, 23, ... until floor(24/2) = 12 have moved.
# 3 slots: the list is slot 2, slot 1 (12 each, id descending); one route from each in turn,
#          24, 12, 23, 11, 22, 10, 21, 9: floor(24/3) = 8 have moved.
# 4 slots: the list is 3, 2, 1 (8 each): 24, 20, 8, 23, 19, 7 have moved: 6.
ASSIGNMENT_24: dict[int, list[set[int]]] = {
    0: [],
    1: [{*range(1, 25)}],
    2: [{*range(1, 13)}, {*range(13, 25)}],
    3: [{*range(1, 9)}, {*range(13, 21)}, {9, 10, 11, 12, 21, 22, 23, 24}],
    4: [{*range(1, 7)}, {*range(13, 19)}, {9, 10, 11, 12, 21, 22}, {7, 8, 19, 20, 23, 24}],
}


def holders_24(*slots: str) -> list[str]:
    """Which node holds each of 24 routes when these fill slots 1, 2, ..."""
    holders = [""] * 24
    for node, routes in zip(slots, ASSIGNMENT_24[len(slots)], strict=True):
        for route in routes:
            holders[route - 1] = node
    return holders


class Cluster:
    """halod, and the machines of nodes that were started, all with the same push server and agent's options."""

    def __init__(
        self,
        net: Topology,
        directory: Path,
        settings: Settings = Settings(),
        push: Pushes = PushServer,
        options: tuple[object, ...] = (),
    ):
        self.net = net
        self._push, self._options = push, options
        self.directory = directory
        self.pki = Pki(directory).create() if settings.tls else None
        self.daemon = Daemon(net.halod, directory, settings)
        self.kernel = Kernel(net.halod)
        self.machines: dict[str, Machine] = {}

    @property
    def control(self):  # noqa: ANN201
        """The daemon's control socket."""
        return self.daemon.control

    def machine(self, number: int) -> Machine:
        """The machine of n<number>, not started by this."""
        name = f"n{number}"
        if name not in self.machines:
            routes = self.daemon.settings.routes
            options = self._options + (self.pki.issue(name).options(name) if self.pki else ())
            self.machines[name] = Machine(self.net, number, self.directory, routes, self._push, options)
        return self.machines[name]

    def start(self, nodes: int) -> "Cluster":
        """Starts the daemon and n1 .. n<nodes>, one after another, so that slots are filled in their order."""
        numbers = range(1, nodes + 1)
        for number in numbers:
            self.machine(number).start_server()
        self.daemon.start()
        for number in numbers:
            self.machine(number).start_agent()
            self.until_known(number)
        return self

    def join(self, number: int) -> Machine:
        """Starts a machine and waits until the daemon has given its node something to do."""
        machine = self.machine(number).start()
        self.until_known(number)
        return machine

    def until_known(self, number: int) -> None:
        """Waits until the daemon has given n<number> something to do."""
        self.until_state(f"n{number}", "active", "reserve")

    def states(self) -> dict[str, str]:
        """Every node's state, as the daemon sees it."""
        return {node["name"]: node["state"] for node in self.control.ask("nodes")}

    def until_state(self, name: str, *states: str, seconds: float = 60.0) -> None:
        """Waits until the daemon has a node in one of these states."""
        until(f"{name} to be {' or '.join(states)}", lambda: self.states().get(name) in states, seconds)

    def holders(self) -> list[str]:
        """The name of each route's node in the kernel's table."""
        return self.kernel.table().holders()

    def until_holders(self, *slots: str, seconds: float = 60.0) -> None:
        """Waits until the kernel's table is that of 24 routes on these nodes in slots 1, 2, ..."""
        expected = holders_24(*slots)
        until(f"the kernel's table to be {slots}", lambda: self.holders() == expected, seconds)


def vips() -> tuple[str, str]:
    """Both VIPs."""
    return addresses.VIP4, addresses.VIP6
