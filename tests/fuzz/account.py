"""Where packets went: HaloD's counters against those of nftables on both sides of HaloD's hooks.

::

    device -> arrived | defragmentation | before | HaloD | after -> routing -> before | HaloD | after
                 -450        -400          -295     -290    -285                  95       100     105
                                  pre_routing, local_out                       local_in, post_routing

Two kinds of packets go another way. Those of the fast path are gone before they arrive. Those inside others
do not come out of the hook at which they came in, and come by as the others' at local_out: all packets that
come in are marked, and what has a mark when it is to leave, without having come by as such, is one of those.
"""

import json
import time
from dataclasses import dataclass

from lab.checks import check, equal
from lab.kernel import Kernel
from lab.netns import Namespace

HOOKS = {"prerouting": (-295, -285), "output": (-295, -285), "input": (95, 105), "postrouting": (95, 105)}
FRAGMENTS = "ip frag-off & 0x3fff != 0", "exthdr frag exists"


def rules() -> str:
    """The counters, as nft(8) reads them."""
    chains = ["counter arrived { }", "counter fragments { }", "counter outer { }"]
    tests = " ".join(f"{test} counter name fragments;" for test in FRAGMENTS)
    chains.append(f"chain arrive {{ type filter hook prerouting priority -450; counter name arrived; meta mark set 1; {tests} }}")
    chains.append("chain leave { type filter hook output priority -296; meta mark 1 counter name outer; meta mark set 1; }")
    for hook, priorities in HOOKS.items():
        for when, priority in zip(("before", "after"), priorities):
            name = f"{hook}_{when}"
            chains.append(f"counter {name} {{ }}")
            chains.append(f"chain {name} {{ type filter hook {hook} priority {priority}; counter name {name}; }}")
    return "\n".join(["table inet account {", *chains, "}"]) + "\n"


@dataclass(frozen=True)
class Books:
    """All counters at a quiet moment."""

    exits: dict[str, int]
    seen: dict[str, int]
    fast: int

    def since(self, before: "Books") -> "Books":
        """What was counted in between."""
        return Books(
            {name: count - before.exits[name] for name, count in self.exits.items()},
            {name: count - before.seen[name] for name, count in self.seen.items()},
            self.fast - before.fast,
        )

    def balance(self, frames: int) -> str:
        """Fails where packets are counted twice, or not at all, of which so many were sent as frames; says what it found."""
        seen, exits = self.seen, self.exits
        hooks = {hook: seen[f"{hook}_before"] - seen[f"{hook}_after"] for hook in HOOKS}
        drops = sum(count for name, count in exits.items() if name.startswith("drop_"))
        outer = seen["outer"]
        equal(drops + outer, sum(hooks.values()), f"HaloD's drops and packets inside others ({outer}) against packets that did not come out of its hooks, {hooks}")
        # Every packet is counted at the first two hooks, or left to the others; then routing may lose it.
        met = seen["prerouting_before"] + seen["output_before"] - outer
        lost = seen["prerouting_after"] + seen["output_after"] - seen["input_before"] - seen["postrouting_before"]
        counted = sum(exits.values()) - self.fast
        check(met - lost <= counted <= met, f"{met} packets met HaloD, {lost} were lost by routing, and {counted} are counted")
        refused, absorbed = frames - self.fast - seen["arrived"], seen["arrived"] - seen["prerouting_before"]
        check(0 <= absorbed <= seen["fragments"], f"{absorbed} packets wait for others, of {seen['fragments']} fragments")
        check(0 <= refused < frames / 2, f"of {frames} frames sent {seen['arrived']} arrived as packets, {self.fast} on the fast path")
        return (
            f"{frames} frames: {self.fast} on the fast path, {refused} refused by the IP layer, {absorbed} fragments absorbed, "
            f"{met} packets met HaloD, {counted} counted, {outer} sent inside others, {lost} lost by routing"
        )


class Account:
    """The counters of a namespace, from now on."""

    def __init__(self, namespace: Namespace, kernel: Kernel):
        self._namespace, self._kernel = namespace, kernel
        namespace.run("nft", "-f", "-", input=rules())
        self._begin = self.books()

    def books(self) -> Books:
        """The counters, when nothing changes any more."""
        last = self._read()
        for _ in range(60):
            time.sleep(0.5)
            now = self._read()
            if now == last:
                return now
            last = now
        raise AssertionError("packets come and go for half a minute where all should be quiet")

    def balance(self, frames: int) -> tuple[Books, str]:
        """As `Books.balance`, since the beginning; and what has been counted since."""
        books = self.books().since(self._begin)
        return books, books.balance(frames)

    def _read(self) -> Books:
        listed = json.loads(self._namespace.run("nft", "-j", "list", "counters", "table", "inet", "account").stdout)
        seen = {item["counter"]["name"]: item["counter"]["packets"] for item in listed["nftables"] if "counter" in item}
        return Books(self._kernel.counters(), seen, self._kernel.fast_path()["fast"])
