#!/usr/bin/env python3
"""A node of HaloD in thirty lines: agent.py HALOD:PORT NAME ADDRESS"""
import json, select, socket, sys, time

(host, port), name, address = sys.argv[1].rsplit(":", 1), sys.argv[2], sys.argv[3]
token = None  # from the last welcome: with it, a node that was away for a moment loses nothing
while True:
    try:
        halod = socket.create_connection((host.strip("[]"), int(port)), timeout=2)
        def send(**message):
            halod.sendall(json.dumps(message).encode() + b"\n")
        send(type="hello", version=1, name=name, addresses=[address], resume=token)
        rest, interval, seq, due = b"", None, 0, time.monotonic() + 2
        while True:
            if time.monotonic() >= due:
                if interval is None:
                    raise TimeoutError("no welcome")
                send(type="heartbeat", seq=seq)
                seq, due = seq + 1, time.monotonic() + interval
            if not select.select([halod], [], [], max(0, due - time.monotonic()))[0]:
                continue
            data = halod.recv(65536)
            if not data:
                raise ConnectionError("HaloD closed the connection")
            *lines, rest = (rest + data).split(b"\n")
            for message in map(json.loads, lines):
                print(message, flush=True)  # assign, route_moved, reserve: tell the application
                if message["type"] == "welcome":
                    token, interval, due = message["resume"], message["heartbeat_ms"] / 1000, 0
    except (OSError, ValueError) as error:
        print(f"{error}; trying again", file=sys.stderr, flush=True)
        time.sleep(0.5)
