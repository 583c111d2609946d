"""Routes move while connections live: each stays with the node where it was opened.

All routes go from n1 to n2, on to n3, and back to n1, all within their drains;
connections are opened at each station, of both families and listeners. Then the
drains end: early for n2, whose connections the route's node resets.
"""

from lab.addresses import APPS_PORT, BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.lab import Lab
from lab.traffic import Flow, Traffic
from lab.wait import until

BOTH_PATHS = True
SOME = range(0, ROUTES, 5)


def run(lab: Lab) -> None:
    lab.echoes(3)
    kernel = lab.kernel()
    stations = []

    def move(node: int, *formers: int) -> None:
        table = lab.table([node] * ROUTES)
        kernel.commit(table.drain(*formers) if formers else table)
        back = kernel.table()
        equal({route: [id for id, _ in drain] for route, drain in back.drains.items()},
              {route: list(formers) for route in table.drains}, "the drains as the kernel tells them")

    def open_at(node: int) -> None:
        flows = [Flow(vip, base + index) for vip in (VIP4, VIP6) for base in (BROWSERS_PORT, APPS_PORT) for index in SOME]
        traffic = Traffic(lab.net.clients, flows, pause=0.2).start()
        equal({flow.node.split()[0] for flow in flows if flow.node}, {f"n{node}"}, "who greets new connections")
        equal(traffic.errors(), [], "errors of new connections")
        stations.append((node, traffic))

    move(1)
    open_at(1)
    equal(kernel.status()["flow-slots"], 0, "room for flows while nothing drains")
    move(2, 1)
    open_at(2)
    status = kernel.status()
    equal((status["draining"], status["flows"]), (ROUTES, len(stations[1][1].flows)), "routes that drain, flows remembered")
    move(3, 1, 2)
    open_at(3)
    move(1, 1, 2, 3)
    open_at(1)
    # More rounds through a table that is replaced all the time.
    answers = [traffic.answers() for _, traffic in stations]
    for _ in range(10):
        move(1, 1, 2, 3)
    goes_on = lambda: all(traffic.answers() > 3 * len(traffic.flows) + before for (_, traffic), before in zip(stations, answers, strict=True))
    until("connections from every station to go on", goes_on)
    equal([traffic.errors() for _, traffic in stations], [[]] * 4, "errors of connections from any station")
    counters = kernel.counters()
    check(counters["forward_former"] > 0, f"packets went to former nodes: {counters}")
    equal((counters["forward_full"], counters["drop_stale"]), (0, 0), "forward_full and drop_stale")

    # n2 is done early: whatever it still had is reset by the route's node. The others go on.
    move(1, 1, 3)
    at_n2 = stations.pop(1)[1]
    until("all connections of n2 to be reset", lambda: len(at_n2.errors()) == len(at_n2.flows))
    at_n2.stop()
    for _, traffic in stations:
        equal(traffic.stop(), [], "errors of the others, to their end")

    move(1)
    status = kernel.status()
    equal((status["draining"], status["flows"], status["flow-slots"]), (0, 0, 0), "what is left when nothing drains")
