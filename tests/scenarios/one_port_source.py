"""All routes on one port, told apart by the client's address: TCP and UDP, IPv4 and IPv6, whatever the client's port.

Each of 16 addresses reaches its own route's node; a move with a drain leaves the connections that exist where they
are, and datagrams in pieces and ICMP errors find their way.
"""

import socket
from dataclasses import replace

from lab import addresses
from lab.addresses import ONE_NODE_PORT, ONE_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.kernel import Listener
from lab.lab import Lab
from lab.selection import route_of
from lab.topology import ip_batch
from lab.traffic import FAMILIES, TYPES

BOTH_PATHS = True
KEY = bytes(range(16))
CLIENTS = [f"203.0.113.{last}" for last in range(100, 108)] + [f"2001:db8:3::{last}" for last in range(100, 108)]
HOLDERS = [route % 3 + 1 for route in range(ROUTES)]


def run(lab: Lab) -> None:
    echoes = lab.echoes(4, bases=(ONE_NODE_PORT,), routes=1)
    kernel = lab.kernel()
    listeners = [Listener("web", vip, protocol, ONE_PORT, ONE_NODE_PORT, "source") for vip in (VIP4, VIP6) for protocol in ("tcp", "udp")]
    table = replace(lab.table(HOLDERS, listeners), select_key=KEY)
    kernel.commit(table)
    ip_batch([f"address add {client}/{32 if '.' in client else 128} dev eth0 {'' if '.' in client else 'nodad'}" for client in CLIENTS], lab.net.clients)

    held = [(client, connect(lab, client, "tcp")) for client in CLIENTS]
    for client, sock in held:
        equal(greeting(sock), f"n{node_of(client)} {ONE_NODE_PORT}", f"who greets {client}")
    again(lab, node_of)

    # Every route moves to n4, and drains: who is connected stays, and says so by an answer.
    moved = replace(table, routes=[4] * ROUTES).drain(1, routes=[route for route in range(1, ROUTES + 1) if HOLDERS[route - 1] == 1])
    for former in (2, 3):
        moved.drain(former, routes=[route for route in range(1, ROUTES + 1) if HOLDERS[route - 1] == former])
    kernel.commit(moved)
    before = kernel.counters()
    again(lab, lambda _: 4)
    for client, sock in held:
        sock.sendall(b"still there\n")
        equal(sock.recv(100), b"still there\n", f"what {client}'s connection hears after the move")
        sock.close()
    check(kernel.counters()["forward_former"] > before["forward_former"], "connections stayed with the former nodes")

    # A datagram that nobody takes: the node's ICMP error reaches the client as the VIP's, by the same port.
    echoes[3].stop()
    for client in (CLIENTS[0], CLIENTS[8]):
        with connect(lab, client, "udp") as sock:
            sock.send(b"who")
            try:
                raise AssertionError(f"{client} heard {sock.recv(100)!r} from a port that is shut")
            except ConnectionRefusedError:
                pass
    check(kernel.counters()["icmp_to_client"] >= before["icmp_to_client"] + 2, "the errors were translated")


def again(lab: Lab, expected) -> None:  # noqa: ANN001
    """Each client asks anew, from ports that it has not used before."""
    for client in CLIENTS:
        for protocol in ("tcp", "udp"):
            with connect(lab, client, protocol) as sock:
                found = greeting(sock) if protocol == "tcp" else datagram(sock)
            equal(found, f"n{expected(client)} {ONE_NODE_PORT}", f"who answers {client} by {protocol}")


def node_of(client: str) -> int:
    """The node of a client's route."""
    return HOLDERS[route_of(KEY, "source", client, 0, ROUTES) - 1]


def connect(lab: Lab, client: str, protocol: str) -> socket.socket:
    """A socket from one of the clients' addresses to the port."""
    family = 6 if ":" in client else 4
    with lab.net.clients.entered():
        sock = socket.socket(FAMILIES[family], TYPES[protocol])
    sock.settimeout(10)
    sock.bind((client, 0))
    sock.connect((addresses.vip(family), ONE_PORT))
    return sock


def greeting(sock: socket.socket) -> str:
    """The first line of a TCP connection, and no more of it."""
    line = b""
    while not line.endswith(b"\n"):
        line += sock.recv(1)
    return line.decode().strip()


def datagram(sock: socket.socket) -> str:
    """Who sends a datagram of 4,096 bytes back, in pieces each way."""
    text = b"x" * 4096
    sock.send(text)
    name, port, echoed = sock.recv(8192).split(b" ")
    equal(echoed, text, "the datagram that came back")
    return f"{name.decode()} {port.decode()}"
