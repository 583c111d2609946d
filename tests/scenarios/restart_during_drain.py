"""The daemon is killed in the midst of drains, and comes back: no connection notices, and the drains end in time.

n1 is drained, with n4 of the reserve in its place. Once the daemon is killed
and started again within the drain, and once it comes back only after its end.
"""

import time

from lab.addresses import BROWSERS_PORT, VIP4
from lab.checks import check, contains, equal
from lab.lab import Lab
from lab.peer import Peer
from lab.traffic import Flow, Traffic, ask
from lab.wait import until

DRAIN = 12.0  # seconds


def run(lab: Lab) -> None:
    lab.echoes(4)
    cluster = lab.cluster(drain_ms=int(DRAIN * 1000))
    peers = {f"n{number}": Peer(lab.net.node(number), number) for number in (1, 2, 3, 4)}
    cluster.until_holders("n1", "n2", "n3")
    until("the joins' drains to end", lambda: cluster.control.ask("status")["draining_routes"] == 0, 60)

    def drain(name: str, *slots: str) -> tuple[Traffic, float]:
        traffic = Traffic(lab.net.clients, [Flow(VIP4, BROWSERS_PORT + index) for index in range(8)], pause=0.2).start()
        equal({flow.node.split()[0] for flow in traffic.flows}, {name}, "who has routes 1-8")
        cluster.daemon.ctl("node", "drain", name)
        moment = time.monotonic()
        cluster.until_holders(*slots)
        return traffic, moment

    traffic, begun = drain("n1", "n4", "n2", "n3")
    generation = cluster.kernel.generation()
    cluster.daemon.kill()
    equal(ask(lab.net.clients, VIP4, BROWSERS_PORT).split()[0], "n4", "who greets while the daemon is dead")
    cluster.daemon.start()
    for peer in peers.values():
        peer.connect()
    told = peers["n1"].hears("drain")
    check(told["deadline_ms"] <= DRAIN * 1000 - 100, f"n1 hears the time that is left: {told}")
    equal(cluster.kernel.generation(), generation, "generation: nothing was committed")
    before = traffic.answers()
    until("its connections to go on", lambda: traffic.answers() > before + 8)
    equal(traffic.errors(), [], "connections that broke")
    until("the drain to end", lambda: cluster.kernel.status()["draining"] == 0, 60)
    took = time.monotonic() - begun
    check(DRAIN - 1 < took < DRAIN + 10, f"the drain took {took:.1f} s, restart and all")
    until("what n1 had left to be reset", lambda: len(traffic.errors()) == 8)
    traffic.stop()
    peers["n1"].hears("may_stop")

    cluster.daemon.ctl("node", "reserve", "n1")
    traffic, begun = drain("n4", "n1", "n2", "n3")
    cluster.daemon.kill()
    until("the kernel to end the drain by itself", lambda: len(traffic.errors()) == 8, 60)
    check(time.monotonic() - begun > DRAIN - 1, "not before its time")
    traffic.stop()
    young = Traffic(lab.net.clients, [Flow(VIP4, BROWSERS_PORT)], pause=0.2).start()
    cluster.daemon.start()
    contains(cluster.daemon.process.text(), "drains have ended meanwhile", "halod's log")
    equal(cluster.kernel.status()["draining"], 0, "routes that drain")
    for peer in peers.values():
        peer.connect()
    peers["n4"].hears("may_stop")
    equal(young.stop(), [], "a connection from after the drain's end")
    cluster.until_holders("n1", "n2", "n3")
