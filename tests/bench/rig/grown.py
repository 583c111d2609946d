"""What grows, and what commits cost, as tables."""

from collections.abc import Callable
from typing import Any

from .table import markdown

Found = list[dict[str, Any]]


def text(found: dict[str, Found]) -> str:
    """All of it that was measured."""
    parts: tuple[tuple[str, Callable[[Found], str]], ...] = (
        ("growth", _memory), ("growth", _flood), ("growth", _connections), ("commits", _commits), ("during", _during),
    )
    return "\n".join(part(found[name]) for name, part in parts if name in found)


def _memory(growth: Found) -> str:
    rows = [row for row in growth if row["path"] != "control"]
    counts = [kept["connections"] for kept in rows[0]["memory"]]
    lines = [
        [row["title"], f"{row['set_up'] / 1024:,.0f}", *(f"{kept['bytes'] / kept['connections']:,.0f}" for kept in row["memory"])]
        for row in rows
    ]
    head = ["memory", "when set up, KiB", *(f"bytes a connection, at {count:,}" for count in counts)]
    return f"The kernel's memory. What HaloD has while routes drain is the set of flows, whose size is fixed.\n\n{markdown(head, lines)}"


def _flood(growth: Found) -> str:
    lines = [
        [row["title"], *(f"{figure:,.0f}" for figure in row["new"]), f"{row['existing'][0]:,.0f}", f"{max(row['existing'][1:]):,.0f}", f"{row['existing'][-1]:,.0f}"]
        for row in growth
    ]
    last = f"{growth[0]['up_to'][-1]:,}"
    head = ["flood", *(f"new flows up to {count:,}" for count in growth[0]["up_to"]), "existing flow, before", "meanwhile at most", f"after {last}"]
    return f"Instructions a packet while new flows come in, each from an address of its own; TCP over IPv4.\n\n{markdown(head, lines)}"


def _connections(growth: Found) -> str:
    # The control's is by no balancer at all.
    plain = growth[0]["connection"]
    lines = [
        [
            "plain IP forwarding" if row["path"] == "control" else row["title"],
            f"{row['connection']:,.0f}", f"{row['connection'] - plain:,.0f}", f"{1e9 / row['connection']:,.0f}",
        ]
        for row in growth
    ]  # fmt: skip
    head = ["new connections", "instructions each", "over plain forwarding", "a second, at 10^9 instructions"]
    return f"A TCP connection over IPv4 from its SYN to its last ACK, in the kernels of client, balancer, and node.\n\n{markdown(head, lines)}"


def _commits(commits: Found) -> str:
    lines = [[row["title"], f"{row['instructions']:,}", f"{row['most']:,}"] for row in commits]
    return f"Instructions of the kernel for a commit in which every route moves.\n\n{markdown(['commit', 'best', 'worst'], lines)}"


def _during(during: Found) -> str:
    lines = [
        [
            row["title"], f"{row['commits'] / row['seconds']:,.0f}", f"{row['commits']:,}", f"{row['packets']:,}",
            f"{row['lost']:,}", f"{row['misdelivered']:,}",
        ]
        for row in during
    ]
    head = ["commits", "a second", "in all", "packets meanwhile", "lost", "misdelivered"]
    return f"Packets while one CPU commits as fast as it can, and another sends.\n\n{markdown(head, lines)}"
