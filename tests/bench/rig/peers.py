"""What HaloD is compared with, each set up by its own public tool, and the control."""

import subprocess
from collections.abc import Callable
from functools import partial

from lab import paths
from lab.addresses import CLIENTS, VIP4, VIP6, bracketed

from .frames import KINDS, NODES, PORT, ROUTES, Traffic, node_address
from .path import FORWARD, REVERSE, USUAL, Path, Row
from .source import Verify
from .world import CLIENTS as CLIENT_LINK
from .world import NODE_LINK, World

PROGRAM = paths.REPO / "build/bench/rewrite.bpf.o"
LAST_PORT = PORT + ROUTES - 1
# IPVS alone would have 4,096 buckets at most.
IPVS_BITS = 20

# IP version, what nftables calls it, and the VIP.
FAMILIES = ((4, "ip", VIP4), (6, "ip6", VIP6))


def nothing(_: World) -> None:
    """The kernel's own forwarding, as it is."""


def _map(family: int) -> str:
    """nftables: the node of each route's port."""
    places = ", ".join(f"{PORT + route} : {node_address(family, route % NODES)}" for route in range(ROUTES))
    return f"map nodes {{ type inet_service : ipv{family}_addr; elements = {{ {places} }} }}"


def _nodes(family: int) -> str:
    return ", ".join(node_address(family, node) for node in range(NODES))


def _nft(rules: Callable[[int, str, str], str], more: str = "") -> Callable[[World], None]:
    """Sets up rules for both families."""

    def setup(world: World) -> None:
        text = "\n".join(rules(*family) for family in FAMILIES)
        world.balancer.run("nft", "-f", "-", input=text + more)

    return setup


def _dnat(family: int, ip: str, vip: str) -> str:
    """Destination NAT with connection tracking."""
    return f"""
table {ip} balancer {{
    {_map(family)}
    chain prerouting {{
        type nat hook prerouting priority dstnat
        {ip} daddr {vip} meta l4proto {{ tcp, udp }} dnat to th dport map @nodes
    }}
}}"""


FLOWTABLE = f"""
table inet fast {{
    flowtable flows {{ hook ingress priority filter; devices = {{ {CLIENT_LINK}, {NODE_LINK} }}; }}
    chain forward {{
        type filter hook forward priority filter
        meta l4proto {{ tcp, udp }} flow add @flows
    }}
}}"""


def _stateless(family: int, ip: str, vip: str) -> str:
    """Both directions rewritten by rules, and kept from connection tracking."""
    return f"""
table {ip} balancer {{
    {_map(family)}
    chain prerouting {{
        type filter hook prerouting priority raw
        {ip} daddr {vip} th dport {PORT}-{LAST_PORT} notrack {ip} daddr set th dport map @nodes
        {ip} saddr {{ {_nodes(family)} }} th sport {PORT}-{LAST_PORT} notrack
    }}
    chain postrouting {{
        type filter hook postrouting priority srcnat
        {ip} saddr {{ {_nodes(family)} }} th sport {PORT}-{LAST_PORT} {ip} saddr set {vip}
    }}
}}"""


def _netdev(family: int, ip: str, vip: str) -> str:
    """Rewritten as it comes in, and sent on at once."""
    client = CLIENTS.address(family)
    return f"""
table netdev balancer{family} {{
    {_map(family)}
    chain clients {{
        type filter hook ingress device {CLIENT_LINK} priority filter
        {ip} daddr {vip} th dport {PORT}-{LAST_PORT} {ip} daddr set th dport map @nodes fwd {ip} to th dport map @nodes device {NODE_LINK}
    }}
    chain nodes {{
        type filter hook ingress device {NODE_LINK} priority filter
        {ip} saddr {{ {_nodes(family)} }} th sport {PORT}-{LAST_PORT} {ip} saddr set {vip} fwd {ip} to {client} device {CLIENT_LINK}
    }}
}}"""


def dnat(world: World) -> None:
    """nftables' destination NAT, with connection tracking."""
    _nft(_dnat)(world)


def ipvs_nat(world: World) -> None:
    """IPVS as a router that rewrites."""
    _ipvs(world, "-m")


def _ipvs(world: World, method: str) -> None:
    """A service a route, with the route's node as its only server."""
    subprocess.run(["modprobe", "ip_vs", f"conn_tab_bits={IPVS_BITS}"], check=True)
    lines = []
    for family, _, vip in FAMILIES:
        for flag in ("-t", "-u"):
            for route in range(ROUTES):
                service = f"{flag} {bracketed(vip)}:{PORT + route}"
                server = f"{bracketed(node_address(family, route % NODES))}:{PORT + route}"
                lines += [f"-A {service} -s rr", f"-a {service} -r {server} {method}"]
    world.balancer.run("ipvsadm", "-R", input="\n".join(lines) + "\n")


def _tc(action: str) -> Callable[[World], None]:
    """A filter on both links' ingress; {other} in it is the other link."""

    def setup(world: World) -> None:
        for device, other in ((CLIENT_LINK, NODE_LINK), (NODE_LINK, CLIENT_LINK)):
            world.balancer.run(*f"tc qdisc add dev {device} clsact".split())
            world.balancer.run(*f"tc filter add dev {device} ingress {action.format(other=other)}".split())

    return setup


def _xdp(world: World) -> None:
    for device in (CLIENT_LINK, NODE_LINK):
        world.balancer.run(*f"ip link set dev {device} xdpdrv object {PROGRAM} section xdp".split())
    # Without a program at the other end of the link, veth drops what is redirected to it.
    for end in (world.client, world.nodes):
        end.run(*f"ip link set dev eth0 xdpdrv object {PROGRAM} section xdp/pass".split())


ROUTED = tuple(Row(traffic, kind) for traffic in (Traffic.ROUTED, Traffic.ROUTED_REVERSE) for kind in KINDS)
V4 = tuple(row for row in USUAL if row.kind.family == 4)

CONTROL = Path(
    "control", "control", nothing,
    FORWARD + REVERSE, Verify.UNCHANGED, control=True,
)
PLAIN = Path("plain", "plain IP forwarding", nothing, ROUTED, Verify.UNCHANGED)

PATHS = (
    Path("tc-redirect", "tc redirect, no rewrite", _tc("matchall action mirred egress redirect dev {other}"), verify=Verify.UNCHANGED, quick=False),
    Path("xdp", "XDP program on veth", _xdp, V4, quick=False),
    Path("tc-bpf", "tc-bpf program", _tc(f"bpf direct-action object-file {PROGRAM} section tc"), V4, quick=False),
    Path("nft-netdev", "nftables at ingress, stateless, fwd", _nft(_netdev), quick=False),
    Path("nft-stateless", "nftables stateless map, untracked", _nft(_stateless), quick=False),
    Path("ipvs-nat", "IPVS NAT", ipvs_nat, handshake=True),
    Path(
        "ipvs-dr", "IPVS DR", partial(_ipvs, method="-g"),
        tuple(row for row in USUAL if row.traffic is not Traffic.REVERSE), Verify.UNCHANGED, handshake=True, quick=False,
    ),
    Path(
        "ipvs-tun", "IPVS TUN", partial(_ipvs, method="-i"),
        tuple(row for row in USUAL if row.traffic is not Traffic.REVERSE), Verify.INSIDE, handshake=True, quick=False,
    ),
    Path("nft-flowtable", "nftables DNAT and flowtable", _nft(_dnat, FLOWTABLE), handshake=True, quick=False),
    Path("nft-dnat", "nftables DNAT with conntrack", dnat, handshake=True, quick=False),
)
