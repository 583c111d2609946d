"""A node's machine: a push server and its agent. It can be killed, silenced and brought back."""

import os
import signal
import time
from pathlib import Path

from . import addresses, example, netns, paths
from .process import Process
from .pushserver import PushServer
from .topology import Topology
from .traffic import FAMILIES
from .wait import until

HOOK = Path(__file__).with_name("ask-users-to-reconnect")


# What can be a node's push server. The examples hear of moves by the agent's events, nginx by its hook.
Pushes = type[PushServer | example.LongPolling]


class Machine:
    """Node n<number>: a push server, and an agent with these options more than its usual ones."""

    def __init__(
        self,
        net: Topology,
        number: int,
        directory: Path,
        routes: int = addresses.ROUTES,
        push: Pushes = PushServer,
        options: tuple[object, ...] = (),
    ):
        self.number = number
        self.name = f"n{number}"
        self.host = addresses.node(number)
        self.namespace = net.node(number)
        self.server: Process | None = None
        self.agent: Process | None = None
        self.events = example.events(directory, self.name)
        self._net, self._directory, self._routes = net, directory, routes
        self._push = push
        self._options = options if push is PushServer else ("--events", self.events, *options)

    def start(self) -> "Machine":
        """Boots: push server, then agent."""
        return self.start_server().start_agent()

    def start_server(self) -> "Machine":
        """Starts the push server."""
        self.server = self._push(self.namespace, self.name, self.host, self._directory, self._routes)
        return self

    def start_agent(self, *more: object) -> "Machine":
        """Starts halod-node when the push server listens, with more arguments where given."""
        if self.server is not None:
            until(f"the push server of {self.name} to listen", self._listening)
        argv = [
            paths.HALOD_NODE,
            "--halod", f"{addresses.NODES_GATEWAY4}:{addresses.NODE_PROTOCOL_PORT}",
            "--name", self.name,
            "--address", self.host.v4,
            "--address", self.host.v6,
            "--watch", f"{self.host.v4}:{self._push.first}",
            "--state-dir", self._directory / f"agent-{self.name}",
            *(("--hook", HOOK) if self._push is PushServer else ()),
            *self._options,
            *more,
        ]  # fmt: skip
        environment = {
            "NODE_ADDRESS": self.host.v4,
            "ROUTES": str(self._routes),
            "APPS_PORT": str(addresses.APPS_PORT),
        }
        self.agent = Process(self.namespace, f"halod-node-{self.name}", argv, self._directory, environment)
        return self

    def kill(self) -> float:
        """SIGKILL to every process; its kernel lives on. Returns the moment just before."""
        pids = self.namespace.pids()
        moment = time.monotonic()
        netns.kill_all(pids)
        until(f"the processes of {self.name} to end", self._dead)
        return moment

    def cut(self) -> float:
        """Pulls its cable: nobody hears anything from it. Returns the moment just before."""
        return self._net.link(self.host, False)

    def plug(self) -> None:
        """Puts the cable back."""
        self._net.link(self.host, True)

    def power_off(self) -> float:
        """The whole machine dies at once: no packet of its end leaves it. Returns the moment just before."""
        moment = self.cut()
        self.kill()
        return moment

    def _listening(self) -> bool:
        import socket

        assert self.server is not None
        if not self.server.running:
            raise AssertionError(f"{self.server.name} ended with {self.server.exit}: {self.server.text()[-500:]}")
        with self.namespace.entered():
            sock = socket.socket(FAMILIES[6], socket.SOCK_STREAM)
        with sock:
            sock.settimeout(2)
            sock.connect((self.host.v6, addresses.APPS_PORT + self._routes - 1))  # the one that comes last
        return True

    def _dead(self) -> bool:
        for process in (self.server, self.agent):
            if process is not None and process.exit is None:
                try:
                    os.kill(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        netns.kill_all(pids := self.namespace.pids())
        return not pids
