"""Routes that move at different times, up to four times within their drains, on five nodes.

n5 is on n4's machine, on ports of its own. Routes 1-8 move four times, 9-16 twice, 17-24 never. With the fourth
move one former node is over the three that a route can have and is dropped, the oldest of routes 1-4 and
a later one of routes 5-8: its connections are cut, and no others.
"""

from lab import addresses
from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import equal
from lab.echo import Echo
from lab.kernel import LONG, Listener, Node, Table, lab_nodes
from lab.lab import Lab
from lab.traffic import Flow, Traffic
from lab.wait import until

BOTH_PATHS = True
OWN_PORT = 8500
# The node of routes 1-8, of 9-16, of the rest, step by step.
STEPS = ((1, 1, 1), (2, 2, 1), (3, 2, 1), (4, 3, 1), (5, 3, 1))


def run(lab: Lab) -> None:
    lab.echoes(4, bases=(BROWSERS_PORT,), protocols=("tcp",))
    Echo(lab.net.node(4), "n5", addresses.node(4), bases=(OWN_PORT,), protocols=("tcp",))
    kernel = lab.kernel()
    listeners = [Listener("browsers", vip) for vip in (VIP4, VIP6)]
    fifth = Node(5, "n5", lab_nodes(4)[3].addresses, tuple((index, OWN_PORT) for index in range(len(listeners))))
    formers: dict[int, list[int]] = {route: [] for route in range(1, ROUTES + 1)}
    routes = [STEPS[0][0]] * ROUTES
    opened: list[tuple[list[int], Traffic]] = []  # the node of each route, and a flow of each

    for step in STEPS:
        moved = [step[0]] * 8 + [step[1]] * 8 + [step[2]] * 8
        for route, (old, new) in enumerate(zip(routes, moved, strict=True), 1):
            if old != new:
                formers[route].append(old)
        routes = moved
        table = Table(routes, listeners, [*lab_nodes(4), fifth], fast_path=lab.fast_path)
        table.drains = {route: [(node, LONG) for node in nodes] for route, nodes in formers.items() if nodes}
        if step == STEPS[-1]:
            for route in range(1, 9):
                table.drains[route].pop(0 if route <= 4 else 1)
        kernel.commit(table)
        flows = [Flow((VIP4, VIP6)[index % 2], BROWSERS_PORT + index) for index in range(ROUTES)]
        opened.append((routes, Traffic(lab.net.clients, flows, pause=0.3).start()))
        for flow in flows:
            equal(flow.node.split()[0] if flow.node else flow.errors, f"n{routes[flow.port - BROWSERS_PORT]}", f"who greets {flow}")

    cut = {(1, flow) for flow in range(4)} | {(2, flow) for flow in range(4, 8)}

    def lost() -> set[tuple[int, int]]:
        return {
            (nodes[flow.port - BROWSERS_PORT], flow.port - BROWSERS_PORT)
            for nodes, traffic in opened
            for flow in traffic.flows
            if flow.errors
        }

    until("what the dropped nodes had to be cut", lambda: lost() == cut)
    answers = [traffic.answers() for _, traffic in opened]
    goes_on = lambda: all(
        traffic.answers() > had + 2 * len(traffic.flows) for (_, traffic), had in zip(opened, answers, strict=True)
    )
    until("the others to go on", goes_on)
    errors = [error for _, traffic in opened for error in traffic.stop()]
    equal(len(errors), len(cut), f"connections that were cut: {errors}")
    equal(lost(), cut, "(node, route - 1) of all that was cut")
    print(f"# {sum(len(traffic.flows) for _, traffic in opened)} connections over {len(STEPS) - 1} moves, {len(errors)} cut with the fourth former node")
