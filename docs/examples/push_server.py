#!/usr/bin/env python3
"""A push server behind HaloD: Server-Sent Events and WebSocket, on the port of every route.

    push_server.py --name n1 --browsers 8000-8023 --apps 9000-9023 --store messages.db --events events.sock

    GET  /sub?id=USER       from a browser: an event stream, or a WebSocket. Resumes after the message of the
                            header Last-Event-ID, or of the parameter `after`
    POST /pub?id=USER       from the application, the text as the body

It follows the events of halod-node (--events PATH). When routes have moved, the agent names the
connections on them, a few at a time; exactly their users are asked to reconnect. See docs/push-servers.md.
"""

import argparse
import asyncio
import json
import sqlite3
import time
from collections import defaultdict
from contextlib import suppress

from aiohttp import web

# How often a node looks into the store for what was published elsewhere, in seconds: while a route has moved and
# its users are still here, applications publish to the new node already.
LOOK = 0.2


class Store:
    """The messages of all users, the same for all nodes: SQLite here; in earnest your database, or Redis."""

    def __init__(self, path):
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._db.executescript("""BEGIN IMMEDIATE;
            CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT, text TEXT);
            CREATE INDEX IF NOT EXISTS by_user ON messages (user, id);
            COMMIT""")

    def append(self, user, text):
        """Keeps a message; its id is larger than that of every one before."""
        return self._db.execute("INSERT INTO messages (user, text) VALUES (?, ?)", (user, text)).lastrowid

    def after(self, user, last):
        """The user's messages (id, text) since the one with the id `last`."""
        query = "SELECT id, text FROM messages WHERE user = ? AND id > ? ORDER BY id"
        return self._db.execute(query, (user, last)).fetchall()

    def users_after(self, last):
        """Whom the messages (id, user) since the one with the id `last` are for."""
        return self._db.execute("SELECT id, user FROM messages WHERE id > ? ORDER BY id", (last,)).fetchall()

    def last(self):
        """The largest id, 0 where there is no message."""
        return self._db.execute("SELECT coalesce(max(id), 0) FROM messages").fetchone()[0]


class Stream:
    """A user's connection: what wakes it, and whether the user shall come back on another one."""

    def __init__(self, request, server):
        self.user = request.query["id"]
        self.port = request.transport.get_extra_info("sockname")[1]
        self.peer = written(request.transport.get_extra_info("peername"))
        last = request.headers.get("Last-Event-ID") or request.query.get("after")
        self.last = server.store.last() if last is None else int(last)
        self.wake = asyncio.Event()
        self._store = server.store
        # A connection of a route that has moved is from before, and was named before it became a stream.
        self.asked = server.moved(self.port)

    async def messages(self):
        """The user's messages (id, text), until the user is asked to reconnect."""
        while True:
            self.wake.clear()
            for self.last, text in self._store.after(self.user, self.last):
                yield self.last, text
            if self.asked:
                return
            await self.wake.wait()


