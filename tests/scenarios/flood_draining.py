"""100,000 SYNs of addresses that nobody has at steady routes, and 100,000 at draining ones, as fast as they can be
sent: no connection breaks that was there, or is opened meanwhile, and the kernel needs no more memory after them.

Routes 1-12 drain from n1 to n2, and soon there is no room to remember their flows; routes 13-24 are on n3.
The nodes give cookies, so that what they remember themselves is not in the figures. They see few of the SYNs, by a
firewall behind HaloD: answers to all of them would take emulated CPUs a minute.
"""

import time
from pathlib import Path

from lab import synflood
from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.flavour import DEBUG
from lab.kernel import Kernel
from lab.lab import Lab
from lab.traffic import Flow, Traffic
from lab.wait import until

BOTH_PATHS = True
SYNS = 100_000
HALF = ROUTES // 2
UNSEEN = (
    "add table ip flood; add chain ip flood forward { type filter hook forward priority 0; };"
    "add rule ip flood forward ip saddr 203.0.113.130-203.0.113.227 drop"
)
ROOM = 65_536  # the module's parameter `flows`
SET = ROOM * 8 // 1024  # kB
# For what else goes on. A single word for each SYN would be 800 kB. The debug kernel keeps what was freed for a
# while, in a thirty-second of the memory (mm/kasan/quarantine.c): there only the stock one's memory says something.
QUARANTINE = 32


def run(lab: Lab) -> None:
    slack = 256 + (memory("MemTotal") // QUARANTINE if DEBUG else 0)
    lab.echoes(3, bases=(BROWSERS_PORT,), protocols=("tcp",))
    for number in (1, 2, 3):
        lab.net.node(number).sysctl(ipv4__tcp_syncookies=2)
    lab.net.halod.run("nft", UNSEEN)
    kernel = lab.kernel()
    kernel.commit(lab.table([1] * HALF + [3] * HALF))
    traffics = [start(lab)]
    before = memory()
    kernel.commit(lab.table([2] * HALF + [3] * HALF).drain(1, routes=range(1, HALF + 1)))
    # That it is seen here shows that more would be seen below.
    until(f"the set of flows to take {SET} kB", lambda: memory() >= before + SET)
    traffics.append(start(lab))
    equal(kernel.status()["flow-slots"], ROOM, "room for flows")

    for what, port in (("steady", BROWSERS_PORT + HALF), ("draining", BROWSERS_PORT)):
        synflood.start(lab.net, port, HALF, SYNS // 20, lab.directory).wait(60)  # whatever the kernel needs for such traffic at all
        before, counted, begin = memory(), forwarded(kernel), time.monotonic()
        flooding = synflood.start(lab.net, port, HALF, SYNS, lab.directory)
        traffics.append(start(lab))
        equal((flooding.running, traffics[-1].errors()), (True, []), f"under the flood at {what} routes: it goes on, errors")
        equal(flooding.wait(120), 0, "the flood's exit code")
        seconds = time.monotonic() - begin
        traffics.append(start(lab))
        after, status, counters = memory(), kernel.status(), kernel.counters()
        print(
            f"# {what} routes: {SYNS} SYNs in {seconds:.1f} s, {forwarded(kernel) - counted} packets sent on meanwhile; "
            f"{status['flows']} of {status['flow-slots']} flows, {counters['forward_full']} with no room"
        )
        print(f"#     the kernel's memory: {before} kB before, {after} kB after")
        check(after < before + slack, f"the kernel's memory is what it was: {before} kB, then {after} kB")
        check(forwarded(kernel) - counted >= SYNS, "all SYNs were sent on")
        equal(status["flow-slots"], ROOM, "room for flows")
    check(counters["forward_full"] > SYNS - ROOM, "the set of flows was full")
    for traffic in traffics:
        equal(traffic.stop(), [], "errors of any connection")
    before = memory()
    kernel.commit(lab.table([2] * HALF + [3] * HALF))
    until("the set's memory to be given back", lambda: memory() <= before - SET + slack)


def start(lab: Lab) -> Traffic:
    """Connections of steady and draining routes, opened now."""
    flows = [Flow(vip, BROWSERS_PORT + index) for vip in (VIP4, VIP6) for index in range(0, ROUTES, 5)]
    traffic = Traffic(lab.net.clients, flows, pause=0.5, patience=30).start()
    equal(traffic.errors(), [], "errors of new connections")
    return traffic


def forwarded(kernel: Kernel) -> int:
    """Packets from clients that were sent on."""
    counters = kernel.counters()
    return counters["forward"] + counters["forward_full"] + counters["forward_former"]


def memory(*names: str) -> int:
    """What the kernel has for itself, or what it says by these names, in kB."""
    values = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(values[name].split()[0]) for name in names or ("SUnreclaim", "VmallocUsed", "Percpu"))
