"""Everything at once, while traffic flows: nothing breaks, and afterwards all works as before.

For SOAK seconds (30 by default, 600 for `make test-debug`, an hour for `make soak`) clients and nodes throw packets, good and bad ones, and meanwhile

- tables of all kinds, with draining routes, with packets that go on inside others, with the fast path, are put in
  force, dumped and flushed,
- the module is unloaded and loaded,
- namespaces with tables of their own are made, get packets, and die with all of it in force,
- a node's link is renamed, taken off the bridge, deleted, and made anew,
- the clients' link is renamed, goes down and up, and is a port of the bridge for a moment,
- a processor is taken offline and brought back.

Each of these is a thread that goes on as fast as it can. What they ask of a module that is not there
just then fails, as it should; what else fails is told.
"""

import errno
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fuzz import netlink, packets
from fuzz.netlink_requests import Requests
from fuzz.spec import Spec
from lab import addresses, module, paths
from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.lab import Lab
from lab.netns import Namespace
from lab.topology import PREFIX, Topology, ip_batch
from lab.traffic import ask
from lab.wait import until

NEEDS_DEBUG = True
SECONDS = int(os.environ.get("SOAK", 30))
DEADLINE = SECONDS + 300
SEED = int(os.environ.get("FUZZ_SEED", 0)) or time.time_ns() & 0xFFFFFFFF
CPU = Path("/sys/devices/system/cpu/cpu1/online")
SCRATCH = f"{PREFIX}scratch"
IPIP = 2  # deliver
LINK_NODE = 4  # whose link is not spared
# Counts packets inside others; not at a hook for which the fast path would give way.
RULES = """
table inet watch {
    counter inside { }
    chain output {
        type filter hook output priority filter; policy accept;
        meta l4proto { 4, 41 } counter name inside
    }
}
"""
# What a request is answered where the module has just gone, or another has changed the table first.
# The last: a dump of a module that is just being unloaded (net/netlink/af_netlink.c, __netlink_dump_start).
ABSENT = (errno.ENOENT, errno.ENODEV, errno.ESTALE, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT)


class Disturbance(threading.Thread):
    """Something that is done over and over until it is told to stop."""

    def __init__(self, what: str, once: Callable[[], None], pause: float = 0.0):
        super().__init__(name=what, daemon=True)
        self._once, self._pause = once, pause
        self._stop_asked = threading.Event()
        self.times = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        """Goes on until told, or until something fails."""
        try:
            while not self._stop_asked.wait(self._pause):
                self._once()
                self.times += 1
        except BaseException as error:
            self.error = error

    def last(self) -> None:
        """What it does now is the last time."""
        self._stop_asked.set()

    def stop(self) -> None:
        """Lets it finish what it does."""
        self.last()
        self.join(120)
        check(not self.is_alive(), f"{self.name}: ends when it is told to")
        if self.error is not None:
            raise AssertionError(f"{self.name}, after {self.times} times: {type(self.error).__name__}: {self.error}")


class Asked:
    """Requests to the module of a namespace, which may come and go meanwhile."""

    def __init__(self, spec: Spec, namespace: Namespace, seed: int, inside: bytes):
        self._spec, self._namespace, self._inside = spec, namespace, inside
        self._requests = Requests(spec, seed)
        self._conversation: netlink.Conversation | None = None
        self.outcomes: Counter[str] = Counter()

    def ask(self, operation: str, payload: bytes = b"") -> list[bytes]:
        """The answers' attributes; none where the module is not there, or has another table by now."""
        try:
            if self._conversation is None:
                with self._namespace.entered():
                    self._conversation = netlink.Conversation()
            flags = netlink.NLM_F_DUMP if operation in self._spec.dumps else 0
            error, answers = self._conversation.ask(self._spec.commands[operation], payload, flags)
        except OSError as problem:
            error, answers = problem.errno or 0, []
        self.outcomes[f"{operation} {errno.errorcode[error] if error else 'done'}"] += 1
        if error == errno.ENOENT and self._conversation is not None:
            self.close()
        check(error == 0 or error in netlink.REFUSALS or error in ABSENT, f"{operation}: {errno.errorcode.get(error, error)} is no way to refuse")
        return [] if error else answers

    def commit(self) -> None:
        """Puts some table in force, or tries to, and one whose packets go on inside others; now and then none."""
        for answer in self.ask("get-status"):
            generation = netlink.status_generation(self._spec, answer)
            if generation % 50 == 49:
                self.ask("flush", self._requests.flush(generation))
            self.ask("commit", self._requests.commit(generation))
        for answer in self.ask("get-status"):
            generation = netlink.status_generation(self._spec, answer)
            self.ask("commit", self._requests.expecting(self._inside, generation))

    def read(self) -> None:
        """Everything that can be read."""
        for operation in ("get-table", "get-counters", "get-status", "get-fast-path", "get-devices"):
            self.ask(operation)

    def close(self) -> None:
        """Hangs up."""
        if self._conversation is not None:
            self._conversation.close()
            self._conversation = None


