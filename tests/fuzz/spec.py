"""The netlink family as kmod/netlink/halod.yaml describes it: numbers, types and limits."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}


@dataclass(frozen=True)
class Attribute:
    """One attribute of a set."""

    name: str
    number: int
    type: str  # u8 .. u64, string, binary, nest
    nested: str = ""  # the set that a nest holds
    limits: tuple[int, ...] = ()  # values, or lengths, at which a check changes its mind


@dataclass(frozen=True)
class Spec:
    """All sets and operations."""

    sets: dict[str, dict[str, Attribute]]
    commands: dict[str, int]
    dumps: frozenset[str]
    # An operation's attributes, by the set that they are of.
    set_of: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Spec":
        """Reads the file."""
        document = yaml.safe_load(path.read_text())
        constants = {item["name"]: item["value"] for item in document["definitions"] if item["type"] == "const"}
        sets = {
            entry["name"]: {
                item["name"]: Attribute(
                    item["name"], number, item["type"], item.get("nested-attributes", ""), _limits(item, constants)
                )
                for number, item in enumerate(entry["attributes"], 1)
            }
            for entry in document["attribute-sets"]
        }
        operations = document["operations"]["list"]
        return cls(
            sets,
            {operation["name"]: number for number, operation in enumerate(operations, 1)},
            frozenset(operation["name"] for operation in operations if "dump" in operation),
            {operation["name"]: operation["attribute-set"] for operation in operations},
        )


def _limits(item: dict[str, Any], constants: dict[str, int]) -> tuple[int, ...]:
    """Each check's number and its neighbours."""
    numbers = [constants.get(value, value) for value in item.get("checks", {}).values()]
    return tuple(number + step for number in numbers if isinstance(number, int) for step in (-1, 0, 1) if number + step >= 0)
