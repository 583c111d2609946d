"""What is not for a listener passes untouched: routed traffic, HaloD's own services, neighbouring ports."""

from lab import addresses
from lab.addresses import APPS_PORT, BROWSERS_PORT, CLIENTS, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.echo import Echo
from lab.kernel import lab_listeners
from lab.lab import Lab
from lab.traffic import ask

BOTH_PATHS = True
ELSEWHERE = 7000  # ports of no listener
NEAR = (BROWSERS_PORT - 1, BROWSERS_PORT + ROUTES, APPS_PORT - 1, APPS_PORT + ROUTES)


def run(lab: Lab) -> None:
    node = addresses.node(1)
    Echo(lab.net.node(1), "n1", node, bases=(ELSEWHERE,), routes=4)
    Echo(lab.net.clients, "client", CLIENTS, bases=(ELSEWHERE,), routes=4)
    # Programs of HaloD's own machine: beside the listeners' ranges, and with UDP where a listener is for TCP.
    vips = addresses.Host("", "", VIP4, VIP6, "", "", 32)
    for port in NEAR:
        Echo(lab.net.halod, "halod", vips, bases=(port,), routes=1)
    Echo(lab.net.halod, "halod", vips, bases=(BROWSERS_PORT,), routes=2, protocols=("udp",))
    kernel = lab.kernel()

    def everything() -> dict[str, str]:
        seen = {}
        for protocol in ("tcp", "udp"):
            for port in range(ELSEWHERE, ELSEWHERE + 4):
                for address in (node.v4, node.v6):
                    seen[f"client to node, {protocol} {address} {port}"] = ask(lab.net.clients, address, port, protocol)
                for address in (CLIENTS.v4, CLIENTS.v6):
                    seen[f"node to client, {protocol} {address} {port}"] = ask(lab.net.node(1), address, port, protocol)
            for port in NEAR:
                for vip in (VIP4, VIP6):
                    seen[f"client to VIP, {protocol} {vip} {port}"] = ask(lab.net.clients, vip, port, protocol)
        for vip in (VIP4, VIP6):
            seen[f"udp {vip}"] = ask(lab.net.clients, vip, BROWSERS_PORT + 1, "udp")
        for address in (VIP4, VIP6, node.v4, node.v6):
            done = lab.net.clients.run("ping", "-c", 2, "-i", "0.2", "-W", 5, address)
            seen[f"ping {address}"] = "yes" if " 0% packet loss" in done.stdout else done.stdout
        return seen

    without = everything()
    equal({answer.split()[0] for answer in without.values()}, {"n1", "client", "halod", "yes"}, "who answers without a table")
    kernel.commit(lab.table([1] * ROUTES, lab_listeners("tcp")))
    before = kernel.counters()
    equal(everything(), without, "who answers with a table")
    after = kernel.counters()
    touched = {name: after[name] - before[name] for name in after if name != "pass" and after[name] != before[name]}
    equal(touched, {}, "packets that took an exit of HaloD's")
    check("pass" not in after or after["pass"] >= before["pass"], "the counter pass does not fall")
