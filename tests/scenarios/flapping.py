"""A node that is lost again and again is held back, so that users do not move each time; as a last resort it is used.

n1 and n2 are active at once. n2 dies and comes back: put to work. It dies and comes
back once more: it waits. While it waits n1 dies, and n2 gets everything.
"""

from lab.checks import check, contains, equal
from lab.lab import Lab
from lab.peer import Peer
from lab.wait import until


def run(lab: Lab) -> None:
    echoes = lab.echoes(2)
    cluster = lab.cluster(active_min=2, reserve=0, hold_back_ms=8000)
    for echo in echoes:
        echo.stop()  # a probe is refused, so that a closed connection is a loss at once
    n1, n2 = (Peer(lab.net.node(number), number) for number in (1, 2))
    cluster.until_holders("n1", "n2")

    def n2_report() -> dict:
        return next(node for node in cluster.control.ask("nodes") if node["name"] == "n2")

    def flap() -> None:
        n2.close()
        cluster.until_state("n2", "lost")
        n2.connect()

    flap()
    cluster.until_holders("n1", "n2")
    equal(n2_report()["losses"], 1, "losses of n2")
    generation = cluster.kernel.generation()

    flap()
    held = n2_report()
    equal((held["state"], held["losses"]), ("reserve", 2), "n2 after its second loss")
    check(0 < held["held_ms"] <= 8000, f"it is held back: {held}")
    contains(cluster.daemon.ctl("nodes").stdout, "held back", "why n2 is not put to work")
    contains(cluster.daemon.ctl("status").stdout, "Held back     1 node", "the status")
    equal(cluster.kernel.generation(), generation + 1, "generation: its loss, and nothing since")
    cluster.until_holders("n1", "n2")
    check(n2_report().get("held_ms") is None, "its time is over")

    flap()
    equal(n2_report()["state"], "reserve", "n2 after its third loss")
    check(n2_report()["held_ms"] > 8000, "it waits twice as long")
    n1.close()
    cluster.until_holders("n2")
    until("n2 to be active", lambda: n2_report()["state"] == "active")
