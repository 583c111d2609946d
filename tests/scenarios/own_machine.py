"""Programs on HaloD's own machine reach the routes through the VIP too (hook LOCAL_OUT)."""

from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.lab import Lab
from lab.traffic import ask

BOTH_PATHS = True


def run(lab: Lab) -> None:
    lab.echoes(2)
    kernel = lab.kernel()
    kernel.commit(lab.table([1, 2] * (ROUTES // 2)))
    before = kernel.counters()["local_out"]
    for vip in (VIP4, VIP6):
        for protocol in ("tcp", "udp"):
            for index in range(ROUTES):
                answer = ask(lab.net.halod, vip, BROWSERS_PORT + index, protocol)
                equal(answer, f"n{index % 2 + 1} {BROWSERS_PORT + index}", f"who answers {protocol} {vip} route {index + 1}")
    check(kernel.counters()["local_out"] > before, "the counter local_out has grown")
