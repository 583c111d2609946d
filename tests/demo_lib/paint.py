"""How the demo looks: a page of 80 columns, one colour a node."""

import os
import sys
import textwrap
import time

LABEL = 8
WIDTH = 80
# Backgrounds that dark text is readable on, of the 256 colours.
COLOURS = {"n1": 75, "n2": 114, "n3": 221, "n4": 176}


def coloured() -> bool:
    """On a terminal that can, unless NO_COLOR is set (no-color.org)."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("NO_COLOR")


class Page:
    """Prints."""

    def __init__(self) -> None:
        self.colour = coloured()
        self._begin = time.monotonic()

    def seconds(self) -> float:
        """Since the page was begun."""
        return time.monotonic() - self._begin

    def style(self, text: str, codes: str) -> str:
        """The text in a style of the terminal."""
        return f"\x1b[{codes}m{text}\x1b[0m" if self.colour else text

    def node(self, name: str, text: str | None = None) -> str:
        """A node's name, or another text, in its colour."""
        return self.style(name if text is None else text, f"38;5;16;48;5;{COLOURS.get(name, 250)}")

    def text(self, text: str = "", label: str = "") -> None:
        """One line, with a label before it."""
        print(f" {self.style(label.ljust(LABEL - 1), '2')}{text}".rstrip(), flush=True)

    def paragraph(self, text: str) -> None:
        """As many lines as it takes."""
        for line in textwrap.wrap(text, WIDTH - LABEL):
            self.text(line)

    def heading(self, number: int, text: str) -> None:
        """A step begins."""
        clock = f"{self.seconds():.0f} s"
        line = f"{number}  {text}"
        pad = " " * max(1, WIDTH - 2 - len(line) - len(clock))
        print(f"\n {self.style(line, '1')}{pad}{self.style(clock, '2')}")
        print(f" {self.style('─' * (WIDTH - 2), '2')}", flush=True)

    def table(self, holders: list[str], moved: set[int]) -> None:
        """The map of all routes."""
        routes = range(1, len(holders) + 1)
        cells = "".join(self.node(name, f"{route:>2} ") for route, name in zip(routes, holders, strict=True))
        self.text(cells, "route")
        names = [name or "--" for name in holders]
        self.text("".join(self.node(name, f"{name} ") for name in names), "node")
        if moved:
            marks = "".join("^^ " if route in moved else "   " for route in routes)
            self.text(self.style(marks, "1"), "moved")

    def wrong(self, text: str) -> None:
        """Something is not as it should be."""
        first, *more = text.splitlines() or [""]
        self.text(self.style(first, "1;31"), "WRONG")
        for line in more[:20]:
            self.text(line)
