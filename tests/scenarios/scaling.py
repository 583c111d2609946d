"""Nodes are put to work when there is much to do, and taken out when there is little, each time with the reason.

n1 is active, n2 and n3 wait. Their loads are what they say.
"""

from lab.checks import contains, equal
from lab.lab import Lab
from lab.peer import Peer
from lab.wait import until

SCALE = """\
[scale]
by = "connections"
up_at = 100
down_at = 40
hold = "1s"
interval = "3s"
"""


def run(lab: Lab) -> None:
    cluster = lab.cluster(active_min=1, reserve=60, drain_ms=60_000, more=SCALE)
    peers = [Peer(lab.net.node(number), number) for number in (1, 2, 3)]
    cluster.until_holders("n1")
    watch = cluster.control.watch()

    def say(*connections: int) -> None:
        for peer, number in zip(peers, connections, strict=True):
            peer.load = {"connections": number}

    def why(words: str) -> None:
        until(f"halodctl to explain with {words!r}", lambda: words in cluster.daemon.ctl("scaling").stdout)

    why("n1")
    say(90, 0, 0)
    why("90")
    equal(cluster.states(), {"n1": "active", "n2": "reserve", "n3": "reserve"}, "states below up_at")
    say(150, 0, 0)
    cluster.until_holders("n1", "n2")
    say(150, 90, 0)
    cluster.until_holders("n1", "n2", "n3")
    contains(cluster.daemon.ctl("status").stdout, "Scaling", "the status")

    # Little to do: the highest slot goes first, and keeps its connections meanwhile.
    say(30, 20, 20)
    cluster.until_holders("n1", "n2")
    cluster.until_state("n3", "reserve")
    equal(peers[2].hears("drain")["moves"][0]["to"], "n1", "where n3's first routes went")
    say(25, 10, 4)
    cluster.until_holders("n1")
    steps = [event["text"] for event in watch.all("scal", 4)]
    equal(len(steps), 4, f"steps that the watch told: {steps}")
    watch.close()
