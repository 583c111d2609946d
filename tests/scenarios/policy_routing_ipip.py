"""Rules of routing where nodes get packets inside others (deliver = "ipip"), which are this machine's own: what leads these
leads them, and the client's mark; its address and the device of its arrival do not. What refuses is counted.
"""

from lab import addresses, direct, direct_listeners, nft
from lab.addresses import BROWSERS_PORT, CLIENTS, ROUTES, vip
from lab.beyond import Beyond
from lab.checks import equal
from lab.kernel import Kernel
from lab.lab import Lab
from lab.rules import MARK, MARKS, rule
from lab.topology import Topology, ip_batch
from lab.traffic import answered_by

NODE = addresses.node(1)
# A second link between HaloD's machine and the first router.
NEAR, FAR = ("198.51.100.241", "2001:db8:8:1::1"), ("198.51.100.242", "2001:db8:8:1::2")
TABLE = 100
ARRIVED = """
table inet watch {
    counter first { }
    counter second { }
    chain prerouting {
        type filter hook prerouting priority raw
        iifname inward meta l4proto { 4, 41 } counter name first
        iifname second meta l4proto { 4, 41 } counter name second
    }
}
"""


def run(lab: Lab) -> None:
    net = lab.net
    way = Beyond(net, 1)
    direct.echoes(net, 1, routes=1)
    ip_batch([f"link add second type veth peer name second netns {way.near.name}"], net.halod)
    for namespace, (v4, v6) in ((net.halod, NEAR), (way.near, FAR)):
        ends = [f"address add {v4}/30 dev second", f"address add {v6}/64 dev second nodad", "link set second up"]
        ip_batch(ends, namespace)
    ways = [f"route add {node} via {far} table {TABLE}" for node, far in zip((NODE.v4, NODE.v6), FAR)]
    ip_batch(ways, net.halod)
    nft.load(way.near, ARRIVED)
    nft.load(net.halod, MARKS)
    kernel = lab.kernel()
    kernel.commit(direct_listeners.table(lab, [1] * ROUTES, "ipip"))
    goes(net, way, kernel, "first", "without rules")
    for words, link in (
        (("fwmark", MARK), "second"),
        (("iif", "lo"), "second"),
        (("to", NODE), "second"),
        (("iif", CLIENTS.port), "first"),
        (("from", CLIENTS), "first"),
    ):
        with rule(net, *words, "lookup", TABLE):
            goes(net, way, kernel, link, f"by a rule with {words[0]} {words[1]}")
    for kind in ("unreachable", "prohibit", "blackhole"):
        with rule(net, "fwmark", MARK, "type", kind):
            for family in (4, 6):
                before = kernel.counters()
                equal(answered_by(net.clients, vip(family), BROWSERS_PORT, "udp", 0.3), "", f"who answers with a rule of type {kind}")
                equal(kernel.grown(before), {"drop_no_route": 1}, f"exits, with a rule of type {kind}, IPv{family}")
    goes(net, way, kernel, "first", "without rules again")
    way.close()


def goes(net: Topology, way: Beyond, kernel: Kernel, link: str, when: str) -> None:
    """Questions of both IP versions and protocols are answered, and all of their packets come to the router by a link."""
    nft.counts(way.near)
    for family in (4, 6):
        for protocol in ("udp", "tcp"):
            equal(answered_by(net.clients, vip(family), BROWSERS_PORT, protocol), "n1", f"who answers at {vip(family)}, {protocol}, {when}")
    kernel.settle()
    equal(set(nft.counts(way.near)), {link}, f"links by which packets come to the router, {when}")
