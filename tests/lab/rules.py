"""Rules of routing on HaloD's machine, and the mark that an nft rule gives to what is sent to the VIPs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from .addresses import VIP4, VIP6, Host
from .topology import Topology

MARK = 7
# As the packets are still the VIP's.
MARKS = f"""
table inet marks {{
    chain marks {{
        type filter hook prerouting priority -310
        ip daddr {VIP4} meta mark set {MARK}
        ip6 daddr {VIP6} meta mark set {MARK}
    }}
}}
"""


@contextmanager
def rule(net: Topology, *words: str | int | Host | Mapping[int, str]) -> Iterator[None]:
    """A rule of either IP version within the block; of a host, and of a mapping by version, the address."""
    _each(net, "add", words)
    try:
        yield
    finally:
        _each(net, "del", words)


def _each(net: Topology, command: str, words: tuple[str | int | Host | Mapping[int, str], ...]) -> None:
    for family in (4, 6):
        own = [
            word.address(family) if isinstance(word, Host) else word[family] if isinstance(word, Mapping) else word
            for word in words
        ]
        net.halod.run("ip", f"-{family}", "rule", command, *own)
