"""One laboratory: the network, a directory for everything that programs leave, and the end of both."""

import shutil
import tempfile
from pathlib import Path

from . import addresses
from .checks import Failed, equal
from .cluster import Cluster
from .daemon import Settings
from .echo import Echo
from .kernel import Kernel, Listener, Node, Table, lab_listeners, lab_nodes
from .machine import Pushes
from .publisher import Published, message, publish
from .pushserver import PushServer
from .subscribers import RECONNECT, Browsers, User
from .topology import Topology, sweep
from .wait import TooLate, until

PREFIX = "hd-lab-"


class Lab:
    """What a scenario is given."""

    def __init__(self, fast_path: str = "off") -> None:
        self.fast_path = fast_path  # of its tables that do not say it
        self.directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/run"))
        self.directory.chmod(0o755)
        self.machines = 4  # of nodes, in the network; to be set before it is made
        self._net: Topology | None = None

    @property
    def net(self) -> Topology:
        """The network of the package's drawing, made on first use."""
        if self._net is None:
            self._net = Topology(self.machines)
        return self._net

    def cluster(
        self, nodes: int = 0, push: Pushes = PushServer, options: tuple[object, ...] = (), **settings: object
    ) -> Cluster:
        """A cluster with its daemon and n1 .. n<nodes> started.

        `push` and `options` as in `Machine`, settings as in `daemon.Settings`.
        """
        return Cluster(self.net, self.directory, Settings(**settings), push, options).start(nodes)  # type: ignore[arg-type]

    def echoes(self, nodes: int, **options: object) -> list[Echo]:
        """Echo servers on the machines of n1 .. n<nodes>."""
        return [
            Echo(self.net.node(number), f"n{number}", addresses.node(number), **options)  # type: ignore[arg-type]
            for number in range(1, nodes + 1)
        ]

    def kernel(self) -> Kernel:
        """The module's table of the halod namespace."""
        return Kernel(self.net.halod)

    def table(
        self, routes: list[int], listeners: list[Listener] | None = None, nodes: list[Node] | None = None
    ) -> Table:
        """A table; by default the laboratory's nodes and its listeners for TCP and UDP."""
        return Table(
            routes, lab_listeners("tcp", "udp") if listeners is None else listeners, nodes or lab_nodes(4),
            fast_path=self.fast_path,
        )

    def browsers(self, users: list[User], kind: type[Browsers] = Browsers, seconds: float = 60) -> Browsers:
        """The users' browsers, in the clients' namespace, all of them connected."""
        browsers = kind(users)
        self.net.clients.resident.run(browsers.start())
        until("every subscriber to be connected", lambda: all(user.connected for user in users), seconds)
        return browsers

    def deliver(self, users: list[User], text: str) -> list[Published]:
        """Publishes to every user, and waits until each has got it, once. Returns the push servers' answers."""
        published = self.net.app.resident.run(publish(users, text))

        def missing() -> list[int]:
            return [user.number for user in users if not user.got(message(text, user))]

        try:
            until("every message to arrive", lambda: not missing(), 60)
        except TooLate as late:
            raise Failed(f"{late}: {text!r} did not reach users {missing()}; the push servers said {published}") from None
        for user in users:
            wrong = [got for _, got in user.messages if got != RECONNECT and not got.endswith(f" for {user.number}")]
            equal(wrong, [], f"messages for others that user {user.number} got")
            equal(user.got(message(text, user)), 1, f"how often user {user.number} got {text!r}")
        return published

    def close(self) -> None:
        """Ends everything."""
        if self._net is not None:
            self._net.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def clean() -> None:
    """Removes what a laboratory that was killed has left."""
    sweep()
    for directory in Path("/run").glob(PREFIX + "*"):
        shutil.rmtree(directory, ignore_errors=True)
