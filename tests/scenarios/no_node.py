"""A route without a node drops its packets, counted, and never reaches HaloD's own machine. Nor does one
whose node has no address of the packet's IP version."""

from lab import addresses
from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.echo import Echo
from lab.kernel import Node
from lab.lab import Lab
from lab.traffic import ask


def run(lab: Lab) -> None:
    lab.echoes(1)
    # Were packets to fall through, these would answer on HaloD's own machine.
    vips = addresses.Host("", "", VIP4, VIP6, "", "", 32)
    own = Echo(lab.net.halod, "halod", vips, bases=(BROWSERS_PORT,))
    kernel = lab.kernel()
    only_v4 = Node(2, "n2", (addresses.node(2).v4,))
    routes = [1] * ROUTES
    routes[4] = 0  # route 5
    routes[5] = 2  # route 6
    kernel.commit(lab.table(routes, nodes=[Node(1, "n1", (addresses.node(1).v4, addresses.node(1).v6)), only_v4]))

    for vip, route, counter in ((VIP4, 5, "drop_no_node"), (VIP6, 5, "drop_no_node"), (VIP6, 6, "drop_no_address")):
        for protocol in ("tcp", "udp"):
            before = kernel.counters()
            try:
                answer = ask(lab.net.clients, vip, BROWSERS_PORT + route - 1, protocol, timeout=1.0)
            except TimeoutError:
                answer = "nobody"
            except OSError as error:
                answer = str(error)
            equal(answer, "nobody", f"who answers {protocol} {vip} route {route}")
            check(kernel.counters()[counter] > before[counter], f"{counter} has grown by {protocol} to {vip}")
    equal(ask(lab.net.clients, VIP4, BROWSERS_PORT), f"n1 {BROWSERS_PORT}", "who answers the other routes")
    equal((dict(own.connections), dict(own.datagrams)), ({}, {}), "what reached HaloD's own machine")
    kernel.flush()
    equal(ask(lab.net.clients, VIP4, BROWSERS_PORT + 4), f"halod {BROWSERS_PORT + 4}", "who answers after a flush")
