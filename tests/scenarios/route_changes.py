"""What changes on HaloD's machine counts for the very next packet, though routes of packets are kept: neighbours,
routes, rules for routing, addresses, MTU, forwarding, devices' names, and devices themselves.

n1's address is on three machines: its own, n2's, and the application's, which is behind another device. Whoever
answers says which of them the packet went to.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from lab import addresses
from lab.addresses import APP, BRIDGE, BROWSERS_PORT, CLIENTS, ROUTES, VIP4, VIP6
from lab.alike import ALIKE, three_alike
from lab.checks import equal
from lab.lab import Lab
from lab.process import Process
from lab.topology import Topology, ip_batch
from lab.traffic import answered_by
from lab.transfer import transfer
from lab.wait import until

BOTH_PATHS = True

FLOOD = Path(__file__).resolve().parents[1] / "lab/flood.py"
NARROW = 1400
CLASS = 4  # a DSCP, and one of those that routes can be told by: IPTOS_LOWDELAY
TRACKING = """
table inet tracking {
    chain forward {
        type filter hook forward priority filter
        ct state invalid drop
    }
}
"""
CLASSES = f"""
table inet classes {{
    chain prerouting {{
        type filter hook prerouting priority mangle
        ip daddr {addresses.node(1).v4} ip dscp set {CLASS}
    }}
}}
"""
VIPS = (VIP4, VIP6)


def run(lab: Lab) -> None:
    net = lab.net
    three_alike(net, 1)
    lab.kernel().commit(lab.table([1] * ROUTES))
    # So that there are routes to be kept, at all times.
    floods = [Process(net.clients, f"flood-{vip}", [sys.executable, FLOOD, vip, BROWSERS_PORT + 1, 1], lab.directory) for vip in VIPS]
    answered(net, "n1", "before anything changes")
    neighbours(net)
    routes(net)
    rules(net)
    own_address(net)
    mtu(net)
    forwarding(net)
    device(net)
    firewall(net)
    equal([flood.running for flood in floods], [True, True], "the floods run to the end")


def answered(net: Topology, who: str, when: str) -> None:
    """The next packet of either IP version, there and back; asked twice, the second time along a route that is kept."""
    for vip in VIPS:
        for protocol in ("udp", "tcp"):
            equal(answer(net, vip, protocol), who, f"who answers at {vip}, {protocol}, {when}")


def answer(net: Topology, vip: str, protocol: str, timeout: float = 5.0) -> str:
    """Who answers; "" for nobody."""
    return answered_by(net.clients, vip, BROWSERS_PORT, protocol, timeout)


def neighbours(net: Topology) -> None:
    """Another machine has the address now."""
    for number, who in ((2, "n2"), (1, "n1")):
        (link,) = json.loads(net.node(number).run("ip", "-json", "link", "show", "eth0").stdout)
        ip_batch(
            [f"neighbour replace {address} lladdr {link['address']} nud permanent dev {BRIDGE}" for address in (ALIKE.v4, ALIKE.v6)],
            net.halod,
        )
        answered(net, who, f"with the link address of n{number}")


def routes(net: Topology) -> None:
    """A narrower route appears, and goes again."""
    ways = [f"route %s {ALIKE.v4}/32 via {APP.v4} dev {APP.port}", f"route %s {ALIKE.v6}/128 via {APP.v6} dev {APP.port}"]
    ip_batch([way % "add" for way in ways], net.halod)
    answered(net, "app", "by a route of its own")
    ip_batch([way % "del" for way in ways], net.halod)
    answered(net, "n1", "without that route")
    ends = [f"route %s blackhole {address}" for address in (f"{CLIENTS.v4}/32", f"{CLIENTS.v6}/128")]
    ip_batch([end % "add" for end in ends], net.halod)
    equal([answer(net, vip, "udp", 0.5) for vip in VIPS], ["", ""], "who answers with no way back to the client")
    ip_batch([end % "del" for end in ends], net.halod)
    answered(net, "n1", "with a way back")


def rules(net: Topology) -> None:
    """A rule sends what comes from the client another way."""
    for family, prefix in ((4, 32), (6, 128)):
        way = f"{ALIKE.address(family)}/{prefix}", "via", APP.address(family), "table", 100
        net.halod.run("ip", f"-{family}", "route", "add", *way)
    for command, who in (("add", "app"), ("del", "n1")):
        for family in (4, 6):
            net.halod.run("ip", f"-{family}", "rule", command, "from", CLIENTS.address(family), "lookup", 100)
        answered(net, who, f"after `ip rule {command}`")


def own_address(net: Topology) -> None:
    """The client's address is the machine's own for a while: whatever comes from it is a martian then (IPv4)."""
    ip_batch([f"address add {CLIENTS.v4}/32 dev lo"], net.halod)
    equal(answer(net, VIP4, "udp", 0.5), "", "who answers the machine's own address, from outside")
    ip_batch([f"address del {CLIENTS.v4}/32 dev lo"], net.halod)
    answered(net, "n1", "with the client's address elsewhere")


def mtu(net: Topology) -> None:
    """The link to the clients gets narrower, and the node learns it."""
    ip_batch([f"link set {CLIENTS.port} mtu {NARROW}"], net.halod)
    # The client knows, and says nothing of it: what it sent longer would be lost at this end of the link.
    usual = [f"route replace default via {CLIENTS.gateway4}", f"route replace default via {CLIENTS.gateway6}"]
    ip_batch([f"{usual[0]} mtu {NARROW} advmss 1460", f"{usual[1]} mtu {NARROW} advmss 1440"], net.clients)
    for vip, family in ((VIP4, 4), (VIP6, 6)):
        transfer(net.clients, vip, 128 << 10, f"{vip}, narrow")
        (route,) = json.loads(net.node(1).run("ip", "-json", "route", "get", CLIENTS.address(family)).stdout)
        found = [metrics["mtu"] for metrics in route.get("metrics", []) if "mtu" in metrics]
        equal(found, [NARROW], f"path MTU that the node knows, IPv{family}")
    ip_batch([f"link set {CLIENTS.port} mtu 1500"], net.halod)
    ip_batch(usual, net.clients)


def forwarding(net: Topology) -> None:
    """The machine is no router for a while."""
    net.halod.sysctl(ipv4__ip_forward=0, ipv6__conf__all__forwarding=0)
    equal([answer(net, vip, "udp", 0.5) for vip in VIPS], ["", ""], "who answers while nothing is forwarded")
    net.halod.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
    answered(net, "n1", "with forwarding on again")


def device(net: Topology) -> None:
    """The device towards the clients is renamed, then deleted and made again, while packets are on their way."""
    other = replace(CLIENTS, port="outside")
    ip_batch([f"link set {CLIENTS.port} name {other.port}"], net.halod)
    answered(net, "n1", "by a device of another name")
    ip_batch([f"link delete {other.port}"], net.halod)
    ip_batch(
        [
            f"link add {CLIENTS.port} type veth peer name eth0 netns {net.clients.name}",
            f"address add {CLIENTS.gateway4}/24 dev {CLIENTS.port}",
            f"address add {CLIENTS.gateway6}/64 dev {CLIENTS.port} nodad",
            f"link set {CLIENTS.port} up",
        ],
        net.halod,
    )
    ip_batch(
        [
            f"address add {CLIENTS.v4}/24 dev eth0",
            f"address add {CLIENTS.v6}/64 dev eth0 nodad",
            "link set eth0 up",
            f"route add default via {CLIENTS.gateway4}",
            f"route add default via {CLIENTS.gateway6}",
        ],
        net.clients,
    )
    until("the new device to carry packets", lambda: all(answer(net, vip, "udp", 1.0) == "n1" for vip in VIPS))
    answered(net, "n1", "by a new device")


def firewall(net: Topology) -> None:
    """Connection tracking changes nothing of all that; a rule before routing may send packets another way (IPv4)."""
    net.halod.run("nft", "-f", "-", input=TRACKING)
    answered(net, "n1", "with connection tracking")
    routes(net)
    ip_batch([f"route add {ALIKE.v4}/32 tos {CLASS << 2:#x} via {APP.v4}"], net.halod)
    answered(net, "n1", "with a route for another type of service")
    net.halod.run("nft", "-f", "-", input=CLASSES)
    equal([answer(net, VIP4, protocol) for protocol in ("udp", "tcp")], ["app", "app"], "who answers what a rule has given that type")
    net.halod.run("nft", "delete", "table", "inet", "classes")
    answered(net, "n1", "without the rule")
