"""The application: publishes to a user at the user's route of the apps' listener."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass

import aiohttp

from .addresses import APPS_PORT, bracketed, vip
from .flavour import SLOWER
from .netns import Namespace
from .subscribers import User


@dataclass
class Published:
    """What the push server answered."""

    user: int
    node: str  # its X-Node
    status: int  # nchan: 201 delivered to a subscriber, 202 none was there


async def publish(users: list[User], text: str, at_once: int = 12, pause: float = 0) -> list[Published]:
    """Sends each user `text` with the user's number after it; each by a new connection, with a pause (s) after it."""
    gate = asyncio.Semaphore(at_once)
    timeout = aiohttp.ClientTimeout(total=60 * SLOWER)  # a guest that is full of clients is slow
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=timeout) as session:

        async def one(user: User) -> Published:
            url = f"http://{bracketed(vip(user.family))}:{APPS_PORT + user.route - 1}/pub?id={user.number}"
            async with gate, session.post(url, data=message(text, user)) as answer:
                await asyncio.sleep(pause)
                return Published(user.number, answer.headers.get("X-Node", ""), answer.status)

        return await asyncio.gather(*map(one, users))


class Rounds:
    """Publishes to every user who has come by then, round after round, until told to stop. Runs in the app's namespace.

    `at_once` and `pause` as in `publish`.
    """

    def __init__(self, namespace: Namespace, users: list[User], text: str, at_once: int = 12, pause: float = 0):
        self.rounds = 0
        self.sent: dict[int, list[str]] = defaultdict(list)  # by the user's number
        self._users, self._text, self._at_once, self._pause = users, text, at_once, pause
        self._stop = False
        self._done = asyncio.run_coroutine_threadsafe(self._publish(), namespace.resident.loop)

    async def _publish(self) -> None:
        while not self._stop:
            users, text = [user for user in self._users if user.local], f"{self._text} {self.rounds}"
            if not users:
                await asyncio.sleep(0.05)
                continue
            for user in users:
                self.sent[user.number].append(message(text, user))
            await publish(users, text, self._at_once, self._pause)
            self.rounds += 1

    def going(self) -> bool:
        """True; raises what went wrong in any round, for who waits for what comes of them."""
        if self._done.done():
            self._done.result()
        return True

    def stop(self, seconds: float = 60.0) -> None:
        """Ends after the round that runs, which may take so long; raises what went wrong in any."""
        self._stop = True
        self._done.result(seconds)

    def missing(self) -> list[str]:
        """Messages that did not reach their user exactly once."""
        return [
            f"user {user.number} got {text!r} {user.got(text)} times"
            for user in self._users
            for text in self.sent.get(user.number, [])
            if user.got(text) != 1
        ]

    def complete(self, user: User) -> bool:
        """Whether the user has got all of these messages, each once, and in order."""
        got = [text for _, text in user.messages if text.startswith(f"{self._text} ")]
        return got == self.sent.get(user.number, [])


def message(text: str, user: User) -> str:
    """The message that this user gets, and nobody else."""
    return f"{text} for {user.number}"
