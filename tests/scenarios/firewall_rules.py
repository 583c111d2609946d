"""Rules of others on HaloD's machine: NAT leaves HaloD's packets alone and does its work on all others; rules of every
chain see the addresses that docs/operating.md says, drop whom they are to, and what they write into packets arrives;
connection tracking may begin amid connections. Where the fast path is "on" only those of devices are asked.
"""

from dataclasses import replace

from lab import addresses, nft
from lab.addresses import BRIDGE, BROWSERS_PORT, CLIENTS, NODES_GATEWAY4, NODES_GATEWAY6, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.echo import Echo
from lab.flavour import SLOWER
from lab.kernel import Kernel
from lab.lab import Lab
from lab.topology import Topology, ip_batch
from lab.traffic import Flow, Traffic, answered_by

BOTH_PATHS = True
VIPS = (VIP4, VIP6)
NODE, OTHER = addresses.node(1), addresses.node(2)
STRANGER = {VIP4: "203.0.113.3", VIP6: "2001:db8:3::3"}  # the client's, too
ELSEWHERE = 7000  # a port of no listener
# Ports of the VIP that rules lead to n2, to n2's port of a route, and to another port of this machine.
SENT_ON, TO_A_ROUTE, REDIRECTED, OWN = 8100, 8101, 8102, 8103
DSCP, TTL = 10, 33
NOT_LONG = 0.3 * SLOWER  # s to wait for who is not to answer
# Each question and each answer by the addresses that tell them apart.
SEEN = f"""
        ip daddr {VIP4} counter name %s_to_vip
        ip6 daddr {VIP6} counter name %s_to_vip
        ip daddr {NODE.v4} counter name %s_to_node
        ip6 daddr {NODE.v6} counter name %s_to_node
        ip saddr {NODE.v4} counter name %s_from_node
        ip6 saddr {NODE.v6} counter name %s_from_node
        ip saddr {VIP4} counter name %s_from_vip
        ip6 saddr {VIP6} counter name %s_from_vip
"""
# By chain: where it is, and as what it sees a question and its answer.
CHAINS = {
    "raw": ("prerouting priority raw", ("to_vip", "from_node")),
    "later": ("prerouting priority -280", ("to_node", "from_node")),
    "filter": ("forward priority filter", ("to_node", "from_node")),
    "last": ("postrouting priority 90", ("to_node", "from_node")),
    "very_last": ("postrouting priority 110", ("to_node", "from_vip")),
}
DEVICES = {"in": ("ingress", ("to_vip", "from_node")), "out": ("egress", ("to_node", "from_vip"))}


def run(lab: Lab) -> None:
    net = lab.net
    strangers = [f"address add {STRANGER[VIP4]}/24 dev eth0", f"address add {STRANGER[VIP6]}/64 dev eth0 nodad preferred_lft 0"]
    ip_batch(strangers, net.clients)
    lab.echoes(2, routes=2)
    for namespace, name, host in ((net.node(1), "n1", NODE), (net.node(2), "n2", OTHER), (net.clients, "client", CLIENTS)):
        Echo(namespace, name, host, bases=(ELSEWHERE,), routes=1)
    Echo(net.halod, "halod", replace(CLIENTS, v4=CLIENTS.gateway4, v6=CLIENTS.gateway6), bases=(OWN,), routes=1)
    kernel = lab.kernel()
    nat(lab, kernel)
    what_chains_see(net, kernel, on=False)
    blocked(net, on=False)
    written(net)
    tracking_begins(net)
    if lab.fast_path == "auto":
        table = kernel.table()
        table.fast_path = "on"
        kernel.commit(table)
        what_chains_see(net, kernel, on=True)
        blocked(net, on=True)


def answers(net: Topology, source: dict[str, str] | None = None, timeout: float = 10.0) -> set[str]:
    """Who answers at the VIPs, by TCP and UDP."""
    of = source or dict.fromkeys(VIPS, "")
    return {answered_by(net.clients, vip, BROWSERS_PORT, protocol, timeout, of[vip]) for vip in VIPS for protocol in ("tcp", "udp")}


