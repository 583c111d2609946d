"""Peers that send more, deeper or slower than any node would, while real nodes beat and users talk: each is
told why and closed, and nobody else notices: not the table, not the nodes, not the traffic, not who asks."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

from lab.addresses import BROWSERS_PORT, NODE_PROTOCOL_PORT, NODES_GATEWAY4, ROUTES, VIP4, VIP6
from lab.checks import check, contains, equal
from lab.cluster import Cluster
from lab.lab import Lab
from lab.netns import Namespace
from lab.traffic import Flow, Traffic
from lab.wait import until

MOST_SILENT = 8  # max_handshakes
HELLO, LINE = 4096, 65536  # docs/node-protocol.md


class Peer:
    """A connection to the daemon's port for nodes that says what it likes."""

    def __init__(self, namespace: Namespace):
        with namespace.entered():
            self._sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._sock.settimeout(20)
        self._sock.connect((NODES_GATEWAY4, NODE_PROTOCOL_PORT))
        self._lines = self._sock.makefile("rb")

    def say(self, data: bytes) -> "Peer":
        """Sends bytes. That the other side has closed by then is no error here."""
        try:
            self._sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def hear(self) -> dict[str, Any]:
        """The next message."""
        line = self._lines.readline()
        check(line, "a message comes before the end")
        return json.loads(line)

    def refused(self) -> str:
        """The reason that comes as the next and last message; then the end of the connection, not a reset."""
        message = self.hear()
        equal(message["type"], "error", "the last message's type")
        equal(self._lines.readline(), b"", "what comes after the error")
        self.close()
        check(len(message["reason"]) < 1024, f"a reason of {len(message['reason'])} characters is for people")
        return message["reason"]

    def close(self) -> None:
        """Closes."""
        self._lines.close()
        self._sock.close()


def hello(name: str = "evil", address: str = "192.0.2.66", **more: object) -> bytes:
    """A good hello, but for what is given."""
    return json.dumps({"type": "hello", "version": 1, "name": name, "addresses": [address], **more}).encode() + b"\n"


def deep(levels: int) -> bytes:
    """Nested lists."""
    return b"[" * levels + b"]" * levels


FIRST = {
    "bytes of all sorts": (bytes(range(128, 256)) + bytes(range(128)), "not UTF-8"),
    "nesting in a member": (b'{"type":"hello","deep":' + deep(2000) + b"}\n", "recursion limit"),
    "many addresses": (hello()[:-2] + b',"addresses":[' + b",".join([b'"192.0.2.66"'] * 250) + b"]}\n", "duplicate field"),
    "many members": (hello()[:-2] + b',"":0' * 600 + b',"version":2}\n', "duplicate field"),
    "one byte too long": (b"a" * (HELLO + 1) + b"\n", f"longer than {HELLO} bytes"),
    "no newline, for ever": (b"a" * (4 << 20), f"longer than {HELLO} bytes"),
}
LATER = {
    "nesting in a member": (b'{"type":"heartbeat","seq":1,"deep":' + deep(30000) + b"}\n", "recursion limit"),
    "a number too large": (b'{"type":"heartbeat","seq":1e999}\n', "number out of range"),
    "routes that are not there": (b'{"type":"drained","routes":[[1,4000000000]]}\n', "there is no route 4000000000"),
    "routes backwards": (b'{"type":"drained","routes":[[8,1]]}\n', "8-1"),
    "what only HaloD says": (b'{"type":"welcome"}\n', "unknown variant `welcome`"),
    "one byte too long": (b"a" * (LINE + 1) + b"\n", f"longer than {LINE} bytes"),
    "no newline, for ever": (b"a" * (4 << 20), f"longer than {LINE} bytes"),
}


def run(lab: Lab) -> None:
    lab.echoes(2)
    # Those that get as far as to join wait in reserve: there is room for all of them.
    cluster = lab.cluster(active_min=2, reserve=40, max_handshakes=MOST_SILENT)
    for number in (1, 2):
        cluster.machine(number).start_agent()
        cluster.until_state(f"n{number}", "active")
    cluster.until_holders("n1", "n2")
    flows = [Flow(vip, BROWSERS_PORT + index) for vip in (VIP4, VIP6) for index in range(0, ROUTES, 4)]
    traffic = Traffic(lab.net.clients, flows, pause=0.1).start()

    def real_nodes() -> list[dict[str, Any]]:
        # With their peers: that of a node that has connected anew would be another.
        names = ("name", "state", "slot", "connected", "healthy", "peer")
        nodes = cluster.control.ask("nodes")
        return [{name: node[name] for name in names} for node in nodes if node["name"] in ("n1", "n2")]

    table, nodes = cluster.kernel.table(), real_nodes()
    equal([node["state"] for node in nodes], ["active", "active"], "the real nodes' states")

    def unharmed(what: str) -> None:
        equal(cluster.control.ask("status")["generation"], table.generation, f"{what}: the daemon's generation")
        equal(cluster.kernel.generation(), table.generation, f"{what}: the kernel's generation")
        equal(real_nodes(), nodes, f"{what}: the real nodes")

    evil = lab.net.node(3)
    for what, (data, reason) in FIRST.items():
        contains(Peer(evil).say(data).refused(), reason, f"a first message, {what}: the reason")
        unharmed(what)
    for number, (what, (data, reason)) in enumerate(LATER.items()):
        peer = Peer(evil).say(hello(f"evil{number}", f"192.0.2.{100 + number}"))
        equal((peer.hear()["type"], peer.hear()["type"]), ("welcome", "reserve"), f"{what}: a good hello's answers")
        contains(peer.say(data).refused(), reason, f"a later message, {what}: the reason")
        unharmed(what)
    without_a_hello(evil, cluster, unharmed)

    equal(cluster.kernel.table(), table, "the table after all of them")
    equal(traffic.stop(), [], "errors of connections meanwhile")
    check(min(flow.answers for flow in flows) > 5, "every connection went on")


def without_a_hello(evil: Namespace, cluster: Cluster, unharmed: Callable[[str], None]) -> None:
    """As many as may be silent, one of them a slow talker, and more: then there is room again."""

    def handshakes() -> int:
        return cluster.control.ask("status")["handshakes"]

    until("no connection without a hello", lambda: handshakes() == 0)
    peers = [Peer(evil) for _ in range(MOST_SILENT)]
    until(f"{MOST_SILENT} connections without a hello", lambda: handshakes() == MOST_SILENT)
    for _ in range(3):
        reason = f"{MOST_SILENT} connections have not said hello yet"
        contains(Peer(evil).refused(), reason, "one more than may be: the reason")
    unharmed("silent connections")
    # A byte at a time, for longer than anyone has.
    end = time.monotonic() + 2.5
    for byte in hello("slow", agent="a" * 100):
        if time.monotonic() > end:
            break
        peers[0].say(bytes([byte]))
        time.sleep(0.05)
    for peer in peers:
        contains(peer.refused(), "no hello within 2000 ms", "silence: the reason")
    until("no connection without a hello", lambda: handshakes() == 0)
    unharmed("a slow hello")
    peer = Peer(evil).say(hello("late", "192.0.2.99"))
    equal(peer.hear()["type"], "welcome", "the answer to a good hello afterwards")
    peer.close()
