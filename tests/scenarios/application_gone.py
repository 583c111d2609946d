"""A node's push server ends and its agent lives: the agent says so, and the node's routes go elsewhere at once."""

from lab.checks import contains, equal
from lab.lab import Lab


def run(lab: Lab) -> None:
    # A moment to come back, and a silence, far longer than this takes: neither is what makes it fast.
    cluster = lab.cluster(nodes=3, active_min=2, reserve=1, rejoin_ms=60000, heartbeat_misses=300)
    cluster.until_holders("n1", "n2")
    machine = cluster.machine(1)
    assert machine.server is not None and machine.agent is not None
    watch = cluster.control.watch()
    ended = machine.server.kill()
    event = watch.first("node_lost", after=ended)
    equal((event["node"], event["cause"]), ("n1", "unhealthy"), "who is lost, and why")
    cluster.until_holders("n3", "n2")
    node = next(node for node in cluster.control.ask("nodes") if node["name"] == "n1")
    equal((node["state"], node["connected"], node["healthy"]), ("reserve", True, False), "state of the node")
    contains(machine.agent.text(), "192.0.2.11:8000", "the agent's log names the port that it tried")

    machine.start_server()
    cluster.machine(2).kill()
    cluster.until_holders("n3", "n1", seconds=60)
    watch.close()
