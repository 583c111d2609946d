"""Two namespaces have two tables, even for the same addresses.

The laboratory's network exists twice, `hd-halod` and `hd-halodb` with their own
clients and nodes; the namespaces do not know of each other.
"""

from lab import addresses
from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import equal
from lab.echo import Echo
from lab.kernel import Kernel, Refused
from lab.lab import Lab
from lab.topology import Topology
from lab.traffic import ask

BOTH_PATHS = True


def run(lab: Lab) -> None:
    one, two = lab.net, Topology(nodes=2, tag="b")
    for net, prefix in ((one, "one"), (two, "two")):
        for number in (1, 2):
            Echo(net.node(number), f"{prefix}-n{number}", addresses.node(number), bases=(BROWSERS_PORT,))
    first, second = Kernel(one.halod), Kernel(two.halod)

    first.commit(lab.table([1] * ROUTES))
    equal(second.status()["generation"], 0, "generation in the other namespace")
    equal(second.status()["routes"], 0, "routes in the other namespace")
    second.commit(lab.table([1, 2] * (ROUTES // 2)), generation=40)
    equal((first.generation(), second.generation()), (1, 40), "the two generations")
    for vip in (VIP4, VIP6):
        for index in range(ROUTES):
            port = BROWSERS_PORT + index
            equal(ask(one.clients, vip, port), f"one-n1 {port}", f"first namespace, {vip} route {index + 1}")
            equal(ask(two.clients, vip, port), f"two-n{index % 2 + 1} {port}", f"second namespace, {vip} route {index + 1}")

    counted = second.counters()
    first.flush()
    equal(first.status()["routes"], 0, "routes of the first after its flush")
    equal(second.status()["routes"], ROUTES, "routes of the second after the first's flush")
    counts = second.counters()
    fallen = {name: (counted[name], counts[name]) for name in counts if counts[name] < counted[name]}
    equal(fallen, {}, "counters of the second that fell when the first was flushed")
    try:
        answer = ask(one.clients, VIP4, BROWSERS_PORT)
    except ConnectionRefusedError:
        answer = "refused"
    equal(answer, "refused", "the flushed namespace's port, now HaloD's own machine's")
    equal(ask(two.clients, VIP4, BROWSERS_PORT), f"two-n1 {BROWSERS_PORT}", "the second namespace still forwards")
    try:
        first.commit(lab.table([1]), expected=40)
        refused = False
    except Refused:
        refused = True
    equal(refused, True, "a commit with the other namespace's generation is refused")
