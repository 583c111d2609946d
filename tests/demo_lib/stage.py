"""Makes each step happen, measures it from outside, and judges what came of it."""

import json
import shutil
import time
from collections import Counter
from pathlib import Path

import aiohttp
from lab import module, paths
from lab.agent_events import AgentEvents
from lab.cluster import Cluster
from lab.daemon import Watch
from lab.dmesg import KernelLog, trouble
from lab.example import Streaming
from lab.kernel import Commits
from lab.lab import Lab, clean
from lab.publisher import Rounds, message, publish
from lab.streams import Streams
from lab.subscribers import User, population
from lab.wait import TooLate, until

from .paint import Page
from .reconnects import Reconnects
from .story import KEEPALIVE, Step, ranges

OUT = Path("/out")
# halod's defaults. Without KVM, programs stand still for longer than that.
HEARTBEAT_MS, MISSES = 100, 3
EMULATED_MISSES = 50
DRAIN_MS = 60_000
WINDOW = 5  # seconds over which the users of moved routes are asked to reconnect
PATIENCE = 30  # seconds, for them to be back


def emulated() -> bool:
    """Whether this is a guest of QEMU without KVM."""
    return "QEMU TCG" in Path("/proc/cpuinfo").read_text()


class Stage:
    """The cluster, its users, and everything that is watched."""

    cluster: Cluster

    def __init__(self, page: Page):
        self.page = page
        self.problems: list[str] = []
        self.users: list[User] = []
        self._holders = [""] * 24
        self._watch: Watch | None = None
        self._commits: Commits | None = None
        self._browsers: Streams | None = None
        self._agents: dict[str, AgentEvents] = {}
        self._asked = self._cut = 0
        self._first = 0
        self._kernel_log = KernelLog()
        clean()
        self._lab = Lab()

    def open(self) -> None:
        """Everything but nodes and users."""
        module.load()
        for program in (paths.HALOD, paths.HALOD_NODE):
            program.read_bytes()  # from the host's disk, once: no page of it shall be waited for later
        misses = EMULATED_MISSES if emulated() else MISSES
        self.cluster = self._lab.cluster(
            push=Streaming, options=("--policy", "notify", "--spread", f"{WINDOW}s"),
            heartbeat_ms=HEARTBEAT_MS, heartbeat_misses=misses, drain_ms=DRAIN_MS,
        )  # fmt: skip
        self._watch = self.cluster.control.watch()
        self._commits = Commits(self._lab.net.halod)
        self._first = self.cluster.kernel.generation()
        if emulated():
            self.page.text(f"This machine is emulated: a node is lost after {misses} missed heartbeats, not {MISSES}.")
        self.page.paragraph(
            "Each node has docs/examples/push_server.py as its push server, on all 24 + 24 ports, and halod-node."
            f" When a route moves, its connections stay where they are, for {DRAIN_MS // 1000} s at most; meanwhile exactly"
            f" its users are asked to reconnect, spread over {WINDOW} s. While things happen, the app publishes to"
            " everybody: no message may be missing, doubled or out of order."
        )

    def play(self, number: int, step: Step) -> None:
        """One step."""
        self.page.heading(number, step.title)
        if step.note:
            self.page.paragraph(step.note)
        try:
            self._play(number, step)
        except TooLate as late:
            self.problem(str(late))

    def _play(self, number: int, step: Step) -> None:
        reconnects = Reconnects(self.users)
        # The app cannot reach a dead node either, before its routes have moved.
        reachable = [user for user in self.users if user.route not in step.cut()]
        rounds = Rounds(self._lab.net.app, reachable, f"during step {number}", at_once=2, pause=0.05)
        begin = time.monotonic()
        killed = step.act(self.cluster)
        expected = step.states()
        try:
            until("the nodes to be what they should", lambda: self._states() == expected, every=0.1)
        except TooLate:
            self.problem(f"nodes are {self._states()}; right: {expected}")
        table = self.cluster.kernel.table()
        holders = table.holders()
        self._judge_table(step, holders)
        self._show_nodes(step)
        changes = moves(self._holders, holders)
        self.page.table(holders, set() if killed is None and not self.users else changed(changes))
        self._show_moves(step, changes)
        if step.moved:
            at = self._show_times(begin, killed)
            self._show_reconnects(step, reconnects, changes, at, killed)
        elif self.users:
            calm = sum(not reconnects.of(user) for user in self.users)
            self.page.text(f"of {len(self.users)}, {calm} noticed nothing", "users")
        if not self.users:
            self._open_browsers()
        rounds.stop()
        self._deliver(f"after step {number}", holders)
        self._judge_streams(rounds)
        self._judge_users(step, reconnects, changed(changes), holders)
        if not self.problems and (later := self.cluster.holders()) != holders:
            self.problem(f"another table in the kernel at the end of this step: {' '.join(later)}")
            self._show_losses(step)
        for name in step.draining:
            self._show_may_stop(name, begin)
        self._follow_agents()
        self._holders = holders

    def _states(self) -> dict[str, tuple[str, int | None]]:
        nodes = self.cluster.control.ask("nodes")
        return {node["name"]: (node["state"], node.get("slot")) for node in nodes}

    def _judge_table(self, step: Step, holders: list[str]) -> None:
        right = step.holders()
        if holders != right:
            self.problem(f"the kernel's table: {' '.join(holders)}\nright would be:     {' '.join(right)}")
        moved, promised = moves(self._holders, holders), {pair: ranges(text) for pair, text in step.moved.items()}
        if moved != promised:
            self.problem(f"moved: {moved}\nright: {promised}")

    def _show_losses(self, step: Step) -> None:
        """Nodes that are lost and should not be."""
        assert self._watch is not None
        for _, event in self._watch.events:
            if event["kind"] == "node_lost" and event["node"] not in step.lost:
                self.page.text(event["text"])

    def _show_nodes(self, step: Step) -> None:
        page = self.page
        parts = [f"slot {slot} {page.node(name, f' {name} ')}" for slot, name in enumerate(step.slots, 1)]
        parts += [f"reserve {page.node(name, f' {name} ')}" for name in step.reserve]
        parts += [f"lost {name}" for name in step.lost]
        page.text("   ".join(parts), "nodes")

    def _show_moves(self, step: Step, changes: dict[tuple[str, str], set[int]]) -> None:
        count = sum(map(len, changes.values()))
        if not count:
            self.page.text("no route")
            return
        words = [f"{compact(routes)} from {old or 'none'} to {new}" for (old, new), routes in changes.items()]
        self.page.text(f"{count} of 24 routes: {', '.join(words)}")

    def _show_times(self, begin: float, killed: float | None) -> float:
        """The moment of the new table in the kernel, by the kernel's own event."""
        at, generation = self._commits.after(begin)
        event = self._watch.first("committed", begin)
        took = event["took_us"] / 1000
        if killed is None:
            text = f"generation {generation} in the kernel {took:.1f} ms after halod heard of the node"
        else:
            cause = self._watch.first("node_lost", begin)["text"]
            self.page.text(cause, "halod")
            text = f"generation {generation} in the kernel {1000 * (at - killed):.0f} ms after the kill, seen from outside;"
        self.page.text(text, "table")
        if killed is not None:
            self.page.text(f"{took:.1f} ms of it were halod's, from noticing to the kernel's yes")
        return at

    def _show_reconnects(
        self, step: Step, reconnects: Reconnects, changes: dict[tuple[str, str], set[int]], at: float, killed: float | None
    ) -> None:
        if not self.users:
            return
        affected = [user for user in self.users if user.route in changed(changes)]
        until("every moved user to be back", lambda: all(map(reconnects.back, affected)), PATIENCE, every=0.1)
        until("every drain to end", lambda: not self.cluster.kernel.table().drains, PATIENCE, every=0.1)
        ended = self._commits.seen[-1][0]
        rest = [user for user in self.users if user not in affected]
        calm = sum(not reconnects.of(user) for user in rest)
        asked, cut = (reconnects.reasons(affected)[why] for why in ("asked", "cut"))
        self._asked, self._cut = self._asked + asked, self._cut + cut
        self.page.text(f"{cut} of {len(self.users)} were disconnected, {asked} asked to reconnect;", "users")
        self.page.text(f"of the other {len(rest)}, {calm} noticed nothing")
        event = "the new table" if killed is None else "the kill"
        self.page.text(self.page.style(f"{'':30}back after {event}: min, median, max", "2"))
        for (old, new), routes in changes.items():
            group = [user for user in affected if user.route in routes]
            low, middle, high = reconnects.spread(group, at if killed is None else killed)
            why = ", ".join(f"{number} {word}" for word, number in sorted(reconnects.reasons(group).items()))
            text = f"{compact(routes):10}  {old} to {new}  {why:17}"
            self.page.text(f"{text}  {low:5.2f} s  {middle:5.2f} s  {high:5.2f} s")
        if asked:
            text = f"the last connection had left its former node {ended - at:.1f} s after the new table, and the drain ended"
            self.page.text(text, "drain")

    def _show_may_stop(self, name: str, begin: float) -> None:
        at, _ = self._agents[name].first("may_stop", begin)
        self.page.text(f"told its node after {at - begin:.1f} s that it may stop", name)

    def _follow_agents(self) -> None:
        for name, machine in self.cluster.machines.items():
            if name not in self._agents:
                self._agents[name] = AgentEvents(machine.events)

    def _open_browsers(self) -> None:
        begin = time.monotonic()
        self.users = population()
        self._browsers = Streams(self.users, KEEPALIVE)
        self._lab.net.clients.resident.run(self._browsers.start())
        until("every subscriber to be connected", lambda: all(user.connected for user in self.users), 60, every=0.1)
        self.page.text(
            f"{len(self.users)} subscribe, in {time.monotonic() - begin:.1f} s: on every route one by Server-Sent", "users"
        )
        self.page.text("Events and one by WebSocket, of these one by IPv4 and one by IPv6")

    def _deliver(self, text: str, holders: list[str]) -> None:
        """The app publishes to every user; each must get its own message, once, from its route's node."""
        users = self.users
        try:
            published = self._lab.net.app.resident.run(publish(users, text))
        except (aiohttp.ClientError, OSError) as error:
            self.problem(f"publishing failed: {type(error).__name__}: {error}")
            return
        try:
            until("messages to arrive", lambda: all(user.got(message(text, user)) for user in users), 10, every=0.1)
        except TooLate:
            pass  # who is missing is told below
        received = [user for user in users if user.got(message(text, user)) == 1]
        if missing := [user.number for user in users if user not in received]:
            self.problem(f"users {missing} did not get their message exactly once")
        for user in users:
            if strange := [got for _, got in user.messages if not got.endswith(f" for {user.number}")]:
                self.problem(f"user {user.number} got what was for others: {strange}")
        right = {user.number: holders[user.route - 1] for user in users}
        if wrong := [answer for answer in published if (answer.node, answer.status) != (right[answer.user], 201)]:
            one = wrong[0]
            self.problem(
                f"{len(wrong)} publications went wrong, the first for user {one.user}:"
                f" {one.status} from {one.node}; right: 201 from {right[one.user]}"
            )
        places = Counter(answer.node for answer in published)
        counts = ", ".join(f"{name} {places[name]}" for name in sorted(places))
        self.page.text(f"published {len(published)} messages ({counts}); received {len(received)}, each by its user", "app")

    def _judge_streams(self, rounds: Rounds) -> None:
        """What was published during the step has come, once and in order."""
        sent = sum(map(len, rounds.sent.values()))
        wrong = [user.number for user in self.users if not rounds.complete(user)]
        if sent:
            self.page.text(f"published {sent} more while this went on; received by {len(rounds.sent) - len(wrong)}"
                           f" of {len(rounds.sent)} users completely and in order")  # fmt: skip
        if wrong:
            self.problem(f"streams of users {wrong} are not complete and in order")

    def _judge_users(self, step: Step, reconnects: Reconnects, moved: set[int], holders: list[str]) -> None:
        """Nobody is disconnected but by a node's death."""
        strange = [user.number for user in self.users if user.route not in moved and reconnects.of(user)]
        if strange:
            self.problem(f"users {strange} had to reconnect, though their routes did not move")
        twice = [user.number for user in self.users if len(reconnects.of(user)) > 1]
        if twice:
            self.problem(f"users {twice} had to reconnect more than once")
        living = [user for user in self.users if user.route not in step.cut()]
        if broken := {user.number: loss.why for user in living for loss in reconnects.of(user) if loss.why != "asked"}:
            self.problem(f"users were disconnected, not asked: {broken}")
        sse = [user for user in self.users if user.transport == "sse"]
        if wrong := {user.number: user.node for user in sse if user.node != holders[user.route - 1]}:
            self.problem(f"users are connected to the wrong node: {wrong}")

    def finish(self) -> None:
        """What the kernel says of all that."""
        assert self._commits is not None
        counters = self.cluster.kernel.counters()
        dropped = {name: count for name, count in counters.items() if name.startswith("drop_") and count}
        self.page.text()
        self.page.text(
            f"{counters['forward']} packets to nodes, {counters['reverse']} back, {sum(dropped.values())} dropped", "kernel"
        )
        if dropped:
            self.problem(f"packets were dropped: {dropped}")
        commits = [generation for _, generation in self._commits.seen]
        if commits != (right := [*range(self._first + 1, self.cluster.kernel.generation() + 1)]):
            self.problem(f"the kernel told of generations {commits}; right: {right}")
        self.page.text(
            f"{self._asked} reconnects, when it suited; {self._cut} disconnects, all of them by the death of a node", "users"
        )

    def problem(self, text: str) -> None:
        """Something is not as it should be."""
        self.problems.append(text)
        self.page.wrong(text)

    def close(self) -> None:
        """Ends everything and keeps the logs."""
        if OUT.is_dir():
            self._keep()
        if self._browsers is not None:
            self._lab.net.clients.resident.run(self._browsers.stop())
        for agent in self._agents.values():
            agent.close()
        if self._commits is not None:
            self._commits.stop()
        self._lab.close()
        if bad := trouble(self._kernel_log.lines()):
            self.problem("the kernel's log:\n" + "\n".join(bad))

    def _keep(self) -> None:
        for file in [*self._lab.directory.glob("*.log"), *self._lab.directory.glob("*.toml")]:
            shutil.copy(file, OUT)
        if self._watch is not None:
            events = (json.dumps({"monotonic": at, **event}) + "\n" for at, event in self._watch.events)
            (OUT / "events.jsonl").write_text("".join(events))

    def verdict(self) -> int:
        """The last lines, and the exit code."""
        page = self.page
        page.text()
        if not self.problems:
            print(page.style("demo: everything is as it should be", "1;32"), flush=True)
            return 0
        print(page.style(f"demo: {len(self.problems)} not as it should be; logs are in build/vm/demo/out", "1;31"))
        for text in self.problems:
            print(f"  - {text.splitlines()[0] if text else 'no words'}", flush=True)
        return 1


def moves(before: list[str], after: list[str]) -> dict[tuple[str, str], set[int]]:
    """Which routes went from which node to which."""
    found: dict[tuple[str, str], set[int]] = {}
    for route, pair in enumerate(zip(before, after, strict=True), 1):
        if pair[0] != pair[1]:
            found.setdefault(pair, set()).add(route)
    return found


def changed(changes: dict[tuple[str, str], set[int]]) -> set[int]:
    """All routes that moved."""
    return set().union(*changes.values())


def compact(routes: set[int]) -> str:
    """`9-12,21-24`."""
    parts: list[list[int]] = []
    for route in sorted(routes):
        if parts and parts[-1][1] == route - 1:
            parts[-1][1] = route
        else:
            parts.append([route, route])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in parts)
