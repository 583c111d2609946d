"""The route table through the kernel's own netlink library, pyynl, and HaloD's spec.

This is on purpose not HaloD's client: it reads the same ABI by other code.
"""

import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from . import paths
from .addresses import APPS_PORT, BROWSERS_PORT, VIP4, VIP6, node
from .netns import Namespace
from .wait import until

LONG = 600_000  # ms; a drain that no scenario sees the end of
NLMSG_ERROR = 2  # linux/netlink.h
SO_SNDBUFFORCE = 32  # asm-generic/socket.h
PROTOCOLS = {"tcp": 6, "udp": 17}


class Refused(Exception):
    """The kernel refused a request."""

    def __init__(self, errno: int, text: str):
        super().__init__(text)
        self.errno = errno


@dataclass(frozen=True)
class Listener:
    """One address, protocol and range of ports."""

    name: str
    address: str
    protocol: str = "tcp"
    port: int = BROWSERS_PORT
    node_port: int | None = None
    select: str = "port"
    deliver: str = "nat"


@dataclass(frozen=True)
class Node:
    """A node as the kernel knows it."""

    id: int
    name: str
    addresses: tuple[str, ...]
    targets: tuple[tuple[int, int], ...] = ()  # (index of listener, port of route 1)


@dataclass
class Table:
    """The whole table. `routes[i]` is the id of the node of route i + 1, 0 for none."""

    routes: list[int]
    listeners: list[Listener] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    generation: int = 0
    drains: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # route: (former node, ms left), oldest first
    udp_left: dict[int, int] = field(default_factory=dict)  # route: ms that UDP stays with the oldest former
    select_key: bytes = b""
    fast_path: str = "off"  # or auto, on

    def drain(self, *formers: int, routes: Iterable[int] | None = None, left: int = LONG, udp: int = 0) -> "Table":
        """Lets routes, or all, drain from nodes, the oldest first, for so many ms each. Returns the table."""
        for route in range(1, len(self.routes) + 1) if routes is None else routes:
            self.drains[route] = [(former, left) for former in formers]
            if udp:
                self.udp_left[route] = udp
        return self

    def holders(self) -> list[str]:
        """The name of each route's node, "" for none."""
        names = {node.id: node.name for node in self.nodes}
        return [names.get(id, "") if id else "" for id in self.routes]

    def attributes(self) -> dict[str, Any]:
        """As pyynl wants the attributes of a commit."""
        run = 8192  # max-run of the spec
        return ({"select-key": self.select_key} if self.select_key else {}) | {
            "fast-path": self.fast_path,
            "routes": len(self.routes),
            "listener": [_listener_attributes(listener) for listener in self.listeners],
            "node": [_node_attributes(node) for node in self.nodes],
            "run": [
                {"first": start + 1, "nodes": self.routes[start : start + run]}
                for start in range(0, len(self.routes), run)
            ],
            "drain": [
                {"route": route, "node": [node for node, _ in formers], "left": [ms for _, ms in formers]}
                | ({"udp-left": self.udp_left[route]} if route in self.udp_left else {})
                for route, formers in sorted(self.drains.items())
            ],
        }


def lab_nodes(count: int) -> list[Node]:
    """The laboratory's node machines n1.. as nodes 1..."""
    return [Node(n, f"n{n}", (node(n).v4, node(n).v6)) for n in range(1, count + 1)]


def lab_listeners(*protocols: str, deliver: str = "nat") -> list[Listener]:
    """Browsers and apps on both VIPs, for the given protocols."""
    return [
        Listener(name, address, protocol, port, deliver=deliver)
        for protocol in protocols or ("tcp",)
        for name, port in (("browsers", BROWSERS_PORT), ("apps", APPS_PORT))
        for address in (VIP4, VIP6)
    ]