class Server:
    """All streams of this node."""

    def __init__(self, options):
        self.options, self.store = options, Store(options.store)
        self._streams = defaultdict(dict)  # by port, then by the browser's address
        self._moved = {}  # port: until when (time.monotonic) its former connections stay here

    def moved(self, port):
        """Whether a port's route has moved to another node, and its connections from before are still here."""
        return self._moved.get(port, 0) > time.monotonic()

    async def subscribe(self, request):
        """GET /sub"""
        stream = Stream(request, self)
        self._streams[stream.port][stream.peer] = stream
        try:
            if web.WebSocketResponse().can_prepare(request):
                return await self._websocket(request, stream)
            return await self._sse(request, stream)
        finally:
            self._streams[stream.port].pop(stream.peer, None)

    async def _sse(self, request, stream):
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        # The browser comes back by itself; but on a kept connection it would come back to this node.
        answer.force_close()
        await answer.prepare(request)
        await answer.write(b"retry: 100\nid: %d\n\n" % stream.last)
        async for number, text in stream.messages():
            lines = "".join(f"data: {line}\n" for line in text.split("\n"))
            await answer.write(f"id: {number}\n{lines}\n".encode())
        await answer.write(b"event: reconnect\ndata: your route has moved\n\n")
        return answer

    async def _websocket(self, request, stream):
        websocket = web.WebSocketResponse()

        async def send():
            await websocket.send_json({"id": stream.last})
            async for number, text in stream.messages():
                await websocket.send_json({"id": number, "text": text})
            await websocket.send_json({"reconnect": True})  # the browser closes this one

        await websocket.prepare(request)
        sender = asyncio.create_task(send())
        async for _ in websocket:
            pass  # this one only listens; ends with the connection
        sender.cancel()
        return websocket

    async def publish(self, request):
        """POST /pub"""
        port = request.transport.get_extra_info("sockname")[1]
        if self.moved(port):
            raise web.HTTPTemporaryRedirect(request.path_qs)  # the same on a new connection: to the new node
        user = request.query["id"]
        number = self.store.append(user, await request.text())
        streams = self._streams[port - self.options.apps[0] + self.options.browsers[0]]
        here = [stream for stream in streams.values() if stream.user == user]
        for stream in here:
            stream.wake.set()
        return web.json_response({"id": number, "here": len(here)}, status=201 if here else 202)

    async def name(self, request, answer):
        """Says who answers; and that a connection of a moved route is not to be kept."""
        answer.headers["X-Node"] = self.options.name
        kept = not isinstance(answer, web.WebSocketResponse)  # which is never followed by another request
        if kept and request.transport and self.moved(request.transport.get_extra_info("sockname")[1]):
            answer.headers["Connection"] = "close"
            answer.force_close()

    async def look(self):
        """Wakes streams whose users got messages by way of other nodes."""
        last = self.store.last()
        while True:
            await asyncio.sleep(LOOK)
            if new := self.store.users_after(last):
                last, users = new[-1][0], {user for _, user in new}
                for streams in self._streams.values():
                    for stream in streams.values():
                        if stream.user in users:
                            stream.wake.set()

    async def follow(self):
        """Follows the agent's events."""
        while True:
            with suppress(OSError):
                reader, _ = await asyncio.open_unix_connection(self.options.events, limit=1 << 24)
                async for line in reader:
                    self._event(json.loads(line))
            await asyncio.sleep(0.5)  # the agent is not there, or has ended: it comes back

    def _event(self, event):
        if event["event"] == "state":
            self._moved.clear()
            for part in event["draining"]:
                self._leaves(part["routes"], part["left_ms"])
        elif event["event"] == "route_moved":
            self._leaves(event["routes"], event["left_ms"])
        elif event["event"] in ("assign", "drained"):  # held again, or gone for good
            for port in self._ports(event["routes"]):
                self._moved.pop(port, None)
        elif event["event"] == "reconnect":
            for connection in event["connections"]:
                port = int(connection["local"].rpartition(":")[2])
                if stream := self._streams[port].get(connection["peer"]):
                    stream.asked = True
                    stream.wake.set()

    def _leaves(self, routes, left_ms):
        for port in self._ports(routes):
            self._moved[port] = time.monotonic() + left_ms / 1000

    def _ports(self, routes):
        bases = self.options.browsers[0], self.options.apps[0]
        return [base + route - 1 for first, last in routes for route in range(first, last + 1) for base in bases]


def written(address):
    """An address and port as halod-node writes them."""
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def ports(text):
    """`8000-8023` as (8000, 8023)."""
    first, _, last = text.partition("-")
    return int(first), int(last or first)


async def listen(app, options):
    """Serves on all ports, of all addresses of this machine or those that are given."""
    # Idle connections of a route that moves hold its drain up: they are not kept for long.
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, keepalive_timeout=5)
    await runner.setup()
    for first, last in (options.browsers, options.apps):
        for port in range(first, last + 1):
            await asyncio.get_running_loop().create_server(runner.server, options.address, port, backlog=1024)


def arguments():
    """The command line, without --events."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="", help="this node's, told in the header X-Node")
    parser.add_argument("--address", action="append", help="where it listens; everywhere if left out")
    parser.add_argument("--browsers", type=ports, default="8000-8023", help="ports of routes 1 to N for browsers")
    parser.add_argument("--apps", type=ports, default="9000-9023", help="the same for applications")
    parser.add_argument("--store", required=True, help="file of all messages, shared by all nodes")
    return parser


async def main():
    parser = arguments()
    parser.add_argument("--events", required=True, help="halod-node's --events")
    server = Server(parser.parse_args())
    app = web.Application()
    app.add_routes([web.get("/sub", server.subscribe), web.post("/pub", server.publish)])
    app.on_response_prepare.append(server.name)
    await listen(app, server.options)
    await asyncio.gather(server.look(), server.follow())


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
