"""Results as tables, in Markdown, which is as good to read in a terminal."""

from collections.abc import Sequence

from .frames import KINDS
from .results import NANOSECONDS, Result, Results

# How the traffic of existing flows from the client is called on the several paths.
EXISTING = ("forward", "routed")
TRAFFIC = {
    "forward": "existing flow",
    "new": "new flow",
    "reverse": "reverse",
    "last": "existing flow",
    "last_reverse": "reverse",
    "wide": "existing flow",
    "wide_reverse": "reverse",
    "one_port": "existing flow",
    "one_port_reverse": "reverse",
    "crowd": "existing flow",
    "crowd_reverse": "reverse",
    "routed": "to other machines",
    "routed_reverse": "from other machines",
    "beside": "to nodes, other ports",
    "beside_reverse": "from nodes, other ports",
}


def comparison(results: Results) -> str:
    """Every path by its TCP over IPv4, from the cheapest on."""

    def figure(path: str, traffic: Sequence[str], kind: str = "tcp4") -> str:
        found = [row for name in traffic if (row := results.find(path, name, kind))]
        return f"{found[0].figure:,.0f}" if found else ""

    lines, nets = [], []
    for path, row in sorted(_existing(results).items(), key=lambda item: item[1].figure):
        nets.append(results.net(row))
        lines.append([
            results.titles[path], figure(path, EXISTING), figure(path, ["new"]), figure(path, ["reverse", "routed_reverse"]),
            figure(path, EXISTING, "udp4"), figure(path, EXISTING, "tcp6"),
            _number(results.net(row)), _ratio(results.to_ipvs(row)), _ratio(results.to_plain(row)),
        ])
    head = ["path", "existing flow", "new flow", "reverse", "UDP", "IPv6", "net", "net to IPVS NAT", "to plain forwarding"]
    if results.unit == NANOSECONDS:
        head.append("packets a second, net")
        for line, net in zip(lines, nets, strict=True):
            line.append(f"{1e9 / net:,.0f}" if net and net > 0 else "")
    return markdown(head, lines)


def own(results: Results) -> str:
    """HaloD's rows, all of them, for each kind."""
    lines = []
    for path in results.titles:
        if not is_own(path) and path not in ("control", "plain"):
            continue
        for traffic in dict.fromkeys(row.traffic for row in results.rows if row.path == path):
            found = [results.find(path, traffic, str(kind)) for kind in KINDS]
            first = next(row for row in found if row)
            title = f"{results.titles[path]}: {TRAFFIC[traffic]}"
            lines.append([title, *(f"{row.figure:,.0f}" if row else "" for row in found), _ratio(results.to_plain(first))])
    return markdown(["path", *(_title(str(kind)) for kind in KINDS), "to plain forwarding"], lines)


# Those of HaloD's paths that are compared with the others'.
COMPARED = ("halod", "halod-fast", "halod-dsr", "halod-ipip")


def is_own(path: str) -> bool:
    """Whether it is HaloD's work, or the lack of it, that a path shows."""
    return path.startswith(("halod", "not-halod"))


def worst(results: Results) -> str:
    """How well the rounds agree."""
    texts = []
    for whose, rows in (("HaloD's", [row for row in results.rows if is_own(row.path)]), ("the others'", [row for row in results.rows if not is_own(row.path)])):
        if rows:
            row = max(rows, key=lambda row: row.spread)
            texts.append(f"{100 * row.spread:.2f} % on {whose} rows ({results.titles[row.path]}: {TRAFFIC[row.traffic]}, {_title(row.kind)})")
    return f"The rounds of this run are apart by at most {' and '.join(texts)}."


def _existing(results: Results) -> dict[str, Result]:
    return {
        row.path: row
        for row in results.rows
        if row.traffic in EXISTING and row.kind == "tcp4" and (not is_own(row.path) or row.path in COMPARED)
    }


def _title(kind: str) -> str:
    return f"{kind[:3].upper()} over IPv{kind[3]}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """A table, whose first column is text and the others figures."""
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]

    def row(cells: list[str]) -> str:
        first, *others = cells
        padded = [first.ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = "|" + "|".join(["-" * (widths[0] + 2)] + ["-" * (width + 1) + ":" for width in widths[1:]]) + "|"
    return "\n".join([row(head), rule, *(row(line) for line in lines)]) + "\n"
