"""The daemon dies by SIGKILL, and ends by SIGTERM, under traffic: the kernel goes on, and nobody notices.

On its return it finds kernel and store in step, commits nothing, and the nodes'
agents come back by themselves.
"""

from lab.checks import check, equal
from lab.lab import Lab
from lab.subscribers import population
from lab.wait import until


def run(lab: Lab) -> None:
    cluster = lab.cluster(nodes=4)
    cluster.until_holders("n1", "n2", "n3")
    generation = cluster.kernel.generation()
    users = population()
    browsers = lab.browsers(users)

    cluster.daemon.kill()
    lab.deliver(users, "while the daemon is dead")
    cluster.daemon.start()
    until("every node to be connected again", lambda: connected(cluster) == {"n1", "n2", "n3", "n4"}, 30)
    lab.deliver(users, "after its return")

    equal(cluster.daemon.stop(), 0, "exit code after SIGTERM")
    lab.deliver(users, "while the daemon is stopped")
    cluster.daemon.start()
    until("every node to be connected again", lambda: connected(cluster) == {"n1", "n2", "n3", "n4"}, 30)

    equal(cluster.kernel.generation(), generation, "generation: nothing was committed")
    cluster.until_holders("n1", "n2", "n3")
    equal([user.number for user in users if user.losses], [], "users that lost their connection")
    check(cluster.states()["n4"] == "reserve", "the reserve node is one still")

    # It decides as before: the next loss is made good.
    cluster.machine(1).kill()
    cluster.until_holders("n4", "n2", "n3")
    lab.net.clients.resident.run(browsers.stop())


def connected(cluster) -> set[str]:  # noqa: ANN001
    """The nodes that are connected."""
    return {node["name"] for node in cluster.control.ask("nodes") if node["connected"]}