def nat(lab: Lab, kernel: Kernel) -> None:
    """NAT that was there before HaloD's table, and that comes after it: of nobody's port but the listeners'."""
    net = lab.net
    for namespace, gateways in ((net.node(1), (NODES_GATEWAY4, NODES_GATEWAY6)), (net.clients, (CLIENTS.gateway4, CLIENTS.gateway6))):
        nft.load(namespace, as_whom(*gateways))
    nft.load(net.halod, nat_rules("masquerade"))
    equal(answers(net), {"n2"}, "who answers by the rules alone")
    kernel.commit(lab.table([1] * ROUTES))
    nat_of_others_only(lab, kernel, "masquerade, which was there before")
    nft.delete(net.halod, "translation")
    nft.load(net.halod, nat_rules("snat"))
    nat_of_others_only(lab, kernel, "snat, which came afterwards")
    for vip in VIPS:
        equal(answered_by(net.clients, vip, TO_A_ROUTE, timeout=NOT_LONG), "", f"who answers at {vip} from a route's port by dnat")
    nft.delete(net.halod, "translation")


def as_whom(gateway4: str, gateway6: str) -> str:
    """Counters, for who is asked, of what comes from whom."""
    return f"""
table inet watch {{
    counter listener_own {{ }}
    counter listener_masked {{ }}
    counter other_own {{ }}
    counter other_masked {{ }}
    chain input {{
        type filter hook input priority filter
        ip saddr {gateway4} th dport {BROWSERS_PORT} counter name listener_masked accept
        ip6 saddr {gateway6} th dport {BROWSERS_PORT} counter name listener_masked accept
        ip saddr {gateway4} th dport {ELSEWHERE} counter name other_masked accept
        ip6 saddr {gateway6} th dport {ELSEWHERE} counter name other_masked accept
        th dport {BROWSERS_PORT} counter name listener_own
        th dport {ELSEWHERE} counter name other_own
    }}
}}
"""


def nat_rules(source: str) -> str:
    """Rules for the sources of all that leaves, and for destinations: a listener's port, which is none of theirs, and others."""

    def sources(device: str, gateway4: str, gateway6: str) -> str:
        if source == "masquerade":
            return f"oifname {device} masquerade"
        return f"""
        oifname {device} meta nfproto ipv4 snat ip to {gateway4}
        oifname {device} meta nfproto ipv6 snat ip6 to {gateway6}
"""

    def destination(port: int, to: int) -> str:
        return f"""
        ip daddr {VIP4} meta l4proto {{ tcp, udp }} th dport {port} dnat ip to {OTHER.v4}:{to}
        ip6 daddr {VIP6} meta l4proto {{ tcp, udp }} th dport {port} dnat ip6 to [{OTHER.v6}]:{to}
"""

    return f"""
table inet translation {{
    chain prerouting {{
        type nat hook prerouting priority dstnat
        {destination(BROWSERS_PORT, BROWSERS_PORT)}
        {destination(SENT_ON, ELSEWHERE)}
        {destination(TO_A_ROUTE, BROWSERS_PORT)}
        meta l4proto {{ tcp, udp }} th dport {REDIRECTED} redirect to :{OWN}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat
        {sources(BRIDGE, NODES_GATEWAY4, NODES_GATEWAY6)}
        {sources(CLIENTS.port, CLIENTS.gateway4, CLIENTS.gateway6)}
    }}
}}
"""


