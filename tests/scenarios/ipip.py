"""Packets go inside others to nodes two routers away, which have the VIP and answer the client directly: every route, TCP
and UDP, IPv4 and IPv6, what is too big for the way, whose address it goes by, what IPsec says, traceroute, a drain,
what a node that died had.
"""

import socket
import struct

from lab import addresses, direct, direct_listeners
from lab.addresses import BROWSERS_PORT, NODES_GATEWAY4, NODES_GATEWAY6, ROUTES, VIP4, VIP6
from lab.beyond import LINKS4, LINKS6, NODES4, NODES6, WIDE, Beyond
from lab.checks import check, equal
from lab.kernel import Kernel, Table
from lab.lab import Lab
from lab.rawtcp import gateway_mac
from lab.traffic import FAMILIES, ask
from lab.transfer import transfer
from lab.wait import until
from lab.wire import ETHERTYPES, checksum

SIZE = 512 << 10
NARROW = 1280
# A firewall that drops what connection tracking calls invalid, as many do.
RULES = """
table inet filter {
    counter invalid { }
    chain input {
        type filter hook input priority filter; policy accept;
        ct state invalid counter name invalid drop
    }
    chain output {
        type filter hook output priority filter; policy accept;
        ct state invalid counter name invalid drop
    }
}
"""


def run(lab: Lab) -> None:
    net = lab.net
    net.halod.run("nft", "-f", "-", input=RULES)
    way = Beyond(net, 4)
    direct.echoes(net, 3)
    kernel = lab.kernel()

    direct_listeners.every_route(lab, kernel, "ipip")
    path_mtu(lab, kernel, way)
    sources(lab, kernel, way)
    in_pieces(lab, kernel)
    hops(lab, kernel)
    errors_about_others(lab, kernel, way)
    errors_to_the_node(lab, kernel, way)
    # Its routes going elsewhere is all that HaloD sees of a death.
    direct_listeners.drain(lab, kernel, "ipip", lambda: None)
    check("packets 0 bytes 0" in net.halod.run("nft", "list", "counters").stdout, "nothing was invalid to connection tracking")
    # To that, answers to its own programs are: it has not seen the questions leave.
    net.halod.run("nft", "delete", "table", "inet", "filter")
    own_machine(lab, kernel)
    no_way(lab, kernel)
    ipsec(lab, kernel)
    direct_listeners.other_ports_are_refused(lab, kernel, "ipip")
    way.close()


def table(lab: Lab, routes: list[int]) -> Table:
    """The laboratory's table, all of it delivered so."""
    return direct_listeners.table(lab, routes, "ipip")


def path_mtu(lab: Lab, kernel: Kernel, way: Beyond) -> None:
    """Full segments from the client, where the outer packet is too big for HaloD's own link, and for a router's."""
    kernel.commit(table(lab, [1] * ROUTES))
    for vip in (VIP4, VIP6):
        outer = 40 if ":" in vip else 20
        for link, narrow in ((None, inner_mtu(WIDE, outer)), (0, inner_mtu(NARROW, outer)), (1, inner_mtu(NARROW, outer))):
            what = f"{vip}, {'wide' if link is None else f'narrow at link {link}'}"
            if link is not None:
                way.mtu(link, NARROW)
            before = kernel.counters()
            transfer(lab.net.clients, vip, SIZE, what)
            equal(lab.net.clients.known_mtu(vip), narrow, f"path MTU that the client knows, {what}")
            found = kernel.grown(before)
            check(found["drop_too_big"] > 0, f"the client was told, {what}: {found}")
            # A router knows what HaloD cannot.
            equal(found.get("icmp_tunnel", 0) > 0, link == 1, f"errors about what HaloD sends, {what}: {found}")
            equal({name for name in found if name.startswith("drop_")}, {"drop_too_big"}, f"drops, {what}")
            if link is not None:
                way.mtu(link, WIDE)
            way.forget()


def inner_mtu(mtu: int, outer: int) -> int:
    """What clients hear of a link: IPv6 knows nothing smaller than 1,280, and has the outer packet cut up below."""
    return max(mtu - outer, 1280 if outer == 40 else 0)


def sources(lab: Lab, kernel: Kernel, way: Beyond) -> None:
    """The next packet inside others is from whatever address the route to the node says now."""
    kernel.commit(table(lab, [1] * ROUTES))
    for vip, (own, gateway), nodes, other, whole in (
        (VIP4, LINKS4[0], NODES4, "198.51.100.250", 32),
        (VIP6, LINKS6[0], NODES6, "2001:db8:a::9", 128),
    ):
        family = FAMILIES[6 if ":" in vip else 4]
        route = ["ip", f"-{6 if ':' in vip else 4}", "route", "replace", nodes, "via", gateway]
        lab.net.halod.run("ip", "address", "add", f"{other}/{whole}", "dev", "onward")
        with way.near.entered():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETHERTYPES[6 if ":" in vip else 4]))
        with sock:
            sock.settimeout(10)
            sock.bind(("inward", sock.getsockname()[1]))
            for source in (own, other, own):
                lab.net.halod.run(*route, "src", source)
                for _ in range(2):
                    equal(ask(lab.net.clients, vip, BROWSERS_PORT, "udp"), f"n1 {BROWSERS_PORT}", f"who answers at {vip} by {source}")
                    equal(outer_source(sock, family), source, f"the source of what goes to n1 by a route from {source}")
        lab.net.halod.run(*route)
        lab.net.halod.run("ip", "address", "del", f"{other}/{whole}", "dev", "onward")


