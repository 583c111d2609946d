"""A commit that makes no sense is refused with a text that says what is wrong, and changes nothing."""

from typing import Any

from lab.addresses import ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.kernel import Refused
from lab.lab import Lab


def run(lab: Lab) -> None:
    kernel = lab.kernel()
    kernel.commit(lab.table([1] * ROUTES))
    table = kernel.table()
    good = lab.table([1] * ROUTES).attributes() | {"expected-generation": 1}
    listener, node = good["listener"][0], good["node"][0]
    drain = {"route": 1, "node": [2], "left": [1]}

    def changed(**attributes: Any) -> dict[str, Any]:
        made = good | {name.replace("_", "-"): value for name, value in attributes.items()}
        return {name: value for name, value in made.items() if value is not None}

    def runs(*parts: tuple[int, list[int]]) -> list[dict[str, Any]]:
        return [{"first": first, "nodes": nodes} for first, nodes in parts]

    wrong = {
        "no expected generation": changed(expected_generation=None),
        "no routes": changed(routes=None),
        "zero routes": changed(routes=0),
        "too many routes": changed(routes=32769),
        "no runs": changed(run=None),
        "a route not described": changed(run=runs((1, [1] * (ROUTES - 1)))),
        "a hole between runs": changed(run=runs((1, [1] * 10), (12, [1] * (ROUTES - 11)))),
        "a route described twice": changed(run=runs((1, [1] * ROUTES), (3, [1]))),
        "a run past the last route": changed(run=runs((1, [1] * (ROUTES + 1)))),
        "a run from route 0": changed(run=runs((0, [1] * ROUTES))),
        "a run of half a number": changed(run=[{"first": 1, "nodes": bytes(4 * ROUTES + 2)}]),
        "a node nobody described": changed(run=runs((1, [99] * ROUTES))),
        "two nodes with one id": changed(node=[node, node]),
        "a node without an id": changed(node=[{"name": "n1", "address": ["192.0.2.11"]}]),
        "a node without an address": changed(node=[{"id": 1, "name": "n1"}]),
        "a node with two IPv4 addresses": changed(node=[node | {"address": ["192.0.2.11", "192.0.2.12"]}]),
        "an address of 5 bytes": changed(node=[node | {"address": [bytes(5)]}]),
        "a node at 0.0.0.0": changed(node=[node | {"address": ["0.0.0.0"]}]),
        "a name of 64 bytes": changed(node=[node | {"name": "n" * 64}]),
        "a target for a listener that is not there": changed(node=[node | {"target": [{"listener": 99, "port": 1}]}]),
        "a listener without a port": changed(listener=[{name: listener[name] for name in ("name", "address", "protocol")}]),
        "a listener on port 0": changed(listener=[listener | {"port": 0}]),
        "a listener past port 65535": changed(listener=[listener | {"port": 65520}]),
        "a node port past 65535": changed(listener=[listener | {"node-port": 65520}]),
        "a listener of protocol 1": changed(listener=[listener | {"protocol": 1}]),
        "listeners that overlap": changed(listener=[listener, listener | {"port": listener["port"] + ROUTES - 1}]),
        "a drain of a route that is not there": changed(drain=[drain | {"route": ROUTES + 1}]),
        "drains out of order": changed(drain=[drain | {"route": 2}, drain]),
        "a drain from a node nobody described": changed(drain=[drain | {"node": [99]}]),
        "a drain from node 0": changed(drain=[drain | {"node": [0]}]),
        "a drain from four nodes": changed(drain=[drain | {"node": [2, 3, 4, 2], "left": [1] * 4}]),
        "two drains of one route": changed(drain=[drain] * 2),
        "more nodes than times in a drain": changed(drain=[drain | {"node": [2, 3]}]),
        "a drain without times": changed(drain=[{"route": 1, "node": [2]}]),
        "a drain without nodes": changed(drain=[{"route": 1, "left": [1]}]),
        "a drain without a route": changed(drain=[{"node": [2], "left": [1]}]),
        "too many listeners": changed(
            listener=[listener | {"address": vip, "port": 1000 + ROUTES * n} for n in range(33) for vip in (VIP4, VIP6)]
        ),
    }
    silent = []
    for what, attributes in wrong.items():
        try:
            kernel.commit_raw(attributes)
        except Refused as refusal:
            if str(refusal).count(":") < 2 and "{" not in str(refusal):
                silent.append(f"{what}: {refusal}")
            continue
        raise AssertionError(f"accepted: {what}")
    equal(silent, [], "refusals whose text says nothing")
    check(kernel.table() == table, "the table is what it was before all refusals")
