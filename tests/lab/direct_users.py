"""Real push servers that answer their users directly, with agents: a move asks exactly the concerned users to reconnect,
and its drain ends when they have; a node's death costs its own users' connections only. The apps' listener is not so
delivered, on the same VIPs.
"""


from .addresses import BROWSERS_PORT, VIP4, VIP6, bracketed
from .agent_events import AgentEvents
from .checks import check, equal
from .cluster import ASSIGNMENT_24
from .example import Direct
from .lab import Lab
from .streams import Streams
from .subscribers import population
from .wait import until

MOVED = ASSIGNMENT_24[4][3]
OPTIONS = ("--policy", "notify", "--spread", "3s")


def move_and_death(lab: Lab, deliver: str) -> None:
    """The whole story, of four nodes that clients are reached from and that have what `deliver` asks for."""
    cluster = lab.cluster(nodes=4, push=Direct, options=OPTIONS, drain_ms=120_000, deliver=deliver)
    cluster.until_holders("n1", "n2", "n3")
    until("the drains of the beginning to end", lambda: not cluster.kernel.table().drains)
    shown = cluster.daemon.ctl("listeners").stdout.splitlines()
    equal([line.split()[-1] for line in shown[1:]], [deliver, deliver, "nat", "nat"], "how halodctl says that packets are delivered")
    users = population()
    before = cluster.kernel.counters()
    streams = lab.browsers(users, Streams)
    grown = {name: count - before[name] for name, count in cluster.kernel.counters().items()}
    check(grown["forward"] > 3 * len(users), f"users' packets came by HaloD: {grown}")
    equal(grown["reverse"], 0, "answers to users that came by HaloD")
    agents = {number: AgentEvents(cluster.machine(number).events) for number in (1, 2, 3, 4)}
    own = {user.number: user.local for user in users}
    lab.deliver(users, "before the move")

    cluster.daemon.ctl("node", "activate", "n4")
    cluster.until_holders("n1", "n2", "n3", "n4")
    affected = [user for user in users if user.route in MOVED]
    until("every user of a moved route to be asked", lambda: all(user.losses and user.connected for user in affected), 60)
    until("the drains to end before their time", lambda: not cluster.kernel.table().drains, 60)
    lost = [(user.number, loss.why) for user in users for loss in user.losses]
    equal(lost, [(user.number, "asked") for user in affected], "who had to reconnect, and why")
    named = sorted((peer, local) for agent in agents.values() for _, peer, local in agent.named("reconnect"))
    expected = sorted((own[user.number], end(user.route, own[user.number])) for user in affected)
    equal(named, expected, "both ends of the connections that agents named")
    lab.deliver(users, "after the move")

    # n2 dies: its users are reset by whoever has its routes now, and come back.
    theirs = [user for user in users if cluster.holders()[user.route - 1] == "n2"]
    losses = {user.number: len(user.losses) for user in users}
    cluster.machine(2).kill()
    until("n2's routes to go elsewhere", lambda: "n2" not in cluster.holders(), 60)
    until("n2's users to be back", lambda: all(len(user.losses) > losses[user.number] and user.connected for user in theirs), 60)
    lab.deliver(users, "after a death")
    for agent in agents.values():
        agent.close()
    lab.net.clients.resident.run(streams.stop())


def end(route: int, peer: str) -> str:
    """The node's end of a user's connection: the VIP's."""
    return f"{bracketed(VIP6 if peer.startswith('[') else VIP4)}:{BROWSERS_PORT + route - 1}"
