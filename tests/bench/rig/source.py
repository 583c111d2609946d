"""The packet source and sink in the kernel, halod_bench.ko: orders and results."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
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


def load(records: bytes) -> None:
    """Loads the module with its records."""
    subprocess.run(["insmod", str(MODULE)], check=True)
    (ORDERS / "records").write_bytes(records)


def sink(namespace: Namespace, device: str) -> None:
    """What arrives at the device is counted and dropped from now on."""
    with namespace.entered():
        (ORDERS / "sink").write_text(device)


def send(namespace: Namespace, frames: Frames, packets: int, verify: Verify = Verify.COUNT) -> list[float]:
    """Sends packets from eth0, going through the frames; returns what each batch took a packet.

    In ticks of the processor's counter, which are instructions where QEMU
    counts them. Fails where not every packet arrived. A batch that a timer's
    tick has cut in two is not in the list.
    """
    with namespace.entered(), _undisturbed():
        (ORDERS / "send").write_text(f"eth0 {frames.first} {frames.count} {packets} {verify}")
    first, wrong, *ticks = (ORDERS / "result").read_text().splitlines()
    words = first.split()
    counts = {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    if (counts["sent"], counts["sunk"]) != (packets, packets):
        raise Failed(f"of {packets} packets not all arrived: {first}")
    if counts["wrong"]:
        raise Failed(f"{counts['wrong']} of {packets} packets arrived wrong; the first: {wrong}")
    whole = packets // BATCH
    if counts["late"] > 1 + whole * LATE_MOST:
        raise Failed(f"{counts['late']} of {whole} batches were cut in two")
    return [int(tick) / BATCH for tick in ticks[:whole] if tick != "0"]


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No other process or kernel thread runs unless this one waits."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
