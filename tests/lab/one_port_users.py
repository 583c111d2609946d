"""A cluster whose browsers' listener has one port: it grows, a node is drained, another dies, and each time exactly the
users of the routes that move are asked or cut; everybody else's connection goes on.

A user's route follows from where the connection comes from; the lab works it out from the key by code of its own.
"""

from collections import Counter
from collections.abc import Callable

from .addresses import ONE_NODE_PORT, ROUTES
from .agent_events import AgentEvents
from .checks import check, equal
from .cluster import Cluster
from .example import OnePort
from .lab import Lab
from .streams import Streams
from .subscribers import OnePortUser
from .topology import ip_batch
from .wait import until

OPTIONS = ("--policy", "notify", "--spread", "2s")


class Users:
    """Users on one port, and what their nodes' agents say of them."""

    def __init__(self, lab: Lab, cluster: Cluster, select: str):
        self.lab, self.cluster = lab, cluster
        key = cluster.kernel.table().select_key
        equal(len(key), 16, "bytes of the key")
        self.all = [OnePortUser(number, ROUTES, key=key, select=select) for number in range(2 * ROUTES)]
        if select == "source":
            for user in self.all:
                user.source = f"{'203.0.113.' if user.family == 4 else '2001:db8:3::'}{100 + user.number}"
            lines = [f"address add {user.source}/{24 if user.family == 4 else 64} dev eth0{'' if user.family == 4 else ' nodad'}" for user in self.all]
            ip_batch(lines, lab.net.clients)
        self.streams = lab.browsers(self.all, Streams)
        self.agents = [AgentEvents(cluster.machine(number).events) for number in (1, 2, 3, 4)]
        self.settled("at first")

    def move(self, what: str, why: str, change: Callable[[], object]) -> None:
        """Something makes routes move; exactly their users must reconnect, for that reason."""
        routes = self.cluster.kernel.table().holders()
        before = {user.number: (user.local, user.route) for user in self.all}
        losses = {user.number: len(user.losses) for user in self.all}
        named = self.named()
        change()
        until(f"{what}: routes to move", lambda: self.cluster.kernel.table().holders() != routes, 60)
        moved = {at for at, holder in enumerate(self.cluster.kernel.table().holders(), 1) if holder != routes[at - 1]}
        affected = [user for user in self.all if before[user.number][1] in moved]
        check(0 < len(affected) < len(self.all), f"{what}: some users are concerned, and not all: {len(affected)}")
        until(f"{what}: every user of a moved route to be back", lambda: all(len(user.losses) > losses[user.number] and user.connected for user in affected), 60)
        until(f"{what}: the drains to end before their time", lambda: not self.cluster.kernel.table().drains, 60)
        lost = [(user.number, loss.why) for user in self.all for loss in user.losses[losses[user.number] :]]
        equal(lost, [(user.number, why) for user in affected], f"{what}: who had to reconnect, and why")
        if why == "asked":
            expected = Counter((*before[user.number], ONE_NODE_PORT) for user in affected)
            equal(self.named() - named, expected, f"{what}: connections that agents named, with their routes")
        else:
            equal(self.named(), named, f"{what}: connections that agents named")
        self.settled(what)
        print(f"# {what}: {len(affected)} of {len(self.all)} users had to reconnect ({why})")

    def named(self) -> Counter[tuple[str, int, int]]:
        """Peer, route and own port of every connection that an agent has named."""
        return Counter(
            (it["peer"], it["route"], int(it["local"].rpartition(":")[2]))
            for agent in self.agents
            for event in agent.of("reconnect")
            for it in event["connections"]
            if it["listener"] == "browsers"
        )

    def settled(self, what: str) -> None:
        """Everybody is where the route is, the agents count them so, and gets messages."""
        holders = self.cluster.kernel.table().holders()
        streams = [user for user in self.all if user.transport == "sse"]
        equal([user.node for user in streams], [holders[user.route - 1] for user in streams], f"{what}: nodes that users are at")
        self.lab.deliver(self.all, what)
        expected = Counter((holders[user.route - 1], user.route) for user in self.all)

        def counted() -> bool:
            nodes = [node for node in self.cluster.control.ask("nodes") if node["connected"] and node.get("load")]
            return expected == Counter({(node["name"], route): count for node in nodes for route, count in node["load"].get("routes", [])})

        until(f"{what}: the agents to count {dict(expected)}", counted)


def story(lab: Lab, select: str) -> None:
    """All of it, with routes chosen by `select`."""
    cluster = lab.cluster(nodes=4, push=OnePort, options=OPTIONS, drain_ms=120_000, select=select)
    cluster.until_holders("n1", "n2", "n3")
    until("the drains of the beginning to end", lambda: not cluster.kernel.table().drains)
    users = Users(lab, cluster, select)
    users.move("the cluster grows", "asked", lambda: cluster.daemon.ctl("node", "activate", "n4"))
    users.move("a node is drained", "asked", lambda: cluster.daemon.ctl("node", "drain", "n2"))
    users.move("a node dies", "reset", cluster.machine(3).kill)
    shown = cluster.daemon.ctl("listeners").stdout
    equal(shown.splitlines()[1].split()[-5:], ["tcp", "443", str(ONE_NODE_PORT), select, "nat"], "the listener in halodctl")
    for agent in users.agents:
        agent.close()
    lab.net.clients.resident.run(users.streams.stop())
