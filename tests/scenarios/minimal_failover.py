"""With failover = "minimal" a loss moves the lost node's routes and no other; a restart keeps the table.

n1 .. n4 are active, none is in reserve. n2 dies; the daemon is killed and
started; n2 joins anew.
"""

from lab.addresses import BROWSERS_PORT, ROUTES, VIP4
from lab.checks import check, contains, equal
from lab.cluster import holders_24
from lab.lab import Lab
from lab.peer import Peer
from lab.traffic import Flow, Traffic
from lab.wait import until


def run(lab: Lab) -> None:
    echoes = lab.echoes(4)
    cluster = lab.cluster(active_min=4, reserve=0, drain_ms=60_000, failover="minimal")
    peers = [Peer(lab.net.node(number), number) for number in (1, 2, 3, 4)]
    cluster.until_holders("n1", "n2", "n3", "n4")
    before = holders_24("n1", "n2", "n3", "n4")
    flows = [Flow(VIP4, BROWSERS_PORT + index) for index in range(ROUTES) if before[index] != "n2"]
    traffic = Traffic(lab.net.clients, flows, pause=0.2).start()

    contains(cluster.daemon.ctl("plan", "--lose", "n2").stdout, "6 routes would move, 18 stay", "the plan")
    echoes[1].stop()
    peers[1].close()
    until("n2's routes to move", lambda: "n2" not in cluster.holders())
    after = cluster.holders()
    equal([a for a, b in zip(after, before, strict=True) if b != "n2"], [b for b in before if b != "n2"], "others' routes")
    equal({name: after.count(name) for name in set(after)}, {"n1": 8, "n3": 8, "n4": 8}, "routes of each")

    generation = cluster.kernel.generation()
    cluster.daemon.kill()
    cluster.daemon.start()
    for peer in (peers[0], peers[2], peers[3]):
        peer.connect()
    equal((cluster.holders(), cluster.kernel.generation()), (after, generation), "table and generation after a restart")
    peers[1].connect()
    until("n2 to have its share", lambda: cluster.holders().count("n2") == 6)
    kept = sum(a == b for a, b in zip(after, cluster.holders(), strict=True))
    check(kept == 18, f"routes that stayed where they were: {kept}")
    equal(traffic.stop(), [], "connections of others that broke")
