"""A network namespace: entering it, running programs and event loops in it.

setns() acts on one thread. A socket stays in the namespace where it was made,
and a child process starts in its parent thread's, so "enter, make, leave" is
all that most callers need; `Resident` is a thread that stays inside.
"""

import asyncio
import json
import os
import signal
import subprocess
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from .flavour import SLOWER

T = TypeVar("T")
RUN = Path("/run/netns")


class Namespace:
    """A named network namespace that exists."""

    def __init__(self, name: str):
        self.name = name
        self.fd = os.open(RUN / name, os.O_RDONLY | os.O_CLOEXEC)
        self.inode = os.fstat(self.fd).st_ino
        self._resident: Resident | None = None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is in the namespace until the block ends. Do not await inside."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.setns(self.fd, os.CLONE_NEWNET)
            try:
                yield
            finally:
                os.setns(home, os.CLONE_NEWNET)
        finally:
            os.close(home)

    def run(self, *argv: object, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs a program to its end inside, and returns its output as text."""
        options.setdefault("timeout", 60 * SLOWER)
        with self.entered():
            done = subprocess.run([str(arg) for arg in argv], capture_output=True, text=True, **options)
        if check and done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(map(str, argv))}: exit {done.returncode}: {done.stderr.strip()}")
        return done

    def known_mtu(self, address: str) -> int:
        """What the kernel has learnt of the path to an address; 0 for nothing."""
        (route,) = json.loads(self.run("ip", "-json", "route", "get", address).stdout)
        return next((metrics["mtu"] for metrics in route.get("metrics", []) if "mtu" in metrics), 0)

    def sysctl(self, **values: object) -> None:
        """Sets sysctls of the namespace; `net.` and dots as `__`: ipv4__ip_forward=1."""
        with self.entered():
            for name, value in values.items():
                Path("/proc/sys/net", *name.split("__")).write_text(str(value))

    @property
    def resident(self) -> "Resident":
        """The event loop that lives in this namespace, started on first use."""
        if self._resident is None:
            self._resident = Resident(self)
        return self._resident

    def pids(self) -> list[int]:
        """Processes whose main thread is in the namespace, without the caller's own."""
        return pids_in({self.inode})

    def close(self) -> None:
        """Ends the event loop. The namespace itself stays."""
        if self._resident is not None:
            self._resident.stop()
            self._resident = None
        os.close(self.fd)


class Resident:
    """A thread with an asyncio loop that lives in a namespace."""

    def __init__(self, namespace: Namespace):
        self._namespace = namespace
        self._ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name=namespace.name, daemon=True)
        self._thread.start()
        self._ready.wait()

    def _live(self) -> None:
        os.setns(self._namespace.fd, os.CLONE_NEWNET)
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._ready.set)
        self.loop.run_forever()

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 60.0 * SLOWER) -> T:
        """Runs the coroutine there and waits for its result."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancels what still runs, and ends the thread."""

        async def cancel() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def pids_in(inodes: set[int]) -> list[int]:
    """Processes in any of the namespaces with these inode numbers, without the caller's own."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if os.stat(f"/proc/{entry.name}/ns/net").st_ino in inodes:
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended meanwhile
    return found


def kill_all(pids: list[int]) -> None:
    """SIGKILL; those that have ended meanwhile do not matter."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
