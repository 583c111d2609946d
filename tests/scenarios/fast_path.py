"""Packets take the fast path where they arrive, both ways, IPv4 and IPv6, TCP and UDP; and for every reason not to, the
long way, which does with them what it always does. Each packet is counted once, whichever way it takes. What
changes on the machine counts for the very next packet.
"""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lab import addresses
from lab.addresses import BRIDGE, BROWSERS_PORT, CLIENTS, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.echo import Echo
from lab.kernel import Kernel, Table
from lab.lab import Lab
from lab.topology import Topology, ip_batch
from lab.traffic import FAMILIES, ask
from lab.transfer import transfer
from lab.wait import until
from lab.wire import checksum

VIPS = (VIP4, VIP6)
QUESTION = b"q" * 64  # long enough for a packet that is ordinary
MANY = 500
AT_ONCE = 50  # of them
NOBODY = "02:00:00:00:00:99"
NARROW = 1280
DROPS = """
table inet drops {
    chain forward {
        type filter hook forward priority filter; policy accept;
        udp dport 8000-8023 drop
        udp sport 8000-8023 drop
    }
}
"""


class Rig:
    """The network, the module's table and its counters."""

    def __init__(self, lab: Lab):
        self.net: Topology = lab.net
        self.echoes: list[Echo] = lab.echoes(2)
        self.kernel: Kernel = lab.kernel()
        self.table: Table = lab.table([1, 2] * (ROUTES // 2))

    def commit(self, fast_path: str) -> None:
        """The table with another setting."""
        self.table.fast_path = fast_path
        self.kernel.commit(self.table)

    def counts(self) -> dict[str, int]:
        """All counters."""
        return self.kernel.counters() | self.kernel.fast_path()

    def grown(self, before: dict[str, int]) -> dict[str, int]:
        """By how much each has grown that has."""
        return {name: count - before[name] for name, count in self.counts().items() if count != before[name]}

    def answer(self, vip: str, timeout: float = 5.0) -> str:
        """Who answers a datagram, unharmed; "" for nobody."""
        with self.net.clients.entered():
            sock = socket.socket(FAMILIES[6 if ":" in vip else 4], socket.SOCK_DGRAM)
        with sock:
            sock.settimeout(timeout)
            sock.connect((vip, BROWSERS_PORT))
            sock.send(QUESTION)
            try:
                name, _, echoed = sock.recv(2048).split(b" ")
            except OSError:
                return ""
            equal(echoed, QUESTION, f"what {name!r} has heard")
            return name.decode()

    def all_fast(self, when: str) -> None:
        """A question and its answer go the fast way, from their first packet on where routes are known."""
        for vip in VIPS:
            equal(self.answer(vip), "n1", f"who answers at {vip} {when}")
            before = self.counts()
            equal(self.answer(vip), "n1", f"who answers at {vip} {when}, again")
            grown = self.grown(before)
            seen = {name: grown.get(name, 0) for name in ("fast", "forward", "reverse")}
            equal(seen, {"fast": 2, "forward": 1, "reverse": 1}, f"packets at {vip} {when}: {grown}")

    def slow(self, reason: str, when: str, fast: int = 0) -> None:
        """They go the long way for a reason, all but `fast` of them, and are counted once."""
        for vip in VIPS:
            before = self.counts()
            equal(self.answer(vip), "n1", f"who answers at {vip} {when}")
            grown = self.grown(before)
            seen = {name: grown.get(name, 0) for name in ("fast", "forward", "reverse", reason)}
            equal(seen, {"fast": fast, "forward": 1, "reverse": 1, reason: 2 - fast}, f"packets at {vip} {when}: {grown}")

    def state(self, device: str) -> tuple[str, str]:
        """Whether packets that arrive by a device take the fast path, IPv4 and IPv6."""
        return self.kernel.devices()[device]


def run(lab: Lab) -> None:
    rig = Rig(lab)
    rig.commit("off")
    for vip in VIPS:
        before = rig.counts()
        equal(rig.answer(vip), "n1", f"who answers at {vip}, fast path off")
        equal(rig.grown(before).get("fast", 0), 0, "packets on a fast path that is off")
    equal(rig.state(CLIENTS.port), ("off", "off"), "the clients' device, fast path off")
    rig.commit("auto")
    rig.all_fast("at first")
    for protocol in ("tcp", "udp"):
        for vip in VIPS:
            for index in range(ROUTES):
                who = ask(rig.net.clients, vip, BROWSERS_PORT + index, protocol)
                equal(who, f"n{index % 2 + 1} {BROWSERS_PORT + index}", f"who answers {protocol} {vip} route {index + 1}")
    rig.kernel.settle()
    for part in (many, firewall, ipsec, neighbours, mtu, odd_frames, no_node, other_takers, devices):
        part(rig)
        rig.all_fast(f"after {part.__name__}")
    rig.commit("off")
    equal(rig.state(CLIENTS.port), ("off", "off"), "the clients' device, off again")
    before = rig.counts()
    equal(rig.answer(VIP4), "n1", "who answers in the end")
    equal(rig.grown(before).get("fast", 0), 0, "packets on a fast path that is off again")


def many(rig: Rig) -> None:
    """Many datagrams: each is counted once as forward and once as fast, and so is what comes back of them."""
    for vip in VIPS:
        before = rig.counts()
        with rig.net.clients.entered():
            sock = socket.socket(FAMILIES[6 if ":" in vip else 4], socket.SOCK_DGRAM)
        with sock:
            sock.connect((vip, BROWSERS_PORT))
            # No more at a time than queues take, however late the machine looks after them: n1 answers a question
            # after all that came before it.
            for _ in range(MANY // AT_ONCE):
                for _ in range(AT_ONCE - 1):
                    sock.send(QUESTION)
                equal(rig.answer(vip, 30), "n1", f"who answers at {vip} after {AT_ONCE - 1} datagrams")
        grown = rig.grown(before)
        seen = {name: grown.get(name, 0) for name in ("forward", "reverse", "fast")}
        equal(seen, {"forward": MANY, "reverse": MANY, "fast": 2 * MANY}, f"{MANY} datagrams to {vip} and back: {grown}")


def firewall(rig: Rig) -> None:
    """Rules appear: `auto` gives way at once, `on` does not ask them."""
    rig.net.halod.run("nft", "-f", "-", input=DROPS)
    before = rig.counts()
    equal([rig.answer(vip, 0.5) for vip in VIPS], ["", ""], "who answers past a firewall's rules")
    equal(rig.grown(before).get("slow_firewall", 0), 2, f"packets that the firewall's rules saw: {rig.grown(before)}")
    equal(rig.state(CLIENTS.port), ("firewall", "firewall"), "the clients' device with a firewall")
    rig.commit("on")
    equal(rig.state(CLIENTS.port), ("fast", "fast"), "the clients' device, fast path on")
    rig.all_fast("where the firewall is not to be asked")
    rig.commit("auto")
    equal([rig.answer(vip, 0.5) for vip in VIPS], ["", ""], "who answers past a firewall's rules, again")
    rig.net.halod.run("nft", "delete", "table", "inet", "drops")


def ipsec(rig: Rig) -> None:
    """Policies for other addresses: all packets are to be asked about, from the next on, and not a second after they are gone."""
    ends = {4: ("10.1.0.0/16", "10.2.0.0/16"), 6: ("2001:db8:1::/48", "2001:db8:2::/48")}
    policies = [("src", source, "dst", destination, "dir", "fwd") for source, destination in ends.values()]
    rig.all_fast("without IPsec policies")
    for policy in policies:
        rig.net.halod.run("ip", "xfrm", "policy", "add", *policy, "action", "allow")
    equal(rig.state(CLIENTS.port), ("policy", "policy"), "the clients' device with IPsec policies")
    rig.slow("slow_policy", "with IPsec policies")
    for policy in policies:
        rig.net.halod.run("ip", "xfrm", "policy", "delete", *policy)
    equal(rig.state(CLIENTS.port), ("fast", "fast"), "the clients' device without IPsec policies")
    time.sleep(1.1)


def neighbours(rig: Rig) -> None:
    """The client's link address is another: answers go there at once. It is forgotten: the answer waits for it on the long way."""
    rig.all_fast("with the client's link address")
    known = [f"neighbour replace {CLIENTS.address(family)} dev {CLIENTS.port} nud permanent lladdr {NOBODY}" for family in (4, 6)]
    ip_batch(known, rig.net.halod)
    for vip in VIPS:
        equal(rig.answer(vip, timeout=1), "", f"who answers at {vip} with nobody at the client's link address")
    rig.kernel.settle()
    ip_batch([f"neighbour del {CLIENTS.address(family)} dev {CLIENTS.port}" for family in (4, 6)], rig.net.halod)
    rig.slow("slow_neighbour", "without the client's link address", fast=1)


def mtu(rig: Rig) -> None:
    """The route to n1 is narrow, or its link: what is too big is answered by the kernel at once, and the client learns it."""
    ways = [f"route %s {addresses.node(1).v4}/32 dev {BRIDGE} mtu {NARROW}", f"route %s {addresses.node(1).v6}/128 dev {BRIDGE} mtu lock {NARROW}"]
    link = f"link set {BRIDGE} mtu %d"
    for what, narrow, wide in (
        ("route", [way % "add" for way in ways], [way % "del" for way in ways]),
        ("link", [link % NARROW], [link % 1500]),
    ):
        rig.all_fast(f"before the {what} is narrow")
        ip_batch(narrow, rig.net.halod)
        for vip in VIPS:
            before = rig.counts()
            transfer(rig.net.clients, vip, 128 << 10, f"{vip}, narrow {what}")
            grown = rig.grown(before)
            check(grown.get("slow_too_big", 0) > 0 and grown.get("fast", 0) > 0, f"too big and not, {vip}, narrow {what}: {grown}")
        ip_batch(wide, rig.net.halod)
        for family in (4, 6):
            rig.net.clients.run("ip", f"-{family}", "route", "flush", "cache")
        rig.kernel.settle()


@contextmanager
def frames(rig: Rig) -> Iterator[tuple[socket.socket, bytes]]:
    """A socket for whole frames from the client, and the link header of IPv4."""
    (link,) = (line for line in rig.net.halod.run("ip", "-brief", "link").stdout.splitlines() if line.startswith(CLIENTS.port + "@"))
    mac = bytes.fromhex(link.split()[2].replace(":", ""))
    with rig.net.clients.entered():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with sock:
        sock.bind(("eth0", 0))
        yield sock, mac + sock.getsockname()[4] + b"\x08\x00"


def datagram(ttl: int = 64, options: bytes = b"", fault: int = 0, short: int = 0) -> bytes:
    """A datagram from the client to the VIP."""
    size = 20 + len(options)
    body = struct.pack("!HHHH", 40000, BROWSERS_PORT, 8 + len(QUESTION), 0) + QUESTION
    ends = socket.inet_aton(CLIENTS.v4) + socket.inet_aton(VIP4)
    total = size + len(body) + short
    head = struct.pack("!BBHHHBBH", 0x40 | size // 4, 0, total, 0, 0x4000, ttl, 17, 0) + ends + options
    return head[:10] + struct.pack("!H", checksum(head) ^ fault) + head[12:] + body


def odd_frames(rig: Rig) -> None:
    """Padding is cut off; what the IP layer would refuse is refused, and what is rare goes the long way."""
    heard = rig.echoes[0].datagrams
    with frames(rig) as (sock, link):
        for what, frame, ways in (
            ("padded", datagram() + bytes(40), {"fast": 1, "forward": 1}),
            ("with options", datagram(options=b"\x01\x01\x01\x00"), {"slow_packet": 1, "forward": 1}),
        ):
            before, count = rig.counts(), heard[BROWSERS_PORT]
            sock.send(link + frame)
            until(f"a datagram {what} to arrive", lambda count=count: heard[BROWSERS_PORT] > count, 10)
            grown = rig.grown(before)
            equal({name: grown.get(name, 0) >= number for name, number in ways.items()}, dict.fromkeys(ways, True), f"{what}: {grown}")
        for what, frame in (
            ("with a wrong checksum", datagram(fault=1)),
            ("longer than its frame", datagram(short=8)),
            ("at the end of its time to live", datagram(ttl=1)),
        ):
            before, count = rig.counts(), heard[BROWSERS_PORT]
            sock.send(link + frame)
            until(f"a datagram {what} to be met", lambda before=before: rig.grown(before).get("slow_packet", 0) > 0, 10)
            equal(rig.answer(VIP4), "n1", f"who answers after a datagram {what}")
            equal(heard[BROWSERS_PORT], count + 1, f"datagrams that n1 has heard, one of them {what}")


def no_node(rig: Rig) -> None:
    """A route without a node drops its packets, by the hook that has always done so."""
    routes, rig.table.routes = rig.table.routes, [0] * ROUTES
    rig.commit("auto")
    for vip in VIPS:
        before = rig.counts()
        equal(rig.answer(vip, 0.5), "", f"who answers at {vip} without nodes")
        grown = rig.grown(before)
        equal([grown.get(name, 0) for name in ("slow_exit", "drop_no_node", "fast")], [1, 1, 0], f"packets at {vip} without nodes: {grown}")
    rig.table.routes = routes
    rig.commit("auto")


def other_takers(rig: Rig) -> None:
    """A macvlan takes packets off the clients' device."""
    ip_batch([f"link add link {CLIENTS.port} name taker type macvlan", "link set taker up"], rig.net.halod)
    equal(rig.state(CLIENTS.port), ("taken", "taken"), "the clients' device under a macvlan")
    rig.slow("slow_device", "under a macvlan", fast=1)
    ip_batch(["link del taker"], rig.net.halod)
    until("the clients' device to be its own again", lambda: rig.state(CLIENTS.port) == ("fast", "fast"))


def devices(rig: Rig) -> None:
    """They come, go, are renamed, enslaved and moved."""
    states = rig.kernel.devices()
    expected = {"lo": ("loopback",) * 2, BRIDGE: ("fast",) * 2, CLIENTS.port: ("fast",) * 2, addresses.node(1).port: ("enslaved",) * 2}
    equal({name: states[name] for name in expected}, expected, "devices")
    halod = rig.net.halod
    ip_batch(["link add spare type veth peer name erapes", "address add 10.9.0.1/24 dev spare", "link set spare up"], halod)
    equal(rig.state("spare")[0], "fast", "a new device")
    ip_batch([f"link set spare master {BRIDGE}"], halod)
    equal(rig.state("spare")[0], "enslaved", "a port of the bridge")
    ip_batch(["link set spare nomaster"], halod)
    equal(rig.state("spare")[0], "fast", "a device that was a port")
    ip_batch(["link set spare down", "link set spare name other", "link set other up"], halod)
    equal(rig.state("other")[0], "fast", "a device of another name")
    ip_batch([f"link set other netns {rig.net.clients.name}"], halod)
    check("other" not in rig.kernel.devices(), "a device that was moved away is not there")
    rig.net.clients.run("ip", "link", "set", "other", "netns", halod.name)
    ip_batch(["address add 10.9.0.1/24 dev other", "link set other up"], halod)
    equal(rig.state("other")[0], "fast", "a device that came back")
    # A port of a bridge leaves it as it goes.
    ip_batch([f"link set other master {BRIDGE}", f"link set other netns {rig.net.clients.name}"], halod)
    check("other" not in rig.kernel.devices(), "a port that was moved away is not there")
    rig.net.clients.run("ip", "link", "set", "other", "netns", halod.name)
    ip_batch([f"link set other master {BRIDGE}", "link del other"], halod)
    check("other" not in rig.kernel.devices(), "a device that was deleted is not there")
    module_taken(rig)


def module_taken(rig: Rig) -> None:
    """The table is flushed and comes back: the hooks with it."""
    rig.kernel.flush()
    equal(rig.state(CLIENTS.port), ("off", "off"), "the clients' device without a table")
    rig.commit("auto")
    equal(rig.state(CLIENTS.port), ("fast", "fast"), "the clients' device with a table again")
