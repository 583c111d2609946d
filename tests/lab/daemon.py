"""halod: its configuration, process, and control socket."""

import json
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import addresses, paths, pki
from .flavour import SLOWER
from .netns import Namespace
from .process import Process
from .wait import until

CONFIG = """\
cluster = "lab"
routes = {routes}
active_min = {active_min}
reserve = {reserve}
drain = "{drain_ms}ms"
failover = "{failover}"
store = "{directory}/halod.db"
control = "{directory}/control.sock"
{listeners}
[nodes]
listen = ["{gateway}:{port}"]
plaintext_from = [{plaintext_from}]
heartbeat = "{heartbeat_ms}ms"
heartbeat_misses = {heartbeat_misses}
rejoin = "{rejoin_ms}ms"
hello_timeout = "{hello_timeout_ms}ms"
restart_grace = "{restart_grace_ms}ms"
hold_back = "{hold_back_ms}ms"
max_nodes = 64
max_handshakes = {max_handshakes}
{tls_section}{more}"""
TLS = """
[nodes.tls]
ca = "{ca}"
certificate = "{certificate}"
key = "{key}"
"""
ONE_PORT = """\
node_port = {node_port}
select = "{select}"
"""
LISTENER = """
[[listener]]
name = "{name}"
addresses = ["{v4}", "{v6}"]
protocol = "{protocol}"
port = {port}
"""


@dataclass
class Settings:
    """What a scenario may want otherwise."""

    routes: int = addresses.ROUTES
    active_min: int = 3
    reserve: int = 1
    # A move cuts where a scenario does not want otherwise, so that it sees at once who reconnects.
    drain_ms: int = 0
    failover: str = "replace"
    protocols: tuple[str, ...] = ("tcp",)
    select: str = "port"  # else browsers have one port for all routes
    deliver: str = "nat"  # of browsers
    # Not the daemon's own 100 ms x 3: an emulated machine that starts four push servers stands still
    # for longer at times. Scenarios about silence set their own.
    heartbeat_ms: int = 500
    heartbeat_misses: int = 10
    rejoin_ms: int = 2000
    hello_timeout_ms: int = 2000 * SLOWER
    # The guest may be an emulated one: agents need a moment.
    restart_grace_ms: int = 20000
    # Machines are killed and come back for their own reasons.
    hold_back_ms: int = 0
    max_handshakes: int = 64
    tls: bool = False  # nodes must use it then
    more: str = ""  # sections

    def toml(self, directory: Path) -> str:
        """The configuration file."""
        listeners = ""
        for protocol in self.protocols:
            browsers = addresses.BROWSERS_PORT if self.select == "port" else addresses.ONE_PORT
            listeners += _listener("browsers", protocol, browsers)
            if self.select != "port":
                listeners += ONE_PORT.format(node_port=addresses.ONE_NODE_PORT, select=self.select)
            if self.deliver != "nat":
                listeners += f'deliver = "{self.deliver}"\n'
            listeners += _listener("apps", protocol, addresses.APPS_PORT)
        return CONFIG.format(
            plaintext_from="" if self.tls else '"192.0.2.0/24"',
            tls_section=TLS.format(**pki.Pki(directory).files("halod")) if self.tls else "",
            directory=directory,
            listeners=listeners,
            gateway=addresses.NODES_GATEWAY4,
            port=addresses.NODE_PROTOCOL_PORT,
            **{name: value for name, value in vars(self).items() if name != "protocols"},
        )


def _listener(name: str, protocol: str, port: int) -> str:
    name = name if protocol == "tcp" else f"{name}-{protocol}"
    return LISTENER.format(name=name, v4=addresses.VIP4, v6=addresses.VIP6, protocol=protocol, port=port)


class Daemon:
    """halod in a namespace. Its store outlives its process."""

    def __init__(self, namespace: Namespace, directory: Path, settings: Settings):
        self.namespace = namespace
        self.directory = directory
        self.settings = settings
        self.config = directory / "halod.toml"
        self.config.write_text(settings.toml(directory))
        self.control = Control(directory / "control.sock")
        self.process: Process | None = None

    def start(self) -> "Daemon":
        """Starts it and waits until its control socket answers."""
        process = Process(self.namespace, "halod", [paths.HALOD, "--config", self.config], self.directory)
        self.process = process

        def answers() -> bool:
            if not process.running:
                raise AssertionError(f"halod ended with {process.exit}:\n{process.text()[-2000:]}")
            return self.control.ask("status")["pid"] == process.pid

        until("halod to answer on its control socket", answers)
        return self

    def kill(self) -> float:
        """SIGKILL; returns the moment just before."""
        assert self.process is not None
        return self.process.kill()

    def stop(self) -> int:
        """SIGTERM; returns its exit code."""
        assert self.process is not None
        return self.process.stop()

    def ctl(self, *arguments: object, check: bool = True) -> Any:
        """halodctl; returns the finished process."""
        argv = [paths.HALODCTL, "--socket", self.control.path, *arguments]
        return self.namespace.run(*argv, check=check)


class ControlError(Exception):
    """The daemon refused a request; the text is its own."""


class Control:
    """A client of the daemon's control socket: one JSON object a line each way."""

    def __init__(self, path: Path):
        self.path = path

    def ask(self, command: str, **arguments: object) -> Any:
        """Sends one request and returns what is "ok" in the answer."""
        with self._open() as sock, sock.makefile("rwb") as stream:
            stream.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
            stream.flush()
            answer = json.loads(stream.readline() or b'{"error": "closed without an answer"}')
        if "error" in answer:
            raise ControlError(answer["error"])
        return answer["ok"]

    def watch(self) -> "Watch":
        """Everything that happens from now on."""
        return Watch(self._open())

    def _open(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20 * SLOWER)
        try:
            sock.connect(str(self.path))
        except OSError:
            sock.close()
            raise
        return sock


@dataclass
class Watch:
    """The stream of events, read in a thread."""

    sock: socket.socket
    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)  # (time.monotonic(), event)

    def __post_init__(self) -> None:
        self.sock.settimeout(None)
        self.sock.sendall(b'{"command": "watch"}\n')
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        until("the watch to begin", lambda: self.events)

    def _read(self) -> None:
        with self.sock.makefile("rb") as lines:
            for line in lines:
                self.events.append((time.monotonic(), json.loads(line)["event"]))

    def first(self, kind: str, after: float = 0.0, seconds: float = 60.0) -> dict[str, Any]:
        """The first event of a kind that came after a moment."""

        def found() -> dict[str, Any] | None:
            return next((event for at, event in list(self.events) if at > after and event["kind"] == kind), None)

        return until(f"the event {kind}", found, seconds)

    def all(self, kind: str, least: int) -> list[dict[str, Any]]:
        """All events whose kind begins so, once there are `least`: the table is in force before they are told."""

        def found() -> list[dict[str, Any]] | None:
            told = [event for _, event in list(self.events) if event["kind"].startswith(kind)]
            return told if len(told) >= least else None

        return until(f"{least} events {kind}", found)

    def close(self) -> None:
        """Stops."""
        self.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.sock.close()
