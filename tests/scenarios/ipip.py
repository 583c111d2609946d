"""Packets go inside others to nodes two routers away, which have the VIP and answer the client directly: every route, TCP
and UDP, IPv4 and IPv6, what is too big for the way, traceroute, a drain, what a node that died had.
"""

import json
import socket

from lab import addresses, direct
from lab.addresses import APPS_PORT, BROWSERS_PORT, NODES_GATEWAY4, NODES_GATEWAY6, ROUTES, VIP4, VIP6
from lab.beyond import WIDE, Beyond
from lab.checks import check, equal
from lab.kernel import Kernel, Refused, Table, lab_listeners
from lab.lab import Lab
from lab.netns import Namespace
from lab.traffic import FAMILIES, Flow, Traffic, ask
from lab.transfer import transfer
from lab.wait import until

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

    every_route(lab, kernel)
    path_mtu(lab, kernel, way)
    in_pieces(lab, kernel)
    hops(lab, kernel)
    errors_to_the_node(lab, kernel, way)
    drain(lab, kernel)
    check("packets 0 bytes 0" in net.halod.run("nft", "list", "counters").stdout, "nothing was invalid to connection tracking")
    # To that, answers to its own programs are: it has not seen the questions leave.
    net.halod.run("nft", "delete", "table", "inet", "filter")
    own_machine(lab, kernel)
    no_way(lab, kernel)
    refused(lab, kernel)
    way.close()


def table(lab: Lab, routes: list[int]) -> Table:
    """The laboratory's table, all of it delivered so."""
    return lab.table(routes, lab_listeners("tcp", "udp", deliver="ipip"))


def grown(kernel: Kernel, before: dict[str, int]) -> dict[str, int]:
    """What was counted since, but what has nothing to do with HaloD."""
    counters = kernel.counters().items()
    return {name: count - before[name] for name, count in counters if count != before[name] and name != "pass"}


def every_route(lab: Lab, kernel: Kernel) -> None:
    holders = [route % 3 + 1 for route in range(ROUTES)]
    kernel.commit(table(lab, holders))
    equal({listener.deliver for listener in kernel.table().listeners}, {"ipip"}, "the listeners as the kernel tells them")
    before = kernel.counters()
    for vip in (VIP4, VIP6):
        for protocol in ("tcp", "udp"):
            for base in (BROWSERS_PORT, APPS_PORT):
                for index, node in enumerate(holders):
                    answer = ask(lab.net.clients, vip, base + index, protocol)
                    equal(answer, f"n{node} {base + index}", f"who answers {protocol} {vip} port {base + index}")
    equal(set(grown(kernel, before)), {"forward"}, "exits of what has passed HaloD")


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
            equal(known_mtu(lab.net.clients, vip), narrow, f"path MTU that the client knows, {what}")
            found = grown(kernel, before)
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


def known_mtu(namespace: Namespace, address: str) -> int:
    """What the kernel has learnt of the path to an address; 0 for nothing."""
    (route,) = json.loads(namespace.run("ip", "-json", "route", "get", address).stdout)
    return next((metrics["mtu"] for metrics in route.get("metrics", []) if "mtu" in metrics), 0)


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
    equal(set(grown(kernel, before)), {"forward"}, "exits")


def hops(lab: Lab, kernel: Kernel) -> None:
    """HaloD is a router, and the next hop is the node; the routers between see the outer packet only. ICMPv6 has HaloD
    speak by the VIP, since it is the destination of what it is about, and HaloD's.
    """
    for vip, gateway in ((VIP4, addresses.CLIENTS.gateway4), (VIP6, VIP6)):
        before = kernel.counters()
        argv = ["traceroute", "-n", "-q", "1", "-w", "5", "-m", "8", "-T", "-p", BROWSERS_PORT, vip]
        lines = lab.net.clients.run(*argv).stdout.splitlines()[1:]
        equal([line.split()[1] for line in lines], [gateway, vip], f"traceroute {vip}")
        equal(grown(kernel, before).get("drop_expired"), 1, "packets whose time ended at HaloD")


