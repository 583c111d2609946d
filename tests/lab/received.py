"""What the kernel's own trace says: how packets come in, in how many pieces and with which checksums done; and how
often it calls a function.
"""

import os
import re
from pathlib import Path

from .checks import check
from .flavour import DEBUG

TRACING = Path("/sys/kernel/tracing")
EVENTS = ("netif_rx_entry", "napi_gro_receive_entry", "napi_gro_frags_entry", "netif_receive_skb_entry")
FIELDS = re.compile(r"\b(ip_summed|len|data_len|nr_frags|gso_size)=(\d+)")
# include/linux/skbuff.h
CHECKSUM_NONE, CHECKSUM_UNNECESSARY, CHECKSUM_COMPLETE, CHECKSUM_PARTIAL = range(4)


class Received:
    """The packets that come in by a device (of whatever namespace) while the block runs: include/trace/events/net.h."""

    def __init__(self, device: str):
        self._trace = TRACING / "instances" / f"halod-{os.getpid()}-{device}"
        self._filter = f'name == "{device}"'
        self.packets: list[dict[str, int]] = []  # by the names of FIELDS

    def __enter__(self) -> "Received":
        self._trace.mkdir()
        for event in EVENTS:
            directory = self._trace / "events/net" / event
            (directory / "filter").write_text(self._filter)
            (directory / "enable").write_text("1")
        return self

    def __exit__(self, *_: object) -> None:
        for event in EVENTS:
            (self._trace / "events/net" / event / "enable").write_text("0")
        lines = [line for line in (self._trace / "trace").read_text().splitlines() if "ip_summed=" in line]
        self._trace.rmdir()
        self.packets = [{name: int(value) for name, value in FIELDS.findall(line)} for line in lines]

    def large(self) -> list[dict[str, int]]:
        """Those that carry much."""
        large = [packet for packet in self.packets if packet["len"] > 1000]
        check(large, f"of {len(self.packets)} packets some are large")
        return large


class Called:
    """How often a function is called while the block runs, on a kernel that has kprobes: Documentation/trace/kprobetrace.rst."""

    def __init__(self, function: str):
        self._function = function
        self.count = 0

    def __enter__(self) -> "Called":
        if not DEBUG:
            self._define(f"p:halod/called {self._function}")
            self._enable(True)
        return self

    def __exit__(self, *_: object) -> None:
        if not DEBUG:
            self._enable(False)
            self.count = int((TRACING / "kprobe_profile").read_text().split()[1])
            self._define("-:halod/called")

    def _define(self, line: str) -> None:
        with open(os.open(TRACING / "kprobe_events", os.O_WRONLY | os.O_APPEND), "w") as events:  # "a" would seek
            events.write(line + "\n")

    def _enable(self, on: bool) -> None:
        (TRACING / "events/halod/called/enable").write_text(str(int(on)))
