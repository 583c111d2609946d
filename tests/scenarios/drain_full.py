"""The set of remembered flows is full, by a flood of SYNs at draining routes: no connection breaks.

Room is made for 64 flows only. New connections that are not remembered go to the former node,
where their next packets go too, and are counted.
"""

from lab import module, synflood
from lab.addresses import BROWSERS_PORT, ROUTES, VIP4
from lab.checks import check, equal
from lab.lab import Lab
from lab.traffic import Flow, Traffic
from lab.wait import until

BOTH_PATHS = True
SYNS = 3000


def run(lab: Lab) -> None:
    lab.echoes(2)
    module.unload()
    module.load("flows=64")
    try:
        flood(lab)
    finally:
        module.unload()
        module.load()


def flood(lab: Lab) -> None:
    """As the module's docstring says."""
    kernel = lab.kernel()
    kernel.commit(lab.table([1] * ROUTES))
    before = Traffic(lab.net.clients, flows(), pause=0.2).start()
    kernel.commit(lab.table([2] * ROUTES).drain(1))
    remembered = Traffic(lab.net.clients, flows(), pause=0.2).start()
    equal({flow.node.split()[0] for flow in remembered.flows}, {"n2"}, "where connections of the drain's start are")

    equal(synflood.start(lab.net, BROWSERS_PORT, ROUTES, SYNS, lab.directory).wait(60), 0, "the flood's exit code")
    until("the flood to be counted", lambda: kernel.counters()["forward_full"] > SYNS / 2)
    status = kernel.status()
    equal(status["flow-slots"], 64, "room for flows, as before the flood")
    check(status["flows"] <= 64, f"{status['flows']} flows are in it")

    after = Traffic(lab.net.clients, flows(), pause=0.2).start()
    equal(after.errors(), [], "errors of connections that were opened while the set is full")
    check("n1" in {flow.node.split()[0] for flow in after.flows}, "some of them are with the former node")
    for traffic in (before, remembered, after):
        equal(traffic.stop(), [], "errors of any connection")
    print(f"# {SYNS} SYNs, {kernel.counters()['forward_full']} of them with no room")


def flows() -> list[Flow]:
    """One connection for each of some routes."""
    return [Flow(VIP4, BROWSERS_PORT + index) for index in range(0, ROUTES, 4)]
