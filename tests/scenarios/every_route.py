"""Every route of every listener leads to its node: IPv4 and IPv6, TCP and UDP, browsers and apps."""

from lab.addresses import APPS_PORT, BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.lab import Lab
from lab.traffic import ask

BOTH_PATHS = True


def run(lab: Lab) -> None:
    lab.echoes(4)
    kernel = lab.kernel()
    holders = [route % 4 + 1 for route in range(ROUTES)]
    equal(kernel.commit(lab.table(holders)), 1, "generation of the first commit")
    before = kernel.counters()
    asked = 0
    for vip in (VIP4, VIP6):
        for protocol in ("tcp", "udp"):
            for base in (BROWSERS_PORT, APPS_PORT):
                for index, node in enumerate(holders):
                    answer = ask(lab.net.clients, vip, base + index, protocol)
                    equal(answer, f"n{node} {base + index}", f"who answers {protocol} {vip} port {base + index}")
                    asked += 1
    after = kernel.counters()
    forward, reverse = (after[name] - before[name] for name in ("forward", "reverse"))
    check(forward >= 3 * asked, f"{asked} questions made {forward} packets forward")
    check(reverse >= 3 * asked // 2, f"{asked} questions made {reverse} packets back")
    grown = {name: after[name] - before[name] for name in after if name.startswith("drop_") and after[name] != before[name]}
    equal(grown, {}, "packets dropped on the way")
