"""A Python program in a fork of this process: its libraries are loaded already, which takes long in an emulated guest."""

import gc
import os
import runpy
import signal
import sys
import time
import traceback
from subprocess import TimeoutExpired
from typing import BinaryIO


class Forked:
    """As much of subprocess.Popen as is needed here."""

    def __init__(self, argv: list[str], out: BinaryIO):
        self._argv = argv
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(argv, out.fileno())

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, seconds: float) -> int:
        """Waits for its end and returns the exit code."""
        end = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise TimeoutExpired(self._argv, seconds)
            time.sleep(0.001)
        return code

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _become(argv: list[str], out: int) -> None:
    """Runs the program, and ends."""
    code = 1
    try:
        gc.freeze()  # what was inherited is not to be closed later on, when its number is another file's
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.closerange(3, 1 << 16)
        for number in (signal.SIGALRM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        sys.argv, sys.path[0] = argv, os.path.dirname(argv[0])
        runpy.run_path(argv[0], run_name="__main__")
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)
