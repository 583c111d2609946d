"""Path MTU discovery works through HaloD, both ways, IPv4 and IPv6, with a 1,280-byte link on either side of it:
next to it, where its own kernel finds packets too big, and beyond a router, which tells it so, even of a connection
whose route drains. traceroute and tracepath show each router by its own address, and the node by the VIP's.

    clients -- router -- router -- HaloD -- router -- router -- n1

A firewall on HaloD's machine drops what connection tracking calls invalid, as many do.
"""

import re

from lab import addresses
from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.kernel import Kernel
from lab.lab import Lab
from lab.netns import Namespace
from lab.routers import WIDE, Way
from lab.topology import Topology
from lab.transfer import transfer

BOTH_PATHS = True
SIZE = 512 << 10
NARROW = 1280
NODE = addresses.node(1)
RULES = """
table inet filter {
    counter invalid { }
    chain forward {
        type filter hook forward priority filter; policy accept;
        ct state invalid counter name invalid drop
    }
    chain output {
        type filter hook output priority filter; policy accept;
        ct state invalid counter name invalid drop
    }
}
"""


def run(lab: Lab) -> None:
    net = lab.net
    net.halod.run("nft", "-f", "-", input=RULES)
    # None for UDP: that a datagram arrived shows by the node's own ICMP error.
    lab.echoes(2, protocols=("tcp",))
    kernel = lab.kernel()
    kernel.commit(lab.table([1] * ROUTES))
    ways = [Way(net, addresses.CLIENTS), Way(net, NODE)]
    for vip in (VIP4, VIP6):
        hops(net.clients, vip, ways)
    for way in ways:
        for link in (0, 1):
            way.mtu(link, NARROW)
            for vip in (VIP4, VIP6):
                big_packets(net, kernel, vip, way, link)
                found = net.clients.run("tracepath", "-n", "-m", "8", "-p", BROWSERS_PORT, vip).stdout
                check(re.search(rf"Resume: pmtu {NARROW} hops 6\b", found), f"tracepath finds the narrow link: {found}")
                check(re.search(rf"\b{vip} .*reached", found), f"tracepath reaches the node: {found}")
            way.mtu(link, WIDE)
            for namespace in (net.clients, net.node(1)):
                for family in (4, 6):
                    namespace.run("ip", f"-{family}", "route", "flush", "cache")
    while_draining(lab, kernel, ways[0])
    counted = net.halod.run("nft", "list", "counters").stdout
    check("packets 0 bytes 0" in counted, f"nothing was invalid to connection tracking: {counted}")
    for way in ways:
        way.close()


def big_packets(net: Topology, kernel: Kernel, vip: str, way: Way, link: int) -> None:
    """A transfer with full segments each way, and what each end has learnt from it."""
    what = f"{vip}, narrow {'beyond a router' if link else 'next to HaloD'} on the side of {way.host.name}"
    before = kernel.counters()
    transfer(net.clients, vip, SIZE, what)
    equal(net.clients.known_mtu(vip), NARROW, f"path MTU that the client knows, {what}")
    equal(net.node(1).known_mtu(addresses.CLIENTS.address(family(vip))), NARROW, f"path MTU that the node knows, {what}")
    grown = {name: count - before[name] for name, count in kernel.counters().items()}
    # What is too big for HaloD's link to the clients is so before it becomes the VIP's.
    equal(grown["icmp_to_node"] > 0, way.host == addresses.CLIENTS and link == 1, f"errors to the node, {what}")
    equal(grown["icmp_to_client"] > 0, way.host == NODE, f"errors to the client, {what}")
    drops = {name: count for name, count in grown.items() if name.startswith("drop_") and count}
    equal(drops, {}, f"drops, {what}")


def while_draining(lab: Lab, kernel: Kernel, way: Way) -> None:
    """What a router near the clients says of a connection that stays with its former node goes there too."""
    net = lab.net

    def moves() -> None:
        kernel.commit(lab.table([2] * ROUTES).drain(1))
        way.mtu(1, NARROW)

    for vip in (VIP4, VIP6):
        kernel.commit(lab.table([1] * ROUTES))
        transfer(net.clients, vip, SIZE, f"{vip}, draining", connected=moves)
        client = addresses.CLIENTS.address(family(vip))
        equal([net.node(number).known_mtu(client) for number in (1, 2)], [NARROW, 0], f"path MTU that n1 and n2 know of the way to {client}")
        way.mtu(1, WIDE)
        net.node(1).run("ip", f"-{family(vip)}", "route", "flush", "cache")


def hops(clients: Namespace, vip: str, ways: list[Way]) -> None:
    """Where TCP and UDP probes to a listener come by."""
    to_halod, from_halod = ways
    expected = [*to_halod.hops_back(family(vip)), *from_halod.hops(family(vip)), vip]
    for method in ("-T", "-U"):
        argv = ["traceroute", "-n", "-q", "1", "-w", "5", "-m", "8", method, "-p", BROWSERS_PORT, vip]
        lines = clients.run(*argv).stdout.splitlines()[1:]
        equal([line.split()[1] for line in lines], expected, f"traceroute {method} {vip}")


def family(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4
