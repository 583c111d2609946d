"""Rules of routing where nodes get packets as they are (deliver = "dsr"): by mark, by source, by device, and in a VRF, they go
to the machine that has the node's address there, and are counted once.
"""

from lab import addresses, direct, direct_listeners, nft
from lab.addresses import BROWSERS_PORT, CLIENTS, ROUTES, vip
from lab.checks import equal
from lab.kernel import Kernel
from lab.lab import Lab
from lab.rules import MARK, MARKS, rule
from lab.topology import Topology, ip_batch
from lab.traffic import answered_by

ALIKE = addresses.node(1)
# A link between HaloD's machine and n2.
NEAR, FAR = ("198.51.100.225", "2001:db8:8:1::1"), ("198.51.100.226", "2001:db8:8:1::2")
TABLE = 100


def run(lab: Lab) -> None:
    net = lab.net
    back = direct.WayBack(net, 2)
    direct.echoes(net, 2, routes=1)
    second_link(net)
    kernel = lab.kernel()
    kernel.commit(direct_listeners.table(lab, [1] * ROUTES, "dsr"))
    goes(net, "n1", "without rules")
    by_rules(net, "")
    # A node that a rule finds to be a neighbour is one, even where a default route goes by that device.
    ip_batch([f"route add default via {gateway}" for gateway in FAR], net.halod)
    by_rules(net, ", with a default route by its device")
    vrf(net, kernel)
    goes(net, "n1", "without rules again")
    drops = {name: count for name, count in kernel.counters().items() if name.startswith("drop_") and count}
    equal(drops, {}, "drops")
    back.close()


def second_link(net: Topology) -> None:
    """By which n2 has n1's address; only a table of its own leads there."""
    ip_batch([f"link add second type veth peer name eth1 netns {net.node(2).name}"], net.halod)
    ends = [f"address add {NEAR[0]}/30 dev second", f"address add {NEAR[1]}/64 dev second nodad", "link set second up"]
    ip_batch([*ends, *(f"route add {address} dev second table {TABLE}" for address in (ALIKE.v4, ALIKE.v6))], net.halod)
    ip_batch([f"address add {ALIKE.v4}/32 dev eth1", f"address add {ALIKE.v6}/128 dev eth1 nodad", "link set eth1 up"], net.node(2))


def by_rules(net: Topology, what: str) -> None:
    """Each leads to n2."""
    nft.load(net.halod, MARKS)
    for selector, value in (("fwmark", MARK), ("iif", CLIENTS.port), ("from", CLIENTS)):
        with rule(net, selector, value, "lookup", TABLE):
            goes(net, "n2", f"by a rule with {selector}{what}")
    nft.delete(net.halod, "marks")


def vrf(net: Topology, kernel: Kernel) -> None:
    """The clients' device is in one that has that table. The kernel shows each packet twice in PRE_ROUTING."""
    again = f"address replace {CLIENTS.gateway6}/64 dev {CLIENTS.port} nodad"  # which it loses as it is enslaved, or freed
    ip_batch([f"link add inner type vrf table {TABLE}", "link set inner up", f"link set {CLIENTS.port} master inner", again], net.halod)
    goes(net, "n2", "with clients in a VRF")
    kernel.settle()
    for family in (4, 6):
        before = kernel.counters()
        equal(answered_by(net.clients, vip(family), BROWSERS_PORT, "udp"), "n2", "who answers a datagram, with clients in a VRF")
        equal(kernel.grown(before), {"forward": 1}, f"exits of a datagram in a VRF, IPv{family}")
    # Nothing of the packets' routes may hold it.
    ip_batch([f"link set {CLIENTS.port} nomaster", "link del inner", again], net.halod)


def goes(net: Topology, name: str, when: str) -> None:
    """Who gets questions of both IP versions and protocols, twice."""
    for family in (4, 6):
        for protocol in ("udp", "tcp"):
            for _ in range(2):
                found = answered_by(net.clients, vip(family), BROWSERS_PORT, protocol)
                equal(found, name, f"who answers at {vip(family)}, {protocol}, {when}")
