"""UDP datagrams by hand: whole ones, and pieces that may fit each other or not."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .addresses import Host
from .netns import Namespace


@dataclass(frozen=True)
class Piece:
    """A fragment: of which datagram, at which multiple of 8 bytes, and whether more follow."""

    number: int
    offset: int = 0
    more: bool = True


class Hand:
    """Sends packets of one host as they are."""

    def __init__(self, namespace: Namespace, host: Host):
        self._host = host
        with namespace.entered():
            self._sockets = {
                4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
                6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
            }

    def send(self, to: str, body: bytes, piece: Piece | None = None) -> None:
        """Sends a datagram from its UDP header on, or a piece of one."""
        if ":" in to:
            ends = socket.inet_pton(socket.AF_INET6, self._host.v6) + socket.inet_pton(socket.AF_INET6, to)
            if piece is not None:
                body = struct.pack("!BBHI", 17, 0, piece.offset << 3 | piece.more, piece.number) + body
            head = struct.pack("!IHBB", 6 << 28, len(body), 17 if piece is None else 44, 64)
            self._sockets[6].sendto(head + ends + body, (to, 0))
            return
        ends = socket.inet_aton(self._host.v4) + socket.inet_aton(to)
        number, fragment = (0, 0) if piece is None else (piece.number, piece.more << 13 | piece.offset)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number, fragment, 64, 17, 0)
        self._sockets[4].sendto(head + ends + body, (to, 0))

    def close(self) -> None:
        """Stops."""
        for sock in self._sockets.values():
            sock.close()


@contextmanager
def hand(namespace: Namespace, host: Host) -> Iterator[Hand]:
    """One that is closed in the end."""
    made = Hand(namespace, host)
    try:
        yield made
    finally:
        made.close()


def udp(port: int, data: bytes) -> bytes:
    """A datagram from its header on, without a checksum."""
    return struct.pack("!HHHH", 4, port, 8 + len(data), 0) + data
