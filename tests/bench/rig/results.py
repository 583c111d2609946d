"""What was measured, and what follows from it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from .path import Measured

INSTRUCTIONS = "instructions"
NANOSECONDS = "nanoseconds"


@dataclass(frozen=True)
class Result:
    """One row, in its unit a packet."""

    path: str
    traffic: str
    kind: str
    unit: str
    rounds: tuple[float, ...]

    @property
    def name(self) -> str:
        """The row's name in the baseline."""
        return f"{self.path} {self.traffic} {self.kind}"

    @property
    def direction(self) -> str:
        """From the client, or back to it."""
        return "reverse" if self.traffic.endswith("reverse") else "forward"

    @property
    def figure(self) -> float:
        """From the source to the sink, both included. Of times the best: all else was taken by others."""
        return min(self.rounds) if self.unit == NANOSECONDS else mean(self.rounds)

    @property
    def spread(self) -> float:
        """How far the rounds are apart, as a part of the figure."""
        return (max(self.rounds) - min(self.rounds)) / self.figure


class Results:
    """All rows of one run."""

    def __init__(self, kernel: str, unit: str, titles: dict[str, str], rows: list[Result]):
        self.kernel, self.unit, self.titles, self.rows = kernel, unit, titles, rows
        self._rows = {(row.path, row.traffic, row.kind): row for row in rows}

    @classmethod
    def read(cls, file: Path) -> "Results":
        """From the file that `save` has written."""
        whole = json.loads(file.read_text())
        unit = whole["unit"]
        rows = [Result(row["path"], row["traffic"], row["kind"], unit, tuple(row["rounds"])) for row in whole["rows"]]
        return cls(whole["kernel"], unit, whole["paths"], rows)

    def find(self, path: str, traffic: str, kind: str) -> Result | None:
        """A row, where it was measured."""
        return self._rows.get((path, traffic, kind))

    def net(self, row: Result) -> float | None:
        """The figure less the control of the same direction and kind: what the way from one link to the other costs."""
        control = self.find("control", row.direction, row.kind)
        return None if control is None else row.figure - control.figure

    def to_plain(self, row: Result) -> float | None:
        """The figure's ratio to that of plain forwarding."""
        plain = self.find("plain", {"forward": "routed", "reverse": "routed_reverse"}[row.direction], row.kind)
        return None if plain is None else row.figure / plain.figure

    def to_ipvs(self, row: Result) -> float | None:
        """The net cost's ratio to that of IPVS NAT."""
        ipvs = self.find("ipvs-nat", "new" if row.traffic == "new" else row.direction, row.kind)
        if ipvs is None or (net := self.net(row)) is None or not (whole := self.net(ipvs)):
            return None
        return net / whole

    def write(self, file: Path, grown: dict[str, Any]) -> None:
        """Everything, with what follows from the figures and with what grows, for other programs."""
        rows = [
            {
                "path": row.path, "traffic": row.traffic, "kind": row.kind, "rounds": row.rounds,
                "figure": row.figure, "spread": row.spread, "net": self.net(row),
                "net_to_ipvs_nat": self.to_ipvs(row), "figure_to_plain": self.to_plain(row),
            }
            for row in self.rows
        ]
        whole = {"unit": f"{self.unit} a packet", "kernel": self.kernel, "paths": self.titles, "rows": rows} | grown
        file.write_text(json.dumps(whole, indent=1) + "\n")


def save(file: Path, kernel: str, unit: str, titles: dict[str, str], figures: list[Measured]) -> None:
    """Keeps what was measured, for `Results.read`."""
    whole = {"kernel": kernel, "unit": unit, "paths": titles, "rows": [asdict(row) for row in figures]}
    file.write_text(json.dumps(whole) + "\n")