def nat_of_others_only(lab: Lab, kernel: Kernel, what: str) -> None:
    """Questions to the VIPs come from the client itself; all others from HaloD's machine, or go where rules lead them."""
    net = lab.net
    before = kernel.fast_path()["fast"]
    equal(answers(net), {"n1"}, f"who answers with {what}")
    equal(kernel.fast_path()["fast"] > before, lab.fast_path == "auto", f"whether packets took the fast path, with {what}")
    seen = nft.counts(net.node(1))
    equal(set(seen), {"listener_own"}, f"as whom n1 sees clients of the VIPs, with {what}")
    for protocol in ("tcp", "udp"):
        for family, vip in ((4, VIP4), (6, VIP6)):
            for namespace, address, port, name in (
                (net.clients, NODE.address(family), ELSEWHERE, "n1"),
                (net.node(1), CLIENTS.address(family), ELSEWHERE, "client"),
                (net.clients, vip, SENT_ON, "n2"),
                (net.clients, vip, REDIRECTED, "halod"),
            ):
                equal(answered_by(namespace, address, port, protocol), name, f"who answers {protocol} {address} {port}, with {what}")
    for namespace in (net.node(1), net.clients):
        equal(set(nft.counts(namespace)), {"other_masked"}, f"as whom {namespace.name} sees others, with {what}")


def what_chains_see(net: Topology, kernel: Kernel, on: bool) -> None:
    """Of a question and its answer, in both IP versions: exactly what the documentation's table says."""
    names = ("to_vip", "to_node", "from_node", "from_vip")
    chains = {**CHAINS, **DEVICES}
    counters = "\n".join(f"counter {chain}_{name} {{ }}" for chain in chains for name in names)

    def rules(chain: str) -> str:
        return SEEN.replace("%s", chain)

    points = "\n".join(
        f"chain {chain} {{ type filter hook {where}; meta l4proto != udp accept\n {rules(chain)} }}"
        for chain, (where, _) in CHAINS.items()
    )
    devices = "\n".join(
        f"chain {chain} {{ type filter hook {where} devices = {{ {CLIENTS.port}, {BRIDGE} }} priority 0; meta l4proto != udp accept\n"
        f" {rules(chain)} }}"
        for chain, (where, _) in DEVICES.items()
    )
    for vip in VIPS:
        equal(answered_by(net.clients, vip, BROWSERS_PORT, "udp"), "n1", f"who answers at {vip} before rules look")
    nft.load(net.halod, f"table inet look {{ {counters}\n {points}\n }}\n")
    nft.load(net.halod, f"table netdev look {{ {counters}\n {devices}\n }}\n")
    for vip in VIPS:
        nft.counts(net.halod)
        equal(answered_by(net.clients, vip, BROWSERS_PORT, "udp"), "n1", f"who answers at {vip} under rules that look")
        expected = {f"{chain}_{as_}": 1 for chain, (_, seen) in (DEVICES if on else chains).items() for as_ in seen}
        equal(nft.counts(net.halod), expected, f"what chains see of a question to {vip} and its answer, fast path on: {on}")
    nft.delete(net.halod, "look")
    nft.delete(net.halod, "look", "netdev")


def blocked(net: Topology, on: bool) -> None:
    """A set of addresses that no question may come from, or no answer go to: each drop is counted, and all others are served."""
    for where, kind in (
        ("prerouting priority raw", "inet"),
        ("forward priority filter", "inet"),
        (f"ingress device {CLIENTS.port} priority 0", "netdev"),
        (f"egress device {CLIENTS.port} priority 0", "netdev"),
    ):
        way, port = ("daddr", "sport") if "egress" in where else ("saddr", "dport")
        nft.load(
            net.halod,
            f"""
table {kind} block {{
    counter dropped {{ }}
    set strangers4 {{ type ipv4_addr; elements = {{ {STRANGER[VIP4]} }} }}
    set strangers6 {{ type ipv6_addr; elements = {{ {STRANGER[VIP6]} }} }}
    chain block {{
        type filter hook {where}
        ip {way} @strangers4 th {port} {BROWSERS_PORT} counter name dropped drop
        ip6 {way} @strangers6 th {port} {BROWSERS_PORT} counter name dropped drop
    }}
}}
""",
        )
        past = on and kind == "inet"
        what = f"rules at {where}, fast path on: {on}"
        equal(answers(net, STRANGER, 10.0 if past else NOT_LONG), {"n1" if past else ""}, f"who answers a stranger past {what}")
        equal(bool(nft.counts(net.halod)), not past, f"whether packets were dropped by {what}")
        equal(answers(net), {"n1"}, f"who answers the others past {what}")
        nft.delete(net.halod, "block", kind)


