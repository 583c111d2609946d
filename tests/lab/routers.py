"""Routers between HaloD and a host: ways on which packets turn out too big, or too old."""

from ipaddress import ip_interface

from . import addresses
from .addresses import Host
from .netns import Namespace
from .topology import PREFIX, Topology, ip_batch

WIDE = 1500


class Way:
    """Two routers between HaloD and a host; the far one is its gateway now, by the gateway's address.

    HaloD --link 0-- router --link 1-- router --link 2-- host
    """

    ROUTERS = 2

    def __init__(self, net: Topology, host: Host):
        self.host = host
        names = [f"{PREFIX}{host.port}-r{number}" for number in range(self.ROUTERS)]
        ip_batch([f"netns add {name}" for name in names])
        self._near = [net.halod, *(Namespace(name) for name in names)]  # the near end of each link
        ip_batch([f"link set {host.port} netns {names[-1]}"], net.halod)
        for number, router in enumerate(self._near[1:]):
            router.sysctl(ipv6__conf__default__accept_dad=0, ipv6__conf__all__accept_dad=0)
            router.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
            self._link(number)
        ip_batch(
            [
                f"address add {host.gateway4}/{host.prefix4} dev {host.port}",
                f"address add {host.gateway6}/64 dev {host.port} nodad",
                f"link set {host.port} up",
            ],
            self._near[-1],
        )

    def mtu(self, link: int, mtu: int) -> None:
        """Sets both ends of link 0 or 1."""
        self._near[link].run("ip", "link", "set", self._out, "mtu", mtu)
        self._near[link + 1].run("ip", "link", "set", "in", "mtu", mtu)

    def hops(self, family: int) -> list[str]:
        """What the routers call themselves towards HaloD, nearest to it first."""
        return [self._ends(number)[1][family == 6] for number in range(self.ROUTERS)]

    def hops_back(self, family: int) -> list[str]:
        """What the routers, and then HaloD, call themselves towards the host."""
        gateway = self.host.gateway6 if family == 6 else self.host.gateway4
        return [gateway, *(self._ends(number)[0][family == 6] for number in reversed(range(self.ROUTERS)))]

    def close(self) -> None:
        """Lets go of the routers; they end with the laboratory."""
        for router in self._near[1:]:
            router.close()

    @property
    def _out(self) -> str:
        return f"{self.host.port}-out"

    def _ends(self, link: int) -> list[tuple[str, str]]:
        """The addresses of a link's ends, the near one first."""
        link += 1 if self.host == addresses.CLIENTS else 1 + self.ROUTERS
        return [(f"198.51.100.{192 + 4 * link + end}", f"2001:db8:9:{link}::{end}") for end in (1, 2)]

    def _link(self, number: int) -> None:
        before, after = self._near[number : number + 2]
        ip_batch([f"link add {self._out} netns {before.name} type veth peer name in netns {after.name}"])
        ends = self._ends(number)
        for namespace, device, (v4, v6) in zip((before, after), (self._out, "in"), ends):
            ip_batch(
                [f"address add {v4}/30 dev {device}", f"address add {v6}/64 dev {device} nodad", f"link set {device} up"],
                namespace,
            )
        ip_batch([f"route add default via {address}" for address in ends[0]], after)
        # The other nodes stay in the network that they share.
        networks = [
            ip_interface(f"{self.host.v4}/{32 if self.host.bridged else self.host.prefix4}").network,
            ip_interface(f"{self.host.v6}/{128 if self.host.bridged else 64}").network,
        ]
        ip_batch([f"route add {network} via {far}" for network, far in zip(networks, ends[1])], before)
