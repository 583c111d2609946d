"""Which of the lab's two kernels this is, and what the debug flavour has found at the end."""

import os
import re
import time
from pathlib import Path

DEBUG = os.uname().release.endswith("-halod-debug")
# Whatever waits for something waits this much longer: the debug flavour looks at every access to memory.
SLOWER = 5 if DEBUG else 1

KMEMLEAK = Path("/sys/kernel/debug/kmemleak")
LOCKDEP = Path("/proc/lockdep_stats")
# kmemleak believes in a leak from this age on (mm/kmemleak.c, MSECS_MIN_AGE), in seconds.
AGE = 5


def begin() -> None:
    """What was allocated before does not count."""
    if DEBUG:
        KMEMLEAK.write_text("clear")


def findings() -> list[str]:
    """Memory that nobody can find any more, with the functions that asked for it; and whoever looks no more."""
    if not DEBUG:
        return []
    found = []
    if not re.search(r"^ debug_locks: +1$", LOCKDEP.read_text(), re.MULTILINE):
        found.append("lockdep has switched itself off: it would not have seen anything")
    for _ in range(2):  # a pointer on its way from register to register escapes a single look
        time.sleep(AGE + 1)
        KMEMLEAK.write_text("scan")
    found += [f"unreferenced object {text.rstrip()}" for text in re.split(r"^unreferenced object ", KMEMLEAK.read_text(), flags=re.MULTILINE)[1:]]
    return found
