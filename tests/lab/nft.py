"""nftables: rules, and what their named counters have counted."""

import json

from .netns import Namespace


def load(namespace: Namespace, rules: str) -> None:
    """Adds rules."""
    namespace.run("nft", "-f", "-", input=rules)


def delete(namespace: Namespace, table: str, kind: str = "inet") -> None:
    """Takes away a table."""
    namespace.run("nft", "delete", "table", kind, table)


def counts(namespace: Namespace) -> dict[str, int]:
    """Packets by counter since the last time, of those that have counted any."""
    listed = json.loads(namespace.run("nft", "-j", "reset", "counters").stdout)["nftables"]
    counters = [each["counter"] for each in listed if "counter" in each]
    return {counter["name"]: counter["packets"] for counter in counters if counter["packets"]}
