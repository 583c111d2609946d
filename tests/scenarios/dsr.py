"""Packets are left as they are and sent to the node's link address; the node has the VIP, and answers the client
directly: every route, a drain, what a node that died had, and ICMP errors on both ways.
"""

import socket

from lab import addresses, direct, direct_listeners
from lab.addresses import BRIDGE, BROWSERS_PORT, NODES_GATEWAY4, NODES_GATEWAY6, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.flavour import SLOWER
from lab.kernel import Kernel, Table
from lab.lab import Lab
from lab.netns import Namespace
from lab.topology import Topology
from lab.traffic import FAMILIES, answered_by, ask
from lab.transfer import datagram, transfer
from lab.wait import until

SIZE = 512 << 10
NARROW = 1280
REDIRECTS = """
table inet watch {
    counter redirects { }
    chain output {
        type filter hook output priority filter; policy accept;
        icmp type redirect counter name redirects
        icmpv6 type nd-redirect counter name redirects
    }
}
"""


def run(lab: Lab) -> None:
    net = lab.net
    back = direct.WayBack(net, 4)
    net.halod.run("nft", "-f", "-", input=REDIRECTS)
    direct.echoes(net, 3)
    kernel = lab.kernel()

    direct_listeners.every_route(lab, kernel, "dsr")
    path_mtu(lab, kernel, back)
    hops(net)
    errors_to_the_right_node(lab, kernel)
    direct_listeners.drain(lab, kernel, "dsr", lambda: net.link(addresses.node(2), up=False))
    net.link(addresses.node(2), up=True)
    own_machine(lab, kernel)
    not_a_neighbour(lab, kernel)
    ipsec(lab, kernel)
    direct_listeners.other_ports_are_refused(lab, kernel, "dsr")
    check("packets 0 bytes 0" in net.halod.run("nft", "list", "counters").stdout, "nobody was told of another way")
    back.close()


def table(lab: Lab, routes: list[int]) -> Table:
    """The laboratory's table, all of it delivered so."""
    return direct_listeners.table(lab, routes, "dsr")


def path_mtu(lab: Lab, kernel: Kernel, back: direct.WayBack) -> None:
    net = lab.net
    kernel.commit(table(lab, [1] * ROUTES))
    for vip in (VIP4, VIP6):
        client = addresses.CLIENTS.address(6 if ":" in vip else 4)
        # A router on the way back finds the node's answers too big, and tells the VIP.
        back.mtu(NARROW)
        before = kernel.counters()
        transfer(net.clients, vip, SIZE, f"{vip}, narrow on the way back")
        check(kernel.grown(before).get("icmp_to_node", 0) > 0, "an error to the node came by HaloD")
        equal(net.node(1).known_mtu(client), NARROW, f"path MTU that the node knows of the way to {client}")
        back.mtu(1500)
        forget(net)
        # HaloD's kernel finds the client's packets too big.
        # The bridge alone: a narrow port would lose what a node sends past HaloD.
        net.halod.run("ip", "link", "set", BRIDGE, "mtu", NARROW)
        transfer(net.clients, vip, SIZE, f"{vip}, narrow on the way to the node")
        equal(net.clients.known_mtu(vip), NARROW, f"path MTU that the client knows of the way to {vip}")
        net.halod.run("ip", "link", "set", BRIDGE, "mtu", 1500)
        drops = [name for name in kernel.grown(before) if name.startswith("drop_")]
        equal(drops, [], "drops")
        forget(net)
    # In pieces, both ways: larger than any link.
    for vip in (VIP4, VIP6):
        datagram(net.clients, vip, "sent to link addresses")


def ipsec(lab: Lab, kernel: Kernel) -> None:
    """A policy about packets to the node's address is not asked: these go to the VIP. One about those is."""
    halod, clients = lab.net.halod, lab.net.clients
    kernel.commit(table(lab, [1] * ROUTES))
    for family in (4, 6):
        vip = addresses.vip(family)
        for to, found, seconds in ((addresses.node(1).address(family), "n1", 5), (vip, "", 1)):
            policy = ("dst", to, "dir", "out")
            halod.run("ip", "xfrm", "policy", "add", *policy, "action", "block")
            answer = answered_by(clients, vip, BROWSERS_PORT, timeout=seconds * SLOWER)
            equal(answer, found, f"who answers at {vip} where IPsec lets nothing through to {to}")
            halod.run("ip", "xfrm", "policy", "delete", *policy)
        equal(answered_by(clients, vip, BROWSERS_PORT), "n1", f"who answers at {vip} without policies")


def forget(net: Topology) -> None:
    """What both ends have learnt of paths."""
    for namespace in (net.clients, net.node(1)):
        for family in (4, 6):
            namespace.run("ip", f"-{family}", "route", "flush", "cache")


def hops(net: Topology) -> None:
    """HaloD is a router, and the next hop is the node, by the VIP's address. ICMPv6 has HaloD say that too by the
    VIP, since it is the destination of what it is about, and HaloD's.
    """
    for vip, gateway in ((VIP4, addresses.CLIENTS.gateway4), (VIP6, VIP6)):
        argv = ["traceroute", "-n", "-q", "1", "-w", "5", "-m", "8", "-T", "-p", BROWSERS_PORT, vip]
        lines = net.clients.run(*argv).stdout.splitlines()[1:]
        equal([line.split()[1] for line in lines], [gateway, vip], f"traceroute {vip}")


