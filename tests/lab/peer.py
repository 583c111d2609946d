"""A node that speaks the node protocol by itself, for scenarios that say what a node's agent would not."""

import json
import socket
import threading
import time
from typing import Any

from . import addresses
from .netns import Namespace
from .wait import until

BEAT = 0.2  # seconds


class Peer:
    """Node n<number> on its own machine; its push server is somebody else's matter."""

    def __init__(self, namespace: Namespace, number: int):
        self.name = f"n{number}"
        self.load: dict[str, object] | None = None
        self.heard: list[dict[str, Any]] = []  # since the last connect
        self._namespace, self._host = namespace, addresses.node(number)
        self._token: str | None = None
        self._seq = 0
        self._lock = threading.Lock()
        self.connect()

    def connect(self) -> "Peer":
        """Says hello, with the token of the last welcome, and waits for the next one."""
        with self._namespace.entered():
            sock = socket.socket()
        sock.connect((addresses.NODES_GATEWAY4, addresses.NODE_PROTOCOL_PORT))
        self.heard = heard = []
        token = {"resume": self._token} if self._token else {}
        with self._lock:
            self._socket = sock
            self._send("hello", version=1, name=self.name, addresses=[self._host.v4, self._host.v6], **token)
        threading.Thread(target=self._read, args=(sock, heard), daemon=True).start()
        self._token = self.hears("welcome")["resume"]
        threading.Thread(target=self._beat, args=(sock,), daemon=True).start()
        return self

    def say(self, kind: str, **members: object) -> None:
        """Sends a message."""
        with self._lock:
            self._send(kind, **members)

    def _send(self, kind: str, **members: object) -> None:
        self._socket.sendall(json.dumps({"type": kind, **members}).encode() + b"\n")

    def hears(self, kind: str, seconds: float = 20.0) -> dict[str, Any]:
        """The last message of a kind since the last connect, once there is one."""

        def last() -> dict[str, Any]:
            return [message for message in list(self.heard) if message["type"] == kind][-1]

        return until(f"{self.name} to hear {kind}", last, seconds)

    def close(self) -> float:
        """Ends the connection, without a word; returns the moment just before."""
        moment = time.monotonic()
        self._socket.shutdown(socket.SHUT_RDWR)
        return moment

    @staticmethod
    def _read(sock: socket.socket, heard: list[dict[str, Any]]) -> None:
        try:
            with sock, sock.makefile("rb") as lines:
                heard.extend(json.loads(line) for line in lines)
        except OSError:
            pass  # its end, as any other

    def _beat(self, sock: socket.socket) -> None:
        try:
            while True:
                with self._lock:
                    if sock is not self._socket:
                        return
                    self._seq += 1
                    self._send("heartbeat", seq=self._seq, **({"load": self.load} if self.load else {}))
                time.sleep(BEAT)
        except OSError:
            pass
