"""Commits: how long one takes, and whether packets notice any."""

import os
import select
import time
from typing import Any

from lab.kernel import Encoded, Kernel

from . import halod
from .frames import KINDS, Book, Traffic
from .source import Failed, Verify, deliver
from .world import World

TABLES = ((24, "off"), (24, "auto"), (240, "off"), (2048, "off"), (32768, "off"))
TIMES = 9
SECONDS = 10.0
PACKETS = 6400  # an order's
# Two tables in turn, in which the flows of the frames have the same nodes.
SMALL, LARGE = 24, 240


def measure() -> list[dict[str, Any]]:
    """How long the kernel is busy with a commit in which every route moves, by the size of the table; the best of some."""
    found = []
    for routes, fast_path in TABLES:
        world = World(f"commit-{routes}")
        halod.loaded(world)
        kernel = Kernel(world.balancer)
        one, other = (halod.table(routes=routes, fast_path=fast_path) for _ in range(2))
        other.routes = [halod.next_node(node) for node in other.routes]
        turns = [kernel.encoded(one), kernel.encoded(other)]
        kernel.commit(one)
        generation = kernel.generation()
        took = []
        for number in range(1, TIMES + 1):
            took.append(turns[number % 2].commit(generation))
            generation += 1
        title = f"{routes:,} routes{', fast path' if fast_path == 'auto' else ''}"
        found.append({"title": title, "routes": routes, "fast_path": fast_path, "instructions": min(took), "most": max(took)})
        world.remove()
        print(f"commit of {title}: {min(took):,} instructions", flush=True)
    return found


def during(book: Book) -> list[dict[str, Any]]:
    """Packets while another CPU commits as fast as it can: all must arrive, and where they should."""
    found = []
    sending, committing, *_ = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {sending})
    for title, fast_path in (("HaloD", "off"), ("HaloD's fast path", "auto")):
        world = World(f"during-{fast_path}")
        world.sink_ends()
        halod.commit(world, fast_path=fast_path)
        kernel, committer = Kernel(world.balancer), Kernel(world.balancer)
        turns = [committer.encoded(halod.table(routes=routes, fast_path=fast_path)) for routes in (LARGE, SMALL)]
        generation = kernel.generation()
        child, stop = _committing(turns, generation, committing)
        begin, packets, lost, wrong = time.monotonic(), 0, 0, 0
        while (seconds := time.monotonic() - begin) < SECONDS:
            for kind in KINDS:
                for end, traffic in ((world.client, Traffic.FORWARD), (world.nodes, Traffic.REVERSE)):
                    outcome = deliver(end, book.frames(traffic, kind), PACKETS, Verify.EXPECTED)
                    packets, lost, wrong = packets + PACKETS, lost + outcome.lost, wrong + outcome.wrong
                    if outcome.wrong:
                        print(f"wrong: {outcome.first_wrong}", flush=True)
        commits = kernel.generation() - generation
        os.close(stop)
        _, status = os.waitpid(child, 0)
        if status:
            raise RuntimeError(f"{title}: the process that commits ended with {os.waitstatus_to_exitcode(status)}")
        found.append({"title": title, "packets": packets, "lost": lost, "misdelivered": wrong, "commits": commits, "seconds": seconds})
        print(f"{title}: {packets:,} packets and {commits:,} commits in {seconds:.1f} s", flush=True)
        if not commits:
            raise Failed(f"{title}: nothing was committed meanwhile")
        if lost or wrong:
            raise Failed(f"{title}: of {packets} packets {lost} were lost and {wrong} misdelivered")
    return found


def _committing(turns: list[Encoded], generation: int, cpu: int) -> tuple[int, int]:
    """Starts a process that commits until what is returned second is closed; `turns` are its own."""
    reader, writer = os.pipe()
    if child := os.fork():
        os.close(reader)
        return child, writer
    code = 1
    try:
        os.close(writer)
        os.sched_setaffinity(0, {cpu})
        while not select.select([reader], [], [], 0)[0]:
            turns[generation % len(turns)].commit(generation)
            generation += 1
        code = 0
    finally:
        os._exit(code)
