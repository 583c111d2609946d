"""Routes move: exactly their users are asked to reconnect, spread over the window, and the drain ends when they have.

n4 is put to work. The agents tell their event streams and their hooks the same;
the push server asks whom the events name, and nobody else.
"""

import json
from pathlib import Path

from lab.addresses import BROWSERS_PORT
from lab.agent_events import AgentEvents
from lab.checks import check, equal
from lab.cluster import ASSIGNMENT_24
from lab.example import Streaming
from lab.kernel import Commits
from lab.lab import Lab
from lab.publisher import Rounds
from lab.streams import Streams
from lab.subscribers import User, population
from lab.wait import until

DRAIN, WINDOW = 120.0, 5.0  # seconds
SLACK = 30.0  # an emulated machine's
MOVED = ASSIGNMENT_24[4][3]
HOOK = """line=$(cat); printf '{"event":"%s","left_ms":"%s","routes":"%s","input":%s}\\n' \
    "$HALOD_EVENT" "$HALOD_LEFT_MS" "$HALOD_ROUTES" "$line" >>"""


def run(lab: Lab) -> None:
    hooked = lab.directory / "hooked"
    options = ("--policy", "notify", "--spread", f"{WINDOW:g}s", "--hook", f"{HOOK} {hooked}-$NODE_ADDRESS")
    cluster = lab.cluster(nodes=4, push=Streaming, options=options, drain_ms=int(DRAIN * 1000))
    cluster.until_holders("n1", "n2", "n3")
    until("the drains of the beginning to end", lambda: not cluster.kernel.table().drains)
    users = population()
    streams = lab.browsers(users, Streams)
    rounds = Rounds(lab.net.app, users, "tick", at_once=2, pause=0.02)
    before = {user.number: user.local for user in users}
    agents = {number: AgentEvents(cluster.machine(number).events) for number in (1, 2, 3, 4)}
    commits = Commits(lab.net.halod)

    generation = cluster.kernel.generation()
    cluster.daemon.ctl("node", "activate", "n4")
    moved_at = until("the commit to be told", lambda: next((at for at, number in commits.seen if number == generation + 1), None))
    cluster.until_holders("n1", "n2", "n3", "n4")
    affected = [user for user in users if user.route in MOVED]
    until("every user of a moved route to be asked", lambda: all(user.losses and user.connected for user in affected), WINDOW + SLACK)
    until("the drains to end before their time", lambda: not cluster.kernel.table().drains, WINDOW + SLACK)
    ended = commits.seen[-1][0]
    check(ended - moved_at < DRAIN / 2, f"the drains ended {ended - moved_at:.1f} s after the move, long before {DRAIN:g} s")

    equal([(user.number, loss.why) for user in users for loss in user.losses],
          [(user.number, "asked") for user in affected], "who had to reconnect, and why")  # fmt: skip
    named = [connection for agent in agents.values() for connection in agent.named("reconnect")]
    equal(sorted(peer for _, peer, _ in named), sorted(before[user.number] for user in affected), "connections that agents named")
    equal(wrong_ports(named, before, affected), [], "connections named with another port than their route's")
    equal([agent.named("closed") for agent in agents.values()], [[]] * 4, "connections that agents closed")
    times = sorted(at - moved_at for at, _, _ in named)
    print(f"# asked {len(named)} of {len(users)} users, {times[0]:.1f} s to {times[-1]:.1f} s after the move, window {WINDOW:g} s;"
          f" all drains had ended after {ended - moved_at:.1f} s")  # fmt: skip
    check(times[-1] - times[0] > WINDOW / 4, f"they were spread over the window: {times}")
    check(times[-1] < WINDOW + SLACK, f"the last was asked within it: {times}")
    for number in (1, 2, 3):
        same_by_hook(agents[number], hooked.with_name(f"hooked-192.0.2.{10 + number}"))

    rounds.stop()
    until("every stream to be complete", lambda: all(map(rounds.complete, users)))
    equal({user.node for user in affected if user.transport == "sse"}, {"n4"}, "where those users are now")
    for agent in agents.values():
        agent.close()
    commits.stop()
    lab.net.clients.resident.run(streams.stop())


def wrong_ports(named: list[tuple[float, str, str]], before: dict[int, str], affected: list[User]) -> list[str]:
    """Named connections whose own port is not that of the user's route."""
    routes = {before[user.number]: user.route for user in affected}
    return [peer for _, peer, local in named if not local.endswith(f":{BROWSERS_PORT + routes[peer] - 1}")]


def same_by_hook(agent: AgentEvents, hooked: Path) -> None:
    """The hook was told of this one move what the event stream was."""

    def hooks(kind: str) -> list[dict]:
        return [hook for hook in map(json.loads, hooked.read_text().splitlines()) if hook["event"] == kind]

    def connections(lines: list[dict]) -> list[tuple[str, str]]:
        return sorted((c["peer"], c["local"]) for line in lines for c in line["connections"])

    named = connections(agent.of("reconnect"))
    until(f"the hook to be told of {named}", lambda: connections([hook["input"] for hook in hooks("reconnect")]) == named)
    moved, event = hooks("route_moved")[-1], agent.of("route_moved")[-1]
    ranges = ",".join(f"{first}-{last}" if first < last else f"{first}" for first, last in event["routes"])
    equal((moved["routes"], event["to"]), (ranges, "n4"), "the move by hook, and where to")
    check(DRAIN * 500 < int(moved["left_ms"]) <= DRAIN * 1000, f"the time left by hook: {moved}")
