"""32,768 routes, 4,096 nodes and 64 listeners in one commit, and in one dump back."""

import ipaddress
import time

from lab.addresses import VIP4, VIP6
from lab.checks import equal
from lab.kernel import Listener, Node
from lab.lab import Lab

ROUTES, NODES = 32768, 4096
V4, V6 = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8:ffff::1")
WITH_V4 = 254  # no more of the IPv4 addresses for documentation in that network


def run(lab: Lab) -> None:
    # The largest number of listeners of as many routes: 64 different addresses, one port range each.
    listeners = [
        Listener(f"{protocol}{n}", str(ipaddress.ip_address(vip) + n), protocol, 30000)
        for n in range(16)
        for vip in (VIP4, VIP6)
        for protocol in ("tcp", "udp")
    ]
    nodes = [
        Node(n + 1, f"node-{n + 1}.example", (str(V4 + n), str(V6 + n)) if n < WITH_V4 else (str(V6 + n),), ((0, 1 + n % 1000),) if n % 2 else ())
        for n in range(NODES)
    ]
    table = lab.table([route * 7 % NODES + 1 for route in range(ROUTES)], listeners, nodes)
    kernel = lab.kernel()
    begin = time.monotonic()
    table.generation = kernel.commit(table)
    committed = time.monotonic()
    back = kernel.table()
    print(f"# commit {committed - begin:.2f} s, dump {time.monotonic() - committed:.2f} s, both with pyynl's own time")
    equal(back.generation, 1, "generation")
    equal(back.routes == table.routes, True, "the routes came back as committed")
    equal(back.listeners, table.listeners, "listeners")
    equal(back.nodes == table.nodes, True, "the nodes came back as committed")
    status = kernel.status()
    equal((status["routes"], status["nodes"], status["listeners"]), (ROUTES, NODES, 64), "status")
