"""The application: publishes to a user at the user's route of the apps' listener."""

import asyncio
from dataclasses import dataclass

import aiohttp

from .addresses import APPS_PORT, bracketed, vip
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


def message(text: str, user: User) -> str:
    """The message that this user gets, and nobody else."""
    return f"{text} for {user.number}"