def outer_source(sock: socket.socket, family: int) -> str:
    """That of the next packet with another in it."""
    protocol, inside, at, size = (9, 4, 12, 4) if family == socket.AF_INET else (6, 41, 8, 16)
    while True:
        packet = sock.recv(2048)
        if packet[protocol] == inside:
            return socket.inet_ntop(family, packet[at : at + size])


def in_pieces(lab: Lab, kernel: Kernel) -> None:
    """Datagrams larger than any link, which the client fragments; and one that fits the client's link alone, to be
    fragmented by HaloD, IPv4 without DF.
    """
    before = kernel.counters()
    for vip in (VIP4, VIP6):
        for size, fragment in ((4096, False), (1460, True), (16384, False)):
            if ":" in vip and fragment:
                continue
            with lab.net.clients.entered():
                sock = socket.socket(FAMILIES[6 if ":" in vip else 4], socket.SOCK_DGRAM)
            with sock:
                sock.settimeout(10)
                if ":" not in vip:
                    sock.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
                sock.connect((vip, BROWSERS_PORT))
                data = bytes(index % 251 for index in range(size))
                sock.send(data)
                equal(sock.recv(32768), f"n1 {BROWSERS_PORT} ".encode() + data, f"{size} bytes to {vip}, and back")
    equal(set(kernel.grown(before)), {"forward"}, "exits")


def hops(lab: Lab, kernel: Kernel) -> None:
    """HaloD is a router, and the next hop is the node; the routers between see the outer packet only. ICMPv6 has HaloD
    speak by the VIP, since it is the destination of what it is about, and HaloD's.
    """
    for vip, gateway in ((VIP4, addresses.CLIENTS.gateway4), (VIP6, VIP6)):
        before = kernel.counters()
        argv = ["traceroute", "-n", "-q", "1", "-w", "5", "-m", "8", "-T", "-p", BROWSERS_PORT, vip]
        lines = lab.net.clients.run(*argv).stdout.splitlines()[1:]
        equal([line.split()[1] for line in lines], [gateway, vip], f"traceroute {vip}")
        equal(kernel.grown(before).get("drop_expired"), 1, "packets whose time ended at HaloD")


def errors_about_others(lab: Lab, kernel: Kernel, way: Beyond) -> None:
    """Of a packet in a packet that HaloD has not sent it learns nothing; of one that it has, what the error says."""
    net, mac = lab.net, gateway_mac(lab.net)
    for family, others, own in ((4, ("192.0.2.9", "0.0.0.0"), LINKS4[0][0]), (6, ("2001:db8:2::9", "::"), LINKS6[0][0])):
        node = addresses.node(1).address(family)
        with net.clients.entered():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        with sock:
            for sender, mtu in (*((other, 0) for other in others), (own, NARROW)):
                way.forget()
                before = kernel.counters()
                packet = too_big(addresses.CLIENTS.address(family), sender, node)
                sock.sendto(packet, ("eth0", ETHERTYPES[family], 0, 0, mac))
                until("the error to come", lambda before=before: kernel.grown(before).get("icmp_tunnel") == 1)
                equal(net.halod.known_mtu(node), mtu, f"path MTU to {node} after an error about a packet from {sender}")
    way.forget()


def too_big(router: str, sender: str, node: str) -> bytes:
    """A router's error about a packet with another in it, which says that it is larger than NARROW."""
    family = FAMILIES[6 if ":" in node else 4]
    pack = [socket.inet_pton(family, address) for address in (router, sender, node)]
    if ":" in node:
        quote = struct.pack("!IHBB", 6 << 28, 1400, 41, 64) + pack[1] + pack[2] + bytes(40)
        icmp = struct.pack("!BBHI", 2, 0, 0, NARROW) + quote
        total = checksum(pack[0] + pack[1] + struct.pack("!II", len(icmp), 58) + icmp)
        head = struct.pack("!IHBB", 6 << 28, len(icmp), 58, 64) + pack[0] + pack[1]
    else:
        quote = struct.pack("!BBHHHBBH", 0x45, 0, 1420, 0, 0x4000, 64, 4, 0) + pack[1] + pack[2] + bytes(28)
        icmp = struct.pack("!BBHHH", 3, 4, 0, 0, NARROW) + quote
        total = checksum(icmp)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0) + pack[0] + pack[1]
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return head + icmp[:2] + struct.pack("!H", total) + icmp[4:]


