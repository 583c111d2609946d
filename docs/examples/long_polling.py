#!/usr/bin/env python3
"""A long-polling server behind HaloD, which knows nothing of it.

    long_polling.py --name n1 --browsers 8000-8023 --apps 9000-9023 --store messages.db

    GET  /poll?id=USER&after=ID   {"last": ID, "messages": [TEXT, ...]}: what came after ID, waiting for it;
                                  without `after`, at once, from where to begin
    POST /pub?id=USER             from the application, the text as the body

halod-node runs with `--policy close`: it closes the connections of routes that have moved, and browsers
poll again, by themselves, on the new node. See docs/push-servers.md.
"""

import asyncio
import time
from collections import defaultdict
from contextlib import suppress

from aiohttp import web
from push_server import Store, arguments, listen

LOOK = 0.5  # how often a poll looks into the store by itself: what came by another node wakes nobody here


class Server:
    """All polls of this node."""

    def __init__(self, options):
        self.options, self._store = options, Store(options.store)
        self._waiting = defaultdict(set)  # by user

    async def poll(self, request):
        """GET /poll"""
        if "after" not in request.query:
            return web.json_response({"last": self._store.last(), "messages": []})
        user, last = request.query["id"], int(request.query["after"])
        wake, end = asyncio.Event(), time.monotonic() + self.options.wait
        self._waiting[user].add(wake)
        try:
            while not (found := self._store.after(user, last)) and time.monotonic() < end:
                wake.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), LOOK)
        finally:
            self._waiting[user].discard(wake)
        return web.json_response({"last": found[-1][0] if found else last, "messages": [text for _, text in found]})

    async def publish(self, request):
        """POST /pub"""
        user = request.query["id"]
        number = self._store.append(user, await request.text())
        for wake in self._waiting[user]:
            wake.set()
        return web.json_response({"id": number}, status=201)

    async def name(self, _request, answer):
        """Says who answers."""
        answer.headers["X-Node"] = self.options.name


async def main():
    parser = arguments()
    parser.add_argument("--wait", type=float, default=25, help="seconds until an empty answer")
    server = Server(parser.parse_args())
    app = web.Application()
    app.add_routes([web.get("/poll", server.poll), web.post("/pub", server.publish)])
    app.on_response_prepare.append(server.name)
    await listen(app, server.options)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
