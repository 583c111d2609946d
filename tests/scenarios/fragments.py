"""Datagrams larger than the links arrive whole, both ways, IPv4 and IPv6, on even links and on narrow ones, from
clients and from HaloD's own machine. Fragments of datagrams that never become whole, and fragments that overlap,
harm nothing. Fragments are put together for as long as there is a listener of their IP version, and no longer.
"""

import errno
import hashlib
import random
import socket

from lab import addresses
from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import equal
from lab.echo import Echo
from lab.kernel import Kernel, lab_listeners
from lab.lab import Lab
from lab.netns import Namespace
from lab.pieces import Hand, Piece, hand, udp
from lab.routers import WIDE, Way
from lab.traffic import FAMILIES
from lab.wait import until
from lab.wire import ETH_P_ALL

BOTH_PATHS = True
SIZE = 4096
COUNT = 50
NARROW = 1280
BROKEN = 2000


def run(lab: Lab) -> None:
    net = lab.net
    Echo(net.node(1), "n1", addresses.node(1), bases=(BROWSERS_PORT,), routes=1, protocols=("udp",))
    kernel = lab.kernel()
    kernel.commit(lab.table([1] * ROUTES))

    for vip in (VIP4, VIP6):
        before = kernel.counters()
        datagrams(net.clients, vip, "on even links")
        grown = {name: count - before[name] for name, count in kernel.counters().items() if name != "pass"}
        equal({name: count for name, count in grown.items() if count}, {"forward": COUNT, "reverse": COUNT}, f"exits, {vip}")
        datagrams(net.halod, vip, "to HaloD's own machine")

    broken_ones(net.clients, kernel)
    for vip in (VIP4, VIP6):
        datagrams(net.clients, vip, "after broken ones")

    while_there_are_listeners(lab, kernel)
    kernel.commit(lab.table([1] * ROUTES))
    narrow_links(lab, kernel)


def datagrams(namespace: Namespace, vip: str, what: str) -> None:
    """Random datagrams come back as they were sent. One that is lost, to learn the path MTU, is sent again."""
    noise = random.Random(vip)
    with namespace.entered():
        sock = socket.socket(FAMILIES[6 if ":" in vip else 4], socket.SOCK_DGRAM)
    lost: set[int] = set()
    with sock:
        sock.connect((vip, BROWSERS_PORT))
        for number in range(COUNT):
            data = number.to_bytes(2) + noise.randbytes(SIZE - 2)
            for patience in (1.0, 10.0):
                sock.settimeout(patience)
                sock.send(data)
                if echoed := received(sock, number):
                    # A digest says as much, and is shorter where it fails.
                    found, expected = (hashlib.sha256(one).hexdigest() for one in (echoed, f"n1 {BROWSERS_PORT} ".encode() + data))
                    equal(found, expected, f"datagram {number} echoed by {vip} {what}")
                    break
                lost.add(number)
            equal(len(lost) <= 2, True, f"{vip} {what}: datagrams {sorted(lost)} lost, at most one for each way's path MTU")


def received(sock: socket.socket, number: int) -> bytes:
    """The answer that comes in time, and not one to a datagram before. The socket is told the path MTU meanwhile
    (IPv6), once for each piece that was too big.
    """
    while True:
        try:
            echoed = sock.recv(1 << 16)
            if echoed.split(b" ", 2)[2].startswith(number.to_bytes(2)):
                return echoed
        except TimeoutError:
            return b""
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise


def broken_ones(clients: Namespace, kernel: Kernel) -> None:
    """Fragments that overlap, that contradict each other, and first ones that nothing ever follows."""
    noise = random.Random(4)
    before = kernel.counters()
    with hand(clients, addresses.CLIENTS) as sender:
        for number in range(BROKEN):
            for _ in range(noise.randrange(1, 4)):
                piece = Piece(1 + number, noise.choice((0, 0, 1, 2, 20, 255)), noise.random() < 0.9)
                # Never as long as the header says.
                body = noise.randbytes(8 * noise.randrange(1, 80))
                body = body if piece.offset else udp(BROWSERS_PORT, bytes(6000))[:8] + body
                for vip in (VIP4, VIP6):
                    sender.send(vip, body, piece)
    counted = kernel.counters()
    grown = {name: count - before[name] for name, count in counted.items() if name != "pass"}
    print(f"# {BROKEN} datagrams in pieces that do not fit: {({name: count for name, count in grown.items() if count})}")


def while_there_are_listeners(lab: Lab, kernel: Kernel) -> None:
    """A lone fragment to a node itself is passed on, but not while fragments are put together."""
    vips = {4: VIP4, 6: VIP6}
    with lab.net.node(2).entered():
        seen = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
    with seen, hand(lab.net.clients, addresses.CLIENTS) as sender:
        for versions in ((4, 6), (4,), (6,), ()):
            names = [vips[version] for version in versions]
            listeners = [listener for listener in lab_listeners("udp") if listener.address in names]
            kernel.commit(lab.table([1] * ROUTES, listeners))
            equal(passed_on(sender, seen), {4, 6} - set(versions), f"lone fragments passed on while {names} listen")
        kernel.flush()
        equal(passed_on(sender, seen), {4, 6}, "lone fragments passed on without a table")


def passed_on(sender: Hand, seen: socket.socket) -> set[int]:
    """Of which IP versions the node gets a lone fragment: sends one, and a whole datagram after it."""
    node, mark = addresses.node(2), random.randbytes(16)
    whole, lone = set(), set()
    for address in (node.v4, node.v6):
        sender.send(address, udp(7, mark), Piece(random.randrange(1, 1 << 16)))
        sender.send(address, udp(7, mark))

    def all_whole() -> bool:
        try:
            while True:
                packet = seen.recv(1 << 16)
                version = packet[0] >> 4
                if packet.endswith(mark):
                    fragment = packet[6] & 0x3F if version == 4 else packet[6] == 44
                    (lone if fragment else whole).add(version)
        except BlockingIOError:
            return whole == {4, 6}

    until("whole datagrams to arrive", all_whole)
    return lone


def narrow_links(lab: Lab, kernel: Kernel) -> None:
    """Through links for which HaloD's machine, or a router, must cut what comes smaller, or say so."""
    ways = [Way(lab.net, addresses.CLIENTS), Way(lab.net, addresses.node(1))]
    for way in ways:
        for link in (0, 1):
            way.mtu(link, NARROW)
            for vip in (VIP4, VIP6):
                datagrams(lab.net.clients, vip, f"with link {link} of {NARROW} bytes on the side of {way.host.name}")
            way.mtu(link, WIDE)
            for namespace in (lab.net.clients, lab.net.node(1)):
                for family in (4, 6):
                    namespace.run("ip", f"-{family}", "route", "flush", "cache")
    for way in ways:
        way.close()
    drops = {name for name, count in kernel.counters().items() if name.startswith("drop_") and count}
    # IPv6 routers call every fragment too big, and only the first one has ports.
    equal(drops - {"drop_icmp_quote"}, set(), "drops")
