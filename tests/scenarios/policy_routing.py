"""Rules of routing on HaloD's machine: by mark, source, device; that refuse, and the client hears of it; several equal
routes; and VRFs on either side. Packets of HaloD's go where the machine sends all others with their addresses.

n1's address is on three machines, as in route_changes: who answers says which of them the packet went to. Answers may
go to the client by a second link, where they are counted.
"""

import errno
import socket
import struct
from collections.abc import Mapping

from lab import addresses, nft
from lab.addresses import APP, BRIDGE, BROWSERS_PORT, CLIENTS, NODES_GATEWAY6, ROUTES, VIP4, VIP6, vip
from lab.alike import ALIKE, three_alike
from lab.checks import check, equal
from lab.kernel import Kernel
from lab.lab import Lab
from lab.netns import Namespace
from lab.rules import MARK, rule
from lab.topology import Topology, ip_batch
from lab.traffic import FAMILIES, QUESTION, Flow, Traffic, answered_by

BOTH_PATHS = True
WHOLE = {4: 32, 6: 128}
# The second link between HaloD and the client, by its ends.
SECOND = {4: ("198.51.100.225", "198.51.100.226"), 6: ("2001:db8:8::1", "2001:db8:8::2")}
TO_APP, TO_SECOND = 100, 101  # tables of routes
# Datagrams, and the first segment of each connection: the others may come late.
ARRIVED = f"""
table inet watch {{
    counter first {{ }}
    counter second {{ }}
    chain input {{
        type filter hook input priority filter
        tcp flags & syn != syn accept
        iifname eth0 ip saddr {VIP4} counter name first
        iifname eth0 ip6 saddr {VIP6} counter name first
        iifname eth1 ip saddr {VIP4} counter name second
        iifname eth1 ip6 saddr {VIP6} counter name second
    }}
}}
"""
# linux/in.h, linux/in6.h, linux/errqueue.h
RECEIVE_ERRORS = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}
EXTENDED_ERROR = struct.Struct("=IBBBBII")
# What a client hears by ICMP of a rule, or a route, of a type: errno, type, code.
NO_NETWORK, NO_HOST = (errno.ENETUNREACH, 3, 0), (errno.EHOSTUNREACH, 3, 1)
FORBIDDEN, NO_ROUTE6, FORBIDDEN6 = (errno.EHOSTUNREACH, 3, 13), (errno.ENETUNREACH, 1, 0), (errno.EACCES, 1, 1)
REFUSALS = (
    ("rule", "unreachable", {4: NO_NETWORK, 6: NO_ROUTE6}),
    ("route", "unreachable", {4: NO_HOST, 6: NO_ROUTE6}),
    ("rule", "prohibit", {4: FORBIDDEN, 6: FORBIDDEN6}),
    ("route", "prohibit", {4: FORBIDDEN, 6: FORBIDDEN6}),
    ("rule", "blackhole", {4: None, 6: None}),
    ("route", "blackhole", {4: None, 6: None}),
)
HASH_PORTS = 1  # fib_multipath_hash_policy: by addresses and ports


def run(lab: Lab) -> None:
    net = lab.net
    three_alike(net, 2)
    second_link(net)
    nft.load(net.clients, ARRIVED)
    kernel = lab.kernel()
    kernel.commit(lab.table([1] * ROUTES))
    goes(net, "n1", "first", "without rules")
    by_mark(net)
    by_source(net)
    by_device(net)
    refused(net, kernel)
    several(net)
    vrf(net, BRIDGE, TO_SECOND, ("192.0.2.0/24", "2001:db8:2::/64"), NODES_GATEWAY6, ("n1", "second"))
    vrf(net, CLIENTS.port, TO_APP, ("203.0.113.0/24", "2001:db8:3::/64"), CLIENTS.gateway6, ("app", "first"))
    drops = {name: count for name, count in kernel.counters().items() if name.startswith("drop_") and count}
    equal(drops, {}, "drops")


