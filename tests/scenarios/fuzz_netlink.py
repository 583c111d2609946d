"""Requests that nobody should send: the module refuses them, and the table in force is the last one accepted.

Two processes, each in a namespace of its own, send FUZZ_REQUESTS between them (5,000 by default; `make fuzz` sends
200,000): commits that are good, spoiled a little or nonsense, and all other operations with
anything in them. Both tables are dumped again and again, and compared with what this side of the socket
makes of the last request that was accepted. The seed is printed; FUZZ_SEED repeats it.
"""

import ctypes
import gc
import os
import time
from collections import Counter

from fuzz import netlink
from fuzz.spec import Spec
from lab import paths
from lab.checks import check
from lab.lab import Lab
from lab.netns import Namespace
from lab.topology import PREFIX, ip_batch

NEEDS_DEBUG = True
DEADLINE = 1200
COUNT = int(os.environ.get("FUZZ_REQUESTS", 5_000))
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
SEED = int(os.environ.get("FUZZ_SEED", 0)) or time.time_ns() & 0xFFFFFFFF


def run(lab: Lab) -> None:
    spec = Spec.read(paths.SPEC)
    names = [f"{PREFIX}fuzz{number}" for number in range(2)]
    ip_batch([f"netns add {name}" for name in names])
    print(f"# {COUNT} requests, FUZZ_SEED={SEED}", flush=True)
    begin = time.monotonic()
    children = [fuzzing(Namespace(name), spec, SEED + index) for index, name in enumerate(names)]
    outcomes: Counter[str] = Counter()
    failures = []
    for pid, reader in children:
        with os.fdopen(reader, errors="replace") as pipe:
            text = pipe.read()
        _, status = os.waitpid(pid, 0)
        if status:
            failures.append(text)
        else:
            outcomes += Counter({line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in text.splitlines()})
    check(not failures, f"every answer was right (FUZZ_SEED={SEED}): {failures}")
    seconds = time.monotonic() - begin
    print(f"# {COUNT / seconds:.0f} requests a second: " + ", ".join(f"{what} {count}" for what, count in outcomes.most_common()))
    check(sum(outcomes.values()) == COUNT // 2 * 2, f"all requests were answered: {sum(outcomes.values())}")
    # What is refused at the door only says nothing of what lies behind it.
    check(outcomes["commit done"] > COUNT / 50, f"enough commits were accepted: {outcomes['commit done']}")
    check(outcomes["commit EINVAL"] > COUNT / 10, f"enough commits were refused: {outcomes['commit EINVAL']}")


def keep_memory() -> None:
    """Page faults cost the debug kernel more than all of Python: what was allocated is not given back, nor looked over."""
    libc = ctypes.CDLL(None)
    for parameter, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 1 << 30)):
        libc.mallopt(parameter, value)
    gc.disable()


def fuzzing(namespace: Namespace, spec: Spec, seed: int) -> tuple[int, int]:
    """Starts a process that sends half of the requests; returns it, and where it writes what it saw."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    code = 1
    try:
        keep_memory()
        os.setns(namespace.fd, os.CLONE_NEWNET)
        fuzzer = netlink.Fuzzer(spec, netlink.Conversation(), seed)
        fuzzer.run(COUNT // 2)
        text, code = "\n".join(f"{what} {count}" for what, count in fuzzer.outcomes.items()), 0
    except BaseException as error:
        text = f"{type(error).__name__}: {error}"[:4000]
    os.write(writer, text.encode())
    os._exit(code)
