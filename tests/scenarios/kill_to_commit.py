"""How long from the end of a node's processes until the kernel has the new table, 20 times.

The node's moment to come back (rejoin) is set far longer than that: what makes
it fast is the probe of the dead push server's port.

n1 and n2 take turns in dying and coming back; the other one gets all routes.
Two moments are taken: the daemon's own (from the close of the node's
connection), and from outside (from just before the SIGKILL to the event).
"""

from statistics import median

from lab.checks import check
from lab.lab import Lab

TIMES = 20
WORST = 5.0  # seconds; an emulated machine on a busy host has pauses of its own
REJOIN = 4 * WORST


def run(lab: Lab) -> None:
    cluster = lab.cluster(nodes=2, active_min=2, reserve=0, rejoin_ms=int(REJOIN * 1000))
    cluster.until_holders("n1", "n2")
    alive = [2, 1]
    own, outside = [], []
    watch = cluster.control.watch()
    for _ in range(TIMES):
        victim = alive.pop(0)
        killed = cluster.machine(victim).kill()
        event = watch.first("committed", after=killed)
        outside.append(next(at for at, seen in watch.events if seen is event) - killed)
        own.append(event["took_us"] / 1e6)
        cluster.until_holders(f"n{alive[0]}")
        cluster.join(victim)
        cluster.until_holders(f"n{alive[0]}", f"n{victim}")
        alive.append(victim)
    for name, times in (("the daemon's own measure", own), ("from the SIGKILL, seen from outside", outside)):
        print(f"# {name}: median {median(times) * 1000:.1f} ms, worst {max(times) * 1000:.1f} ms of {len(times)}")
    check(max(outside) < WORST, f"worst {max(outside):.3f} s is below {WORST} s")
    watch.close()
