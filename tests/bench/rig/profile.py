"""Where a packet's instructions go: what QEMU's plugin has counted, by function."""

import subprocess
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .source import BATCH


@dataclass(frozen=True)
class Function:
    """What a function costs a packet, without what it calls."""

    name: str
    instructions: float
    calls: float


def functions(counts: Path, symbols: Path) -> list[Function]:
    """From the plugin's file and /proc/kallsyms, the dearest first."""
    head, *lines = counts.read_text().splitlines()
    packets = int(head.removeprefix("batches ")) * BATCH
    starts, names = _symbols(symbols)
    instructions: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for line in lines:
        address, count = int(line.split()[0], 16), int(line.split()[1])
        at = bisect_right(starts, address) - 1
        instructions[names[at]] += count
        if starts[at] == address:
            calls[names[at]] += count
    dearest = [Function(name, count / packets, calls[name] / packets) for name, count in instructions.most_common()]
    return _readable([function for function in dearest if function.instructions >= 0.5])


def text(found: list[Function]) -> str:
    """As a table."""
    total = sum(function.instructions for function in found)
    lines = [f"{function.instructions:9.1f} {function.calls:7.2f}  {function.name}" for function in found]
    return "\n".join(["instructions and calls a packet", *lines, f"{total:9.1f}          in all"])


def _symbols(file: Path) -> tuple[list[int], list[str]]:
    """Addresses of functions in ascending order, and their names."""
    found = []
    for line in file.read_text().splitlines():
        address, kind, *name = line.split()
        if kind in "tTwW":
            found.append((int(address, 16), " ".join(name)))
    found.sort()
    return [address for address, _ in found], [name for _, name in found]


def _readable(found: list[Function]) -> list[Function]:
    """With Rust's names as they are written."""
    names = "\n".join(function.name for function in found)
    done = subprocess.run(["c++filt"], input=names, capture_output=True, text=True, check=True)
    return [Function(name, old.instructions, old.calls) for name, old in zip(done.stdout.splitlines(), found, strict=True)]
