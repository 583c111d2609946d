"""The application: publishes to a user at the user's route of the apps' listener."""

import asyncio
from dataclasses import dataclass

import aiohttp

from .addresses import APPS_PORT, bracketed, vip
from .netns import Namespace
from .subscribers import User


@dataclass
class Published:
    """What the push server answered."""

    user: int
    node: str  # its X-Node
    status: int  # nchan: 201 delivered to a subscriber, 202 none was there


async def publish(users: list[User], text: str, at_once: int = 12) -> list[Published]:
    """Sends each user `text` with the user's number after it; each by a new connection."""
    gate = asyncio.Semaphore(at_once)
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=timeout) as session:

        async def one(user: User) -> Published:
            url = f"http://{bracketed(vip(user.family))}:{APPS_PORT + user.route - 1}/pub?id={user.number}"
            async with gate, session.post(url, data=message(text, user)) as answer:
                return Published(user.number, answer.headers.get("X-Node", ""), answer.status)

        return await asyncio.gather(*map(one, users))


class Rounds:
    """Publishes to every user, round after round, until told to stop. Runs in the app's namespace."""

    def __init__(self, namespace: Namespace, users: list[User], text: str):
        self.rounds = 0
        self._namespace, self._users, self._text = namespace, users, text
        self._stop = False
        self._done = asyncio.run_coroutine_threadsafe(self._publish(), namespace.resident.loop)

    async def _publish(self) -> None:
        while not self._stop:
            await publish(self._users, f"{self._text} {self.rounds}")
            self.rounds += 1

    def stop(self) -> None:
        """Ends the round that runs; raises what went wrong in any."""
        self._stop = True
        self._done.result(60)

    def missing(self) -> list[str]:
        """Messages that did not reach their user exactly once."""
        return [
            f"user {user.number} got {text!r} {user.got(text)} times"
            for user in self._users
            for text in (message(f"{self._text} {number}", user) for number in range(self.rounds))
            if user.got(text) != 1
        ]


def message(text: str, user: User) -> str:
    """The message that this user gets, and nobody else."""
    return f"{text} for {user.number}"
