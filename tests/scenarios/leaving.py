"""A node that leaves keeps its users' connections until they end or `drain` is over, and is let go then.

n1, n2, n3 are active, n4 waits in reserve. n2 leaves and empties before its
time; n3 leaves and does not: what it has left is reset by the routes' new node.
"""

from lab.addresses import BROWSERS_PORT, ROUTES, VIP4
from lab.checks import equal
from lab.lab import Lab
from lab.peer import Peer
from lab.traffic import Flow, Traffic
from lab.wait import until


def run(lab: Lab) -> None:
    lab.echoes(4)
    cluster = lab.cluster(drain_ms=15_000)
    peers = {f"n{number}": Peer(lab.net.node(number), number) for number in (1, 2, 3, 4)}
    cluster.until_holders("n1", "n2", "n3")
    until("the joins' drains to end", lambda: cluster.control.ask("status")["draining_routes"] == 0, 60)
    flows = [Flow(VIP4, BROWSERS_PORT + index) for index in range(ROUTES)]
    traffic = Traffic(lab.net.clients, flows, pause=0.2).start()

    peers["n2"].say("leaving")
    cluster.until_holders("n1", "n4", "n3")
    cluster.until_state("n2", "draining")
    peers["n2"].hears("drain")
    before = traffic.answers()
    until("every connection to go on", lambda: traffic.answers() > before + 3 * ROUTES, 60)
    equal(traffic.errors(), [], "connections that broke")
    peers["n2"].say("drained", routes=[[13, 20]])
    goodbye(peers["n2"])
    cluster.until_state("n2", "lost")

    # Nobody is in reserve: n3 was the highest slot, whose routes go back.
    at_n3 = [flow for flow in flows if flow.node.startswith("n3 ")]
    traffic_3 = Traffic(lab.net.clients, [Flow(VIP4, flow.port) for flow in at_n3], pause=0.2).start()
    peers["n3"].say("leaving")
    cluster.until_holders("n1", "n4")
    at = traffic_3.answers()
    until("its connections to go on", lambda: traffic_3.answers() > at + 2 * len(at_n3))
    equal(traffic_3.errors(), [], "connections of n3 that broke while it drains")
    goodbye(peers["n3"], 60)
    cluster.until_state("n3", "lost")
    until("what n3 had left to be reset", lambda: len(traffic_3.errors()) == len(at_n3), 60)
    traffic_3.stop()
    traffic.stop()
    others = [flow for flow in flows if flow.node.startswith("n1 ")]
    equal([error for flow in others for error in flow.errors], [], "connections of n1 that broke")


def goodbye(peer: Peer, seconds: float = 20.0) -> None:
    """The node hears that it may stop, and then the end."""
    peer.hears("may_stop", seconds)
    equal(peer.hears("error")["reason"], "the node leaves", "the last word to a node that leaves")
