"""Browsers: Server-Sent Events and WebSocket subscribers that reconnect by themselves.

User u belongs to route u mod N + 1, which everybody can work out. N users
subscribe by Server-Sent Events, the next N by WebSocket, and so on; either sort
is half on the IPv4 VIP and half on the IPv6 one.

An idle client learns that its node is gone when it sends: its TCP keepalive
probe reaches the route's new node, which resets the connection. Here that is
after a second, if not told otherwise; a browser does it after 45.
"""

import asyncio
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp

from .addresses import BROWSERS_PORT, ONE_PORT, ROUTES, bracketed, vip
from .flavour import SLOWER
from .selection import route_of

KEEPALIVE = 1  # seconds
KEEPALIVE_COUNT = 30
# A SYN that was lost with its node is sent again after a second, and reaches the next one.
CONNECT_TIMEOUT = 5.0 * SLOWER
# More at once only wait for each other on an emulated machine, and then run into the time above.
CONNECTING_AT_ONCE = 8
PAUSE_BETWEEN_TRIES = 0.05
RECONNECT = "reconnect"

Connected = Callable[[str], None]  # with the node's name, where the transport shows it


@dataclass
class Loss:
    """A connection that ended; moments are time.monotonic()."""

    at: float
    why: str  # asked (by a message), reset, closed
    back: float | None = None
    tries: int = 0


@dataclass
class User:
    """One user's browser and what happened to it."""

    number: int
    routes: int = ROUTES
    source: str = ""  # the address that it connects from; "" for the machine's own choice
    node: str = ""  # who said so in the answer's X-Node, where the transport shows it
    local: str = ""  # its end of the connection, as it is written in agents' events
    connected: bool = False
    refused: list[str] = field(default_factory=list)  # connections that did not come to be
    messages: list[tuple[float, str]] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)

    @property
    def route(self) -> int:
        """The user's route, 1..=N."""
        return self.number % self.routes + 1

    @property
    def transport(self) -> str:
        """`sse` or `websocket`."""
        return "websocket" if self.number // self.routes % 2 else "sse"

    @property
    def family(self) -> int:
        """IP version."""
        return 4 if (self.number + self.number // self.routes) % 2 == 0 else 6

    @property
    def url(self) -> str:
        """Where it subscribes: its route's port of the browsers' listener."""
        return f"http://{bracketed(vip(self.family))}:{BROWSERS_PORT + self.route - 1}/sub?id={self.number}"

    def got(self, text: str) -> int:
        """How often it got this message."""
        return sum(1 for _, message in self.messages if message == text)


class Browsers:
    """All users' browsers, in the event loop of the calling thread."""

    connect_timeout = CONNECT_TIMEOUT

    def __init__(self, users: list[User], keepalive: int = KEEPALIVE):
        self.users = users
        self._keepalive = (
            (socket.TCP_KEEPIDLE, keepalive),
            (socket.TCP_KEEPINTVL, keepalive),
            (socket.TCP_KEEPCNT, KEEPALIVE_COUNT),
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._sessions: dict[str, aiohttp.ClientSession] = {}  # by users' source
        self._gate = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def start(self) -> None:
        """Opens every subscription; returns at once, see `User.connected`."""
        for user in self.users:
            self._begin(user)

    async def stop(self) -> None:
        """Closes every subscription."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for session in self._sessions.values():
            await session.close()

    def _session(self, user: User) -> aiohttp.ClientSession:
        """What the user's connections are made by."""
        if user.source not in self._sessions:
            local = (user.source, 0) if user.source else None
            connector = aiohttp.TCPConnector(limit=0, force_close=True, local_addr=local)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.connect_timeout)
            self._sessions[user.source] = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self._sessions[user.source]

    def _begin(self, user: User) -> None:
        task = asyncio.create_task(self._live(user))
        task.add_done_callback(lambda task: self._ended(user, task))
        self._tasks.append(task)

    def _ended(self, user: User, task: asyncio.Task[None]) -> None:
        """A browser lives until it is stopped: without this nobody would learn why it does not."""
        if not task.cancelled() and (error := task.exception()) is not None:
            print(f"# the browser of user {user.number} failed:", *traceback.format_exception(error), flush=True)

    async def _live(self, user: User) -> None:
        subscribe = self._sse if user.transport == "sse" else self._websocket
        loss: Loss | None = None

        def connected(node: str) -> None:
            self._gate.release()
            user.node = node
            user.connected = True
            if loss is not None:
                loss.back = time.monotonic()

        while True:
            user.connected = False
            await self._gate.acquire()
            try:
                why = await subscribe(user, connected)
            except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
                why = "reset"
                if not user.connected:
                    user.refused.append(str(error) or type(error).__name__)
            if user.connected:
                user.connected = False
                user.losses.append(loss := Loss(time.monotonic(), why))
            else:
                self._gate.release()
                if loss is not None:
                    loss.tries += 1
                await asyncio.sleep(PAUSE_BETWEEN_TRIES)

    def _opened(self, user: User, sock: socket.socket | None) -> bool:
        """Prepares a connection; whether it is still there: what comes on it may have ended it already."""
        if sock is None or sock.fileno() < 0:
            return False
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in self._keepalive:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        user.local = "{}:{}".format(bracketed((name := sock.getsockname())[0]), name[1])
        return True

    async def _sse(self, user: User, connected: Connected) -> str:
        headers = {"Accept": "text/event-stream"}
        async with self._session(user).get(user.url, headers=headers) as answer:
            answer.raise_for_status()
            if not self._opened(user, socket_of(answer)):
                return "closed"
            connected(answer.headers.get("X-Node", ""))
            async for line in answer.content:
                if line.startswith(b"data: "):
                    text = line[6:].rstrip(b"\r\n").decode()
                    user.messages.append((time.monotonic(), text))
                    if text == RECONNECT:
                        return "asked"
        return "closed"

    async def _websocket(self, user: User, connected: Connected) -> str:
        patience = aiohttp.ClientWSTimeout(ws_close=0.05)
        async with self._session(user).ws_connect(user.url, timeout=patience) as stream:
            if not self._opened(user, stream.get_extra_info("socket")):
                return "closed"
            connected("")
            async for message in stream:
                if message.type != aiohttp.WSMsgType.TEXT:
                    break
                user.messages.append((time.monotonic(), message.data))
                if message.data == RECONNECT:
                    return "asked"
            if stream.exception() is not None:
                return "reset"
        return "closed"


def socket_of(answer: aiohttp.ClientResponse) -> socket.socket | None:
    """That of an answer's connection, if it is still there."""
    transport = answer.connection.transport if answer.connection else None
    return transport.get_extra_info("socket") if transport else None


@dataclass
class OnePortUser(User):
    """A user of a listener with one port: the route follows from its end of the connection."""

    key: bytes = b""
    select: str = "flow"

    @property
    def route(self) -> int:
        """That of its connection, or of the last one."""
        address, _, port = self.local.rpartition(":")
        return route_of(self.key, self.select, address.strip("[]"), int(port), self.routes)

    @property
    def url(self) -> str:
        """The same for all users."""
        return f"http://{bracketed(vip(self.family))}:{ONE_PORT}/sub?id={self.number}"


def population(routes: int = ROUTES) -> list[User]:
    """Two users for every route, one of either transport."""
    return [User(number, routes) for number in range(2 * routes)]