def errors_to_the_right_node(lab: Lab, kernel: Kernel) -> None:
    """Clients that have gone say so to the VIP; it is the node that has sent them something who hears it."""
    kernel.commit(table(lab, [1, 2] * (ROUTES // 2)))
    kernel.settle()
    for vip, name in ((VIP4, "Icmp"), (VIP6, "Icmp6")):
        for number in (1, 2):
            node = lab.net.node(number)
            with node.entered():
                sock = socket.socket(FAMILIES[6 if ":" in vip else 4], socket.SOCK_DGRAM)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with sock:
                # No server's: one that speaks from a listener's port, to a port where nobody is.
                sock.bind((vip, BROWSERS_PORT + 200))
                sock.connect((addresses.CLIENTS.address(6 if ":" in vip else 4), 9))
            before, heard = kernel.counters(), unreachable(node, name)
            others = unreachable(lab.net.node(3 - number), name)
            speak(node, vip, BROWSERS_PORT + number - 1)
            until(f"n{number} to hear that nobody is there", lambda: unreachable(node, name) > heard)
            equal(unreachable(lab.net.node(3 - number), name), others, "what the other node has heard")
            equal(kernel.grown(before), {"icmp_to_node": 1}, "exits")


def speak(node: Namespace, vip: str, port: int) -> None:
    """Sends a datagram from a port of the VIP on which a server is, to one of the client's where nobody is."""
    script = (
        "import socket, sys\n"
        "vip, port, to = sys.argv[1], int(sys.argv[2]), sys.argv[3]\n"
        "six = ':' in vip\n"
        "head = port.to_bytes(2, 'big') + (9).to_bytes(2, 'big') + (8).to_bytes(2, 'big') + bytes(2)\n"
        "sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)\n"
        "if six: sock.setsockopt(socket.IPPROTO_IPV6, 7, 6)\n"  # IPV6_CHECKSUM
        "sock.bind((vip, 0))\n"
        "sock.sendto(head, (to, 0))\n"
    )
    client = addresses.CLIENTS.address(6 if ":" in vip else 4)
    node.run("python3", "-c", script, vip, port, client)


def unreachable(namespace: Namespace, name: str) -> int:
    """How many errors of the kind destination unreachable a machine has got."""
    if name == "Icmp6":
        text = namespace.run("cat", "/proc/net/snmp6").stdout
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("Icmp6InDestUnreachs")))
    names, values = (line.split() for line in namespace.run("cat", "/proc/net/snmp").stdout.splitlines() if line.startswith("Icmp:"))
    return int(values[names.index("InDestUnreachs")])


def own_machine(lab: Lab, kernel: Kernel) -> None:
    """A program on HaloD's machine, from an address that no node has. IPv4 has to be told that a VIP may come in."""
    net = lab.net
    net.halod.sysctl(**{f"ipv4__conf__{BRIDGE}__accept_local": 1})
    before = kernel.counters()
    for vip, own in ((VIP4, NODES_GATEWAY4), (VIP6, NODES_GATEWAY6)):
        with net.halod.entered():
            sock = socket.socket(FAMILIES[6 if ":" in vip else 4], socket.SOCK_STREAM)
        with sock, sock.makefile("rb") as lines:
            sock.settimeout(10)
            sock.bind((own, 0))
            sock.connect((vip, BROWSERS_PORT))
            equal(lines.readline().decode().strip(), f"n3 {BROWSERS_PORT}", f"who answers {own}")
        try:
            ask(net.halod, vip, BROWSERS_PORT, timeout=1)
            raise AssertionError("a connection from the VIP itself came about")
        except OSError:
            pass
    found = kernel.grown(before)
    check(found["local_out"] >= 6, f"packets of this machine's own: {found}")
    check(found["drop_own_vip"] >= 2, f"packets from the VIP itself: {found}")


def not_a_neighbour(lab: Lab, kernel: Kernel) -> None:
    """A node behind a router, or on no network at all: dropped, and named."""
    for vip, node, gateway in ((VIP4, addresses.node(3).v4, addresses.node(1).v4), (VIP6, addresses.node(3).v6, addresses.node(1).v6)):
        family = f"-{6 if ':' in vip else 4}"
        for route, exit in (("via " + gateway, "drop_far_node"), ("dev lo", "drop_far_node")):
            lab.net.halod.run("ip", family, "route", "add", *(("local",) if "lo" in route else ()), node, *route.split())
            before = kernel.counters()
            try:
                ask(lab.net.clients, vip, BROWSERS_PORT, timeout=1)
                raise AssertionError(f"somebody answers, with the node {route}")
            except OSError:
                pass
            # Something of an earlier connection may still have been on its way.
            found = kernel.grown(before)
            drops = {name for name in found if name.startswith("drop_")}
            check(drops == {exit} and found[exit] > 0, f"exits, with the node {route}: {found}")
            lab.net.halod.run("ip", family, "route", "del", *(("local",) if "lo" in route else ()), node, *route.split())
        equal(ask(lab.net.clients, vip, BROWSERS_PORT), f"n3 {BROWSERS_PORT}", "who answers when it is a neighbour again")
