"""Files and large datagrams through the echo servers and back, compared byte for byte."""

import hashlib
import random
import socket
import threading
from collections.abc import Callable

from .addresses import BROWSERS_PORT
from .checks import equal
from .flavour import SLOWER
from .netns import Namespace
from .traffic import FAMILIES


def transfer(clients: Namespace, vip: str, size: int, what: str, connected: Callable[[], None] = lambda: None) -> None:
    """Sends bytes to an echo server and compares what comes back; `connected` is called before the first."""
    data = random.Random(size).randbytes(size)
    with _connected(clients, vip, socket.SOCK_STREAM, 60) as sock:
        connected()
        sender = threading.Thread(target=sock.sendall, args=(data,), daemon=True)
        sender.start()
        greeting = f"n1 {BROWSERS_PORT}\n".encode()
        received = bytearray()
        while len(received) < len(greeting) + size:
            part = sock.recv(1 << 18)
            if not part:
                break
            received += part
        sender.join()
    expected = hashlib.sha256(greeting + data).hexdigest()
    equal((len(received), hashlib.sha256(received).hexdigest()), (len(greeting) + size, expected), f"bytes echoed, {what}")


def datagram(clients: Namespace, vip: str, what: str, size: int = 4096) -> None:
    """Sends a datagram that goes in pieces, and compares what comes back."""
    data = random.Random(size).randbytes(size)
    with _connected(clients, vip, socket.SOCK_DGRAM, 10) as sock:
        sock.send(data)
        answer = sock.recv(1 << 16)
    equal(answer == f"n1 {BROWSERS_PORT} ".encode() + data, True, f"whether a datagram of {size} bytes to {vip} comes back whole, {what}")


def _connected(clients: Namespace, vip: str, kind: socket.SocketKind, seconds: float) -> socket.socket:
    """A socket to the first route's port, that waits so long for anything."""
    with clients.entered():
        sock = socket.socket(FAMILIES[6 if ":" in vip else 4], kind)
    sock.settimeout(seconds * SLOWER)
    try:
        sock.connect((vip, BROWSERS_PORT))
    except OSError:
        sock.close()
        raise
    return sock
