"""Nodes join one after another, and are moved by hand: the routes follow the algorithm exactly.

`active_min = 3`, `reserve = 1`: the fourth node waits in reserve, and is put to
work by the operator. The node that loses routes is told which.
"""

from lab.checks import check, equal
from lab.cluster import ASSIGNMENT_24
from lab.lab import Lab


def run(lab: Lab) -> None:
    cluster = lab.cluster()
    watch = cluster.control.watch()
    slots: list[str] = []
    for number in (1, 2, 3):
        cluster.join(number)
        slots.append(f"n{number}")
        cluster.until_holders(*slots)
    cluster.join(4)
    equal(cluster.states(), {"n1": "active", "n2": "active", "n3": "active", "n4": "reserve"}, "states")
    cluster.until_holders(*slots)

    generation = cluster.kernel.generation()
    cluster.daemon.ctl("node", "activate", "n4")
    cluster.until_holders("n1", "n2", "n3", "n4")
    equal(cluster.kernel.generation(), generation + 1, "generation after one command")

    # n4 is the highest slot: its way back is the reverse of its coming.
    cluster.daemon.ctl("node", "reserve", "n4")
    cluster.until_holders("n1", "n2", "n3")
    # n1 goes to the reserve: n4, which waits there, takes its slot.
    cluster.daemon.ctl("node", "reserve", "n1")
    cluster.until_holders("n4", "n2", "n3")
    # n2 is removed: n1 takes its slot, and nobody knows n2 any more, until its agent comes back.
    cluster.daemon.ctl("node", "remove", "n2")
    cluster.until_holders("n4", "n1", "n3")
    cluster.until_state("n2", "reserve")

    refused = cluster.daemon.ctl("node", "activate", "nobody", check=False)
    equal(refused.returncode, 1, "exit code for a node that is not there")
    check("nobody" in refused.stderr, f"the error names the node: {refused.stderr!r}")
    told = watch.all("committed", 7)
    check(len(told) >= 7, f"the watch told of every commit: {told}")
    watch.close()
    moved = cluster.machine(1).agent
    assert moved is not None
    check(ASSIGNMENT_24[2][1] and "route_moved" in moved.text(), f"n1's agent heard that it lost routes:\n{moved.text()[-1500:]}")
