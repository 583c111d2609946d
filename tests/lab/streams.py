"""Browsers of the example push server: they resume after the last message that they have, and so miss none."""

import asyncio
import json
import time

import aiohttp

from .flavour import SLOWER
from .subscribers import KEEPALIVE, RECONNECT, Browsers, Connected, User, socket_of


class Streams(Browsers):
    """Users of push_server.py; `_last` is what each resumes after."""

    # Hundreds of them in one event loop, on an emulated machine: theirs may be the time that passes.
    connect_timeout = 30.0 * SLOWER

    def __init__(self, users: list[User], keepalive: int = KEEPALIVE):
        super().__init__(users, keepalive)
        self._last: dict[int, str] = {}

    def add(self, user: User) -> None:
        """One more user comes. Call it in the event loop."""
        self.users.append(user)
        self._begin(user)

    async def _sse(self, user: User, connected: Connected) -> str:
        headers = {"Accept": "text/event-stream"}
        if user.number in self._last:
            headers["Last-Event-ID"] = self._last[user.number]
        async with self._session(user).get(user.url, headers=headers) as answer:
            answer.raise_for_status()
            if not self._opened(user, socket_of(answer)):
                return "closed"
            asked = False
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "id":
                    self._last[user.number] = value
                    if not user.connected:  # as much as it takes to miss nothing from now on
                        connected(answer.headers.get("X-Node", ""))
                elif name == "event":
                    asked = value == RECONNECT
                elif name == "data" and not asked:
                    user.messages.append((time.monotonic(), value))
        return "asked" if asked else "closed"

    async def _websocket(self, user: User, connected: Connected) -> str:
        url = user.url + (f"&after={self._last[user.number]}" if user.number in self._last else "")
        async with self._session(user).ws_connect(url, timeout=aiohttp.ClientWSTimeout(ws_close=0.05)) as stream:
            if not self._opened(user, stream.get_extra_info("socket")):
                return "closed"
            async for message in stream:
                if message.type != aiohttp.WSMsgType.TEXT:
                    break
                content = json.loads(message.data)
                if content.get(RECONNECT):
                    return "asked"
                self._last[user.number] = content["id"]
                if not user.connected:
                    connected("")
                if "text" in content:
                    user.messages.append((time.monotonic(), content["text"]))
            return "closed" if stream.exception() is None else "reset"
