"""A node in reserve takes over only where it can: while its application is gone it waits, and its own end
moves nothing.

n1, n2, n3 are active, n4 waits in reserve.
"""

from lab.checks import equal
from lab.lab import Lab
from lab.subscribers import population
from lab.wait import until


def run(lab: Lab) -> None:
    cluster = lab.cluster(nodes=4, active_min=3, reserve=1)
    equal(cluster.states(), {"n1": "active", "n2": "active", "n3": "active", "n4": "reserve"}, "states")
    cluster.until_holders("n1", "n2", "n3")
    users = population()
    browsers = lab.browsers(users)
    generation = cluster.kernel.generation()

    def n4() -> dict:
        return next(node for node in cluster.control.ask("nodes") if node["name"] == "n4")

    # Its end moves nothing, and nobody notices. It comes back into reserve.
    spare = cluster.machine(4)
    spare.kill()
    cluster.until_state("n4", "lost")
    cluster.join(4)
    equal(n4()["state"], "reserve", "state of the reserve node that came back")
    # Its push server ends: it says so, and stays in reserve, of no use.
    assert spare.server is not None
    spare.server.kill()
    until("n4 to be unhealthy", lambda: not n4()["healthy"])
    equal(n4()["state"], "reserve", "state of the unhealthy node")
    equal(cluster.kernel.generation(), generation, "generation after all that befell the reserve")
    lab.deliver(users, "as before")
    equal([user.number for user in users if user.losses], [], "users that lost a connection")

    # So a loss is made good without it: the reverse process.
    cluster.machine(3).kill()
    cluster.until_holders("n1", "n2")
    # Healthy again, it is promoted at once, for two are fewer than active_min.
    spare.start_server()
    cluster.until_holders("n1", "n2", "n4")
    until("every subscriber to be connected", lambda: all(user.connected for user in users), 60)
    lab.net.clients.resident.run(browsers.stop())