def second_link(net: Topology) -> None:
    """Of the client; and routes that nobody takes yet: to n1's address at the application's, to the client by that link."""
    ip_batch([f"link add second type veth peer name eth1 netns {net.clients.name}"], net.halod)
    for namespace, device, end in ((net.halod, "second", 0), (net.clients, "eth1", 1)):
        ip_batch(
            [
                f"address add {SECOND[4][end]}/30 dev {device}",
                f"address add {SECOND[6][end]}/64 dev {device} nodad",
                f"link set {device} up",
            ],
            namespace,
        )
    for family in (4, 6):
        ip(net, family, "route", "add", whole(ALIKE, family), "via", APP.address(family), "table", TO_APP)
        ip(net, family, "route", "add", "default", "via", SECOND[family][1], "table", TO_SECOND)


def ip(net: Topology, family: int, *argv: object) -> None:
    """ip(8) on HaloD's machine."""
    net.halod.run("ip", f"-{family}", *argv)


def whole(host: addresses.Host, family: int) -> str:
    """A host's address, as a network of one."""
    return f"{host.address(family)}/{WHOLE[family]}"


def goes(net: Topology, name: str, link: str, when: str, families: tuple[int, ...] = (4, 6)) -> None:
    """Questions are answered by a machine, twice, and all answers come by a link."""
    for family in families:
        for protocol in ("udp", "tcp"):
            for _ in range(2):
                found = answered_by(net.clients, vip(family), BROWSERS_PORT, protocol)
                equal(found, name, f"who answers at {vip(family)}, {protocol}, {when}")
        equal(set(nft.counts(net.clients)), {link}, f"links by which answers from {vip(family)} come {when}")


def by_mark(net: Topology) -> None:
    """A mark that an nft rule sets: before HaloD's hook, when the packet is yet the VIP's; after it; and at the device."""
    marks = f"th dport {BROWSERS_PORT} meta mark set {MARK}"
    with rule(net, "fwmark", MARK, "lookup", TO_APP):
        goes(net, "n1", "first", "where nothing is marked")
        for kind, where, own in (
            ("inet", "prerouting priority -310", f"ip daddr {VIP4} {marks}; ip6 daddr {VIP6} {marks}"),
            ("inet", "prerouting priority mangle", f"ip daddr {ALIKE.v4} {marks}; ip6 daddr {ALIKE.v6} {marks}"),
            ("netdev", f"ingress device {CLIENTS.port} priority 0", f"ip daddr {VIP4} {marks}; ip6 daddr {VIP6} {marks}"),
        ):
            nft.load(net.halod, f"table {kind} marks {{ chain marks {{ type filter hook {where}; {own}; }}; }}\n")
            goes(net, "app", "first", f"with marks set at {where}")
            equal(answered_by(net.clients, VIP4, BROWSERS_PORT + 1), "n1", f"who answers what is not marked at {where}")
            nft.counts(net.clients)
            nft.delete(net.halod, "marks", kind)


def by_source(net: Topology) -> None:
    """The client's address leads its questions; the node's leads answers, not the VIP's, which they get after routing."""
    with rule(net, "from", CLIENTS, "lookup", TO_APP):
        goes(net, "app", "first", "by a rule for what comes from the client")
    with rule(net, "from", ALIKE, "lookup", TO_SECOND):
        goes(net, "n1", "second", "by a rule for what comes from the node")
    with rule(net, "from", {4: VIP4, 6: VIP6}, "lookup", TO_SECOND):
        goes(net, "n1", "first", "by a rule for what comes from the VIP")


def by_device(net: Topology) -> None:
    """The device by which questions arrive leads them, and that of answers these."""
    with rule(net, "iif", CLIENTS.port, "lookup", TO_APP):
        goes(net, "app", "first", "by a rule for the clients' device")
    with rule(net, "iif", BRIDGE, "lookup", TO_SECOND):
        goes(net, "n1", "second", "by a rule for the nodes' device")


def refused(net: Topology, kernel: Kernel) -> None:
    """Rules and routes that refuse: the client hears it from the router that it knows, about what it has sent."""
    net.halod.sysctl(ipv4__icmp_ratelimit=0, ipv6__icmp__ratelimit=0)
    kernel.settle()
    for what, kind, expected in REFUSALS:
        for command in ("add", "del"):
            for family in (4, 6):
                how = ("iif", CLIENTS.port, "type", kind) if what == "rule" else (kind, whole(ALIKE, family))
                ip(net, family, what, command, *how)
            if command == "add":
                heard(net, kernel, expected, f"{what} of type {kind}")
    goes(net, "n1", "first", "where nothing refuses any more")


