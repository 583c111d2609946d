"""The push servers of docs/examples, as they stand there, on a node's machine.

All nodes share one store of messages, a file, as they would share a database.
"""

from pathlib import Path

from . import paths
from .addresses import APPS_PORT, BROWSERS_PORT, ONE_NODE_PORT, ROUTES, VIP4, VIP6, Host
from .netns import Namespace
from .process import Process

EXAMPLES = paths.REPO / "docs/examples"


def events(directory: Path, name: str) -> Path:
    """The agent's event stream of a node."""
    return directory / f"events-{name}.sock"


class LongPolling(Process):
    """long_polling.py, on all of the node's addresses."""

    program = "long_polling.py"
    first = BROWSERS_PORT  # of the browsers' ports

    def __init__(self, namespace: Namespace, name: str, host: Host, directory: Path, routes: int = ROUTES):
        argv = [
            EXAMPLES / self.program,
            "--name", name,
            "--address", host.v4,
            "--address", host.v6,
            "--browsers", f"{self.first}-{self.first + self.ports(routes) - 1}",
            "--apps", f"{APPS_PORT}-{APPS_PORT + routes - 1}",
            "--store", directory / "messages.db",
            *self.more(directory, name),
        ]  # fmt: skip
        super().__init__(namespace, f"{Path(self.program).stem}-{name}", argv, directory, fork=True)

    def ports(self, routes: int) -> int:
        """How many the browsers have."""
        return routes

    def more(self, directory: Path, name: str) -> list[object]:
        """Arguments of this program alone."""
        # A poll that ends by itself while its route moves is not there to be closed.
        return ["--wait", 240]


class Streaming(LongPolling):
    """push_server.py: Server-Sent Events and WebSocket."""

    program = "push_server.py"

    def more(self, directory: Path, name: str) -> list[object]:
        return ["--events", events(directory, name)]


class Direct(Streaming):
    """The same, on the VIPs too, which the node has."""

    def more(self, directory: Path, name: str) -> list[object]:
        return ["--address", VIP4, "--address", VIP6, *super().more(directory, name)]


class OnePort(Streaming):
    """The same, with one port for the browsers of all routes."""

    first = ONE_NODE_PORT

    def ports(self, routes: int) -> int:
        """Just that one."""
        return 1
