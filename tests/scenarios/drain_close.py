"""Connections end during drains, each with the node that has it: closed by both sides at once, half closed and
closed by the other side later, and reset; of a connection from before the first move, and of one within."""

import socket
from collections.abc import Callable
from pathlib import Path

from lab.addresses import BROWSERS_PORT, ROUTES, node
from lab.checks import check, equal
from lab.lab import Lab
from lab.netns import Namespace
from lab.rawtcp import ACK, FIN_ACK, RST, Connection, RawClient
from lab.wait import until

BOTH_PATHS = True
PORT = BROWSERS_PORT + 2
TIME_WAIT, CLOSE_WAIT = 6, 8  # include/net/tcp_states.h


class Server:
    """A socket that listens on a node's machine, for a route."""

    def __init__(self, lab: Lab, number: int, version: int):
        self.namespace = lab.net.node(number)
        address, family = node(number).address(version), {4: socket.AF_INET, 6: socket.AF_INET6}[version]
        with self.namespace.entered():
            self._listener = socket.create_server((address, PORT), family=family)
        self._listener.settimeout(10)

    def accept(self) -> socket.socket:
        """The next connection."""
        connection, _ = self._listener.accept()
        connection.settimeout(10)
        return connection

    def close(self) -> None:
        """Listens no more."""
        self._listener.close()


def run(lab: Lab) -> None:
    kernel = lab.kernel()
    for version in (4, 6):
        client = RawClient(lab.net, version)
        servers = {number: Server(lab, number, version) for number in (1, 2, 3)}
        kernel.commit(lab.table([1] * ROUTES))
        ends = [both_at_once, half_first, reset]
        old = [opened(client, servers[1], 20_000 + index) for index in range(len(ends))]
        kernel.commit(lab.table([2] * ROUTES).drain(1))
        within = [opened(client, servers[2], 20_010 + index) for index in range(len(ends))]
        kernel.commit(lab.table([3] * ROUTES).drain(1, 2))
        for pairs, number in ((old, 1), (within, 2)):
            for end, (connection, there) in zip(ends, pairs, strict=True):
                before = kernel.counters()["forward_former"]
                end(connection, there, servers[number].namespace)
                check(kernel.counters()["forward_former"] > before, f"{end.__name__} was at n{number}")
                there.close()
        counters = kernel.counters()
        equal((counters["drop_stale"], counters["drop_no_node"]), (0, 0), "packets dropped")
        for server in servers.values():
            server.close()


def opened(client: RawClient, server: Server, own_port: int) -> tuple[Connection, socket.socket]:
    """A connection, and its other end."""
    connection = client.connection(PORT, own_port)
    connection.syn()
    connection.acknowledge(connection.answer())
    return connection, server.accept()


def both_at_once(connection: Connection, there: socket.socket, namespace: Namespace) -> None:
    """The FINs of both sides cross (RFC 9293, figure 13)."""
    there.close()
    fin = connection.heard("the node's FIN", lambda segment: segment.flags == FIN_ACK)
    connection.send(FIN_ACK)
    connection.heard("its word on the client's", lambda segment: segment.flags == ACK and segment.ack == connection.seq)
    connection.acknowledge(fin)
    port = connection.own_port
    until("the node's end to be in TIME-WAIT", lambda: states(namespace).get(port) == TIME_WAIT)


def half_first(connection: Connection, there: socket.socket, namespace: Namespace) -> None:
    """The client is done; the node goes on for a while, then is done too. Its FIN is lost once."""
    connection.send(FIN_ACK)
    connection.heard("an ACK of the FIN", lambda segment: segment.ack == connection.seq)
    equal(there.recv(100), b"", "what the node reads")
    equal(states(namespace).get(connection.own_port), CLOSE_WAIT, "the node's state")
    there.sendall(b"rest\n")
    equal(connection.line(), "rest", "what comes after the client's FIN")
    there.close()
    is_fin: Callable[..., bool] = lambda segment: segment.flags == FIN_ACK
    lost = connection.heard("the node's FIN", is_fin)
    again = connection.heard("the node's FIN again", is_fin)
    equal(again.seq, lost.seq, "the FIN when it is sent again")
    connection.acknowledge(again)
    until("the node's end to be gone", lambda: connection.own_port not in states(namespace))


def reset(connection: Connection, there: socket.socket, namespace: Namespace) -> None:
    """The client ends it at once."""
    connection.send(RST | ACK)

    def gone() -> bool:
        try:
            there.send(b"x")
        except ConnectionError:
            return True
        return False

    until("the node to know of the reset", gone)
    check(connection.own_port not in states(namespace), "the node's end is gone")


def states(namespace: Namespace) -> dict[int, int]:
    """The state of each connection at a machine, by the client's port."""
    found = {}
    with namespace.entered():
        lines = [line for name in ("tcp", "tcp6") for line in Path(f"/proc/thread-self/net/{name}").read_text().splitlines()[1:]]
    for line in lines:
        _, _, remote, state, *_ = line.split()
        found[int(remote.rpartition(":")[2], 16)] = int(state, 16)
    return found
