"""Memory runs out at every single allocation: the error is a clean one, and the table in force stays in force.

Each netlink operation is done again and again, with its first allocation failing, then its second, until
none is left to fail; so are the creation of a network namespace and the module's own start. An operation
that says it failed has changed nothing, one that says it is done has done it all. That nothing leaks is
seen at the end of the run (`nothing_left`).
"""

import ctypes
import errno
import os
from collections.abc import Callable

from fuzz import netlink
from fuzz.netlink_requests import Requests
from fuzz.spec import Spec
from lab import faults, module, paths
from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, contains, equal
from lab.lab import Lab
from lab.netns import Namespace
from lab.traffic import ask

NEEDS_DEBUG = True
DEADLINE = 300
SYS_FINIT_MODULE = 313  # arch/x86/entry/syscalls/syscall_64.tbl
SEED = int(os.environ.get("FUZZ_SEED", 1))
NAT, DIRECT = frozenset({0}), frozenset({1, 2})  # deliver: nat; dsr and ipip
LIBC = ctypes.CDLL(None, use_errno=True)


class Talk:
    """One socket to the module for all requests, and tables that it accepts."""

    def __init__(self, namespace: Namespace):
        self._spec = Spec.read(paths.SPEC)
        self._tables = Requests(self._spec, SEED)
        self._dump: list[bytes] = []
        self._in_force = netlink.Known()
        with namespace.entered():
            self._conversation = netlink.Conversation()

    def ask(self, operation: str, payload: bytes = b"") -> list[bytes]:
        """The answers; what is refused is an OSError."""
        flags = netlink.NLM_F_DUMP if operation in self._spec.dumps else 0
        error, answers = self._conversation.ask(self._spec.commands[operation], payload, flags)
        if error:
            raise OSError(error, os.strerror(error))
        return answers

    def in_force(self) -> netlink.Known:
        """The table that is dumped."""
        dump = self.ask("get-table")
        # Told apart byte by byte, most of them are the one before, which takes long to read.
        if dump != self._dump:
            self._dump, self._in_force = dump, self.known(*dump)
        return self._in_force

    def known(self, *payloads: bytes) -> netlink.Known:
        """What attributes say, but for the generation."""
        known = netlink.Known()
        for payload in payloads:
            known.add(self._spec, payload)
        known.generation = 0
        return known

    def generation(self) -> int:
        """The one in force."""
        return netlink.status_generation(self._spec, self.ask("get-status")[0])

    def table(self, draining: bool = False, delivers: frozenset[int] = NAT, fast: bool = False) -> bytes:
        """A good commit's attributes, for any generation: with or without routes that drain and the fast path, and whose
        listeners deliver in just these ways.
        """

        def fits(known: netlink.Known) -> bool:
            found = frozenset(listener["deliver"] for listener in known.listeners)
            return (bool(known.drains), found, bool(known.fast_path)) == (draining, delivers, fast) and bool(known.nodes)

        return next(payload for payload in iter(self._tables.good, None) if fits(self.known(payload)))

    def put(self, table: bytes | None) -> int:
        """Puts a table, or none, in force; returns its generation."""
        self.change(table, self.generation())
        return self.generation()

    def change(self, table: bytes | None, expected: int) -> None:
        """The same, as a single request that expects a generation."""
        if table is None:
            self.ask("flush")
        else:
            self.ask("commit", self._tables.expecting(table, expected))


def run(lab: Lab) -> None:
    lab.echoes(2)
    talk = Talk(lab.net.halod)
    plain, other, draining = talk.table(), talk.table(), talk.table(draining=True)
    direct, fast = talk.table(draining=True, delivers=DIRECT), talk.table(fast=True)
    print(f"# FUZZ_SEED={SEED}", flush=True)
    with faults.on_behalf_of(faults.module_text()):
        changes(talk, "the first commit", None, plain)
        changes(talk, "a commit over another", plain, other)
        changes(talk, "a commit that begins a drain", other, draining)
        changes(talk, "a commit that ends one", draining, plain)
        changes(talk, "a commit of listeners whose nodes answer directly", plain, direct)
        changes(talk, "a commit that begins the fast path", plain, fast)
        changes(talk, "a commit that ends it", fast, plain)
        changes(talk, "flush", direct, None)
        talk.put(draining)
        reads("get-status", lambda: talk.ask("get-status"))
        reads("get-table", talk.in_force)
        for operation in ("get-counters", "get-fast-path", "get-devices"):
            reads(operation, lambda operation=operation: len(talk.ask(operation)))
        namespaces()
    works(lab)
    module_start()
    works(lab)


