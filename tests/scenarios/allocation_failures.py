"""Memory runs out at every single allocation: the error is a clean one, and the table in force stays in force.

Each netlink operation is done again and again, with its first allocation failing, then its second, until
none is left to fail; so are the creation of a network namespace and the module's own start. Then once more, with
all that comes after failing too: no fallback (kvmalloc's to vmalloc) helps, nor has undoing anything to undo it
with. An operation that says it failed has changed nothing, one that says it is done has done it all. That nothing
leaks is seen at the end of the run (`nothing_left`).

Counters have memory of every CPU: the kernel never makes __alloc_percpu itself fail (mm/percpu.c asks neither
failslab nor fail_page_alloc), and its areas mostly have room. What it takes to have more are pages
(pcpu_populate_chunk), which can be denied, to the worker that keeps some in store as well: with that, and
more namespaces than there is room for, the module's start fails at its counters.
"""

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
MEMORY_RUNS_OUT = True
DEADLINE = 300
SYS_FINIT_MODULE = 313  # arch/x86/entry/syscalls/syscall_64.tbl
SEED = int(os.environ.get("FUZZ_SEED", 1))
NAT, DIRECT = frozenset({0}), frozenset({1, 2})  # deliver: nat; dsr and ipip
OWN = "/proc/thread-self/ns/net"
NAMESPACES = 64  # whose counters take more than what is in store: some pages, and what others gave back
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
    # Before there is a network: each of its namespaces would ask for the same again.
    module_start()
    counters()
    module.load()
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
        name = f"{what}, {outcome}"
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
        if not clean(f"{what}, {outcome}", outcome):
            equal(answers[-1], expected, f"the answer to {what}, {outcome}")
    # A dump's buffers are the kernel's own, so there may be none.
    print(f"# {what}: {failed} failures, alone and with the rest")


@contextmanager
def more_namespaces(count: int) -> Iterator[None]:
    """Within the block there are so many network namespaces more."""
    kept = [os.open(OWN, os.O_RDONLY)]
    try:
        for _ in range(count):
            os.unshare(os.CLONE_NEWNET)
            kept.append(os.open(OWN, os.O_RDONLY))
            os.setns(kept[0], os.CLONE_NEWNET)
        yield
    finally:
        os.setns(kept[0], os.CLONE_NEWNET)
        for file in kept:
            os.close(file)


def namespaces() -> None:
    """A namespace is made whole, or not at all."""
    failed, home = 0, os.open(OWN, os.O_RDONLY)
    for outcome in faults.each(lambda: os.unshare(os.CLONE_NEWNET)):
        os.setns(home, os.CLONE_NEWNET)
        failed += outcome.failed
        clean(f"a network namespace, {outcome}", outcome)
    os.close(home)
    told("a network namespace", failed)


def module_start() -> None:
    """The module is there whole, or not at all; in the first namespace and one more, where the first is to be undone."""
    module.unload()
    failed = 0
    # What the module's own start asks for: finding and linking its code is the kernel's business.
    with more_namespaces(1), faults.on_behalf_of(faults.function("do_one_initcall")):
        for outcome in faults.each(insert):
            failed += outcome.failed
            clean(f"insmod, {outcome}", outcome)
            equal(module.loaded(), outcome.error is None, f"insmod, {outcome}: the module is there")
            module.unload()
    told("insmod", failed)


def counters() -> None:
    """The same where no page is to be had for memory of every CPU."""
    code = 0
    with more_namespaces(NAMESPACES), faults.on_behalf_of(faults.function("pcpu_populate_chunk"), whoever=True):
        try:
            insert()
        except OSError as error:
            code = error.errno
    equal(code, errno.ENOMEM, "insmod without pages for counters")
    equal(module.loaded(), False, "insmod without pages for counters: the module is there")


def insert() -> None:
    """insmod in this thread, whose allocations are the ones that fail."""
    with paths.MODULE.open("rb") as file:
        if LIBC.syscall(SYS_FINIT_MODULE, file.fileno(), b"", 0):
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
    print(f"# {what}: {failed} failures, alone and with the rest")
    check(failed > 0, f"{what} asks for memory")
