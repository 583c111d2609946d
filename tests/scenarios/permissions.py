"""Nobody without CAP_NET_ADMIN over a namespace reads or changes its table: not an unprivileged
user, and not root of a user namespace that does not own it. Such a root has its own."""

import errno
import json
import os
from collections.abc import Callable
from typing import Any

from lab import paths
from lab.addresses import ROUTES
from lab.checks import check, contains, equal
from lab.kernel import Kernel, Refused, Table
from lab.lab import Lab
from lab.netns import Namespace

NOBODY = 65534


def attempts(namespace: Namespace, table: Table) -> dict[str, Any]:
    """Every operation: its errno where it was refused, else "done"."""
    kernel = Kernel(namespace)
    operations: dict[str, Callable[[], Any]] = {
        "get-status": kernel.status,
        "get-table": kernel.table,
        "get-counters": kernel.counters,
        "commit": lambda: kernel.commit(table, expected=kernel_generation),
        "flush": kernel.flush,
    }
    kernel_generation = 1
    results: dict[str, Any] = {}
    for name, operation in operations.items():
        try:
            operation()
            results[name] = "done"
        except Refused as refusal:
            results[name] = errno.errorcode[refusal.errno]
    return results


class Inside:
    """The namespace that the calling process is in, for `Kernel`."""

    def entered(self) -> Any:
        """Nothing to enter."""
        from contextlib import nullcontext

        return nullcontext()


def elsewhere(prepare: Callable[[], None], work: Callable[[], Any]) -> Any:
    """Runs both in a child process and returns what the second returned."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            prepare()
            answer = {"ok": work()}
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(child, 0)
    if "error" in answer:
        raise AssertionError(answer["error"])
    return answer["ok"]


def run(lab: Lab) -> None:
    table = lab.table([1] * ROUTES)
    kernel = lab.kernel()
    kernel.commit(table)
    before = kernel.table()
    inside: Any = Inside()

    def enter() -> None:
        os.setns(lab.net.halod.fd, os.CLONE_NEWNET)

    def become_nobody() -> None:
        enter()
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)

    def become_root_elsewhere() -> None:
        enter()
        os.unshare(os.CLONE_NEWUSER)
        with open("/proc/self/uid_map", "w") as uids:
            uids.write("0 0 1")

    def with_own_namespace() -> None:
        become_root_elsewhere()
        os.unshare(os.CLONE_NEWNET)

    refused = dict.fromkeys(("get-status", "get-table", "get-counters", "commit", "flush"), "EPERM")
    equal(elsewhere(become_nobody, lambda: attempts(inside, table)), refused, "an unprivileged user")
    equal(elsewhere(become_root_elsewhere, lambda: attempts(inside, table)), refused, "root of another user namespace")
    equal(kernel.table(), before, "the table after their attempts")

    def own() -> list[int]:
        mine = Kernel(inside)
        return [mine.generation(), mine.commit(table), mine.flush(), mine.generation()]

    equal(elsewhere(with_own_namespace, own), [0, 1, 2, 2], "generations of its own namespace's table")
    equal(kernel.table(), before, "the table after another namespace's commits")

    done = lab.net.halod.run("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", paths.HALODCTL,
                             "kernel", "show", check=False)  # fmt: skip
    check(done.returncode not in (0, 101), f"halodctl of an unprivileged user fails: exit {done.returncode}")
    contains(done.stderr.lower(), "permi", "and says why")
