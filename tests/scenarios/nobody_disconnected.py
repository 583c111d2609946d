"""A cluster goes 1 -> 8 -> 3 -> 8 -> 1 nodes while its users are connected and more come: nobody is disconnected.

240 routes. Streams live on all of them, of both transports and families; new users arrive
all the time, and everybody is published to. Nodes join, are drained and activated by the operator, and
leave on their agents' SIGTERM. Each step begins while the drains of the one before go on,
but never so that a route would be in more than three places. Every connection ends because its user
was asked to reconnect, every connection that is tried comes to be, and each stream is
complete and in order.

The environment's CONNECTIONS is how many there are at the beginning, SPREAD the agents' window in seconds.
"""

import asyncio
import os
import signal
import time
from collections import Counter

from lab.checks import check, equal
from lab.cluster import Cluster
from lab.example import Streaming
from lab.lab import Lab
from lab.netns import Namespace
from lab.publisher import Rounds
from lab.streams import Streams
from lab.subscribers import User
from lab.wait import until

ROUTES = 240
CONNECTIONS = int(os.environ.get("CONNECTIONS") or ROUTES)
SPREAD = int(os.environ.get("SPREAD") or 3)
DEADLINE = 300 + CONNECTIONS  # seconds
LONG = 60 + CONNECTIONS  # seconds: a slow machine may take so long for all of them
DRAIN = 600  # seconds: no drain ends by its deadline
ARRIVALS = 0.5  # seconds between them
NODES = range(1, 9)


def run(lab: Lab) -> None:
    lab.machines = len(NODES)
    options = ("--policy", "notify", "--spread", f"{SPREAD}s", "--leave-timeout", f"{DRAIN}s")
    cluster = lab.cluster(
        push=Streaming, options=options, routes=ROUTES, active_min=len(NODES), reserve=0, drain_ms=DRAIN * 1000
    )
    for number in NODES:
        cluster.machine(number).start_server()
    table = Moves(cluster)
    table.step("n1 joins", lambda: cluster.machine(1).start_agent(), "n1")

    users = [User(number, ROUTES) for number in range(CONNECTIONS)]
    streams = Streams(users, keepalive=10)
    clients = lab.net.clients.resident
    clients.run(streams.start())
    until("every user to be connected", lambda: all(user.connected for user in users), LONG)
    arrivals = Arrivals(lab.net.clients, streams)
    rounds = Rounds(lab.net.app, users, "tick", at_once=4, pause=0.02)
    begin = time.monotonic()

    active = {"n1"}
    for number in NODES[1:]:
        active.add(f"n{number}")
        table.step(f"n{number} joins", lambda: cluster.machine(number).start_agent(), *active)
    for number in (8, 2, 7, 3, 6):
        active.remove(f"n{number}")
        table.step(f"n{number} is drained", lambda: cluster.daemon.ctl("node", "drain", f"n{number}"), *active)
    for number in (3, 8, 6, 2, 7):
        active.add(f"n{number}")
        table.step(f"n{number} comes back", lambda: cluster.daemon.ctl("node", "activate", f"n{number}"), *active)
    for number in (1, 8, 3, 6, 7, 2, 5):
        agent = cluster.machine(number).agent
        active.remove(f"n{number}")
        table.step(f"n{number} leaves", lambda: agent.signal(signal.SIGTERM), *active)
    until("the last drains to end", lambda: not cluster.kernel.status()["draining"], DRAIN, every=0.2)
    leavers = [cluster.machine(number).agent for number in NODES if f"n{number}" not in active]
    equal([agent.wait() for agent in leavers], [0] * 7, "exit codes of the agents that left")

    took = time.monotonic() - begin
    arrivals.stop()
    rounds.stop(LONG)
    losses = Counter(loss.why for user in users for loss in user.losses)
    broken = [f"user {user.number}: {loss.why}" for user in users for loss in user.losses if loss.why != "asked"]
    refused = [f"user {user.number}: {why}" for user in users for why in user.refused]
    print(f"# {ROUTES} routes, {CONNECTIONS} connections at the beginning, {len(users)} at the end, {table.moves} moves in {took:.0f} s")
    print(f"# {losses['asked']} reconnects, all asked for; {len(broken)} broken; {len(refused)} new connections refused;"
          f" {sum(map(len, rounds.sent.values()))} messages")  # fmt: skip
    equal(broken, [], "connections that ended without their user being asked")
    counters = cluster.kernel.counters()
    equal({name: count for name, count in counters.items() if name.startswith("drop_") and count}, {}, "packets dropped")
    equal(refused, [], "connections that were tried and did not come to be")
    until("every stream to be complete and in order", lambda: all(map(rounds.complete, users)), LONG)
    check(losses["asked"] > CONNECTIONS and len(users) > CONNECTIONS, f"users moved and came: {losses}, {len(users)} users")
    clients.run(streams.stop())


class Moves:
    """Steps of the cluster, and how many routes move by them."""

    def __init__(self, cluster: Cluster):
        self.moves = 0
        self._cluster = cluster
        self._holders = [""] * ROUTES

    def step(self, what: str, act, *active: str) -> None:  # noqa: ANN001
        """Does something that leaves these nodes active, each with its share of the routes."""
        # A fourth former node would be one too many for the oldest. Waiting asks the daemon, which costs this process
        # less than the kernel's table does; what has come of it is looked up there.
        report = self._cluster.control.ask
        until(f"room for '{what}'", lambda: all(len(drain["formers"]) < 3 for drain in report("routes")["drains"]), every=0.2)
        act()
        until(f"the table after '{what}'", lambda: {run["node"] for run in report("routes")["runs"]} == set(active), every=0.2)
        # The kernel has it a moment later.
        holders = until(f"the kernel's table after '{what}'", lambda: self._holding(active))
        share = ROUTES / len(active)
        wrong = {name: count for name, count in Counter(holders).items() if abs(count - share) >= 1}
        equal(wrong, {}, f"shares other than {share:g} after '{what}'")
        if any(self._holders):
            self.moves += sum(before != after for before, after in zip(self._holders, holders, strict=True))
        self._holders = holders

    def _holding(self, active: tuple[str, ...]) -> list[str] | None:
        """Who has each route, if it is these nodes and no other."""
        holders = self._cluster.holders()
        return holders if set(holders) == set(active) else None


class Arrivals:
    """New users, one after another, until told to stop."""

    def __init__(self, namespace: Namespace, streams: Streams):
        self._streams = streams
        self._stop = False
        self._done = asyncio.run_coroutine_threadsafe(self._come(), namespace.resident.loop)

    async def _come(self) -> None:
        while not self._stop:
            self._streams.add(User(len(self._streams.users), ROUTES))
            await asyncio.sleep(ARRIVALS)

    def stop(self) -> None:
        """Nobody comes any more, and who has come is connected."""
        self._stop = True
        self._done.result(10)
        until("the last to be connected", lambda: all(user.connected for user in self._streams.users), LONG)
