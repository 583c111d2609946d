"""Polling with a deadline, instead of sleeping for luck."""

import time
from collections.abc import Callable
from typing import TypeVar

from .flavour import SLOWER

T = TypeVar("T")


class TooLate(AssertionError):
    """The condition did not come true in time."""


def until(what: str, condition: Callable[[], T], seconds: float = 60.0, every: float = 0.02) -> T:
    """Calls `condition` until it returns something true, and returns that.

    On the debug kernel the deadline is later. `what` completes the sentence "waited N s for ...". What `condition` raises
    of OSError and LookupError counts as "not yet" and is told at the deadline.
    """
    seconds *= SLOWER
    end = time.monotonic() + seconds
    seen = ""
    while True:
        try:
            if value := condition():
                return value
            seen = ""
        except (OSError, LookupError) as error:
            seen = f" (last: {error})"
        if time.monotonic() >= end:
            raise TooLate(f"waited {seconds:g} s for {what}{seen}")
        time.sleep(every)
