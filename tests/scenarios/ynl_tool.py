"""The kernel's own netlink tool, tools/net/ynl, reads status, table and counters by HaloD's spec, after checking
the spec against the kernel's schema; and it can commit."""

import json
import sys
from typing import Any

from lab import paths
from lab.addresses import ROUTES
from lab.checks import check, equal
from lab.lab import Lab

BOTH_PATHS = True
SCHEMA = paths.YNL.parents[4] / "Documentation/netlink/genetlink.yaml"


def run(lab: Lab) -> None:
    table = lab.table([1, 2, 3] * (ROUTES // 3))

    def ynl(*arguments: object) -> Any:
        schema = ["--schema", SCHEMA] if "get-status" in arguments else ["--no-schema"]
        argv = [sys.executable, paths.YNL, "--spec", paths.SPEC, *schema, "--output-json", *arguments]
        return json.loads(lab.net.halod.run(*argv).stdout)

    committed = ynl("--do", "commit", "--json", json.dumps({"expected-generation": 0, **table.attributes()}))
    equal(committed, {"generation": 1}, "the answer to a commit")
    status = ynl("--do", "get-status")
    equal(
        {name: status[name] for name in ("generation", "routes", "listeners", "nodes")},
        {"generation": 1, "routes": ROUTES, "listeners": len(table.listeners), "nodes": 4},
        "get-status",
    )
    check(status["version"], "get-status tells a version")
    parts = ynl("--dump", "get-table")
    runs = {run["first"]: run["nodes"] for part in parts for run in part.get("run", [])}
    equal([id for first in sorted(runs) for id in runs[first]], table.routes, "routes in get-table")
    nodes = [node for part in parts for node in part.get("node", [])]
    equal([node["name"] for node in nodes], ["n1", "n2", "n3", "n4"], "nodes in get-table")
    equal(nodes[0]["address"], ["192.0.2.11", "2001:db8:2::11"], "addresses of the first node")
    counters = {counter["name"]: counter["packets"] for counter in ynl("--dump", "get-counters")}
    check({"forward", "reverse", "drop_no_node"} <= counters.keys(), f"get-counters names the exits: {sorted(counters)}")
