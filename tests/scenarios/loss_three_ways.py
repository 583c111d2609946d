"""A node is lost in each of three ways: only its users lose their connections, and they resume where they were.

Its push server dies, and its agent says so; all its processes die, and its connection to HaloD ends; its
cable is pulled, and nothing says anything. From the cause to the new table in the kernel it is measured from
outside, by the kernel's own event. Streams of the others go on meanwhile, and miss nothing.
"""

import time
from collections.abc import Callable

from lab.checks import check, equal
from lab.cluster import ASSIGNMENT_24, Cluster
from lab.example import Streaming
from lab.flavour import SLOWER
from lab.kernel import Commits
from lab.lab import Lab
from lab.publisher import Rounds
from lab.streams import Streams
from lab.subscribers import population
from lab.wait import until

HEARTBEAT_MS, MISSES = 100 * SLOWER, 50  # an emulated machine has pauses
SILENCE = HEARTBEAT_MS * MISSES / 1000  # seconds
SLACK = 3.0 * SLOWER  # its pauses, on a busy host


def server_dies(cluster: Cluster, number: int) -> float:
    """Its push server alone."""
    return cluster.machine(number).server.kill()


def machine_dies(cluster: Cluster, number: int) -> float:
    """All its processes."""
    return cluster.machine(number).kill()


def cable_pulled(cluster: Cluster, number: int) -> float:
    """It goes on, unheard."""
    return cluster.machine(number).cut()


def back(cluster: Cluster, number: int, way: Callable[[Cluster, int], float]) -> None:
    """Undoes the loss; the node waits in reserve."""
    machine = cluster.machine(number)
    {server_dies: machine.start_server, machine_dies: machine.start, cable_pulled: machine.plug}[way]()
    until(f"{machine.name} to wait in reserve", lambda: reserve(cluster, machine.name), 60)


def reserve(cluster: Cluster, name: str) -> bool:
    node = next(node for node in cluster.control.ask("nodes") if node["name"] == name)
    return (node["state"], node["connected"], node["healthy"]) == ("reserve", True, True)


def run(lab: Lab) -> None:
    # A moment to come back that is far longer than all this: it is not what makes it fast.
    cluster = lab.cluster(
        nodes=4, push=Streaming, rejoin_ms=60_000, heartbeat_ms=HEARTBEAT_MS, heartbeat_misses=MISSES, drain_ms=60_000
    )
    cluster.until_holders("n1", "n2", "n3")
    users = population()
    streams = lab.browsers(users, Streams)
    lab.deliver(users, "before")
    commits = Commits(lab.net.halod)
    slots = ["n1", "n2", "n3"]
    for slot, spare, way, cause, worst in (
        (1, 4, server_dies, "unhealthy", SLACK),
        (2, 1, machine_dies, "unreachable", SLACK),
        (3, 2, cable_pulled, "silent", SILENCE + SLACK),
    ):
        until("drains to end", lambda: not cluster.kernel.table().drains)
        routes = ASSIGNMENT_24[3][slot - 1]
        concerned = [user for user in users if user.route in routes]
        others = [user for user in users if user.route not in routes]
        before = {user.number: len(user.losses) for user in users}
        rounds = Rounds(lab.net.app, others, way.__name__, at_once=4)
        watch = cluster.control.watch()
        start = time.monotonic()

        caused = way(cluster, slot)
        committed, _ = commits.after(start)
        took = committed - caused
        print(f"# {way.__name__}: {took * 1000:.0f} ms from the cause to the commit in the kernel")
        check(took < worst, f"{took:.3f} s is below {worst} s")
        lost = watch.first("node_lost", after=start)
        equal((lost["node"], lost["cause"]), (f"n{slot}", cause), "who is lost, and why")
        slots[slot - 1] = f"n{spare}"
        cluster.until_holders(*slots)

        until("its users to be back", lambda: all(user.connected and len(user.losses) > before[user.number] for user in concerned), 60)
        rounds.stop()
        until("the others' streams to be complete and in order", lambda: all(map(rounds.complete, others)))
        equal([user.number for user in others if len(user.losses) > before[user.number]], [], "others who lost a connection")
        lab.deliver(users, f"after {way.__name__}")
        watch.close()
        back(cluster, slot, way)
    commits.stop()
    lab.net.clients.resident.run(streams.stop())
