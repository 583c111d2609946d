"""The nodes hang on a bridge of HaloD's machine, and br_netfilter shows bridged frames to the hooks of routed packets,
HaloD's too: who comes through the VIP is served all the same; and who talks to a node over the bridge alone is, once
the sysctls of docs/operating.md are set."""

from lab import addresses
from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.lab import Lab
from lab.traffic import Flow, Traffic, ask

BOTH_PATHS = True
CALLS = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables")


def run(lab: Lab) -> None:
    lab.net.halod.run("modprobe", "br_netfilter")
    try:
        through_the_vip(lab)
        over_the_bridge(lab)
    finally:
        lab.net.halod.run("rmmod", "br_netfilter")  # modprobe -r would take the bridges along


def calls(lab: Lab, value: int) -> None:
    """Whether bridged frames pass the hooks."""
    lab.net.halod.sysctl(**{f"bridge__{name}": value for name in CALLS})


def through_the_vip(lab: Lab) -> None:
    """Every route, both ways; clients on another device."""
    calls(lab, 1)
    lab.echoes(2)
    kernel = lab.kernel()
    kernel.commit(lab.table([1, 2] * (ROUTES // 2)))
    before = kernel.counters()
    flows = [Flow(vip, BROWSERS_PORT + index, protocol) for vip in (VIP4, VIP6) for protocol in ("tcp", "udp") for index in range(ROUTES)]
    traffic = Traffic(lab.net.clients, flows).start()
    equal(traffic.stop(), [], "what went wrong for clients")
    for flow in flows:
        number = 1 + (flow.port - BROWSERS_PORT) % 2
        equal(flow.node, f"n{number} {flow.port}", f"who answers {flow}")
    after = kernel.counters()
    check(after["reverse"] - before["reverse"] >= len(flows), f"answers came through HaloD: {before}, {after}")
    drops = {name: after[name] - before[name] for name in after if name.startswith("drop_") and after[name] != before[name]}
    equal(drops, {}, "drops")


def over_the_bridge(lab: Lab) -> None:
    """From node to node, at a port that is a route's."""
    calls(lab, 0)
    for protocol in ("tcp", "udp"):
        for address in (addresses.node(1).v4, addresses.node(1).v6):
            equal(ask(lab.net.node(3), address, BROWSERS_PORT, protocol), f"n1 {BROWSERS_PORT}", f"who answers {protocol} {address}")
