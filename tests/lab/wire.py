"""A namespace's end of a link, or its own sockets, at the level of packets: sends raw ones, sees all that arrive."""

import select
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from .netns import Namespace
from .paged import SOL_PACKET, Paged

ETH_P_ALL = 3  # linux/if_ether.h
ETHERTYPES = {4: 0x0800, 6: 0x86DD}
PACKET_VNET_HDR = 15  # linux/if_packet.h
NEEDS_CSUM = 1  # linux/virtio_net.h
IPV6_FLOWINFO = 11  # linux/in6.h
ICMPV6_INFORMATION = 128  # types from here on are no errors


class End(Protocol):
    """Where packets arrive."""

    name: str

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """What to wait at."""

    def read(self, sock: socket.socket) -> bytes | None:
        """The next packet of a socket that has one; None for what nobody waits for."""


class Wire:
    """The device eth0 of a namespace whose own IP stack is made to say nothing."""

    paged = False  # whether packets are sent in pages

    def __init__(self, namespace: Namespace):
        namespace.sysctl(ipv6__conf__all__disable_ipv6=1)
        namespace.run("ip", "-4", "address", "flush", "dev", "eth0")
        self.name = namespace.name
        self._sockets: dict[int, socket.socket] = {}
        with namespace.entered():
            for version, ethertype in ETHERTYPES.items():
                # Of one ethertype: sees what arrives, and not what is sent from here.
                sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(ethertype))
                sock.bind(("eth0", ethertype))
                self._sockets[version] = sock
            self._offloaded = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._offloaded.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            self._pages = Paged("eth0")

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """What to wait at."""
        return list(self._sockets.values())

    def read(self, sock: socket.socket) -> bytes | None:
        """The next packet, without what a bridge floods to others, and without kernels' talk of their links."""
        packet, sender = sock.recvfrom(65536)
        return packet if sender[2] == socket.PACKET_HOST and not _multicast(packet) else None

    @property
    def mac(self) -> bytes:
        """The device's own address."""
        return self._sockets[4].getsockname()[4]

    def send(self, packet: bytes, to: bytes) -> None:
        """Sends a packet, from its network header on, to a link address."""
        version = packet[0] >> 4
        if self.paged:
            self._pages.send(self._ethernet(packet, to) + packet)
        else:
            self._sockets[version].sendto(packet, ("eth0", ETHERTYPES[version], 0, 0, to))

    def send_partial(self, packet: bytes, to: bytes, start: int, field: int) -> None:
        """The same, the checksum at `field` of the transport header at `start` being the device's to complete."""
        ethernet = self._ethernet(packet, to)
        head = struct.pack("=BBHHHH", NEEDS_CSUM, 0, 0, 0, len(ethernet) + start, field)
        self._offloaded.sendto(head + ethernet + packet, ("eth0", 0))

    def _ethernet(self, packet: bytes, to: bytes) -> bytes:
        return to + self.mac + struct.pack("!H", ETHERTYPES[packet[0] >> 4])

    def close(self) -> None:
        """Stops."""
        for sock in (*self._sockets.values(), self._offloaded, self._pages):
            sock.close()


class Tap:
    """What a program sees that watches all of a namespace's devices, as tcpdump(8) does: packets as they come in.

    For it the kernel has a clone of each.
    """

    def __init__(self, namespace: Namespace):
        with namespace.entered():
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))

    def seen(self) -> list[bytes]:
        """Since the last time."""
        packets = []
        while True:
            try:
                packet, sender = self._sock.recvfrom(65536)
            except BlockingIOError:
                return packets
            if sender[2] == socket.PACKET_HOST:
                packets.append(packet)

    def close(self) -> None:
        """Stops."""
        self._sock.close()


class Own:
    """A machine's own packets: sends them as they are, and sees what is delivered to it of TCP, UDP and ICMP errors."""

    def __init__(self, namespace: Namespace):
        self.name = namespace.name
        self._protocols: dict[socket.socket, int] = {}
        with namespace.entered():
            self._senders = {
                4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
                6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
            }
            for family, icmp in ((socket.AF_INET, socket.IPPROTO_ICMP), (socket.AF_INET6, socket.IPPROTO_ICMPV6)):
                for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP, icmp):
                    sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
                    if family == socket.AF_INET6:
                        for option in (socket.IPV6_RECVPKTINFO, socket.IPV6_RECVHOPLIMIT, IPV6_FLOWINFO):
                            sock.setsockopt(socket.IPPROTO_IPV6, option, 1)
                    self._protocols[sock] = protocol

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """What to wait at."""
        return list(self._protocols)

    def read(self, sock: socket.socket) -> bytes | None:
        """The next packet. Of IPv6 the kernel gives the header in parts, which are put together again."""
        body, parts, _, sender = sock.recvmsg(65536, 1024)
        if sock.family == socket.AF_INET:
            return body
        if self._protocols[sock] == socket.IPPROTO_ICMPV6 and body[0] >= ICMPV6_INFORMATION:
            return None
        said = {kind: data for _, kind, data in parts}
        (flow,) = struct.unpack("!I", said.get(IPV6_FLOWINFO, bytes(4)))
        (hops,) = struct.unpack("=i", said[socket.IPV6_HOPLIMIT])
        head = struct.pack("!IHBB", 6 << 28 | flow, len(body), self._protocols[sock], hops)
        return head + socket.inet_pton(socket.AF_INET6, sender[0]) + said[socket.IPV6_PKTINFO][:16] + body

    def send(self, packet: bytes) -> None:
        """Sends a packet from its network header on; PermissionError where that is dropped at once."""
        if packet[0] >> 4 == 4:
            self._senders[4].sendto(packet, (socket.inet_ntop(socket.AF_INET, packet[16:20]), 0))
        else:
            self._senders[6].sendto(packet, (socket.inet_ntop(socket.AF_INET6, packet[24:40]), 0))

    def close(self) -> None:
        """Stops."""
        for sock in (*self._senders.values(), *self._protocols):
            sock.close()


def arrived(ends: Iterable[End], seconds: float) -> list[tuple[str, bytes]]:
    """The packets that are there, and the namespaces where; waits for the first one so long at most."""
    owners = {sock: end for end in ends for sock in end.sockets}
    found: list[tuple[str, bytes]] = []
    deadline = time.monotonic() + seconds
    while ready := select.select(list(owners), [], [], 0 if found else max(0, deadline - time.monotonic()))[0]:
        for sock in ready:
            packet = owners[sock].read(sock)
            if packet is not None:
                found.append((owners[sock].name, packet))
    return found


def _multicast(packet: bytes) -> bool:
    return packet[24] == 0xFF if packet[0] >> 4 == 6 else packet[16] >> 4 == 14


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def routed(packet: bytes) -> bytes:
    """The packet after one router: TTL or hop limit, and IPv4's header checksum."""
    if packet[0] >> 4 == 6:
        return packet[:7] + bytes([packet[7] - 1]) + packet[8:]
    size = 4 * (packet[0] & 15)
    head = packet[:8] + bytes([packet[8] - 1, packet[9], 0, 0]) + packet[12:size]
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + packet[size:]
