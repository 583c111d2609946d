"""Clients and nodes are in VLANs, with and without the devices' help with the tag, while HaloD's kernel asks
strictly (rp_filter 1) or loosely (2) by which way a packet should come: on either path every route leads to its
node, files and datagrams in pieces arrive, and a packet by a wrong way gets as far as that setting lets it.
"""

import socket

from lab import addresses
from lab.addresses import BRIDGE, BROWSERS_PORT, CLIENTS, ROUTES, VIP4, VIP6, Host
from lab.checks import equal
from lab.echo import Echo
from lab.kernel import Kernel
from lab.lab import Lab
from lab.pieces import hand, udp
from lab.topology import Topology, ip_batch
from lab.traffic import FAMILIES, ask
from lab.transfer import datagram, transfer
from lab.wait import until

BOTH_PATHS = True
OUTSIDE, INSIDE = "clients.7", "nodes.8"
SIZE = 256 << 10
STRICT, LOOSE = 1, 2
HOLDERS = [route % 3 + 1 for route in range(ROUTES)]


def run(lab: Lab) -> None:
    net = lab.net
    tag(net)
    echoes = lab.echoes(3, bases=(BROWSERS_PORT,))
    kernel = lab.kernel()
    table = lab.table(HOLDERS)
    for rp_filter, help_with_tags in ((STRICT, True), (LOOSE, False)):
        net.halod.sysctl(ipv4__conf__all__rp_filter=rp_filter)
        for feature in ("txvlan", "rxvlan"):
            for namespace, device in ((net.clients, "eth0"), (net.halod, CLIENTS.port)):
                namespace.run("ethtool", "-K", device, feature, "on" if help_with_tags else "off")
        for fast_path in ("off", "auto"):
            table.fast_path = fast_path
            kernel.commit(table)
            what = f"rp_filter {rp_filter}, tags {'by devices' if help_with_tags else 'in frames'}, fast path {fast_path}"
            before, fast = kernel.counters(), kernel.fast_path()["fast"]
            every_route(lab, what)
            for vip in (VIP4, VIP6):
                transfer(net.clients, vip, SIZE, f"{vip}, {what}")
                datagram(net.clients, vip, what)
            grown = kernel.grown(before)
            equal(set(grown), {"forward", "reverse"}, f"exits, {what}")
            equal(kernel.fast_path()["fast"] > fast, fast_path == "auto", f"whether packets took the fast path, {what}")
            by_a_wrong_way(net, echoes[0], kernel, heard=rp_filter == LOOSE, what=what)


def tag(net: Topology) -> None:
    """Moves the addresses of clients and nodes, and HaloD's own on those links, into VLANs."""
    ip_batch(
        [
            *moved(CLIENTS.port, OUTSIDE, 7, [f"{CLIENTS.gateway4}/24", f"{CLIENTS.gateway6}/64"]),
            *moved(BRIDGE, INSIDE, 8, [f"{addresses.NODES_GATEWAY4}/24", f"{addresses.NODES_GATEWAY6}/64"]),
        ],
        net.halod,
    )
    hosts: list[tuple[Host, int]] = [(CLIENTS, 7), *((addresses.node(number), 8) for number in (1, 2, 3))]
    for host, vlan in hosts:
        namespace = net.clients if host == CLIENTS else net.node(int(host.port[1:]))
        defaults = [f"route replace default via {gateway} dev tagged" for gateway in (host.gateway4, host.gateway6)]
        ip_batch(moved("eth0", "tagged", vlan, [f"{host.v4}/24", f"{host.v6}/64"]) + defaults, namespace)


def moved(device: str, tagged: str, vlan: int, own: list[str]) -> list[str]:
    """Lines for ip(8) that give a device's addresses to a new one in a VLAN of it."""
    return [
        f"link add link {device} name {tagged} type vlan id {vlan}",
        *(f"address del {address} dev {device}" for address in own),
        *(f"address add {address} dev {tagged}{' nodad' if ':' in address else ''}" for address in own),
        f"link set {tagged} up",
    ]


def every_route(lab: Lab, what: str) -> None:
    """Each leads to its node."""
    for vip in (VIP4, VIP6):
        for protocol in ("tcp", "udp"):
            for index, node in enumerate(HOLDERS):
                answer = ask(lab.net.clients, vip, BROWSERS_PORT + index, protocol)
                equal(answer, f"n{node} {BROWSERS_PORT + index}", f"who answers {protocol} {vip} route {index + 1}, {what}")


def by_a_wrong_way(net: Topology, echo: Echo, kernel: Kernel, heard: bool, what: str) -> None:
    """A datagram from the client's address comes by the application's link (IPv4: IPv6 has no such setting)."""
    before, count = kernel.counters(), echo.datagrams[BROWSERS_PORT]
    with hand(net.app, CLIENTS) as sender:
        sender.send(VIP4, udp(BROWSERS_PORT, b"who?"))
        until("the datagram to come", lambda: kernel.grown(before))
    equal(ask(net.clients, VIP4, BROWSERS_PORT, "udp"), f"n1 {BROWSERS_PORT}", f"who answers after it, {what}")
    equal(echo.datagrams[BROWSERS_PORT] - count, 1 + heard, f"datagrams that n1 has heard, one of them by the wrong way, {what}")
