"""The address plan of the laboratory; drawn in the package's own text."""

from dataclasses import dataclass

VIP4 = "198.51.100.1"
VIP6 = "2001:db8:100::1"


@dataclass(frozen=True)
class Host:
    """A namespace with one network device, eth0, and HaloD as its gateway."""

    name: str
    port: str  # the other end of its link, in the halod namespace
    v4: str
    v6: str
    gateway4: str
    gateway6: str
    prefix4: int
    bridged: bool = False  # the other end is a port of the bridge, not a router's address

    def address(self, family: int) -> str:
        """Its address in IP version 4 or 6."""
        return {4: self.v4, 6: self.v6}[family]


HALOD = "hd-halod"
BRIDGE = "nodes"
NODES_GATEWAY4 = "192.0.2.1"
NODES_GATEWAY6 = "2001:db8:2::1"

CLIENTS = Host("hd-clients", "clients", "203.0.113.2", "2001:db8:3::2", "203.0.113.1", "2001:db8:3::1", 24)
APP = Host("hd-app", "app", "198.51.100.130", "2001:db8:4::2", "198.51.100.129", "2001:db8:4::1", 25)


def node(number: int) -> Host:
    """The machine of node n<number>, from 1."""
    return Host(
        f"hd-n{number}",
        f"n{number}",
        f"192.0.2.{10 + number}",
        f"2001:db8:2::{10 + number}",
        NODES_GATEWAY4,
        NODES_GATEWAY6,
        24,
        bridged=True,
    )


ROUTES = 24
BROWSERS_PORT = 8000
APPS_PORT = 9000
# The browsers' one port for all routes, where a scenario wants that, and the nodes' for it.
ONE_PORT = 443
ONE_NODE_PORT = 8443
NODE_PROTOCOL_PORT = 7600


def vip(family: int) -> str:
    """The VIP in IP version 4 or 6."""
    return {4: VIP4, 6: VIP6}[family]


def bracketed(address: str) -> str:
    """The address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address
