"""Follows the event streams of nodes' agents."""

import json
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .wait import until

Event = dict[str, Any]


class AgentEvents:
    """Everything that one agent says on its socket from now on; over its restarts."""

    def __init__(self, path: Path):
        self.seen: list[tuple[float, Event]] = []  # (time.monotonic(), event)
        self._path = path
        self._stop = False
        self._sock: socket.socket | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        until(f"the first event of {path.name}", lambda: self.seen)

    def of(self, *kinds: str, after: float = 0.0) -> list[Event]:
        """The events of these kinds after a moment."""
        return [event for at, event in list(self.seen) if at > after and event["event"] in kinds]

    def first(self, kind: str, after: float = 0.0, seconds: float = 60.0) -> tuple[float, Event]:
        """The first event of a kind after a moment, and when it came."""

        def found() -> tuple[float, Event] | None:
            return next(((at, event) for at, event in list(self.seen) if at > after and event["event"] == kind), None)

        return until(f"the event {kind} of {self._path.name}", found, seconds)

    def named(self, *kinds: str, after: float = 0.0) -> list[tuple[float, str, str]]:
        """The browsers' connections (when, peer, local) that events of these kinds name."""
        return [
            (at, connection["peer"], connection["local"])
            for at, event in list(self.seen)
            if at > after and event["event"] in kinds
            for connection in event["connections"]
            if connection["listener"] == "browsers"
        ]

    def close(self) -> None:
        """Stops."""
        self._stop = True
        if (sock := self._sock) is not None:
            with suppress(OSError):  # it may just have ended by itself
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _follow(self) -> None:
        while not self._stop:
            with socket.socket(socket.AF_UNIX) as sock:
                try:
                    sock.connect(str(self._path))
                    self._sock = sock
                    with sock.makefile("rb") as lines:
                        for line in lines:
                            self.seen.append((time.monotonic(), json.loads(line)))
                except OSError:
                    time.sleep(0.05)  # the agent is not there
                self._sock = None
