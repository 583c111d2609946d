"""A node that is a client too, from a port that is one of a node's own, is not taken for a node that answers: who
serves it sees its own address, and it sees the VIP's. (Its answers come back through HaloD by a route of their own.)
"""

import socket
import threading

from lab import addresses
from lab.addresses import BROWSERS_PORT, ROUTES, vip
from lab.checks import equal
from lab.lab import Lab
from lab.traffic import FAMILIES, TYPES

BOTH_PATHS = True
OWN_PORT = BROWSERS_PORT + 3
SERVICE = BROWSERS_PORT + 8
CLIENT, SERVER = addresses.node(1), addresses.node(2)


def run(lab: Lab) -> None:
    net = lab.net
    net.node(2).sysctl(ipv4__conf__all__accept_redirects=0, ipv4__conf__eth0__accept_redirects=0, ipv6__conf__eth0__accept_redirects=0)
    for address, gateway in ((f"{CLIENT.v4}/32", CLIENT.gateway4), (f"{CLIENT.v6}/128", CLIENT.gateway6)):
        net.node(2).run("ip", "route", "add", address, "via", gateway)
    kernel = lab.kernel()
    kernel.commit(lab.table([2] * ROUTES))
    before = kernel.counters()
    for family in (4, 6):
        for protocol in ("tcp", "udp"):
            peers = conversation(lab, family, protocol)
            equal(peers, [(CLIENT.address(family), OWN_PORT)], f"the client as the server sees it, {protocol} in IPv{family}")
    after = kernel.counters()
    drops = {name: count - before[name] for name, count in after.items() if name.startswith("drop_")}
    equal({name: count for name, count in drops.items() if count}, {}, "drops")


def conversation(lab: Lab, family: int, protocol: str) -> list[tuple[str, int]]:
    """One question and its answer, from the VIP or the client's socket would not take it. Returns whom the server saw."""
    with lab.net.node(2).entered():
        server = socket.socket(FAMILIES[family], TYPES[protocol])
    with lab.net.node(1).entered():
        client = socket.socket(FAMILIES[family], TYPES[protocol])
    peers: list[tuple[str, int]] = []

    def serve() -> None:
        if protocol == "udp":
            data, peer = server.recvfrom(64)
            server.sendto(data, peer)
        else:
            connection, peer = server.accept()
            with connection:
                connection.sendall(connection.recv(64))
        peers.append(peer[:2])

    with server, client:
        for sock, host, port in ((server, SERVER, SERVICE), (client, CLIENT, OWN_PORT)):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.settimeout(20)
            sock.bind((host.address(family), port))
        if protocol == "tcp":
            server.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        client.connect((vip(family), SERVICE))
        client.send(b"who")
        equal(client.recv(64), b"who", f"what comes back, {protocol} in IPv{family}")
        thread.join(20)
    return peers