def heard(net: Topology, kernel: Kernel, expected: Mapping[int, tuple[int, int, int] | None], what: str) -> None:
    """What a client's sockets are told: errno, and the ICMP error with who has sent it."""
    for family, error in expected.items():
        before = kernel.counters()
        found = told(net.clients, family, 10.0 if error else 0.3)
        gateway = CLIENTS.gateway4 if family == 4 else CLIENTS.gateway6
        equal(found, (*error, gateway) if error else None, f"what the client is told of a {what}, IPv{family}")
        grown = {"forward": 1} | ({"icmp_to_client": 1} if error else {})
        equal(kernel.grown(before), grown, f"exits, with a {what}, IPv{family}")


def told(namespace: Namespace, family: int, seconds: float) -> tuple[int, int, int, str] | None:
    """Of a datagram to the VIP: errno, the error's type and code, and its sender; None where nothing comes."""
    with namespace.entered():
        sock = socket.socket(FAMILIES[family], socket.SOCK_DGRAM)
    with sock:
        sock.setsockopt(*RECEIVE_ERRORS[family], 1)
        sock.settimeout(seconds)
        sock.connect((vip(family), BROWSERS_PORT))
        sock.send(QUESTION)
        try:
            return (0, 0, 0, sock.recv(64).decode())
        except TimeoutError:
            return None
        except OSError:
            quoted, control, _, _ = sock.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
    equal(quoted, QUESTION, "what an error quotes")
    (data,) = (data for _, _, data in control)
    number, _, kind, code, *_ = EXTENDED_ERROR.unpack_from(data)
    # The sender's address is in a sockaddr: behind family and port, and with IPv6 the flow label.
    at, size = (4, 4) if family == 4 else (8, 16)
    sender = data[EXTENDED_ERROR.size + at :][:size]
    return number, kind, code, socket.inet_ntop(FAMILIES[family], sender)


def several(net: Topology) -> None:
    """Equal routes to n2 and to the application: a connection keeps to its own; by ports, or all of a client's to one."""
    ways = {
        family: ("nexthop", "via", addresses.node(2).address(family), "nexthop", "via", APP.address(family)) for family in (4, 6)
    }
    for family in (4, 6):
        ip(net, family, "route", "add", whole(ALIKE, family), *ways[family])
        for policy in (HASH_PORTS, 0):
            net.halod.sysctl(**{f"ipv{family}__fib_multipath_hash_policy": policy})
            flows = [Flow(vip(family), BROWSERS_PORT, protocol) for protocol in ("tcp", "udp") for _ in range(12)]
            traffic = Traffic(net.clients, flows).start()
            seen = traffic.answers()
            check(seen >= len(flows), "every flow is answered")
            equal(traffic.stop(), [], f"errors with equal routes, IPv{family}, by policy {policy}")
            equal({len(flow.others) for flow in flows}, {1}, f"machines that have answered a flow, IPv{family}, by policy {policy}")
            machines = {flow.node.split()[0] for flow in flows}
            check(machines <= {"n2", "app"}, f"who answers with equal routes, IPv{family}: {machines}")
            if policy == HASH_PORTS:
                equal(machines, {"n2", "app"}, f"who answers with equal routes, IPv{family}")
            elif family == 4:
                equal(len(machines), 1, "machines that answer one client by its address")
        ip(net, family, "route", "del", whole(ALIKE, family))
    nft.counts(net.clients)


def vrf(net: Topology, device: str, table: int, networks: tuple[str, str], own: str, expected: tuple[str, str]) -> None:
    """A device is in a VRF: what arrives by it goes by the VRF's table, and what goes there comes by the usual one."""
    again = f"address replace {own}/64 dev {device} nodad"  # which a device loses as it is enslaved, or freed
    ip_batch([f"link add inner type vrf table {table}", "link set inner up", f"link set {device} master inner", again], net.halod)
    ip_batch([f"route add {network} dev {device}" for network in networks], net.halod)
    goes(net, *expected, f"with {device} in a VRF")
    ip_batch([f"route del {network} dev {device}" for network in networks], net.halod)
    ip_batch([f"link set {device} nomaster", "link del inner", again], net.halod)
    goes(net, "n1", "first", f"with {device} in no VRF any more")