def run(lab: Lab) -> None:
    net, spec = lab.net, Spec.read(paths.SPEC)
    lab.echoes(LINK_NODE)
    file = lab.directory / "packets"
    packets.write(file, packets.from_vectors())
    macs = packets.link_addresses(net.halod)
    net.halod.run("nft", "-f", "-", input=RULES)
    print(f"# {SECONDS} s, FUZZ_SEED={SEED}", flush=True)
    throwers = [
        packets.throw(net.clients, "clients", file, 0, SEED, ("eth0", macs[addresses.CLIENTS.port]), lab.directory),
        packets.throw(net.node(1), "nodes", file, 0, SEED + 1, ("eth0", macs[addresses.BRIDGE]), lab.directory),
    ]
    inside = table_inside(spec)
    committer, reader = Asked(spec, net.halod, SEED, inside), Asked(spec, net.halod, SEED, inside)
    disturbances = [
        Disturbance("commits", committer.commit),
        Disturbance("dumps", reader.read, 0.01),
        Disturbance("connections", lambda: connect(lab), 0.05),
        Disturbance("the module", reload, 0.5),
        Disturbance("namespaces", lambda: short_life(lab, spec, file, inside), 0.1),
        Disturbance("links", lambda: relink(net), 0.1),
        Disturbance("the clients' link", lambda: rename(net), 0.1),
        Disturbance("processors", switch_cpu, 0.2),
    ]
    for disturbance in disturbances:
        disturbance.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and all(disturbance.error is None for disturbance in disturbances):
        time.sleep(0.2)
    for disturbance in disturbances:
        disturbance.last()
    for disturbance in disturbances:
        disturbance.stop()
    for thrower in throwers:
        check(thrower.running, f"{thrower.name} still throws: {thrower.text()}")
        thrower.kill()
    for asked in (committer, reader):
        asked.close()
    print("# " + ", ".join(f"{disturbance.name} {disturbance.times}" for disturbance in disturbances))
    print("# " + ", ".join(f"{what} {count}" for what, count in (committer.outcomes + reader.outcomes).most_common()))
    for disturbance in disturbances:
        check(disturbance.times > 0, f"{disturbance.name} happened at all")
    inside = net.halod.run("nft", "list", "counters").stdout
    check("packets 0 bytes 0" not in inside, f"packets went on inside others: {inside}")
    works(lab)


def works(lab: Lab) -> None:
    """All is as it was before."""
    module.load()
    kernel = lab.kernel()
    kernel.commit(lab.table([1, 2, 3, LINK_NODE] * (ROUTES // 4)))
    for vip in (VIP4, VIP6):
        for index in range(LINK_NODE):
            port = BROWSERS_PORT + index
            answer = until(f"route {index + 1} of {vip} to answer", lambda: ask(lab.net.clients, vip, port), 20)
            equal(answer, f"n{index + 1} {port}", f"who answers {vip} on route {index + 1} after all that")


def connect(lab: Lab) -> None:
    """A real connection, which ends as the table of the moment will have it."""
    with suppress(OSError):
        ask(lab.net.clients, VIP4, BROWSERS_PORT, timeout=0.5)


def reload() -> None:
    """The module goes, in the midst of packets and requests, and comes back."""
    try:
        module.unload()
    except RuntimeError as error:
        # A dump that is under way holds it, as rmmod sees, or only the kernel a moment later.
        check(any(why in str(error) for why in ("in use", os.strerror(errno.EAGAIN))), f"rmmod: {error}")
    module.load()


def table_inside(spec: Spec) -> bytes:
    """The attributes of a good commit, by which many of the vectors' packets go on inside others."""
    requests, vip = Requests(spec, SEED), socket.inet_aton(VIP4)
    for payload in iter(requests.good, None):
        known = netlink.Known().add(spec, payload)
        first = known.listeners[0] if known.listeners else {}
        way = [first.get(name) for name in ("address", "protocol", "deliver", "select")]
        if way == [vip, socket.IPPROTO_TCP, IPIP, 0] and known.routes >= ROUTES and len([id for id in known.runs.values() if id]) > known.routes / 2:
            return payload
    raise AssertionError("not reached")


def short_life(lab: Lab, spec: Spec, file: Path, inside: bytes) -> None:
    """A namespace with a table dies by its last process' end, which sends packets until then."""
    ip_batch([f"netns add {SCRATCH}"])
    namespace = Namespace(SCRATCH)
    lines = [
        "link set lo up",
        "link add dummy0 type dummy",
        "address add 203.0.113.9/24 dev dummy0",
        "address add 2001:db8:3::9/64 dev dummy0 nodad",
        "link set dummy0 up",
        "route add default dev dummy0",
        "route add ::/0 dev dummy0",
    ]
    ip_batch(lines, namespace)
    asked = Asked(spec, namespace, SEED, inside)
    for _ in range(5):
        asked.commit()
    thrower = packets.throw(namespace, "short-lived", file, 0, SEED, None, lab.directory)
    time.sleep(0.2)
    asked.close()
    ip_batch([f"netns delete {SCRATCH}"])
    namespace.close()
    thrower.kill()


def relink(net: Topology) -> None:
    """A node's link gets another name, leaves the bridge, goes altogether, and is made anew."""
    host, other = addresses.node(LINK_NODE), f"{PREFIX}other"
    ip_batch(
        [
            f"link set {host.port} nomaster",
            f"link set {host.port} down",
            f"link set {host.port} name {other}",
            f"link set {other} master {addresses.BRIDGE}",
            f"link set {other} up",
            f"link delete {other}",
            f"link add {host.port} type veth peer name eth0 netns {host.name}",
            f"link set {host.port} master {addresses.BRIDGE}",
            f"link set {host.port} up",
        ],
        net.halod,
    )
    net.plugged(host)


def rename(net: Topology) -> None:
    """The clients' link, by which packets take the fast path, is another one for a moment, and back again."""
    other = f"{PREFIX}outside"
    ip_batch(
        [
            f"link set {addresses.CLIENTS.port} name {other}",
            f"link set {other} down",
            f"link set {other} up",
            f"address replace {addresses.CLIENTS.gateway6}/64 dev {other} nodad",
            f"link set {other} master {addresses.BRIDGE}",
            f"link set {other} nomaster",
            f"link set {other} name {addresses.CLIENTS.port}",
        ],
        net.halod,
    )


def switch_cpu() -> None:
    """A processor goes, and comes back."""
    CPU.write_text("0")
    time.sleep(0.2)
    CPU.write_text("1")