class Kernel:
    """The family `halod` in one namespace."""

    def __init__(self, namespace: Namespace):
        self._namespace = namespace
        self._family = _family(namespace)

    def reconnect(self) -> None:
        """Looks the family up again; its number changes when the module is loaded again."""
        self._family.close()
        self._family = _family(self._namespace)

    def status(self) -> dict[str, Any]:
        """get-status."""
        return _do(self._family, "get-status", {})

    def generation(self) -> int:
        """The generation in force."""
        return self.status()["generation"]

    def table(self) -> Table:
        """get-table, of one generation: pyynl does not say when another one has come in between."""
        for _ in range(20):
            before = self.generation()
            table, runs = self._dumped()
            if self.generation() == before:
                break
        if sorted(runs) != list(range(len(table.routes))):
            raise AssertionError(f"get-table: {len(table.routes)} routes, but the runs describe {sorted(runs)}")
        table.routes = [runs[index] for index in range(len(table.routes))]
        return table

    def _dumped(self) -> tuple[Table, dict[int, int]]:
        """What get-table says; the nodes by route - 1 apart."""
        table = Table([])
        runs: dict[int, int] = {}
        for part in _dump(self._family, "get-table"):
            table.generation = part.get("generation", table.generation)
            table.select_key = part.get("select-key", table.select_key)
            table.fast_path = part.get("fast-path", table.fast_path)
            if "routes" in part:
                table.routes = [0] * part["routes"]
            table.listeners += [_listener(attributes) for attributes in part.get("listener", [])]
            table.nodes += [_node(attributes) for attributes in part.get("node", [])]
            for run in part.get("run", []):
                for index, id in enumerate(run["nodes"]):
                    runs[run["first"] - 1 + index] = id
            for drain in part.get("drain", []):
                table.drains[drain["route"]] = list(zip(drain["node"], drain["left"], strict=True))
                if "udp-left" in drain:
                    table.udp_left[drain["route"]] = drain["udp-left"]
        return table, runs

    def commit(self, table: Table, expected: int | None = None, generation: int | None = None) -> int:
        """commit; without `expected`, whatever is in force. Returns the new generation."""
        attributes = {"expected-generation": self.generation() if expected is None else expected}
        if generation is not None:
            attributes["generation"] = generation
        return _do(self._family, "commit", attributes | table.attributes())["generation"]

    def encoded(self, table: Table) -> "Encoded":
        """A commit for who wants it faster than it can be put into bytes."""
        return Encoded(self._family, table)

    def commit_raw(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """commit with any attributes, right or wrong."""
        return _do(self._family, "commit", attributes)

    def flush(self, expected: int | None = None) -> int:
        """flush. Returns the new generation."""
        attributes = {} if expected is None else {"expected-generation": expected}
        return _do(self._family, "flush", attributes)["generation"]

    def counters(self) -> dict[str, int]:
        """get-counters."""
        return {
            counter["name"]: counter["packets"]
            for counter in _dump(self._family, "get-counters")
        }

    def grown(self, before: dict[str, int]) -> dict[str, int]:
        """What was counted since, but what has nothing to do with HaloD."""
        counters = self.counters().items()
        return {name: count - before[name] for name, count in counters if count != before[name] and name != "pass"}

    def settle(self) -> None:
        """Waits until what is under way has come and is counted: ends of connections come when a machine gets to them."""

        def still() -> bool:
            before = self.counters()
            time.sleep(0.5)
            return not self.grown(before)

        until("the counters to stand still", still, 30)

    def fast_path(self) -> dict[str, int]:
        """get-fast-path."""
        return {
            counter["name"]: counter["packets"]
            for counter in _dump(self._family, "get-fast-path")
        }

    def devices(self) -> dict[str, tuple[str, str]]:
        """get-devices: the state of each for IPv4 and IPv6."""
        return {device["name"]: (device["ipv4"], device["ipv6"]) for device in _dump(self._family, "get-devices")}


class Encoded:
    """A commit in netlink's bytes, to be sent again and again."""

    EXPECTED = 24  # where the first attribute's value is, behind both headers and its own

    def __init__(self, family: Any, table: Table):
        attributes = {"expected-generation": 0} | table.attributes()
        self._message = bytearray(family._encode_message(family.ops["commit"], attributes, [], 1))
        self._socket = family.sock

    def commit(self, expected: int) -> int:
        """Commits over the generation `expected`; the new one is the next. Returns the ns that the kernel took."""
        struct.pack_into("=Q", self._message, self.EXPECTED, expected)
        begin = time.perf_counter_ns()
        self._socket.send(self._message)
        took = time.perf_counter_ns() - begin
        acknowledged = False
        while not acknowledged:
            reply, at = self._socket.recv(65536), 0
            while at < len(reply):
                length, type = struct.unpack_from("=IH", reply, at)
                if type == NLMSG_ERROR:
                    (error,) = struct.unpack_from("=i", reply, at + 16)
                    if error:
                        raise Refused(-error, f"a commit over generation {expected}: {os.strerror(-error)}")
                    acknowledged = True
                at += length + 3 & ~3
        return took


class Commits:
    """Hears the kernel's multicast of every new table, in a thread, and notes when."""

    def __init__(self, namespace: Namespace):
        self.seen: list[tuple[float, int]] = []  # (time.monotonic(), generation)
        self._family = _family(namespace)
        self._family.ntf_subscribe("table")
        self._stop = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._stop:
            if not select.select([self._family.sock], [], [], 0.2)[0]:
                continue
            moment = time.monotonic()
            self._family.check_ntf()
            while not self._family.async_msg_queue.empty():
                message = self._family.async_msg_queue.get_nowait()
                self.seen.append((moment, message["msg"]["generation"]))

    def after(self, moment: float, seconds: float = 60.0) -> tuple[float, int]:
        """The first commit heard of after a moment: when, and its generation."""

        def first() -> tuple[float, int] | None:
            return next((commit for commit in list(self.seen) if commit[0] > moment), None)

        return until("the kernel to get a new table", first, seconds, every=0.005)

    def stop(self) -> None:
        """Stops listening."""
        self._stop = True
        self._thread.join()
        self._family.close()


def _family(namespace: Namespace) -> Any:
    pyynl = str(paths.YNL.parent)
    if pyynl not in sys.path:
        sys.path.append(pyynl)
    from lib import YnlFamily, ynl

    ynl.GenlProtocol.genl_family_name_to_id = {}  # its cache would survive a reload of the module
    with namespace.entered():
        family = YnlFamily(str(paths.SPEC), schema="")
    # The largest commit is one message of half a megabyte. Who may not force it cannot commit anyway.
    with suppress(PermissionError):
        family.sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 4 << 20)
    return family


