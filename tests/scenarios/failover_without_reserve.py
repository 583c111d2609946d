"""A node dies and nobody is in reserve: the node of the highest slot takes its place.

n1, n2, n3 are active. n1 dies: n3 fills slot 1, and n3's own routes go back as
if it had never joined. Then n3, by then in slot 1 of 2, dies: n2 gets all.
Then n2 dies: every route drops until a node joins.
"""

from lab.addresses import BROWSERS_PORT, ROUTES, VIP4
from lab.checks import equal
from lab.lab import Lab
from lab.traffic import ask
from lab.wait import until


def run(lab: Lab) -> None:
    cluster = lab.cluster(nodes=3)
    cluster.until_holders("n1", "n2", "n3")
    cluster.machine(1).kill()
    cluster.until_holders("n3", "n2")
    cluster.machine(3).kill()
    cluster.until_holders("n2")
    generation = cluster.kernel.generation()
    cluster.machine(2).kill()
    until("every route to be without a node", lambda: cluster.holders() == [""] * ROUTES)
    equal(cluster.kernel.generation(), generation + 1, "generation after the last node's end")

    before = counted(cluster.kernel, "drop_no_node")
    try:
        answer = ask(lab.net.clients, VIP4, BROWSERS_PORT, timeout=1.5)
    except TimeoutError:
        answer = "silence"
    equal(answer, "silence", "what a client of a route without a node hears (a reset would end its connection)")
    equal(counted(cluster.kernel, "drop_no_node") > before, True, "the packets are counted as drop_no_node")

    cluster.join(2)
    cluster.until_holders("n2")


def counted(kernel, name: str) -> int:  # noqa: ANN001
    """A counter of the halod namespace."""
    return kernel.counters()[name]
