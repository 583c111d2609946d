"""Servers that say who they are, for tests of the data path alone.

A TCP connection is greeted with "NAME PORT\\n", then every line comes back. A
datagram comes back with "NAME PORT " before it.
"""

import asyncio
from collections import Counter
from functools import partial

from .addresses import APPS_PORT, BROWSERS_PORT, ROUTES, Host
from .netns import Namespace


class Echo:
    """All ports of a node's machine, on all its addresses."""

    def __init__(
        self,
        namespace: Namespace,
        name: str,
        host: Host,
        bases: tuple[int, ...] = (BROWSERS_PORT, APPS_PORT),
        routes: int = ROUTES,
        protocols: tuple[str, ...] = ("tcp", "udp"),
    ):
        self.name = name
        self.namespace = namespace
        self.datagrams: Counter[int] = Counter()  # by port
        self.connections: Counter[int] = Counter()
        self._addresses = (host.v4, host.v6)
        self._ports = [base + index for base in bases for index in range(routes)]
        self._protocols = protocols
        self._open: list[asyncio.BaseServer | asyncio.BaseTransport] = []
        namespace.resident.run(self._start())

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        for address in self._addresses:
            for port in self._ports:
                if "tcp" in self._protocols:
                    made = partial(_Stream, self, port)
                    self._open.append(await loop.create_server(made, address, port, backlog=256))
                if "udp" in self._protocols:
                    transport, _ = await loop.create_datagram_endpoint(partial(_Datagrams, self, port), (address, port))
                    self._open.append(transport)

    def stop(self) -> None:
        """Closes every socket that listens."""

        async def close() -> None:
            for each in self._open:
                each.close()
            self._open.clear()

        self.namespace.resident.run(close())


class _Stream(asyncio.Protocol):
    def __init__(self, echo: Echo, port: int):
        self._echo, self._port = echo, port
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._echo.connections[self._port] += 1
        transport.write(f"{self._echo.name} {self._port}\n".encode())

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, echo: Echo, port: int):
        self._echo, self._port = echo, port
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._echo.datagrams[self._port] += 1
        self._transport.sendto(f"{self._echo.name} {self._port} ".encode() + data, addr)
