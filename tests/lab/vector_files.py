"""The packet vectors of tests/vectors, as the module's tables and packets."""

import json
from typing import Any

from . import paths
from .kernel import Listener, Node, Table


def files() -> list[dict[str, Any]]:
    """All of them, in the order of their names; tests/vectors/README.md has the format."""
    return [json.loads(path.read_text()) for path in sorted(paths.VECTORS.glob("*.json"))]


def tables_of(table: dict[str, Any], fast_path: str = "off") -> list[Table]:
    """A file's table, and those before it, the oldest first."""
    return [table_of(table | state, fast_path) for state in (*table.get("earlier", []), table)]


def table_of(table: dict[str, Any], fast_path: str = "off") -> Table:
    """A file's table."""
    drains = table.get("drains", [])
    names = ("name", "address", "protocol", "port", "node_port", "select", "deliver")
    return Table(
        [run["node"] for run in table["route_nodes"] for _ in range(run["count"])],
        [Listener(**{name: listener[name] for name in names if name in listener}) for listener in table["listeners"]],
        [
            Node(
                node["id"],
                node["name"],
                tuple(node["addresses"]),
                tuple((target["listener"], target["port"]) for target in node["targets"]),
            )
            for node in table["nodes"]
        ],
        drains={drain["route"]: [(former["node"], former["left"]) for former in drain["nodes"]] for drain in drains},
        udp_left={drain["route"]: drain["udp_left"] for drain in drains if "udp_left" in drain},
        select_key=bytes.fromhex(table.get("select_key", "")),
        fast_path=fast_path,
    )
