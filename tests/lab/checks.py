"""Assertions with words: what was expected, and what was found."""

from collections.abc import Container
from typing import Any


class Failed(AssertionError):
    """Something is not as it should be."""


def check(condition: object, what: str) -> None:
    """Fails with `what`, a sentence that is true when all is well."""
    if not condition:
        raise Failed(f"not so: {what}")


def equal(found: Any, expected: Any, what: str) -> None:
    """Fails where the two differ."""
    if found != expected:
        raise Failed(f"{what}: expected {expected!r}, found {found!r}")


def contains(found: Container[Any], expected: Any, what: str) -> None:
    """Fails where `expected` is not in `found`."""
    if expected not in found:
        raise Failed(f"{what}: expected {expected!r} in {found!r}")
