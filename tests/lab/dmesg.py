"""What the kernel said since a moment, and which of it is trouble."""

import os
import re

# What a kernel says when something is wrong with itself, and whatever the module calls an error.
TROUBLE = re.compile(
    r"WARNING:|BUG:|kernel BUG|Oops|Kernel panic|general protection|Call Trace|KASAN|KCSAN|KFENCE|UBSAN"
    r"|possible (circular|recursive) locking|inconsistent lock state|suspicious RCU|lockdep"
    r"|sleeping function|scheduling while atomic|detected stall|soft lockup|hung task|blocked for more than"
    r"|unreferenced object|memory leaks?|refcount_t|unregister_netdevice: waiting|rust_kernel.*panic"
    r"|halod.*(error|fail|panic)",
    re.IGNORECASE,
)
# Said of every module that the distribution has not signed.
EXPECTED = "module verification failed: signature and/or required key missing"
# What a kernel says before the trace of an allocation that failed.
SHORTAGE = re.compile(r"vmalloc error:|page allocation failure:|percpu: allocation failed,.* atomic=0")
# /dev/kmsg: the priority is in the low three bits of the first field; 3 is KERN_ERR.
ERROR_PRIORITY = 3


class KernelLog:
    """The kernel's log from the moment of making this."""

    def __init__(self) -> None:
        self._fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self._fd, 0, os.SEEK_END)

    def lines(self) -> list[str]:
        """What is new since the last call (or the beginning), `<priority> text`."""
        found = []
        while True:
            try:
                record = os.read(self._fd, 8192).decode(errors="replace")
            except BlockingIOError:
                return found
            except BrokenPipeError:
                found.append("<3> some of the kernel's log was overwritten before it was read: BUG: unknown")
                continue
            head, _, text = record.partition(";")
            found.append(f"<{int(head.split(',')[0]) & 7}> {text.splitlines()[0] if text else ''}")

    def close(self) -> None:
        """Stops reading."""
        os.close(self._fd)


def trouble(lines: list[str]) -> list[str]:
    """The lines that must not be there."""

    def bad(line: str) -> bool:
        return bool(TROUBLE.search(line)) or ("halod" in line and int(line[1]) <= ERROR_PRIORITY)

    return [line for line in lines if EXPECTED not in line and bad(line)]


def without_shortages(lines: list[str]) -> list[str]:
    """The lines without what is said, and traced, of allocations that failed. What else is trouble stays, amid a trace too."""
    kept, inside = [], False
    for line in lines:
        inside = inside or bool(SHORTAGE.search(line))
        of_trace = line.startswith(" ", len("<4> ")) or "Call Trace:" in line
        if not inside or (trouble([line]) and not of_trace):
            kept.append(line)
        inside = inside and "</TASK>" not in line
    return kept
