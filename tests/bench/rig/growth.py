"""What grows with connections: the kernel's memory, and what a new or an old one's packet costs; and a connection, whole.

A flood of SYNs, each from another address that nobody has, as one connection each
to whoever keeps connections. The first 100,000 are those that memory is measured with.
"""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from lab.addresses import CLIENTS as CLIENT
from lab.wait import until

from . import connections, frames, halod, peers
from .frames import FLOWS, TCP4, Book, Traffic
from .path import shake
from .source import Verify, send
from .world import CLIENTS, World

CONNECTIONS = 100_000  # in the memory's figure
UP_TO = (16_384, CONNECTIONS, 262_144, 1_048_576)  # new flows so far, where a figure is taken
EXISTING = 6400  # packets of existing flows for one figure
# Room for all, and a bucket for each: whoever has millions of connections sets these.
CONNTRACK_MOST, CONNTRACK_BUCKETS = 2 << 20, 1 << 20

# What may stay of one that has been taken down: tables of its module, caches.
LEFT = 64 << 20


@dataclass(frozen=True)
class Keeper:
    """Who is asked to keep the connections."""

    name: str
    title: str
    setup: Callable[[World], None]
    control: bool = False
    room: int = UP_TO[-1]  # new flows after which others are sent elsewhere


def _conntrack(world: World) -> None:
    subprocess.run(["modprobe", "nf_conntrack"], check=True)
    Path("/sys/module/nf_conntrack/parameters/hashsize").write_text(str(CONNTRACK_BUCKETS))
    Path("/proc/sys/net/netfilter/nf_conntrack_max").write_text(str(CONNTRACK_MOST))
    peers.dnat(world)


# HaloD first, as in the other rows: hooks of the others stay.
KEEPERS = (
    Keeper("control", "control", peers.nothing, control=True),
    Keeper("halod", "HaloD", halod.commit),
    # What the set has no room for stays with the former node.
    Keeper("halod-drain", "HaloD draining", halod.drain_from_others, room=halod.FLOW_SLOTS),
    Keeper("halod-fast", "HaloD's fast path", halod.FAST),
    Keeper("nft-dnat", "nftables DNAT with conntrack", _conntrack),
    Keeper("ipvs-nat", "IPVS NAT", peers.ipvs_nat),
)


def measure(book: Book) -> list[dict[str, Any]]:
    """All of them, one after the other."""
    found = []
    for keeper in KEEPERS:
        found.append(_flood(keeper, book) | {"connection": connections.cost(keeper.name, keeper.setup, balanced=not keeper.control)})
        print(f"{keeper.name}: {UP_TO[-1]:,} new flows", flush=True)
    return found


def _flood(keeper: Keeper, book: Book) -> dict[str, Any]:
    before = _settled()
    world = World(f"grow-{keeper.name}")
    verify = Verify.UNCHANGED if keeper.control else Verify.EXPECTED
    if keeper.control:
        world.sink_balancer()
    else:
        world.sink_ends()
    world.balancer.run("ip", "route", "add", frames.SPOOFED_NETWORK, "via", CLIENT.v4, "dev", CLIENTS)
    bare = _settled()
    keeper.setup(world)
    if not keeper.control:
        shake(world, book, TCP4, verify)
    spoofed = book.frames(Traffic.SPOOFED, TCP4)
    existing = [_existing(world, book, verify)]
    empty = _settled()
    sent, new, kept = 0, [], {}
    for end in UP_TO:
        # The first few are looked at closely.
        send(world.client, spoofed, FLOWS, verify if sent < keeper.room else Verify.COUNT, walk=sent + 1)
        sent += FLOWS
        new.append(median(send(world.client, spoofed, end - sent, walk=sent + 1)))
        sent = end
        existing.append(_existing(world, book, verify))
        if end in (CONNECTIONS, UP_TO[-1]):
            kept[end] = _settled() - empty
    world.remove()
    until("the kernel to have its memory again", lambda: _memory() < before + LEFT)
    return {
        "path": keeper.name, "title": keeper.title, "set_up": empty - bare,
        "up_to": UP_TO, "new": new, "existing": existing,
        "memory": [{"connections": count, "bytes": size} for count, size in kept.items()],
    }


def _existing(world: World, book: Book, verify: Verify) -> float:
    """A packet of flows that were there before all others."""
    flows = book.frames(Traffic.FORWARD, TCP4)
    send(world.client, flows, 2 * FLOWS, verify)
    return median(send(world.client, flows, EXISTING))


def _memory() -> int:
    """What the kernel has for itself, in bytes."""
    values = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(values[name].split()[0]) for name in ("SUnreclaim", "VmallocUsed", "Percpu")) << 10


def _settled() -> int:
    """The same, when nothing is freed any more."""
    before, now = -1, _memory()
    while abs(now - before) > 64 << 10:
        time.sleep(1)
        before, now = now, _memory()
    return now
