"""The largest tables there can be in one commit, and in one dump back.

32,768 routes have room for one listener of a family and protocol, since replies
are told apart by the node's port; 64 listeners have room for 4,000 routes.
"""

import ipaddress
import time

from lab.addresses import VIP4, VIP6
from lab.checks import equal
from lab.kernel import Listener, Node
from lab.lab import Lab

NODES = 4096
V4, V6 = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8:ffff::1")
WITH_V4 = 254  # no more of the IPv4 addresses for documentation in that network


def run(lab: Lab) -> None:
    check_table(lab, 32768, 1)
    check_table(lab, 4000, 16)


def check_table(lab: Lab, routes: int, each: int) -> None:
    """Commits and reads back a table with so many listeners of each family and protocol."""
    listeners = [
        Listener(f"{protocol}{n}", str(ipaddress.ip_address(vip) + n), protocol, 1 + n * routes, 1 + n * routes)
        for n in range(each)
        for vip in (VIP4, VIP6)
        for protocol in ("tcp", "udp")
    ]
    nodes = [
        Node(n + 1, f"node-{n + 1}.example", (str(V4 + n), str(V6 + n)) if n < WITH_V4 else (str(V6 + n),), ((0, 2 + n % 1000),) if n % 2 and each == 1 else ())
        for n in range(NODES)
    ]
    table = lab.table([route * 7 % NODES + 1 for route in range(routes)], listeners, nodes)
    kernel = lab.kernel()
    table.generation = kernel.generation()
    begin = time.monotonic()
    table.generation = kernel.commit(table)
    committed = time.monotonic()
    back = kernel.table()
    print(f"# {routes} routes, {4 * each} listeners: commit {committed - begin:.2f} s, dump {time.monotonic() - committed:.2f} s, both with pyynl's own time")
    equal(back.generation, table.generation, "generation")
    equal(back.routes == table.routes, True, "the routes came back as committed")
    equal(back.listeners, table.listeners, "listeners")
    equal(back.nodes == table.nodes, True, "the nodes came back as committed")
    status = kernel.status()
    equal((status["routes"], status["nodes"], status["listeners"]), (routes, NODES, 4 * each), "status")
