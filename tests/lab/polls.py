"""Browsers of the example long-polling server: they poll, and poll again from where they are."""

import time

import aiohttp

from .subscribers import Browsers, Loss, User


class Polls(Browsers):
    """Users of long_polling.py. Each poll is a new connection; one that ends without an answer is a loss."""

    def _session(self, user: User) -> aiohttp.ClientSession:
        session = super()._session(user)
        session._retry_connection = False  # as it is, it tries a broken GET again and says nothing
        return session

    async def _live(self, user: User) -> None:
        last: int | None = None
        while True:
            try:
                if last is None:
                    async with self._gate:
                        last = await self._poll(user, "")
                else:
                    last = await self._poll(user, f"&after={last}")
            except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError) as error:
                user.refused.append(str(error))
            except aiohttp.ClientError:
                user.losses.append(Loss(time.monotonic(), "reset"))

    async def _poll(self, user: User, after: str) -> int:
        async with self._session(user).get(user.url.replace("/sub", "/poll") + after) as answer:
            content = await answer.json()
        user.node, user.local, user.connected = answer.headers["X-Node"], "somewhere", True
        user.messages += [(time.monotonic(), text) for text in content["messages"]]
        return content["last"]
