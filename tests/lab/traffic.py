"""Clients of the echo servers: one question, or many flows that keep talking and miss nothing."""

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass, field

from .flavour import SLOWER
from .netns import Namespace

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
QUESTION = b"who is there?"  # long enough for a packet that the fast path takes
TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def ask(
    namespace: Namespace, address: str, port: int, protocol: str = "tcp", timeout: float = 5.0 * SLOWER, source: str = ""
) -> str:
    """Who answers there: "NAME PORT". Raises OSError, TimeoutError where nobody does."""
    family = 6 if ":" in address else 4
    with namespace.entered():
        sock = socket.socket(FAMILIES[family], TYPES[protocol])
    with sock:
        sock.settimeout(timeout)
        if source:
            sock.bind((source, 0))
        sock.connect((address, port))
        if protocol == "udp":
            sock.send(QUESTION)
            return sock.recv(2048).removesuffix(b" " + QUESTION).decode()
        with sock.makefile("rb") as lines:
            answer = lines.readline().decode().strip()
            # Until both have closed: what comes later might go another way, and be sent again and again.
            with suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
                lines.read()
            return answer


def answered_by(
    namespace: Namespace, address: str, port: int, protocol: str = "tcp", timeout: float = 5.0 * SLOWER, source: str = ""
) -> str:
    """The name of who answers there; "" for nobody."""
    try:
        return ask(namespace, address, port, protocol, timeout, source).split()[0]
    except OSError:
        return ""


@dataclass
class Flow:
    """One TCP connection, or one UDP socket, and its conversation."""

    address: str
    port: int
    protocol: str = "tcp"
    node: str = ""  # who greeted, or answered last
    answers: int = 0
    errors: list[str] = field(default_factory=list)
    others: set[str] = field(default_factory=set)  # all who have answered

    def __str__(self) -> str:
        return f"{self.protocol} {self.address} port {self.port}"


class Traffic:
    """Flows that each ask, wait for the answer, pause, and ask again, until told to stop.

    A TCP flow that breaks stays broken, and says so in `errors`. A UDP flow
    notes each answer that did not come in time.
    """

    def __init__(self, namespace: Namespace, flows: list[Flow], pause: float = 0.02, patience: float = 10.0):
        self.flows = flows
        self._namespace = namespace
        self._pause, self._patience = pause, patience * SLOWER
        self._stop = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> "Traffic":
        """Opens the flows; returns when each has had its first answer, or an error."""

        async def begin() -> None:
            firsts = []
            for flow in self.flows:
                first = asyncio.Event()
                firsts.append(first.wait())
                talk = self._tcp if flow.protocol == "tcp" else self._udp
                self._tasks.append(asyncio.create_task(talk(flow, first)))
            await asyncio.gather(*firsts)

        self._namespace.resident.run(begin())
        return self

    def answers(self) -> int:
        """How many answers have come in, in all flows."""
        return sum(flow.answers for flow in self.flows)

    def errors(self) -> list[str]:
        """What went wrong so far."""
        return [f"{flow}: {error}" for flow in self.flows for error in flow.errors]

    def stop(self) -> list[str]:
        """Lets every flow end its conversation, and returns all errors."""
        self._stop = True

        async def end() -> None:
            await asyncio.gather(*self._tasks)

        self._namespace.resident.run(end())
        return self.errors()

    async def _tcp(self, flow: Flow, first: asyncio.Event) -> None:
        writer = None
        try:
            async with asyncio.timeout(self._patience):
                reader, writer = await asyncio.open_connection(flow.address, flow.port)
                flow.node = (await reader.readline()).decode().strip()
            flow.others.add(flow.node)
            while not self._stop:
                question = f"{flow.answers}\n".encode()
                writer.write(question)
                async with asyncio.timeout(self._patience):
                    answer = await reader.readline()
                if answer != question:
                    raise ConnectionError(f"asked {question!r}, answered {answer!r}")
                flow.answers += 1
                first.set()
                await asyncio.sleep(self._pause)
        except (OSError, TimeoutError) as error:
            flow.errors.append(f"after {flow.answers} answers: {error or type(error).__name__}")
        finally:
            first.set()
            if writer is not None:
                writer.close()

    async def _udp(self, flow: Flow, first: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(FAMILIES[6 if ":" in flow.address else 4], socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            sock.connect((flow.address, flow.port))
            number = 0
            while not self._stop:
                number += 1
                question = str(number).encode()
                try:
                    async with asyncio.timeout(self._patience):
                        await loop.sock_sendall(sock, question)
                        answer = (await loop.sock_recv(sock, 2048)).decode()
                    name, port, echoed = answer.split(" ")
                    if echoed != str(number):
                        raise OSError(f"asked {number}, answered {answer!r}")
                    flow.node = f"{name} {port}"
                    flow.others.add(flow.node)
                    flow.answers += 1
                except (OSError, TimeoutError) as error:
                    flow.errors.append(f"question {number}: {error or type(error).__name__}")
                first.set()
                await asyncio.sleep(self._pause)
