"""A node's agent restarts, by itself or by SIGKILL, while its push server lives: nothing moves."""

import time

from lab.checks import equal
from lab.lab import Lab
from lab.subscribers import population


def run(lab: Lab) -> None:
    cluster = lab.cluster(nodes=2, rejoin_ms=20000)
    cluster.until_holders("n1", "n2")
    generation = cluster.kernel.generation()
    users = population()
    browsers = lab.browsers(users)
    machine = cluster.machine(2)
    assert machine.agent is not None
    for _ in range(3):
        machine.agent.kill()
        time.sleep(0.3)  # the daemon has probed the push server by then, and waits
        equal(cluster.kernel.generation(), generation, "generation while the agent is away")
        machine.start_agent()
        cluster.until_state("n2", "active")
        lab.deliver(users, f"generation {generation}")
        for user in users:
            user.messages.clear()
    equal(cluster.kernel.generation(), generation, "generation after three restarts")
    equal([user.number for user in users if user.losses], [], "users that lost their connection")
    lab.net.clients.resident.run(browsers.stop())
