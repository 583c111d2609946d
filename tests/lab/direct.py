"""Nodes that have the VIPs themselves and answer clients directly, past HaloD.

::

    hd-clients -- HaloD -- bridge "nodes" -- n1 .. nN
        |                       |
        +------- hd-back -------+

What the nodes send to clients goes by the router hd-back, which has the VIPs from HaloD as everybody has.
"""

from dataclasses import replace

from . import addresses
from .addresses import BRIDGE, VIP4, VIP6
from .echo import Echo
from .netns import Namespace
from .topology import PREFIX, Topology, ip_batch

NAME = f"{PREFIX}back"
# Towards the nodes, and on the link to the clients.
NEAR4, NEAR6 = "192.0.2.250", "2001:db8:2::250"
FAR4, FAR6 = ("198.51.100.230", "198.51.100.229"), ("2001:db8:8::2", "2001:db8:8::1")


class WayBack:
    """The router hd-back; made for the first `nodes` nodes, which are given the VIPs."""

    def __init__(self, net: Topology, nodes: int, device: str = "lo"):
        self.net = net
        ip_batch([f"netns add {NAME}"])
        self.router = Namespace(NAME)
        self.router.sysctl(ipv6__conf__default__accept_dad=0, ipv6__conf__all__accept_dad=0)
        self.router.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        ip_batch([f"link add back netns {net.halod.name} type veth peer name near netns {NAME}"])
        ip_batch([f"link set back master {BRIDGE}", "link set back up"], net.halod)
        ip_batch([f"link add far netns {NAME} type veth peer name back netns {net.clients.name}"])
        gateway4, gateway6 = addresses.NODES_GATEWAY4, addresses.NODES_GATEWAY6
        clients4, clients6 = "203.0.113.0/24", "2001:db8:3::/64"
        ip_batch(
            [
                f"address add {NEAR4}/24 dev near",
                f"address add {NEAR6}/64 dev near nodad",
                f"address add {FAR4[1]}/30 dev far",
                f"address add {FAR6[1]}/64 dev far nodad",
                "link set near up",
                "link set far up",
                f"route add {clients4} via {FAR4[0]}",
                f"route add {clients6} via {FAR6[0]}",
                f"route add default via {gateway4}",
                f"route add default via {gateway6}",
            ],
            self.router,
        )
        ip_batch(
            [f"address add {FAR4[0]}/30 dev back", f"address add {FAR6[0]}/64 dev back nodad", "link set back up"],
            net.clients,
        )
        for number in range(1, nodes + 1):
            node = net.node(number)
            # As docs/operating.md says.
            node.sysctl(ipv4__conf__all__arp_ignore=1, ipv4__conf__all__arp_announce=2)
            ip_batch(
                [
                    f"address add {VIP4}/32 dev {device}",
                    f"address add {VIP6}/128 dev {device} nodad",
                    f"route add {clients4} via {NEAR4}",
                    f"route add {clients6} via {NEAR6}",
                ],
                node,
            )

    def mtu(self, mtu: int) -> None:
        """Sets both ends of the link from hd-back to the clients."""
        self.router.run("ip", "link", "set", "far", "mtu", mtu)
        self.net.clients.run("ip", "link", "set", "back", "mtu", mtu)

    def close(self) -> None:
        """Lets go of the namespace."""
        self.router.close()


def echoes(net: Topology, nodes: int, **options: object) -> list[Echo]:
    """Echo servers on the VIPs themselves, on the machines of n1 .. n<nodes>."""
    return [
        Echo(net.node(number), f"n{number}", replace(addresses.node(number), v4=VIP4, v6=VIP6), **options)  # type: ignore[arg-type]
        for number in range(1, nodes + 1)
    ]
