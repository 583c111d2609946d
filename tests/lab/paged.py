"""Sends frames of which the kernel has nothing in one piece but the link header: the rest is in pages, of the ring at
first, and behind a veth in copies of them.

Documentation/networking/packet_mmap.rst, net/packet/af_packet.c.
"""

import mmap
import socket
import struct

# linux/if_packet.h
SOL_PACKET, PACKET_VERSION, PACKET_TX_RING, TPACKET_V2 = 263, 10, 13, 1
AVAILABLE, SEND_REQUEST = 0, 1
SLOT, SLOTS = 2048, 64
DATA = 32  # behind the header, tpacket2_hdr
HEADER = struct.Struct("=II")  # its beginning: status, length


class Paged:
    """A packet socket's ring, by a device; to be made in the device's namespace."""

    def __init__(self, device: str):
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._sock.bind((device, 0))
        self._sock.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        self._sock.setsockopt(SOL_PACKET, PACKET_TX_RING, struct.pack("=IIII", SLOT * SLOTS, 1, SLOT, SLOTS))
        self._ring = mmap.mmap(self._sock.fileno(), SLOT * SLOTS)
        self._next = 0

    def send(self, frame: bytes) -> None:
        """Sends a frame, which the device takes at once."""
        at = self._next * SLOT
        self._next = (self._next + 1) % SLOTS
        if HEADER.unpack_from(self._ring, at)[0] != AVAILABLE:
            raise BlockingIOError(f"the frame {SLOTS} frames before is still on its way")
        self._ring[at + DATA : at + DATA + len(frame)] = frame
        HEADER.pack_into(self._ring, at, SEND_REQUEST, len(frame))
        self._sock.send(b"", socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Stops."""
        self._ring.close()
        self._sock.close()
