"""The last node of all goes: its routes have no node any more, and drain all the same. What was there goes on, with
each former node; what is new is dropped, not refused, and not remembered. UDP stays as long as it was told to."""

from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.lab import Lab
from lab.rawtcp import ACK, RawClient
from lab.traffic import Flow, Traffic, ask
from lab.wait import until

BOTH_PATHS = True
SOME = range(0, ROUTES, 6)
PORT = BROWSERS_PORT + 1


def run(lab: Lab) -> None:
    lab.echoes(3)
    kernel = lab.kernel()
    client = RawClient(lab.net)
    stations = []

    def open_some(node: int) -> None:
        flows = [Flow(vip, BROWSERS_PORT + index) for vip in (VIP4, VIP6) for index in SOME]
        stations.append(Traffic(lab.net.clients, flows, pause=0.2).start())
        equal({flow.node.split()[0] for flow in flows}, {f"n{node}"}, "who greets")

    kernel.commit(lab.table([1] * ROUTES))
    open_some(1)
    at_n1 = client.connection(PORT, 20_001)
    equal(at_n1.open(), "n1", "who greets a connection by hand")
    udp = Traffic(lab.net.clients, [Flow(VIP4, PORT, "udp"), Flow(VIP6, PORT, "udp")], pause=0.2).start()
    kernel.commit(lab.table([2] * ROUTES).drain(1, udp=600_000))
    open_some(2)
    kernel.commit(lab.table([0] * ROUTES).drain(1, 2, udp=600_000))

    before = kernel.status()["flows"], kernel.counters()["drop_no_node"]
    for vip in (VIP4, VIP6):
        try:
            answer = ask(lab.net.clients, vip, PORT, timeout=2.5)  # one SYN, and one that is sent again
        except TimeoutError:
            answer = "nobody"
        equal(answer, "nobody", f"who answers a new connection to {vip}")
    # A port that is used again: the old connection is not given up for a SYN that goes nowhere.
    again = client.connection(PORT, 20_001, isn=900_000_000)
    again.syn()
    dropped = kernel.counters()["drop_no_node"] - before[1]
    check(dropped >= 5, f"two SYNs of two connections, and one by hand, were dropped: {dropped}")
    equal(kernel.status()["flows"], before[0], "flows remembered, no more for those SYNs")
    equal(at_n1.asks("still?"), "still?", "what the connection hears whose port was tried")

    answers = [traffic.answers() for traffic in (*stations, udp)]
    goes_on = lambda: all(traffic.answers() > 2 * len(traffic.flows) + had for traffic, had in zip((*stations, udp), answers, strict=True))
    until("everything that was there to go on", goes_on)
    equal({flow.node for flow in udp.flows}, {f"n1 {PORT}"}, "who answers UDP")

    # A node again: it has what is new, the others what they had.
    kernel.commit(lab.table([3] * ROUTES).drain(1, 2))
    open_some(3)
    until("UDP to move to it", lambda: {flow.node for flow in udp.flows} == {f"n3 {PORT}"})
    for traffic in (*stations, udp):
        equal(traffic.stop(), [], "errors of any connection")

    # No node, and nothing drains: nobody resets what is left.
    kernel.commit(lab.table([0] * ROUTES))
    while at_n1.next(0.5):  # what was said again because the first ACK was slow
        pass
    at_n1.send(ACK, b"anybody?\n")
    equal(at_n1.next(2), None, "what is heard when no node is left")
