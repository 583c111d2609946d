"""Packets to begin with, the program that throws what becomes of them, and an account of where they go."""

import json
import select
import socket
import threading
from collections.abc import Iterable
from pathlib import Path

from lab import paths, vector_files
from lab.netns import Namespace
from lab.process import Process
from lab.wire import ETH_P_ALL, ETHERTYPES

THROWER = paths.REPO / "build/fuzz/throw-packets"
CAPTURED_MAX = 2000


def from_vectors() -> list[bytes]:
    """Every packet of the vectors: those that go in, and those that come out."""
    return [
        bytes.fromhex(vector[side])
        for file in vector_files.files()
        for vector in file["vectors"]
        for side in ("packet", "out")
        if vector[side]
    ]


class Capture:
    """What is sent and received on a namespace's eth0 while the block runs."""

    def __init__(self, namespace: Namespace):
        with namespace.entered():
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
        self._sock.bind(("eth0", ETH_P_ALL))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.packets: list[bytes] = []

    def _read(self) -> None:
        while not self._stop.is_set() and len(self.packets) < CAPTURED_MAX:
            if select.select([self._sock], [], [], 0.1)[0]:
                packet, (_, ethertype, *_) = self._sock.recvfrom(65536)
                if ethertype in ETHERTYPES.values():
                    self.packets.append(packet)

    def __enter__(self) -> "Capture":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sock.close()


def write(path: Path, packets: Iterable[bytes]) -> int:
    """Writes packets for the program, each once; returns how many."""
    different = sorted({packet for packet in packets if 20 <= len(packet) <= 1500})
    path.write_bytes(b"".join(len(packet).to_bytes(2) + packet for packet in different))
    return len(different)


def link_addresses(namespace: Namespace) -> dict[str, str]:
    """Of each of its devices, by name."""
    return {link["ifname"]: link["address"] for link in json.loads(namespace.run("ip", "-json", "link").stdout)}


def throw(namespace: Namespace, name: str, file: Path, count: int, seed: int, to: tuple[str, str] | None, logs: Path) -> Process:
    """Starts the program in a namespace: out of a device to a link address, or, without `to`, as its own packets.

    A count of 0 is for ever.
    """
    return Process(namespace, name, [THROWER, file, count, seed, *(to or ("raw",))], logs)


def sent(process: Process) -> tuple[int, int]:
    """How many a thrower that has ended has sent, and how many were refused on the way out."""
    words = process.text().split()
    if process.exit != 0 or words[:1] != ["sent"]:
        raise AssertionError(f"{process.name} ended with {process.exit}: {process.text()[-500:]!r}")
    return int(words[1]), int(words[3])
