"""What holds for listeners whose nodes answer clients directly, however packets get to them."""

from collections.abc import Callable

from .addresses import APPS_PORT, BROWSERS_PORT, ROUTES, VIP4, VIP6
from .checks import check, equal
from .kernel import Kernel, Refused, Table, lab_listeners
from .lab import Lab
from .traffic import Flow, Traffic, ask
from .wait import until


def table(lab: Lab, routes: list[int], deliver: str) -> Table:
    """The laboratory's table, all of it delivered so."""
    return lab.table(routes, lab_listeners("tcp", "udp", deliver=deliver))


def every_route(lab: Lab, kernel: Kernel, deliver: str) -> None:
    """Each leads to its node, by all protocols, and nothing comes back by HaloD."""
    holders = [route % 3 + 1 for route in range(ROUTES)]
    kernel.commit(table(lab, holders, deliver))
    equal({listener.deliver for listener in kernel.table().listeners}, {deliver}, "the listeners as the kernel tells them")
    before = kernel.counters()
    for vip in (VIP4, VIP6):
        for protocol in ("tcp", "udp"):
            for base in (BROWSERS_PORT, APPS_PORT):
                for index, node in enumerate(holders):
                    answer = ask(lab.net.clients, vip, base + index, protocol)
                    equal(answer, f"n{node} {base + index}", f"who answers {protocol} {vip} port {base + index}")
    equal(set(kernel.grown(before)), {"forward"}, "exits of what has passed HaloD")


def drain(lab: Lab, kernel: Kernel, deliver: str, dies: Callable[[], None]) -> None:
    """What n1 has stays there while new connections go to n2; what it still has when the drain ends is reset."""

    def open_at(name: str) -> Traffic:
        flows = [Flow(vip, BROWSERS_PORT + index) for vip in (VIP4, VIP6) for index in range(0, ROUTES, 3)]
        traffic = Traffic(lab.net.clients, flows, pause=0.1).start()
        equal({flow.node.split()[0] for flow in flows if flow.node}, {name}, "who greets new connections")
        equal(traffic.errors(), [], "errors of new connections")
        return traffic

    kernel.commit(table(lab, [1] * ROUTES, deliver))
    first = open_at("n1")
    before = kernel.counters()
    kernel.commit(table(lab, [2] * ROUTES, deliver).drain(1, udp=60_000))
    second = open_at("n2")
    equal(ask(lab.net.clients, VIP4, BROWSERS_PORT, "udp"), f"n1 {BROWSERS_PORT}", "who has UDP that stays")
    answers = first.answers()
    until("connections of n1 to go on", lambda: first.answers() > answers + 3 * len(first.flows))
    equal(first.errors() + second.errors(), [], "errors while routes drain")
    check(kernel.grown(before)["forward_former"] > 0, "packets went to the former node")
    kernel.commit(table(lab, [2] * ROUTES, deliver))
    until("what n1 still had to be reset by n2", lambda: len(first.errors()) == len(first.flows))
    first.stop()
    equal(second.stop(), [], "errors of n2's connections, to their end")
    # n2 dies as `dies` has it, n3 takes its routes, and idle clients learn of it as soon as they speak.
    third = open_at("n2")
    dies()
    kernel.commit(table(lab, [3] * ROUTES, deliver))
    until("what n2 had to be reset by n3", lambda: len(third.errors()) == len(third.flows))
    third.stop()
    open_at("n3").stop()


def other_ports_are_refused(lab: Lab, kernel: Kernel, deliver: str) -> None:
    """Packets that keep their ports cannot go to others."""
    generation = kernel.generation()
    wrong = table(lab, [1] * ROUTES, deliver).attributes()
    wrong["listener"][2]["node-port"] = 18000
    own = table(lab, [1] * ROUTES, deliver).attributes()
    own["node"][0]["target"] = [{"listener": 3, "port": 18000}]
    for attributes, why in ((wrong, "listener 2: node-port 18000, but packets keep their port"), (own, "node 1, listener 3: packets keep their port")):
        try:
            kernel.commit_raw({"expected-generation": generation, **attributes})
            raise AssertionError(f"accepted: {why}")
        except Refused as refusal:
            check(why in str(refusal), f"{why}: {refusal}")
    equal(kernel.generation(), generation, "the generation after refusals")