def errors_to_the_node(lab: Lab, kernel: Kernel, way: Beyond) -> None:
    """A router on the way back finds the node's answers too big and tells the VIP: HaloD passes it on to the node."""
    kernel.commit(table(lab, [1] * ROUTES))
    for vip in (VIP4, VIP6):
        family = 6 if ":" in vip else 4
        client = addresses.CLIENTS.address(family)
        way.mtu(2, NARROW)
        before = kernel.counters()
        transfer(lab.net.clients, vip, SIZE, f"{vip}, narrow on the way back")
        check(grown(kernel, before).get("icmp_to_node", 0) > 0, "an error to the node came by HaloD")
        equal(known_mtu(lab.net.node(1), client), NARROW, f"path MTU that the node knows of the way to {client}")
        way.mtu(2, WIDE)


def drain(lab: Lab, kernel: Kernel) -> None:
    """What n1 has stays there while new connections go to n2; what it still has when the drain ends is reset."""

    def open_at(name: str) -> Traffic:
        flows = [Flow(vip, BROWSERS_PORT + index) for vip in (VIP4, VIP6) for index in range(0, ROUTES, 3)]
        traffic = Traffic(lab.net.clients, flows, pause=0.1).start()
        equal({flow.node.split()[0] for flow in flows if flow.node}, {name}, "who greets new connections")
        equal(traffic.errors(), [], "errors of new connections")
        return traffic

    kernel.commit(table(lab, [1] * ROUTES))
    first = open_at("n1")
    before = kernel.counters()
    kernel.commit(table(lab, [2] * ROUTES).drain(1, udp=60_000))
    second = open_at("n2")
    equal(ask(lab.net.clients, VIP4, BROWSERS_PORT, "udp"), f"n1 {BROWSERS_PORT}", "who has UDP that stays")
    answers = first.answers()
    until("connections of n1 to go on", lambda: first.answers() > answers + 3 * len(first.flows))
    equal(first.errors() + second.errors(), [], "errors while routes drain")
    check(grown(kernel, before)["forward_former"] > 0, "packets went to the former node")
    kernel.commit(table(lab, [2] * ROUTES))
    until("what n1 still had to be reset by n2", lambda: len(first.errors()) == len(first.flows))
    first.stop()
    equal(second.stop(), [], "errors of n2's connections, to their end")
    # Its routes go elsewhere at once, as after a death: idle clients learn of it as soon as they speak.
    third = open_at("n2")
    kernel.commit(table(lab, [3] * ROUTES))
    until("what n2 had to be reset by n3", lambda: len(third.errors()) == len(third.flows))
    third.stop()
    open_at("n3").stop()


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
    found = grown(kernel, before)
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
            found = grown(kernel, before)
            drops = {name for name in found if name.startswith("drop_")}
            equal(drops, {"drop_no_route"}, f"exits, with the node {route[0]}: {found}")
            lab.net.halod.run("ip", family, "route", "del", *route)
        equal(ask(lab.net.clients, vip, BROWSERS_PORT), f"n1 {BROWSERS_PORT}", "who answers when it is reached again")


def refused(lab: Lab, kernel: Kernel) -> None:
    """Packets that keep their ports cannot go to others."""
    generation = kernel.generation()
    wrong = table(lab, [1] * ROUTES).attributes()
    wrong["listener"][2]["node-port"] = 18000
    own = table(lab, [1] * ROUTES).attributes()
    own["node"][0]["target"] = [{"listener": 3, "port": 18000}]
    for attributes, why in ((wrong, "listener 2: node-port 18000, but packets keep their port"), (own, "node 1, listener 3: packets keep their port")):
        try:
            kernel.commit_raw({"expected-generation": generation, **attributes})
            raise AssertionError(f"accepted: {why}")
        except Refused as refusal:
            check(why in str(refusal), f"{why}: {refusal}")
    equal(kernel.generation(), generation, "the generation after refusals")
