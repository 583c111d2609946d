"""A node dies and nobody is in reserve: only its users lose their connections.

n1, n2, n3 are active. n2 dies: n3 fills slot 2, and n3's own routes 9-12 go back
to n1, but their users stay with n3 until the drain is over.
"""

from lab.addresses import BROWSERS_PORT, ROUTES, VIP4
from lab.checks import equal
from lab.flavour import SLOWER
from lab.lab import Lab
from lab.peer import Peer
from lab.traffic import Flow, Traffic, ask
from lab.wait import until


def run(lab: Lab) -> None:
    echoes = lab.echoes(3)
    cluster = lab.cluster(drain_ms=20_000 * SLOWER)
    peers = [Peer(lab.net.node(number), number) for number in (1, 2, 3)]
    cluster.until_holders("n1", "n2", "n3")
    until("the joins' drains to end", lambda: cluster.control.ask("status")["draining_routes"] == 0, 60)
    traffic = Traffic(lab.net.clients, [Flow(VIP4, BROWSERS_PORT + index) for index in range(ROUTES)], pause=0.2).start()
    lost = [flow for flow in traffic.flows if flow.node.startswith("n2 ")]

    echoes[1].stop()
    peers[1].close()
    cluster.until_holders("n1", "n3")
    equal(peers[2].hears("drain")["moves"], [{"routes": [[9, 12]], "to": "n1"}], "what n3 hears that it loses")
    until("n2's connections to break", lambda: all(flow.errors for flow in lost))
    equal(ask(lab.net.clients, VIP4, BROWSERS_PORT + 8).split()[0], "n1", "who greets a new connection to route 9")
    before = traffic.answers()
    until("the other connections to go on", lambda: traffic.answers() > before + 3 * ROUTES, 60)
    equal([str(flow) for flow in traffic.flows if flow.errors and flow not in lost], [], "connections of others that broke")
    until("the drain to end", lambda: cluster.control.ask("status")["draining_routes"] == 0, 60)
    moved = [flow for flow in traffic.flows if 9 <= flow.port - BROWSERS_PORT + 1 <= 12]
    until("what n3 had left to be reset", lambda: all(flow.errors for flow in moved))
    traffic.stop()
    equal(sum(1 for flow in traffic.flows if flow.errors), len(lost) + len(moved), "connections that broke in all")
