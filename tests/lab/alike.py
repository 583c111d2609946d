"""Three machines that have n1's address: who answers says which of them a packet went to."""

from . import addresses
from .echo import Echo
from .topology import Topology, ip_batch

ALIKE = addresses.node(1)


def three_alike(net: Topology, others: int) -> None:
    """n1, n2 and the application's machine; the latter two have its ports of so many routes."""
    net.node(2).sysctl(ipv4__conf__all__arp_ignore=1)  # n1's address is not n2's to answer for
    for namespace, name in ((net.node(2), "n2"), (net.app, "app")):
        ip_batch([f"address add {ALIKE.v4}/32 dev lo", f"address add {ALIKE.v6}/128 dev lo nodad"], namespace)
        Echo(namespace, name, ALIKE, routes=others)
    Echo(net.node(1), "n1", ALIKE)
