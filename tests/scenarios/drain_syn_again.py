"""A SYN that is sent again, its first copy before a move and its second after it, or both within a drain; and
SYN-ACKs that are lost on the way. The connection comes about with the node that had the last copy.

At the end what cannot be right without state: the first copy's answer was on its way when the second copy passed.
The client takes it for good, and is told at once that it is not, by a reset.
"""

import threading

from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.lab import Lab
from lab.rawtcp import RST, RawClient
from lab.traffic import ask
from lab.wait import until

BOTH_PATHS = True
PORT = BROWSERS_PORT + 4


def run(lab: Lab) -> None:
    lab.echoes(3)
    kernel = lab.kernel()
    clients = [RawClient(lab.net, version) for version in (4, 6)]
    for client in clients:
        kernel.commit(lab.table([1] * ROUTES))
        lost = client.connection(PORT, 20_000)
        lost.syn()
        first = lost.answer()
        late = client.connection(PORT, 20_001)
        late.syn()
        late_answer = late.answer()

        kernel.commit(lab.table([2] * ROUTES).drain(1))
        before = kernel.counters()["drop_stale"]
        lost.syn()
        second = lost.answer()
        check(second.seq != first.seq, "the second SYN-ACK is another node's than the first")
        # n1 sends its own again after a second, for a connection that is n2's by now.
        until("n1's next SYN-ACK to be dropped", lambda: kernel.counters()["drop_stale"] > before)
        lost.acknowledge(second)
        equal(lost.greeting(), "n2", "who greets after the second copy")
        equal(lost.asks("there?"), "there?", "what n2 echoes")

        within = client.connection(PORT, 20_002)
        flows = kernel.status()["flows"]
        for _ in range(3):
            within.syn()
        answers = {within.answer().seq for _ in range(3)}
        equal(len(answers), 1, "different SYN-ACKs to copies of one SYN within a drain")
        equal(kernel.status()["flows"], flows + 1, "flows remembered, one more for three copies")
        # All three are lost; n2 sends another after a second.
        again = within.answer()
        equal({again.seq}, answers, "n2's SYN-ACK when it is sent again")
        kernel.commit(lab.table([3] * ROUTES).drain(1, 2))
        within.acknowledge(again)
        equal(within.greeting(), "n2", "who greets when the route has moved on meanwhile")

        # The second copy crosses n1's answer, which the client takes.
        late.syn()
        late.acknowledge(late_answer)
        reset = late.heard("a reset", lambda segment: segment.flags & RST)
        equal((reset.seq, reset.data), (late_answer.seq + 1, b""), "the reset, as the answer to that ACK")
        kernel.commit(lab.table([1] * ROUTES))

    real_stack(lab)


def real_stack(lab: Lab) -> None:
    """The same with a client of sockets, whose SYN-ACKs are lost before it until the route has moved."""
    kernel = lab.kernel()
    clients = lab.net.clients
    rules = "add table inet lossy; add chain inet lossy in { type filter hook input priority 0; };"
    rule = f"add rule inet lossy in tcp sport {PORT} tcp flags & (syn | ack) == syn | ack counter drop"
    clients.run("nft", f"{rules} {rule}")
    heard: dict[str, str] = {}
    users = [threading.Thread(target=lambda vip=vip: heard.update({vip: ask(clients, vip, PORT, timeout=60)})) for vip in (VIP4, VIP6)]
    for user in users:
        user.start()
    until("SYN-ACKs to be lost", lambda: "packets 0 " not in clients.run("nft", "list", "ruleset").stdout)
    kernel.commit(lab.table([2] * ROUTES).drain(1))
    until("both to have asked again", lambda: kernel.status()["flows"] == 2)
    clients.run("nft", "delete table inet lossy")
    for user in users:
        user.join()
    equal(heard, {vip: f"n2 {PORT}" for vip in (VIP4, VIP6)}, "who greets clients whose SYN-ACKs were lost")
