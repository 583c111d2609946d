"""ICMP and ICMPv6 errors reach the socket that they are about, from either side and from HaloD's own kernel: a port
that is closed at the node or at the client, a node without a route, a client that does not answer on its link.
Echo requests to the VIPs are answered by HaloD's machine.
"""

import errno
import socket

from lab import addresses
from lab.addresses import BROWSERS_PORT, ROUTES, vip
from lab.checks import check, contains, equal
from lab.kernel import Kernel
from lab.lab import Lab
from lab.netns import Namespace
from lab.traffic import FAMILIES

BOTH_PATHS = True
CLIENT, NODE = addresses.CLIENTS, addresses.node(1)
NOBODY = {4: "203.0.113.77", 6: "2001:db8:3::77"}
CLIENTS_PORT = 50000
# linux/in.h, linux/in6.h: IP_RECVERR, IPV6_RECVERR. Without it a host that is unreachable is passed over in silence.
RECEIVE_ERRORS = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}
PATIENCE = 20.0  # more than three requests for a neighbour's address


def run(lab: Lab) -> None:
    net, kernel = lab.net, lab.kernel()
    kernel.commit(lab.table([1] * ROUTES))
    for family in (4, 6):
        net.clients.run("ping", "-c", "1", "-W", "10", vip(family))
        for namespace, what in ((net.clients, "a client"), (net.halod, "HaloD's own machine")):
            with Count(kernel, "icmp_to_client"), udp(namespace, family) as sock:
                sock.connect((vip(family), BROWSERS_PORT))
                equal(told(sock), errno.ECONNREFUSED, f"what {what} hears of a node's closed port, IPv{family}")

        with Count(kernel, "icmp_to_node"), udp(net.node(1), family) as sock:
            sock.bind((NODE.address(family), BROWSERS_PORT))
            sock.connect((CLIENT.address(family), CLIENTS_PORT))
            equal(told(sock), errno.ECONNREFUSED, f"what a node hears of a client's closed port, IPv{family}")

        # Found out by HaloD's kernel, after the packet was made the VIP's.
        with Count(kernel, "icmp_to_node"), udp(net.node(1), family) as sock:
            sock.bind((NODE.address(family), BROWSERS_PORT))
            sock.connect((NOBODY[family], CLIENTS_PORT))
            equal(told(sock), errno.EHOSTUNREACH, f"what a node hears of a client that is not there, IPv{family}")

        net.halod.run("ip", "route", "add", "unreachable", f"{NODE.address(family)}/{32 if family == 4 else 128}")
        with Count(kernel, "icmp_to_client"), udp(net.clients, family) as sock:
            sock.connect((vip(family), BROWSERS_PORT))
            contains((errno.EHOSTUNREACH, errno.ENETUNREACH), told(sock), f"what a client hears of a node without a route, IPv{family}")
    drops = {name: count for name, count in kernel.counters().items() if name.startswith("drop_") and count}
    equal(drops, {}, "drops")


def udp(namespace: Namespace, family: int) -> socket.socket:
    """A socket that is told of all errors."""
    with namespace.entered():
        sock = socket.socket(FAMILIES[family], socket.SOCK_DGRAM)
    sock.settimeout(PATIENCE)
    sock.setsockopt(*RECEIVE_ERRORS[family], 1)
    return sock


def told(sock: socket.socket) -> int | None:
    """Sends a datagram, and waits for what the socket is told of it."""
    sock.send(b"who")
    try:
        sock.recv(64)
    except OSError as error:
        return error.errno
    return 0


class Count:
    """Checks that an exit is counted meanwhile."""

    def __init__(self, kernel: Kernel, name: str):
        self._kernel, self._name = kernel, name
        self._before = kernel.counters()[name]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            check(self._kernel.counters()[self._name] > self._before, f"{self._name} has grown")