def _do(family: Any, operation: str, attributes: dict[str, Any]) -> Any:
    return _refusals(lambda: family.do(operation, attributes))


def _dump(family: Any, operation: str) -> Any:
    return _refusals(lambda: family.dump(operation, {})) or []


def _refusals(request: Any) -> Any:
    from lib import NlError

    try:
        return request()
    except NlError as error:
        raise Refused(error.error, str(error)) from None


def _listener_attributes(listener: Listener) -> dict[str, Any]:
    attributes = {
        "name": listener.name,
        "address": listener.address,
        "protocol": PROTOCOLS[listener.protocol],
        "port": listener.port,
        "select": listener.select,
        "deliver": listener.deliver,
    }
    if listener.node_port is not None:
        attributes["node-port"] = listener.node_port
    return attributes


def _node_attributes(node: Node) -> dict[str, Any]:
    return {
        "id": node.id,
        "name": node.name,
        "address": list(node.addresses),
        "target": [{"listener": listener, "port": port} for listener, port in node.targets],
    }


def _listener(attributes: dict[str, Any]) -> Listener:
    names = {number: name for name, number in PROTOCOLS.items()}
    return Listener(
        attributes["name"],
        attributes["address"],
        names[attributes["protocol"]],
        attributes["port"],
        attributes.get("node-port"),
        attributes["select"],
        attributes["deliver"],
    )


def _node(attributes: dict[str, Any]) -> Node:
    targets = tuple((target["listener"], target["port"]) for target in attributes.get("target", []))
    return Node(attributes["id"], attributes["name"], tuple(attributes["address"]), targets)
