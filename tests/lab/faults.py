"""Failing allocations, one after another: Documentation/fault-injection/fault-injection.rst.

Only the calling thread's, and only those made on behalf of chosen code: what is in its call chain.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

DEBUGFS = Path("/sys/kernel/debug")
KINDS = {
    "failslab": {"ignore-gfp-wait": "N", "cache-filter": "N"},
    "fail_page_alloc": {"ignore-gfp-wait": "N", "ignore-gfp-highmem": "N", "min-order": "0"},
}
# Beside what fail-nth says: all of it fails. The probability comes last, when the rest is in force.
RULE = {"verbose": "0", "interval": "1", "times": "-1", "probability": "100"}
FILES = ("fail-nth", "make-it-fail")  # a task's own
MOST = 2000  # allocations that one action may make
Range = tuple[int, int]


class Outcome:
    """What came of an action whose `nth` allocation failed, with the `rest` of them or alone, or, where `failed` is false,
    which made fewer than that.
    """

    def __init__(self, nth: int, rest: bool, failed: bool, error: OSError | None):
        self.nth, self.rest, self.failed, self.error = nth, rest, failed, error

    def __str__(self) -> str:
        return f"allocation {self.nth}{' and the rest' if self.rest else ''} ({self.error})"


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
def on_behalf_of(code: Range, whoever: bool = False) -> Iterator[None]:
    """Within the block only allocations with this code in their call chain count and fail: of a task that asks for it, or
    with `whoever`, all of them.
    """
    for kind, settings in KINDS.items():
        start, end = code
        chain = {"require-start": hex(start), "require-end": hex(end)}
        for name, value in {**settings, **chain, "task-filter": "N" if whoever else "Y", **RULE}.items():
            (DEBUGFS / kind / name).write_text(value)
    try:
        yield
    finally:
        for kind in KINDS:
            for name, value in (("probability", "0"), ("require-start", "0"), ("require-end", hex((1 << 64) - 1))):
                (DEBUGFS / kind / name).write_text(value)


def each(action: Callable[[], object]) -> Iterator[Outcome]:
    """Does the action again and again, with the first allocation failing, then the second, until it makes no more; and once
    more so, with all that come after it failing too.
    """
    with ExitStack() as files:
        fail_nth, make_it_fail = (files.enter_context(open(f"/proc/thread-self/{name}", "r+b", 0)) for name in FILES)
        for rest in (False, True):
            for nth in range(1, MOST):
                error = None
                fail_nth.write(str(nth).encode())
                make_it_fail.write(b"1" if rest else b"0")
                try:
                    action()
                except OSError as problem:
                    error = problem
                finally:
                    make_it_fail.write(b"0")
                    # 0 where one has failed; else so many more would have had to be made.
                    left = int(os.pread(fail_nth.fileno(), 16, 0))
                    fail_nth.write(b"0")
                yield Outcome(nth, rest, left == 0, error)
                if left:
                    break
            else:
                raise AssertionError(f"one action made {MOST} allocations: it seems never to end")
