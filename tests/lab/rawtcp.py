"""TCP by hand: clients without an IP stack, which send the segments that they are told to and see all that come."""

import json
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from . import addresses
from .topology import Topology
from .wire import ETHERTYPES, checksum

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
SYN_ACK, FIN_ACK = SYN | ACK, FIN | ACK
NAMES = {SYN: "SYN", ACK: "ACK", RST: "RST", FIN: "FIN"}
WINDOW = 64240
NETWORKS = {4: "203.0.113", 6: "2001:db8:3:"}


@dataclass(frozen=True)
class Segment:
    """What of a TCP segment matters here."""

    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    data: bytes = b""

    def __str__(self) -> str:
        flags = "|".join(name for bit, name in NAMES.items() if self.flags & bit)
        return f"{flags} seq {self.seq} ack {self.ack} {self.data!r}"

    def packet(self, source: str, target: str) -> bytes:
        """The IP packet that carries it."""
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        ends = socket.inet_pton(family, source) + socket.inet_pton(family, target)
        head = struct.pack("!HHIIBBHHH", self.sport, self.dport, self.seq, self.ack, 0x50, self.flags, WINDOW, 0, 0)
        size = len(head) + len(self.data)
        total = checksum(ends + struct.pack("!II", size, 6) + head + self.data)
        body = head[:16] + struct.pack("!H", total) + head[18:] + self.data
        if family == socket.AF_INET6:
            return struct.pack("!IHBB", 6 << 28, size, 6, 64) + ends + body
        ip = struct.pack("!BBHIBBH", 0x45, 0, 20 + size, 0, 64, 6, 0) + ends
        return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + body


def read(packet: bytes) -> tuple[bytes, Segment] | None:
    """Where a packet without extension headers is for, and its segment; None where it is not TCP."""
    if packet[0] >> 4 == 6:
        protocol, target, size, end = packet[6], packet[24:40], 40, 40 + int.from_bytes(packet[4:6])
    else:
        protocol, target, size, end = packet[9], packet[16:20], 4 * (packet[0] & 15), int.from_bytes(packet[2:4])
    if protocol != 6:
        return None
    sport, dport, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", packet, size)
    return target, Segment(sport, dport, seq, ack, flags & 0x17, packet[size + 4 * (offset >> 4) : end])


def gateway_mac(net: Topology) -> bytes:
    """The link address of HaloD's machine where the clients are."""
    link = json.loads(net.halod.run("ip", "-json", "link", "show", "dev", addresses.CLIENTS.port).stdout)[0]
    return bytes.fromhex(link["address"].replace(":", ""))


class RawClient:
    """An address in the clients' network that no IP stack has: whatever comes for it waits to be looked at."""

    def __init__(self, net: Topology, version: int = 4, host: int = 77):
        self.address = f"{NETWORKS[version]}{':' if version == 6 else '.'}{host}"
        self.vip = addresses.vip(version)
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        self._own = socket.inet_pton(family, self.address)
        ethertype = ETHERTYPES[version]
        with net.clients.entered():
            # Of one ethertype: sees what arrives, and not what is sent from here.
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ethertype))
        self._sock.bind(("eth0", ethertype))
        mac = self._sock.getsockname()[4].hex(":")
        device = addresses.CLIENTS.port
        net.halod.run("ip", "neighbour", "replace", self.address, "lladdr", mac, "dev", device, "nud", "permanent")
        self._to = ("eth0", ethertype, 0, 0, gateway_mac(net))
        self._waiting: list[Segment] = []

    def send(self, segment: Segment) -> None:
        """Sends it to the VIP."""
        self._sock.sendto(segment.packet(self.address, self.vip), self._to)

    def next(self, connection: tuple[int, int], seconds: float) -> Segment | None:
        """The next segment of a connection, by (VIP's port, own port); None where none comes in time."""
        end = time.monotonic() + seconds
        while True:
            for index, segment in enumerate(self._waiting):
                if (segment.sport, segment.dport) == connection:
                    return self._waiting.pop(index)
            left = end - time.monotonic()
            if not select.select([self._sock], [], [], max(left, 0))[0]:
                return None
            if (found := read(self._sock.recv(65536))) and found[0] == self._own:
                self._waiting.append(found[1])

    def connection(self, port: int, own_port: int, isn: int = 1000) -> "Connection":
        """A connection to a port of the VIP, of which nothing has been sent yet."""
        return Connection(self, port, own_port, isn)


class Connection:
    """One connection of a raw client. Nothing is answered or sent again unless a method says so."""

    def __init__(self, client: RawClient, port: int, own_port: int, isn: int):
        self.client = client
        self.seq, self.ack = isn, 0  # what comes next, of this side and of the other
        self._isn, self._port, self.own_port = isn, port, own_port

    def send(self, flags: int, data: bytes = b"") -> None:
        """Sends a segment; its bytes, SYN and FIN count as sent."""
        self.client.send(Segment(self.own_port, self._port, self.seq, self.ack if flags & ACK else 0, flags, data))
        self.seq += len(data) + bool(flags & SYN) + bool(flags & FIN)

    def next(self, seconds: float = 5.0) -> Segment | None:
        """The next segment that comes, whatever it is."""
        return self.client.next((self._port, self.own_port), seconds)

    def heard(self, what: str, wanted: Callable[[Segment], object], seconds: float = 10.0) -> Segment:
        """The next segment that is wanted. Others before it are passed over, but told where it does not come."""
        end, others = time.monotonic() + seconds, []
        while segment := self.next(end - time.monotonic()):
            if wanted(segment):
                return segment
            others.append(str(segment))
        raise AssertionError(f"waited {seconds:g} s for {what}; what came: {others}")

    def syn(self) -> None:
        """Sends the SYN, or sends it again."""
        self.seq = self._isn
        self.send(SYN)

    def answer(self) -> Segment:
        """The next answer to the SYN. It is not acknowledged."""
        return self.heard("a SYN-ACK", lambda segment: segment.flags == SYN_ACK and segment.ack == self.seq)

    def acknowledge(self, segment: Segment) -> None:
        """Takes a segment as the one that is next, and acknowledges it."""
        self.ack = segment.seq + len(segment.data) + bool(segment.flags & SYN) + bool(segment.flags & FIN)
        self.send(ACK)

    def line(self) -> str:
        """The next line that the node says, acknowledged."""
        segment = self.heard("data", lambda segment: segment.data and segment.seq == self.ack)
        self.acknowledge(segment)
        return segment.data.decode().rstrip("\n")

    def open(self) -> str:
        """The whole handshake; returns the name of the node that greets."""
        self.syn()
        self.acknowledge(self.answer())
        return self.greeting()

    def greeting(self) -> str:
        """Who greets: the name of a node."""
        return self.line().split()[0]

    def asks(self, text: str) -> str:
        """Says a line, and returns what comes back."""
        self.send(ACK, f"{text}\n".encode())
        return self.line()
