"""Nodes that answer every SYN with a cookie keep nothing of it: the ACK that ends a handshake must find the node
that gave the cookie, though the route moves in between. Each connection ends up where it began."""

from pathlib import Path

from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.lab import Lab
from lab.netns import Namespace
from lab.rawtcp import RawClient
from lab.traffic import Flow, Traffic

BOTH_PATHS = True
SOME = range(0, ROUTES, 6)


def run(lab: Lab) -> None:
    lab.echoes(3)
    nodes = [lab.net.node(number) for number in (1, 2, 3)]
    for node in nodes:
        node.sysctl(ipv4__tcp_syncookies=2)  # always, and for IPv6 too
    kernel = lab.kernel()
    kernel.commit(lab.table([1] * ROUTES))

    clients = [RawClient(lab.net, version) for version in (4, 6)]
    half_open = []
    stations = []

    def begin(node: int) -> None:
        """Opens connections, and others only half: the SYN is answered, and that is not acknowledged yet."""
        for client in clients:
            for index in SOME:
                connection = client.connection(BROWSERS_PORT + index, 20_000 + node)
                connection.syn()
                half_open.append((f"n{node}", connection, connection.answer()))
        flows = [Flow(vip, BROWSERS_PORT + index) for vip in (VIP4, VIP6) for index in SOME]
        stations.append(Traffic(lab.net.clients, flows, pause=0.2).start())
        equal({flow.node.split()[0] for flow in flows}, {f"n{node}"}, "who greets whole connections")

    begin(1)
    kernel.commit(lab.table([2] * ROUTES).drain(1))
    begin(2)
    kernel.commit(lab.table([3] * ROUTES).drain(1, 2))
    begin(3)
    for number, (name, connection, answer) in enumerate(half_open):
        connection.acknowledge(answer)
        equal(connection.greeting(), name, "who greets a connection whose handshake ends now")
        equal(connection.asks(f"still {number}?"), f"still {number}?", f"what {name} echoes")
    for traffic in stations:
        equal(traffic.stop(), [], "errors of whole connections")

    for number, node in enumerate(nodes, 1):
        counted = tcp_counters(node)
        sent, good, bad = (counted[f"Syncookies{what}"] for what in ("Sent", "Recv", "Failed"))
        print(f"# n{number}: {sent} cookies sent, {good} came back")
        check(good >= 4 * len(SOME), f"n{number} made its {4 * len(SOME)} connections of cookies: {good}")
        equal(bad, 0, f"cookies at n{number} that were not its own")
    equal(kernel.counters()["drop_stale"], 0, "drop_stale")


def tcp_counters(node: Namespace) -> dict[str, int]:
    """What the kernel counts of TCP in a namespace, by its own names (TcpExt)."""
    with node.entered():
        names, values = Path("/proc/thread-self/net/netstat").read_text().splitlines()[:2]
    return dict(zip(names.split()[1:], map(int, values.split()[1:]), strict=True))
