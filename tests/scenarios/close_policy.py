"""Routes move under a long-polling server that knows nothing of HaloD: the agent closes, and browsers poll again.

n4 is put to work. The polls on the routes that move are closed, each at its
moment of the window; nobody else's, and no message is missed or got twice.
"""

from lab.agent_events import AgentEvents
from lab.checks import check, equal
from lab.cluster import ASSIGNMENT_24, Cluster
from lab.example import LongPolling
from lab.lab import Lab
from lab.polls import Polls
from lab.publisher import Rounds
from lab.subscribers import population
from lab.wait import until

WINDOW, SLACK = 4, 30  # seconds
MOVED = ASSIGNMENT_24[4][3]


def run(lab: Lab) -> None:
    options = ("--policy", "close", "--spread", f"{WINDOW}s")
    cluster = lab.cluster(nodes=4, push=LongPolling, options=options, drain_ms=120_000)
    cluster.until_holders("n1", "n2", "n3")
    users = population()
    affected = [user for user in users if user.route in MOVED]
    polls = lab.browsers(users, Polls)
    until("every poll to wait", lambda: polling(cluster) == len(users))
    agents = [AgentEvents(cluster.machine(number).events) for number in (1, 2, 3, 4)]

    cluster.daemon.ctl("node", "activate", "n4")
    cluster.until_holders("n1", "n2", "n3", "n4")
    until("every poll of a moved route to be closed", lambda: all(user.losses for user in affected), WINDOW + SLACK)
    until("the drains to end", lambda: not cluster.kernel.table().drains, SLACK)
    equal([(user.number, loss.why) for user in users for loss in user.losses],
          [(user.number, "reset") for user in affected], "whose polls were closed")  # fmt: skip
    closed = sorted(at for agent in agents for at, _, _ in agent.named("closed"))
    equal(len(closed), len(affected), "connections that the agents say they have closed")
    equal([agent.of("reconnect") for agent in agents], [[]] * 4, "users to be asked: none, with this policy")
    print(f"# closed {len(closed)} of {len(users)} polls, over {closed[-1] - closed[0]:.1f} s; the window is {WINDOW} s")
    check(closed[-1] - closed[0] > WINDOW / 4, f"they were spread over the window: {closed}")

    cluster.daemon.ctl("node", "drain", "n1")
    until("n1 to hold no route", lambda: "n1" not in cluster.holders())
    # These come to the new nodes. Those that are under way to n1 could be closed as well: an app must try them again.
    rounds = Rounds(lab.net.app, users, "tick")
    until("the drains to end", lambda: not cluster.kernel.table().drains, WINDOW + SLACK)
    # A poll says where it was answered only when it is.
    holders = cluster.holders()
    elsewhere = lambda: [user.number for user in users if user.node != holders[user.route - 1]]
    until("every user to be answered by the node of the user's route", lambda: rounds.going() and not elsewhere(), SLACK)
    rounds.stop()
    until("every user to have all messages, once and in order", lambda: all(map(rounds.complete, users)))
    equal([user.refused for user in users if user.refused], [], "connections that did not come to be")
    for agent in agents:
        agent.close()
    lab.net.clients.resident.run(polls.stop())


def polling(cluster: Cluster) -> int:
    """The connections of users that agents see."""
    return sum((node.get("load") or {}).get("connections", 0) for node in cluster.control.ask("nodes"))
