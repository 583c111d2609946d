"""Nodes two routers away from HaloD, which have the VIPs themselves, take packets out of the ones that they came in,
and answer clients directly.

::

    hd-clients -- HaloD -- hd-near -- hd-far -- n1 .. nN
        |                               |
        +-------------------------------+

The nodes' network, a bridge with all nodes on it, is at hd-far, and so is the way to the clients.
"""

from pathlib import Path

from . import addresses
from .addresses import BRIDGE, NODES_GATEWAY4, NODES_GATEWAY6, VIP4, VIP6
from .netns import Namespace
from .topology import PREFIX, Topology, ip_batch

WIDE = 1500
# The nodes' gateway, at hd-far.
GATEWAY4, GATEWAY6 = "192.0.2.254", "2001:db8:2::fe"
NODES4, NODES6 = "192.0.2.0/24", "2001:db8:2::/64"
CLIENTS4, CLIENTS6 = "203.0.113.0/24", "2001:db8:3::/64"
# Each link's ends: HaloD and hd-near, hd-near and hd-far, hd-far and hd-clients.
LINKS4 = [(f"198.51.100.{at + 1}", f"198.51.100.{at + 2}") for at in (224, 228, 232)]
LINKS6 = [(f"2001:db8:{net}::1", f"2001:db8:{net}::2") for net in ("a", "b", "c")]


class Beyond:
    """The routers, and the first `nodes` nodes behind them."""

    def __init__(self, net: Topology, nodes: int):
        self.net = net
        # No device tunl0 in every namespace that comes.
        Path("/proc/sys/net/core/fb_tunnels_only_for_init_net").write_text("1")
        names = [f"{PREFIX}near", f"{PREFIX}far"]
        ip_batch([f"netns add {name}" for name in names])
        self.near, self.far = (Namespace(name) for name in names)
        for router in (self.near, self.far):
            router.sysctl(ipv6__conf__default__accept_dad=0, ipv6__conf__all__accept_dad=0)
            router.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        chain = self._chain = [net.halod, self.near, self.far, net.clients]
        for one, other, ends4, ends6 in zip(chain, chain[1:], LINKS4, LINKS6):
            ip_batch([f"link add onward netns {one.name} type veth peer name inward netns {other.name}"])
            for namespace, device, v4, v6 in zip((one, other), ("onward", "inward"), ends4, ends6):
                lines = [f"address add {v4}/30 dev {device}", f"address add {v6}/64 dev {device} nodad", f"link set {device} up"]
                ip_batch(lines, namespace)
        self._move(nodes)
        ip_batch(_routes([NODES4, NODES6], 0, 1), net.halod)
        own = [NODES_GATEWAY4, NODES_GATEWAY6]
        ip_batch(_routes([NODES4, NODES6], 1, 1) + _routes(["default"] * 2, 0, 0) + _routes(own, 0, 0), self.near)
        ip_batch(_routes([CLIENTS4, CLIENTS6], 2, 1) + _routes(["default"] * 2, 1, 0) + _routes(own, 1, 0), self.far)
        for number in range(1, nodes + 1):
            self._node(number)

    def _move(self, nodes: int) -> None:
        """Takes the nodes' network from HaloD, which keeps its addresses there as its own."""
        ports = [addresses.node(number).port for number in range(1, nodes + 1)]
        lines = [f"link set {port} netns {self.far.name}" for port in ports]
        for address, whole, all_ in ((NODES_GATEWAY4, 24, 32), (NODES_GATEWAY6, 64, 128)):
            lines += [f"address del {address}/{whole} dev {BRIDGE}", f"address add {address}/{all_} dev lo"]
        ip_batch(lines, self.net.halod)
        lines = [
            f"link add {BRIDGE} type bridge forward_delay 0",
            f"address add {GATEWAY4}/24 dev {BRIDGE}",
            f"address add {GATEWAY6}/64 dev {BRIDGE} nodad",
            f"link set {BRIDGE} up",
        ]
        for port in ports:
            lines += [f"link set {port} master {BRIDGE}", f"link set {port} up"]
        ip_batch(lines, self.far)

    def _node(self, number: int) -> None:
        node, host = self.net.node(number), addresses.node(number)
        ip_batch(
            [
                f"route replace default via {GATEWAY4}",
                f"route replace default via {GATEWAY6}",
                f"route add {NODES_GATEWAY4} via {GATEWAY4}",
                f"route add {NODES_GATEWAY6} via {GATEWAY6}",
                # From here on as docs/operating.md says.
                f"link add halod4 type ipip local {host.v4}",
                f"link add halod6 type ip6tnl mode ip6ip6 local {host.v6}",
                "link set halod4 up",
                "link set halod6 up",
                f"address add {VIP4}/32 dev lo",
                f"address add {VIP6}/128 dev lo nodad",
            ],
            node,
        )
        node.sysctl(ipv4__conf__all__rp_filter=0, ipv4__conf__halod4__rp_filter=0)

    def mtu(self, link: int, mtu: int) -> None:
        """Sets both ends of a link: 0 from HaloD to hd-near, 1 from there to hd-far, 2 from there to the clients."""
        self._chain[link].run("ip", "link", "set", "onward", "mtu", mtu)
        self._chain[link + 1].run("ip", "link", "set", "inward", "mtu", mtu)

    def forget(self) -> None:
        """What everybody has learnt of paths."""
        for namespace in (*self._chain, self.net.node(1)):
            for family in (4, 6):
                namespace.run("ip", f"-{family}", "route", "flush", "cache")

    def close(self) -> None:
        """Lets go of the routers; they end with the laboratory."""
        self.near.close()
        self.far.close()


def _routes(networks: list[str], link: int, end: int) -> list[str]:
    """Routes of both IP versions, by one end of a link."""
    v4, v6 = networks
    return [f"route add {v4} via {LINKS4[link][end]}", f"route add {v6} via {LINKS6[link][end]}"]
