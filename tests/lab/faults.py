"""Failing allocations, one after another: Documentation/fault-injection/fault-injection.rst.

Only the calling thread's, and only those made on behalf of chosen code: what is in its call chain.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

DEBUGFS = Path("/sys/kernel/debug")
KINDS = {
    "failslab": {"ignore-gfp-wait": "N", "cache-filter": "N"},
    "fail_page_alloc": {"ignore-gfp-wait": "N", "ignore-gfp-highmem": "N", "min-order": "0"},
}
MOST = 2000  # allocations that one action may make
Range = tuple[int, int]


class Outcome:
    """What came of an action whose `nth` allocation failed, or, where `failed` is false, which made fewer than that."""

    def __init__(self, nth: int, failed: bool, error: OSError | None):
        self.nth, self.failed, self.error = nth, failed, error


def module_text() -> Range:
    """Where the module's code is."""
    # name size uses users state address
    words = next(line.split() for line in Path("/proc/modules").read_text().splitlines() if line.startswith("halod "))
    start = int(words[5], 16)
    return start, start + int(words[1])


def function(name: str) -> Range:
    """Where a function of the kernel is: from its address to the next symbol's."""
    symbols = sorted((int(words[0], 16), words[2]) for line in Path("/proc/kallsyms").open() if (words := line.split()))
    start = next(address for address, symbol in symbols if symbol == name)
    return start, next(address for address, _ in symbols if address > start)


@contextmanager
def on_behalf_of(code: Range) -> Iterator[None]:
    """Within the block only allocations with this code in their call chain count and fail."""
    for kind, settings in KINDS.items():
        start, end = code
        for name, value in {**settings, "verbose": "0", "require-start": hex(start), "require-end": hex(end)}.items():
            (DEBUGFS / kind / name).write_text(value)
    try:
        yield
    finally:
        for kind in KINDS:
            (DEBUGFS / kind / "require-start").write_text("0")
            (DEBUGFS / kind / "require-end").write_text(hex((1 << 64) - 1))


def each(action: Callable[[], object]) -> Iterator[Outcome]:
    """Does the action again and again, with the first allocation failing, then the second, until it makes no more."""
    file = os.open("/proc/thread-self/fail-nth", os.O_RDWR | os.O_CLOEXEC)
    try:
        for nth in range(1, MOST):
            error = None
            os.pwrite(file, str(nth).encode(), 0)
            try:
                action()
            except OSError as problem:
                error = problem
            finally:
                # 0 where one has failed; else so many more would have had to be made.
                left = int(os.pread(file, 16, 0))
                os.pwrite(file, b"0", 0)
            yield Outcome(nth, left == 0, error)
            if left:
                return
    finally:
        os.close(file)
    raise AssertionError(f"one action made {MOST} allocations: it seems never to end")