def errors_to_the_node(lab: Lab, kernel: Kernel, way: Beyond) -> None:
    """A router on the way back finds the node's answers too big and tells the VIP: HaloD passes it on to the node."""
    kernel.commit(table(lab, [1] * ROUTES))
    for vip in (VIP4, VIP6):
        family = 6 if ":" in vip else 4
        client = addresses.CLIENTS.address(family)
        way.mtu(2, NARROW)
        before = kernel.counters()
        transfer(lab.net.clients, vip, SIZE, f"{vip}, narrow on the way back")
        check(kernel.grown(before).get("icmp_to_node", 0) > 0, "an error to the node came by HaloD")
        equal(lab.net.node(1).known_mtu(client), NARROW, f"path MTU that the node knows of the way to {client}")
        way.mtu(2, WIDE)


def own_machine(lab: Lab, kernel: Kernel) -> None:
    """A program on HaloD's machine, from an address that no node has. IPv4 has to be told that a VIP may come in."""
    net = lab.net
    kernel.commit(table(lab, [1] * ROUTES))
    net.halod.sysctl(ipv4__conf__onward__accept_local=1)
    before = kernel.counters()
    for vip, own in ((VIP4, NODES_GATEWAY4), (VIP6, NODES_GATEWAY6)):
        with net.halod.entered():
            sock = socket.socket(FAMILIES[6 if ":" in vip else 4], socket.SOCK_STREAM)
        with sock, sock.makefile("rb") as lines:
            sock.settimeout(10)
            sock.bind((own, 0))
            sock.connect((vip, BROWSERS_PORT))
            equal(lines.readline().decode().strip(), f"n1 {BROWSERS_PORT}", f"who answers {own}")
            # Full segments, whose sender is told that they are too big.
            data = b"x" * (SIZE // 8) + b"\n"
            sock.sendall(data)
            equal(len(lines.readline()), len(data), f"bytes that come back to {own}")
        try:
            ask(net.halod, vip, BROWSERS_PORT, timeout=1)
            raise AssertionError("a connection from the VIP itself came about")
        except OSError:
            pass
    found = kernel.grown(before)
    check(found["local_out"] >= 6, f"packets of this machine's own: {found}")
    check(found["drop_own_vip"] >= 2, f"packets from the VIP itself: {found}")


def no_way(lab: Lab, kernel: Kernel) -> None:
    """No route to the node, or one that ends on HaloD's machine: dropped, and named."""
    for vip, node in ((VIP4, addresses.node(1).v4), (VIP6, addresses.node(1).v6)):
        family = f"-{6 if ':' in vip else 4}"
        for route in (["unreachable", node], ["local", node, "dev", "lo"]):
            lab.net.halod.run("ip", family, "route", "add", *route)
            before = kernel.counters()
            try:
                ask(lab.net.clients, vip, BROWSERS_PORT, timeout=1)
                raise AssertionError(f"somebody answers, with the node {route[0]}")
            except OSError:
                pass
            found = kernel.grown(before)
            drops = {name for name in found if name.startswith("drop_")}
            equal(drops, {"drop_no_route"}, f"exits, with the node {route[0]}: {found}")
            lab.net.halod.run("ip", family, "route", "del", *route)
        equal(ask(lab.net.clients, vip, BROWSERS_PORT), f"n1 {BROWSERS_PORT}", "who answers when it is reached again")


def ipsec(lab: Lab, kernel: Kernel) -> None:
    """A policy that lets packets to the node go, before one that blocks them, goes away: the very next does not go."""
    net, client = lab.net, lab.net.clients
    for vip, node, protocol in ((VIP4, addresses.node(1).v4, 4), (VIP6, addresses.node(1).v6, 41)):
        whole = f"{node}/{128 if ':' in node else 32}"
        blocks, lets = ["dst", whole, "dir", "out"], ["dst", whole, "proto", protocol, "dir", "out"]
        equal(ask(client, vip, BROWSERS_PORT), f"n1 {BROWSERS_PORT}", f"who answers at {vip} without policies")
        net.halod.run("ip", "xfrm", "policy", "add", *lets, "priority", 10, "action", "allow")
        net.halod.run("ip", "xfrm", "policy", "add", *blocks, "priority", 20, "action", "block")
        for _ in range(2):
            equal(ask(client, vip, BROWSERS_PORT), f"n1 {BROWSERS_PORT}", f"who answers at {vip} where a policy lets it")
        net.halod.run("ip", "xfrm", "policy", "delete", *lets)
        before = kernel.counters()
        try:
            ask(client, vip, BROWSERS_PORT, timeout=1)
            raise AssertionError("somebody answers past a policy that blocks")
        except OSError:
            pass
        equal(set(kernel.grown(before)), {"drop_no_route"}, f"exits, to {vip} past a policy that blocks")
        net.halod.run("ip", "xfrm", "policy", "delete", *blocks)
