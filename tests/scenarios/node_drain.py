"""A planned removal: the node's users keep their connections until they end, nobody else notices, and it comes back.

n1, n2, n3 are active, n4 waits in reserve. n1 is drained, empties, hears that
it may stop, and is put to work again.
"""

from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, contains, equal
from lab.lab import Lab
from lab.peer import Peer
from lab.traffic import Flow, Traffic, ask
from lab.wait import until


def flows() -> list[Flow]:
    """One connection a route, on either VIP in turn."""
    return [Flow((VIP4, VIP6)[index % 2], BROWSERS_PORT + index) for index in range(ROUTES)]


def run(lab: Lab) -> None:
    lab.echoes(4)
    cluster = lab.cluster(drain_ms=120_000)
    peers = [Peer(lab.net.node(number), number) for number in (1, 2, 3, 4)]
    cluster.until_holders("n1", "n2", "n3")
    for peer in peers[:3]:
        until("the joins' drains to end", lambda: kept(cluster, peer.name) == [] or peer.say("drained", routes=kept(cluster, peer.name)))
    traffic = Traffic(lab.net.clients, flows(), pause=0.2).start()
    at_n1 = [flow for flow in traffic.flows if flow.node.startswith("n1 ")]
    equal(len(at_n1), 8, "connections at n1")

    planned = cluster.daemon.ctl("plan", "--drain", "n1").stdout
    contains(planned, "8 routes would move, 16 stay", "the plan")
    cluster.daemon.ctl("node", "drain", "n1")
    cluster.until_holders("n4", "n2", "n3")
    told = peers[0].hears("drain")
    equal(told["moves"], [{"routes": [[1, 8]], "to": "n4"}], "what n1 hears")
    check(60_000 < told["deadline_ms"] <= 120_000, f"the time that it hears: {told}")
    equal(peers[3].hears("assign")["routes"], [[1, 8]], "what n4 hears")
    equal(ask(lab.net.clients, VIP4, BROWSERS_PORT).split()[0], "n4", "who greets a new connection")
    before = traffic.answers()
    until("every connection to go on", lambda: traffic.answers() > before + 5 * ROUTES, 60)
    equal(traffic.errors(), [], "connections that broke")
    check(cluster.kernel.counters()["forward_former"] > 0, "packets went to the former node")
    contains(cluster.daemon.ctl("status").stdout, "8 routes, ", "drains in the status")
    refused = cluster.daemon.ctl("node", "drain", "n1", check=False)
    equal(refused.returncode, 1, "exit code where it drains already")

    # Its users leave; it says so.
    traffic.stop()
    generation = cluster.kernel.generation()
    peers[0].say("drained", routes=[[1, 8]])
    peers[0].hears("may_stop")
    equal(cluster.kernel.status()["draining"], 0, "routes that drain")
    equal(cluster.kernel.generation(), generation + 1, "generation after the drain's end")
    contains(cluster.daemon.ctl("nodes").stdout, "drained: it may stop", "n1 among the nodes")

    cluster.daemon.ctl("node", "activate", "n1")
    cluster.until_holders("n4", "n2", "n3", "n1")
    equal(peers[0].hears("assign")["slot"], 4, "n1's slot")
    equal([event for peer in peers for event in peer.heard if event["type"] == "error"], [], "errors that nodes heard")


def kept(cluster, name: str) -> list[list[int]]:  # noqa: ANN001
    """The routes of which a node keeps connections."""
    return next(node["draining"] for node in cluster.control.ask("nodes") if node["name"] == name)
