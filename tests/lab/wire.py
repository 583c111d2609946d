"""A namespace's end of a link, at the level of packets: sends raw ones, and sees all that arrive."""

import select
import socket
import struct
from collections.abc import Iterable

from .netns import Namespace

ETHERTYPES = {4: 0x0800, 6: 0x86DD}


class Wire:
    """The device eth0 of a namespace whose own IP stack is made to say nothing."""

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

    @property
    def mac(self) -> bytes:
        """The device's own address."""
        return self._sockets[4].getsockname()[4]

    def send(self, packet: bytes, to: bytes) -> None:
        """Sends a packet, from its network header on, to a link address."""
        version = packet[0] >> 4
        self._sockets[version].sendto(packet, ("eth0", ETHERTYPES[version], 0, 0, to))

    def close(self) -> None:
        """Stops."""
        for sock in self._sockets.values():
            sock.close()


def arrived(wires: Iterable[Wire], seconds: float) -> list[tuple[str, bytes]]:
    """The packets that are there, and the namespaces where; waits for the first one so long at most.

    Without multicast ones, by which kernels talk of their own links.
    """
    sockets = {sock: wire.name for wire in wires for sock in wire._sockets.values()}
    found: list[tuple[str, bytes]] = []
    while not found and (ready := select.select(list(sockets), [], [], seconds)[0]):
        for sock in ready:
            packet = sock.recv(65536)
            if not _multicast(packet):
                found.append((sockets[sock], packet))
    while ready := select.select(list(sockets), [], [], 0)[0]:
        found += [(sockets[sock], packet) for sock in ready if not _multicast(packet := sock.recv(65536))]
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
