"""A node's cable is pulled: nothing ends, nothing answers. It is lost when its heartbeats are missed.

100 ms x 10 (on the debug kernel 500 ms x 10), for an emulated machine has pauses. Its connection to HaloD never
closes, and its users' connections are reset by the node that has their routes by then, at their next packet.
"""

from lab.checks import check, equal
from lab.cluster import ASSIGNMENT_24
from lab.flavour import SLOWER
from lab.lab import Lab
from lab.subscribers import population
from lab.wait import until

HEARTBEAT_MS, MISSES = 100 * SLOWER, 10
ALLOWED = HEARTBEAT_MS * MISSES / 1000  # seconds
SLACK = 3.0 * SLOWER  # an emulated machine's, on a busy host; the daemon's own tests look closer


def run(lab: Lab) -> None:
    cluster = lab.cluster(nodes=4, heartbeat_ms=HEARTBEAT_MS, heartbeat_misses=MISSES)
    cluster.until_holders("n1", "n2", "n3")
    users = population()
    browsers = lab.browsers(users)
    watch = cluster.control.watch()
    cut = cluster.machine(2).cut()
    event = watch.first("committed", after=cut)
    committed = next(at for at, seen in watch.events if seen is event)
    cluster.until_holders("n1", "n4", "n3")
    print(f"# from the cut to the commit: {(committed - cut) * 1000:.0f} ms")
    took, least = committed - cut, ALLOWED - 2 * HEARTBEAT_MS / 1000
    check(least < took < ALLOWED + SLACK, f"{took:.3f} s from silence to commit: {ALLOWED} s allowed, {SLACK} s of slack")
    lost_event = watch.first("node_lost", after=cut)
    equal((lost_event["node"], lost_event["cause"]), ("n2", "silent"), "who is lost, and why")

    until("the silent node's users to be back", lambda: all(user.connected and user.losses for user in users if user.route in ASSIGNMENT_24[3][1]), 60)
    lab.deliver(users, "after")
    lost = {user.route for user in users if user.losses}
    equal(lost, ASSIGNMENT_24[3][1], "routes whose users lost a connection")
    equal(cluster.states()["n2"], "lost", "state of the silent node")

    cluster.machine(2).plug()
    cluster.until_state("n2", "reserve")
    cluster.until_holders("n1", "n4", "n3")
    watch.close()
    lab.net.clients.resident.run(browsers.stop())