def written(net: Topology) -> None:
    """What rules write into packets before and after HaloD's hooks arrives; and marks stay with them on HaloD's machine."""

    def each(rule: str) -> str:
        """The rule for both IP versions."""
        six = rule.replace("ip ", "ip6 ").replace("ttl", "hoplimit").replace(VIP4, VIP6).replace(NODE.v4, NODE.v6)
        return f"{rule}\n{six}"

    rules = f"""
table inet write {{
    counter marked {{ }}
    chain before {{
        type filter hook prerouting priority -310
        {each(f"ip daddr {VIP4} meta mark set 7 ip dscp set {DSCP}")}
    }}
    chain after {{
        type filter hook prerouting priority mangle
        {each(f"ip daddr {NODE.v4} meta mark 7 meta mark set 8")}
    }}
    chain forward {{
        type filter hook forward priority mangle
        {each(f"ip daddr {NODE.v4} ip dscp {DSCP} meta mark 8 meta mark set 9")}
        {each(f"ip saddr {NODE.v4} ip dscp set {DSCP}")}
    }}
    chain postrouting {{
        type filter hook postrouting priority mangle
        {each(f"ip daddr {NODE.v4} meta mark 9 ip ttl set {TTL} counter name marked")}
    }}
    chain last {{
        type filter hook postrouting priority 110
        {each(f"ip saddr {VIP4} ip ttl set {TTL}")}
    }}
}}
"""
    nft.load(net.halod, rules)
    for namespace, end in ((net.node(1), f"ip daddr {NODE.v4}"), (net.clients, f"ip saddr {VIP4}")):
        nft.delete(namespace, "watch")
        nft.load(
            namespace,
            f"""
table inet watch {{
    counter written {{ }}
    counter others {{ }}
    chain input {{
        type filter hook input priority filter
        meta l4proto != {{ tcp, udp }} accept
        # What HaloD's machine says itself, of connections before.
        ip saddr {NODES_GATEWAY4} accept
        ip6 saddr {NODES_GATEWAY6} accept
        {each(f"{end} ip dscp {DSCP} ip ttl {TTL} counter name written accept")}
        counter name others
    }}
}}
""",
        )
    equal(answers(net), {"n1"}, "who answers what rules write into")
    check(nft.counts(net.halod)["marked"] > 0, "marks that rules have set stay with packets")
    for namespace in (net.node(1), net.clients):
        equal(set(nft.counts(namespace)), {"written"}, f"what reaches {namespace.name}, of what rules write into")
        nft.delete(namespace, "watch")
    nft.delete(net.halod, "write")


def tracking_begins(net: Topology) -> None:
    """Connections from before tracking go on under rules that drop what is invalid, and none come about without `untracked`."""

    def rules(states: str) -> str:
        return f"""
table inet track {{
    counter invalid {{ }}
    chain forward {{
        type filter hook forward priority filter; policy drop
        ct state invalid counter name invalid drop
        ct state {{ {states} }} accept
        meta l4proto ipv6-icmp accept
    }}
}}
"""

    traffic = Traffic(net.clients, [Flow(vip, BROWSERS_PORT, protocol) for vip in VIPS for protocol in ("tcp", "udp")]).start()
    nft.load(net.halod, rules("established, related, untracked"))
    seen = traffic.answers()
    equal(answers(net), {"n1"}, "who answers new connections as tracking has begun")
    equal(traffic.stop(), [], "errors of connections from before tracking")
    check(traffic.answers() > seen, "connections from before tracking go on")
    equal(nft.counts(net.halod), {}, "packets that tracking called invalid")
    nft.delete(net.halod, "track")
    nft.load(net.halod, rules("established, related"))
    equal(answers(net, timeout=NOT_LONG), {""}, "who answers where the untracked are not let through")
    nft.delete(net.halod, "track")
