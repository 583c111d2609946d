"""Connection tracking on HaloD's machine sees routed traffic as untracked, and drops none of it as invalid."""

from lab import addresses
from lab.addresses import APPS_PORT, BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.echo import Echo
from lab.lab import Lab
from lab.traffic import Flow, Traffic, ask

BOTH_PATHS = True
RULES = """
table inet filter {
    counter invalid { }
    counter untracked { }
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state invalid counter name invalid drop
        ct state untracked counter name untracked accept
        ct state established,related accept
        ip daddr 192.0.2.0/24 ct state new accept
        ip6 daddr 2001:db8:2::/64 ct state new accept
        meta l4proto ipv6-icmp accept
    }
}
"""
OTHER_PORT = 7000


def run(lab: Lab) -> None:
    lab.net.halod.run("nft", "-f", "-", input=RULES)
    lab.echoes(2)
    Echo(lab.net.node(1), "n1", addresses.node(1), bases=(OTHER_PORT,), routes=1)
    kernel = lab.kernel()
    kernel.commit(lab.table([1, 2] * (ROUTES // 2)))

    # Tracking works here: a connection that is merely routed has an entry.
    tracked = Traffic(lab.net.clients, [Flow(addresses.node(1).v4, OTHER_PORT)]).start()
    listed = lab.net.halod.run("conntrack", "-L").stdout
    check(f"dport={OTHER_PORT}" in listed, f"a routed connection is tracked: {listed}")

    flows = [
        Flow(vip, base + index, protocol)
        for vip in (VIP4, VIP6)
        for base in (BROWSERS_PORT, APPS_PORT)
        for protocol in ("tcp", "udp")
        for index in range(ROUTES)
    ]
    traffic = Traffic(lab.net.clients, flows, pause=0.2).start()
    equal(traffic.errors(), [], "errors at the start of the connections")
    listed = lab.net.halod.run("conntrack", "-L").stdout
    entries = [line for line in listed.splitlines() if "198.51.100.1" in line or f"dport={BROWSERS_PORT}" in line]
    equal(entries, [], "entries of routed connections in the tracking table")

    # Half of the routes change hands meanwhile: what goes on must not turn invalid either.
    kernel.commit(lab.table([1, 2] * (ROUTES // 2 - 1) + [2, 1]))
    for vip in (VIP4, VIP6):
        equal(ask(lab.net.clients, vip, BROWSERS_PORT + ROUTES - 1), f"n1 {BROWSERS_PORT + ROUTES - 1}", f"{vip}, moved route")
    broken = [flow for flow in traffic.flows if flow.errors and flow.port not in moved_ports()]
    traffic.stop()
    broken += [flow for flow in traffic.flows if flow.errors and flow.port not in moved_ports() and flow not in broken]
    equal([f"{flow}: {flow.errors}" for flow in broken], [], "errors of connections that did not move")
    equal(tracked.stop(), [], "errors of the tracked connection")

    counters = lab.net.halod.run("nft", "list", "counters").stdout.split()
    packets = {counters[index + 1]: int(counters[index + 4]) for index, word in enumerate(counters) if word == "counter"}
    equal(packets["invalid"], 0, "packets that connection tracking called invalid")
    check(packets["untracked"] > 1000, f"{packets['untracked']} packets passed as untracked")


def moved_ports() -> set[int]:
    """The ports of the two routes that change hands."""
    return {base + index for base in (BROWSERS_PORT, APPS_PORT) for index in (ROUTES - 2, ROUTES - 1)}
