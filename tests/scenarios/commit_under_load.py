"""While commits replace the whole table, no packet ever goes by half of one and half of another.

Two tables take turns. In the first, odd routes are on n1 and even ones on n2, at
port 8000; in the second it is the other way round, and at port 8500. So a
datagram of an odd route at n1 is on 8000 or nowhere:

              n1       n2
    odd      8000     8500
    even     8500     8000

Two programs flood all routes meanwhile. Routes 17 to 24 are always on n3: their
TCP connections must not notice anything.
"""

import asyncio
import sys
import time
from functools import partial
from pathlib import Path

from lab import addresses
from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.echo import Echo
from lab.flavour import SLOWER
from lab.kernel import Listener, Node, Table, lab_nodes
from lab.lab import Lab
from lab.netns import Namespace
from lab.process import Process
from lab.traffic import Flow, Traffic
from lab.wait import until

BOTH_PATHS = True
OTHER_PORT = 8500
MOVING = 16  # routes 1..16 move with every commit
SECONDS, PATIENCE = 10.0, 30.0 * SLOWER
ENOUGH = 50  # commits
FLOOD = Path(__file__).resolve().parents[1] / "lab/flood.py"


class Catcher(asyncio.DatagramProtocol):
    """Notes on which ports of a node datagrams of which routes came in."""

    def __init__(self, port: int, seen: dict[tuple[int, int], int]):
        self._port, self._seen = port, seen

    def datagram_received(self, data: bytes, addr: object) -> None:
        key = (self._port, int(data))
        self._seen[key] = self._seen.get(key, 0) + 1


def catch(namespace: Namespace, host: addresses.Host) -> dict[tuple[int, int], int]:
    """Opens all ports of both tables on a node: {(port, route in the datagram): how many}."""
    seen: dict[tuple[int, int], int] = {}

    async def open_all() -> None:
        for base in (BROWSERS_PORT, OTHER_PORT):
            for index in range(ROUTES):
                port = base + index
                for address in (host.v4, host.v6):
                    await asyncio.get_running_loop().create_datagram_endpoint(
                        partial(Catcher, port, seen), (address, port)
                    )

    namespace.resident.run(open_all())
    return seen


def tables() -> tuple[Table, Table]:
    """The two that take turns."""
    listeners = [Listener("browsers", vip, protocol) for vip in (VIP4, VIP6) for protocol in ("udp", "tcp")]
    plain = lab_nodes(3)
    other = tuple((index, OTHER_PORT) for index, listener in enumerate(listeners) if listener.protocol == "udp")
    moved = [Node(node.id, node.name, node.addresses, other) for node in plain[:2]] + [plain[2]]
    rest = [3] * (ROUTES - MOVING)
    return (
        Table([1, 2] * (MOVING // 2) + rest, listeners, plain),
        Table([2, 1] * (MOVING // 2) + rest, listeners, moved),
    )


def run(lab: Lab) -> None:
    first, second = tables()
    kernel = lab.kernel()
    kernel.commit(first)
    seen = {number: catch(lab.net.node(number), addresses.node(number)) for number in (1, 2, 4)}
    Echo(lab.net.node(3), "n3", addresses.node(3), bases=(BROWSERS_PORT,), protocols=("tcp",))
    steady = [Flow(vip, BROWSERS_PORT + index) for vip in (VIP4, VIP6) for index in range(MOVING, ROUTES)]
    traffic = Traffic(lab.net.clients, steady, pause=0.1).start()
    floods = [
        Process(lab.net.clients, f"flood-{vip}", [sys.executable, FLOOD, vip, BROWSERS_PORT, MOVING], lab.directory)
        for vip in (VIP4, VIP6)
    ]
    until("the flood to begin", lambda: sum(seen[1].values()) > 100 and sum(seen[2].values()) > 100)

    end = time.monotonic() + SECONDS
    commits = 0
    while time.monotonic() < end or commits < ENOUGH and time.monotonic() < end + PATIENCE:
        kernel.commit(second if commits % 2 == 0 else first)
        commits += 1
    for flood in floods:
        check(flood.running, f"{flood.name} still runs: {flood.text()}")
        flood.kill()
    errors = traffic.stop()
    total = sum(sum(counts.values()) for counts in seen.values())
    print(f"# {commits} commits under {total} datagrams and {traffic.answers()} answers of steady connections")

    right = {}
    for index in range(MOVING):
        odd, even = ((1, 2) if index % 2 == 0 else (2, 1))
        right[odd, BROWSERS_PORT + index, index + 1] = True
        right[even, OTHER_PORT + index, index + 1] = True
    came = {(number, port, route) for number, counts in seen.items() for port, route in counts}
    equal(sorted(came - right.keys()), [], "(node, port, route) of datagrams that no table allows")
    equal(sorted(right.keys() - came), [], "(node, port, route) that never came, so the test says little")
    check(commits >= ENOUGH, f"{commits} commits are enough to say something")
    equal(errors, [], "errors of the connections on routes that did not move")
