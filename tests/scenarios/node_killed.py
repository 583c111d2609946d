"""All of a node's processes die: the reserve node takes its routes, and only those users notice.

n1, n2, n3 are active, n4 waits. n3 dies: its connections are reset by its
kernel, its agent's connection ends, and its service port refuses the probe.
"""

from lab.checks import check, equal
from lab.cluster import ASSIGNMENT_24
from lab.lab import Lab
from lab.subscribers import population
from lab.wait import until


def run(lab: Lab) -> None:
    cluster = lab.cluster(nodes=4)
    cluster.until_holders("n1", "n2", "n3")
    users = population()
    browsers = lab.browsers(users)
    lab.deliver(users, "before")

    watch = cluster.control.watch()
    killed = cluster.machine(3).kill()
    event = watch.first("committed", after=killed)
    cluster.until_holders("n1", "n2", "n4")
    print(f"# from the kill to the commit: {event['took_us'] / 1000:.1f} ms by the daemon's own measure")
    until("every subscriber to be back", lambda: all(user.connected for user in users), 60)
    lab.deliver(users, "after")

    lost = {user.route for user in users if user.losses}
    equal(lost, ASSIGNMENT_24[3][2], "routes whose users lost a connection")
    check(all(len(user.losses) == 1 for user in users if user.losses), "nobody lost more than one connection")
    back = sorted(loss.back - killed for user in users for loss in user.losses if loss.back)
    equal(len(back), 16, "users of the dead node that are back")
    print(f"# users back after {back[0]:.2f} s to {back[-1]:.2f} s")
    equal(cluster.states()["n3"], "lost", "state of the dead node")

    cluster.join(3)
    equal(cluster.states()["n3"], "reserve", "state of the node that came back")
    cluster.until_holders("n1", "n2", "n4")
    watch.close()
    browsers_stop(lab, browsers)


def browsers_stop(lab: Lab, browsers) -> None:  # noqa: ANN001
    """Closes the subscriptions before the network goes."""
    lab.net.clients.resident.run(browsers.stop())
