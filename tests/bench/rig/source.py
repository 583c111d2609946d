"""The packet source and sink in the kernel, halod_bench.ko: orders and results."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from lab import paths
from lab.netns import Namespace

from .frames import Frames

MODULE = paths.REPO / "build/bench/generator/halod_bench.ko"
ORDERS = Path("/sys/kernel/debug/halod-bench")
BATCH = 64
LATE_MOST = 0.4


class Failed(Exception):
    """Packets were lost, late, or not what they should be."""


class Verify(IntEnum):
    """What the sink compares with what arrives; as enum bench_verify in bench.h."""

    COUNT = 0
    EXPECTED = 1
    UNCHANGED = 2
    INSIDE = 3


@dataclass(frozen=True)
class Outcome:
    """What has become of an order's packets."""

    lost: int
    wrong: int
    first_wrong: str
    late: int  # batches that were not sunk when their turn was over
    ticks: list[int]  # of each batch; 0 of a late one


def load(records: bytes) -> None:
    """Loads the module with its records."""
    subprocess.run(["insmod", str(MODULE)], check=True)
    (ORDERS / "records").write_bytes(records)


def sink(namespace: Namespace, device: str) -> None:
    """What arrives at the device is counted and dropped from now on."""
    with namespace.entered():
        (ORDERS / "sink").write_text(device)


def send(namespace: Namespace, frames: Frames, packets: int, verify: Verify = Verify.COUNT, walk: int = 0) -> list[float]:
    """Sends packets from eth0, going through the frames; returns what each batch took a packet.

    With `walk` each is from another client, the first from the one so many addresses after the frame's.

    In ticks of the processor's counter, which are instructions where QEMU
    counts them. Fails where not every packet arrived. A batch that a timer's
    tick has cut in two is not in the list.
    """
    with _undisturbed():
        outcome = deliver(namespace, frames, packets, verify, walk)
    if outcome.lost:
        raise Failed(f"of {packets} packets not all arrived: {outcome.lost} did not")
    if outcome.wrong:
        raise Failed(f"{outcome.wrong} of {packets} packets arrived wrong; the first: {outcome.first_wrong}")
    whole = packets // BATCH
    if outcome.late > 1 + whole * LATE_MOST:
        raise Failed(f"{outcome.late} of {whole} batches were cut in two")
    return [tick / BATCH for tick in outcome.ticks[:whole] if tick]


def nanoseconds() -> float:
    """How long a tick is."""
    first = (ORDERS / "result").read_text().split("\n", 1)[0].split()
    return 1e6 / int(first[first.index("khz") + 1])


def deliver(namespace: Namespace, frames: Frames, packets: int, verify: Verify, walk: int = 0) -> Outcome:
    """Sends packets as `send` does, however long it takes and whatever becomes of them."""
    with namespace.entered():
        (ORDERS / "send").write_text(f"eth0 {frames.first} {frames.count} {packets} {verify} {walk}")
    first, first_wrong, *ticks = (ORDERS / "result").read_text().splitlines()
    words = first.split()
    counts = {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    return Outcome(packets - counts["sunk"], counts["wrong"], first_wrong, counts["late"], list(map(int, ticks)))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No other process or kernel thread runs unless this one waits."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
