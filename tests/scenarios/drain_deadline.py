"""Drains that run out by themselves. UDP moves at once; or it stays with the oldest former node for as long as the
commit says, and moves then. TCP connections stay longer, and are reset by the route's node after their deadline."""

import time

from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.lab import Lab
from lab.traffic import Flow, Traffic
from lab.wait import until

BOTH_PATHS = True
SOME = range(0, ROUTES, 8)
UDP, TCP = 3_000, 6_000  # ms


def run(lab: Lab) -> None:
    lab.echoes(3)
    kernel = lab.kernel()
    kernel.commit(lab.table([1] * ROUTES))
    tcp, udp = flows(lab, "tcp"), flows(lab, "udp")

    # Without a word on UDP it moves with the commit.
    kernel.commit(lab.table([2] * ROUTES).drain(1))
    until("all UDP to be at n2", lambda: names(udp) == {"n2"})
    kernel.commit(lab.table([1] * ROUTES))
    until("all UDP to be at n1", lambda: names(udp) == {"n1"})

    begin = time.monotonic()
    kernel.commit(lab.table([2] * ROUTES).drain(1, left=TCP, udp=UDP))
    seen = kernel.table()
    check(all(0 < left <= UDP + 10 for left in seen.udp_left.values()), f"UDP's time left: {seen.udp_left}")
    equal(len(seen.udp_left), ROUTES, "routes whose UDP stays")
    # Another move meanwhile: UDP stays where it is.
    kernel.commit(lab.table([3] * ROUTES).drain(1, 2, left=TCP, udp=seen.udp_left[1]))
    answers = udp.answers()
    until("more UDP answers", lambda: udp.answers() > answers + 2 * len(udp.flows))
    if time.monotonic() - begin < UDP / 2000:
        equal(names(udp), {"n1"}, "who answers UDP while it stays")
    until("all UDP to be at n3", lambda: names(udp) == {"n3"})
    moved = time.monotonic() - begin
    check(moved >= UDP / 1000, f"UDP moved after {moved:.1f} s, not before {UDP / 1000} s")
    equal({who.split()[0] for flow in udp.flows for who in flow.others}, {"n1", "n2", "n3"}, "all who have answered UDP")
    equal(kernel.table().udp_left, {}, "UDP's time left when it is over")
    equal(udp.stop(), [], "UDP questions without an answer")

    until("TCP connections to be reset", lambda: len(tcp.errors()) == len(tcp.flows))
    ended = time.monotonic() - begin
    check(ended >= TCP / 1000, f"connections were reset after {ended:.1f} s, not before {TCP / 1000} s")
    check(all("reset" in error.lower() for error in tcp.stop()), f"they were reset: {tcp.errors()}")
    print(f"# UDP moved {moved:.1f} s after the commit that said {UDP / 1000} s, TCP ended {ended:.1f} s after {TCP / 1000} s")


def flows(lab: Lab, protocol: str) -> Traffic:
    """Some of each family that go on."""
    made = [Flow(vip, BROWSERS_PORT + index, protocol) for vip in (VIP4, VIP6) for index in SOME]
    traffic = Traffic(lab.net.clients, made, pause=0.1).start()
    equal(names(traffic), {"n1"}, f"who answers {protocol} at first")
    return traffic


def names(traffic: Traffic) -> set[str]:
    """Who answered last."""
    return {flow.node.split()[0] for flow in traffic.flows}
