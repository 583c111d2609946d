"""Whatever a connection to the node protocol's port sends, it is told what was wrong and closed, and no other
node notices. What is sent too much, too deep or too slowly is in hostile_under_traffic."""

import json
import socket

from lab.addresses import CLIENTS, NODE_PROTOCOL_PORT, NODES_GATEWAY4, node
from lab.checks import check, contains, equal
from lab.cluster import Cluster
from lab.lab import Lab
from lab.netns import Namespace

HELLO = {"type": "hello", "version": 1, "name": "evil", "addresses": [node(3).v4]}


def hello(**changes: object) -> bytes:
    """A hello's line, with changes; None removes a member."""
    message = {name: value for name, value in (HELLO | changes).items() if value is not None}
    return json.dumps(message).encode() + b"\n"


def dial(namespace: Namespace) -> socket.socket:
    """A connection to the node protocol's port."""
    with namespace.entered():
        sock = socket.socket()
    sock.settimeout(20)
    sock.connect((NODES_GATEWAY4, NODE_PROTOCOL_PORT))
    return sock


def converse(namespace: Namespace, first: bytes, second: bytes = b"") -> list[dict]:
    """Sends the first, and the second after an answer; all that HaloD says until it closes. A reset ends it too."""
    lines = b""
    with dial(namespace) as sock:
        try:
            sock.sendall(first)
            if second:
                while b"\n" not in lines:
                    lines += sock.recv(65536)
                sock.sendall(second)
            while part := sock.recv(65536):
                lines += part
        except (ConnectionResetError, BrokenPipeError):
            pass
    return [json.loads(line) for line in lines.splitlines()]


def run(lab: Lab) -> None:
    cluster = lab.cluster(nodes=2, active_min=2, reserve=1)
    cluster.until_holders("n1", "n2")
    generation, peers = cluster.kernel.generation(), connections(cluster)
    enemy = lab.net.node(3)
    beat = b'{"type":"heartbeat","seq":1}\n'

    wrong: dict[str, tuple[bytes, tuple[str, ...]]] = {
        "not JSON": (b"GET / HTTP/1.1\r\n\r\n", ()),
        "not an object": (b"[1, 2]\n", ()),
        "not UTF-8": (b'{"type":"hello\xff"}\n', ("UTF-8",)),
        "nothing but a line's end": (b"\n", ()),
        "an unknown type": (b'{"type":"takeover"}\n', ("takeover",)),
        "a hello that never ends": (b"{" * 5000, ("4096",)),
        "nesting": (b"[" * 4000 + b"\n", ()),
        "a heartbeat first": (beat, ("hello",)),
        "another version": (hello(version=2), ("version",)),
        "no name": (hello(name=None), ("name",)),
        "a name of other characters": (hello(name="Ev/il"), ("Ev/il",)),
        "a name too long": (hello(name="e" * 64), ("63",)),
        "no address": (hello(addresses=[]), ("address",)),
        "two addresses of one version": (hello(addresses=[node(3).v4, node(4).v4]), ()),
        "a loopback address": (hello(addresses=["127.0.0.1"]), ("127.0.0.1",)),
        "a multicast address": (hello(addresses=["224.0.0.1"]), ("224.0.0.1",)),
        "the VIP as its own address": (hello(addresses=["198.51.100.1"]), ("198.51.100.1",)),
        "another node's address": (hello(addresses=[node(1).v4]), (node(1).v4,)),
        "a port for a listener that is not there": (hello(ports={"nosuch": 8000}), ("nosuch",)),
        "a port beyond 65535": (hello(ports={"browsers": 70000}), ("70000",)),
        "a name in use": (hello(name="n1"), ("in use",)),
        "a name in use, with a wrong token": (hello(name="n1", resume="0" * 32), ("in use",)),
        "a token of another form": (hello(resume="let me in"), ()),
    }
    for what, (line, words) in wrong.items():
        said = converse(enemy, line)
        equal([message["type"] for message in said], ["error"], f"what HaloD says to {what}: {said}")
        for word in words:
            contains(said[0]["reason"], word, f"the reason given to {what}")
        check(len(said[0]["reason"]) < 1000, f"the reason given to {what} is not everything that was sent")

    # After a right hello: wrong ones end the connection, and the node goes.
    for what, line in {
        "a second hello": hello(),
        "a line of 100 kB": b'{"type":"unhealthy","reason":"' + b"x" * 100_000 + b'"}\n',
        "a number where a text belongs": b'{"type":"unhealthy","reason":7}\n',
        "a heartbeat that goes back": beat + beat,
        "garbage": b"\x00\x01\x02\n",
    }.items():
        said = converse(enemy, hello(healthy=False), line)
        types = [message["type"] for message in said]
        equal((types[:1], types[-1:]), (["welcome"], ["error"]), f"what HaloD says to {what} after a hello: {said}")
        cluster.control.ask("node_remove", name="evil")

    # From an address that may not speak it in plain text: no greeting, whatever it says.
    said = converse(lab.net.clients, hello(addresses=[CLIENTS.v4]))
    equal([message["type"] for message in said], ["error"], f"what HaloD says to an address outside of plaintext_from: {said}")

    equal(cluster.kernel.generation(), generation, "generation after all that")
    equal(connections(cluster), peers, "connections of the nodes: the same ones")
    equal(cluster.states(), {"n1": "active", "n2": "active"}, "nodes known")
    cluster.until_holders("n1", "n2")


def connections(cluster: Cluster) -> dict[str, str]:
    """Where each node's connection comes from."""
    return {node["name"]: node.get("peer") for node in cluster.control.ask("nodes") if node["name"] in ("n1", "n2")}
