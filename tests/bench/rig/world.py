"""The three namespaces of one path."""

from lab import addresses
from lab.netns import Namespace
from lab.topology import ip_batch
from lab.wait import until

from . import frames, source
from .frames import ELSEWHERE, NODES

PREFIX = "hd-bench-"
# Fixed, so that programs for BPF can be compiled with them.
CLIENTS, NODE_LINK = "clients", "nodes"
CLIENTS_INDEX, NODES_INDEX = 1001, 1002


def _mac(mac: bytes) -> str:
    return mac.hex(":")


class World:
    """Client, balancer and nodes, with fixed neighbours: no packet but those sent by order."""

    def __init__(self, name: str):
        names = [f"{PREFIX}{name}-{part}" for part in ("client", "balancer", "nodes")]
        ip_batch([f"netns add {name}" for name in names])
        self.client, self.balancer, self.nodes = map(Namespace, names)
        for namespace in (self.client, self.nodes):
            namespace.sysctl(ipv6__conf__default__disable_ipv6=1)
        self.balancer.sysctl(
            ipv4__ip_forward=1, ipv6__conf__all__forwarding=1, ipv6__conf__default__accept_dad=0,
            ipv6__conf__default__router_solicitations=0, ipv6__conf__default__addr_gen_mode=1,
        )
        ip_batch(self._balancer(), self.balancer)
        for namespace, mac in ((self.client, frames.MAC_CLIENT), (self.nodes, frames.MAC_NODE)):
            ip_batch([f"link set eth0 address {_mac(mac)} up"], namespace)
        for namespace, device in ((self.client, "eth0"), (self.nodes, "eth0"), (self.balancer, CLIENTS), (self.balancer, NODE_LINK)):
            # A carrier is noticed some time after the other end is up; a device drops everything until then.
            until(f"{device} of {namespace.name} to work", lambda: "state UP" in namespace.run("ip", "link", "show", device).stdout)

    def sink_ends(self) -> None:
        """What reaches client or nodes is counted and dropped."""
        for namespace in (self.client, self.nodes):
            source.sink(namespace, "eth0")

    def sink_balancer(self) -> None:
        """What reaches the balancer is counted and dropped: the control."""
        for device in (CLIENTS, NODE_LINK):
            source.sink(self.balancer, device)

    def remove(self) -> None:
        """Takes it all down again."""
        names = []
        for namespace in (self.client, self.balancer, self.nodes):
            names.append(namespace.name)
            namespace.close()
        ip_batch([f"netns delete {name}" for name in names])

    def _balancer(self) -> list[str]:
        client = addresses.CLIENTS
        machines = [addresses.node(first + n + 1) for first in (0, ELSEWHERE) for n in range(NODES)]
        lines = [
            f"link add {CLIENTS} index {CLIENTS_INDEX} address {_mac(frames.MAC_BALANCER_CLIENTS)} "
            f"type veth peer name eth0 netns {self.client.name}",
            f"link add {NODE_LINK} index {NODES_INDEX} address {_mac(frames.MAC_BALANCER_NODES)} "
            f"type veth peer name eth0 netns {self.nodes.name}",
            "link set lo up",
            f"link set {CLIENTS} up",
            f"link set {NODE_LINK} up",
            f"address add {addresses.VIP4}/32 dev lo",
            f"address add {addresses.VIP6}/128 dev lo nodad",
            f"address add {client.gateway4}/24 dev {CLIENTS}",
            f"address add {client.gateway6}/64 dev {CLIENTS} nodad",
            f"address add {addresses.NODES_GATEWAY4}/24 dev {NODE_LINK}",
            f"address add {addresses.NODES_GATEWAY6}/64 dev {NODE_LINK} nodad",
        ]
        hosts = [(client, CLIENTS, frames.MAC_CLIENT)] + [(node, NODE_LINK, frames.MAC_NODE) for node in machines]
        for host, device, mac in hosts:
            for address in (host.v4, host.v6):
                lines.append(f"neighbour add {address} lladdr {_mac(mac)} nud permanent dev {device}")
        for family, network in frames.CROWD_NETWORKS.items():
            lines.append(f"route add {network} via {client.address(family)} dev {CLIENTS}")
        return lines
