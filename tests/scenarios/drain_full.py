"""The set of remembered flows is full, by a flood of SYNs at draining routes: no connection breaks.

Room is made for 64 flows only. New connections that are not remembered go to the former node,
where their next packets go too, and are counted.
"""

import socket

from lab import module
from lab.addresses import BROWSERS_PORT, ROUTES, VIP4
from lab.checks import check, equal
from lab.lab import Lab
from lab.traffic import Flow, Traffic
from lab.wait import until

SYNS = 3000
LONG = 600_000  # ms


def run(lab: Lab) -> None:
    lab.echoes(2)
    module.unload()
    module.load("flows=64")
    try:
        flood(lab)
    finally:
        module.unload()
        module.load()


def flood(lab: Lab) -> None:
    """As the module's docstring says."""
    kernel = lab.kernel()
    kernel.commit(lab.table([1] * ROUTES))
    before = Traffic(lab.net.clients, flows(), pause=0.2).start()
    table = lab.table([2] * ROUTES)
    table.drains = {route: [(1, LONG)] for route in range(1, ROUTES + 1)}
    kernel.commit(table)
    remembered = Traffic(lab.net.clients, flows(), pause=0.2).start()
    equal({flow.node.split()[0] for flow in remembered.flows}, {"n2"}, "where connections of the drain's start are")

    # SYNs of addresses that nobody has; raw, so that no socket is in the way.
    with lab.net.clients.entered():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with raw:
        for number in range(SYNS):
            raw.sendto(syn(number), (VIP4, 0))
    until("the flood to be counted", lambda: kernel.counters()["forward_full"] > SYNS / 2)
    status = kernel.status()
    equal(status["flow-slots"], 64, "room for flows, as before the flood")
    check(status["flows"] <= 64, f"{status['flows']} flows are in it")

    after = Traffic(lab.net.clients, flows(), pause=0.2).start()
    equal(after.errors(), [], "errors of connections that were opened while the set is full")
    check("n1" in {flow.node.split()[0] for flow in after.flows}, "some of them are with the former node")
    for traffic in (before, remembered, after):
        equal(traffic.stop(), [], "errors of any connection")
    print(f"# {SYNS} SYNs, {kernel.counters()['forward_full']} of them with no room")


def flows() -> list[Flow]:
    """One connection for each of some routes."""
    return [Flow(VIP4, BROWSERS_PORT + index) for index in range(0, ROUTES, 4)]


def syn(number: int) -> bytes:
    """A SYN from 203.0.113.128 and up to a route's port."""
    source = socket.inet_aton(f"203.0.113.{128 + number % 100}")
    target = socket.inet_aton(VIP4)
    tcp = bytearray(20)
    tcp[0:2] = (1024 + number).to_bytes(2)
    tcp[2:4] = (BROWSERS_PORT + number % ROUTES).to_bytes(2)
    tcp[4:8] = number.to_bytes(4)
    tcp[12:14] = bytes((0x50, 0x02))
    tcp[14:16] = (64240).to_bytes(2)
    tcp[16:18] = checksum(source + target + bytes((0, 6, 0, 20)) + tcp).to_bytes(2)
    # Total length, identification and header checksum are the kernel's to fill in (raw(7)).
    header = bytes((0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0)) + source + target
    return header + bytes(tcp)


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
