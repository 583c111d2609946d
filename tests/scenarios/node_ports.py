"""A route's port on the node: the listener's node port, or the node's own target, plus route - 1."""

from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import equal
from lab.kernel import Listener, Node, lab_nodes
from lab.lab import Lab
from lab.traffic import ask

BOTH_PATHS = True
LISTENERS_PORT = 8400
OWN_PORT = 8700


def run(lab: Lab) -> None:
    lab.echoes(2, bases=(BROWSERS_PORT, LISTENERS_PORT, OWN_PORT))
    listeners = [
        Listener("browsers", vip, protocol, BROWSERS_PORT, LISTENERS_PORT)
        for vip in (VIP4, VIP6)
        for protocol in ("tcp", "udp")
    ]
    first, second = lab_nodes(2)
    own = tuple((index, OWN_PORT) for index in range(len(listeners)))
    kernel = lab.kernel()
    kernel.commit(lab.table([1, 2] * (ROUTES // 2), listeners, [first, Node(2, second.name, second.addresses, own)]))
    for vip in (VIP4, VIP6):
        for protocol in ("tcp", "udp"):
            for index in range(ROUTES):
                node, base = (1, LISTENERS_PORT) if index % 2 == 0 else (2, OWN_PORT)
                answer = ask(lab.net.clients, vip, BROWSERS_PORT + index, protocol)
                equal(answer, f"n{node} {base + index}", f"who answers {protocol} {vip} route {index + 1}")