def works(lab: Lab) -> None:
    """Connections are served."""
    lab.kernel().commit(lab.table([1, 2] * (ROUTES // 2)))
    for vip in (VIP4, VIP6):
        equal(ask(lab.net.clients, vip, BROWSERS_PORT, timeout=30), f"n1 {BROWSERS_PORT}", f"who answers {vip} after all that")


def changes(talk: Talk, what: str, before: bytes | None, after: bytes | None) -> None:
    """From one table to the other, with each allocation failing."""
    tables = [talk.known(*([] if table is None else [table])) for table in (before, after)]
    generation = talk.put(before)
    failed = 0
    for outcome in faults.each(lambda: talk.change(after, generation)):
        name = f"{what}, allocation {outcome.nth} ({outcome.error})"
        failed += outcome.failed
        done = not clean(name, outcome)
        equal(talk.generation(), generation + done, f"{name}: the generation in force")
        equal(talk.in_force(), tables[done], f"{name}: the table in force")
        if done:
            generation = talk.put(before)
    told(what, failed)


def reads(what: str, read: Callable[[], object]) -> None:
    """An operation that changes nothing: it fails, or its answer is whole."""
    expected, failed = read(), 0
    answers: list[object] = []
    for outcome in faults.each(lambda: answers.append(read())):
        failed += outcome.failed
        if not clean(f"{what}, allocation {outcome.nth}", outcome):
            equal(answers[-1], expected, f"the answer to {what}, allocation {outcome.nth}")
    # A dump's buffers are the kernel's own, so there may be none.
    print(f"# {what}: {failed} allocations, each has failed once")


def namespaces() -> None:
    """A namespace is made whole, or not at all."""
    failed, home = 0, os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    for outcome in faults.each(lambda: os.unshare(os.CLONE_NEWNET)):
        os.setns(home, os.CLONE_NEWNET)
        failed += outcome.failed
        clean(f"a network namespace, allocation {outcome.nth}", outcome)
    os.close(home)
    told("a network namespace", failed)


def module_start() -> None:
    """The module is there whole, or not at all."""
    module.unload()
    failed = 0
    file = os.open(paths.MODULE, os.O_RDONLY)
    # What the module's own start asks for: finding and linking its code is the kernel's business.
    with faults.on_behalf_of(faults.function("do_one_initcall")):
        for outcome in faults.each(lambda: insert(file)):
            failed += outcome.failed
            clean(f"insmod, allocation {outcome.nth}", outcome)
            equal(module.loaded(), outcome.error is None, f"insmod, allocation {outcome.nth} ({outcome.error}): the module is there")
            if outcome.failed and outcome.error is None:
                module.unload()
    os.close(file)
    told("insmod", failed)


def insert(file: int) -> None:
    """insmod in this thread, whose allocations are the ones that fail."""
    if LIBC.syscall(SYS_FINIT_MODULE, file, b"", 0):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def clean(name: str, outcome: faults.Outcome) -> bool:
    """Whether it failed; if so, of the failed allocation, and saying so."""
    if outcome.error is None:
        return False
    check(outcome.failed, f"{name}: fails only where an allocation does: {outcome.error}")
    contains((errno.ENOMEM, errno.ENOBUFS), outcome.error.errno, f"{name}: the error ({outcome.error})")
    return True


def told(what: str, failed: int) -> None:
    """A change in which nothing failed would say nothing."""
    print(f"# {what}: {failed} allocations, each has failed once")
    check(failed > 0, f"{what} asks for memory")
