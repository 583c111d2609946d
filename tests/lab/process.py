"""A program that was started: its log, its end."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from .flavour import SLOWER
from .forked import Forked
from .netns import Namespace
from .wait import until


class Process:
    """A running program, the leader of a process group, with its output in a file."""

    def __init__(
        self,
        namespace: Namespace,
        name: str,
        argv: list[object],
        logs: Path,
        env: Mapping[str, str] = {},
        fork: bool = False,  # argv is a Python program, run as in `forked`
    ):
        self.name = name
        self.log = logs / f"{name}.log"
        self.argv = [str(arg) for arg in argv]
        self.environment = dict(env)
        with self.log.open("ab") as out, namespace.entered():
            self._child = Forked(self.argv, out) if fork else subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    @property
    def exit(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._child.poll()

    def text(self) -> str:
        """All that it has written."""
        return self.log.read_text(errors="replace")

    def signal(self, number: int) -> float:
        """Sends a signal; returns the moment (time.monotonic) just before."""
        moment = time.monotonic()
        self._child.send_signal(number)
        return moment

    def wait(self, seconds: float = 60.0) -> int:
        """Waits for its end, on the debug kernel longer, and returns the exit code."""
        return self._child.wait(seconds * SLOWER)

    def kill(self) -> float:
        """SIGKILL to it and its workers, and waits for its end; returns the moment just before."""
        moment = time.monotonic()
        if self.running:
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()
        return moment

    def kill_group(self) -> float:
        """SIGKILL to it and all that it started, and waits for their ends; returns the moment just before."""
        moment = time.monotonic()
        os.killpg(self.pid, signal.SIGKILL)
        self.wait()
        with suppress(ProcessLookupError):
            while True:
                os.killpg(self.pid, 0)
                time.sleep(0.001)
        return moment

    def stop(self, seconds: float = 60.0) -> int:
        """SIGTERM, and waits for the end."""
        if self.running:
            self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def until_says(self, text: str, seconds: float = 60.0) -> None:
        """Waits until its log holds `text`; fails at once where it ends without."""

        def said() -> bool:
            over = not self.running
            if text in self.text():
                return True
            if over:
                raise AssertionError(f"{self.name} ended with {self.exit} and never said {text!r}:\n{self.text()[-2000:]}")
            return False

        until(f"{self.name} to say {text!r}", said, seconds)
