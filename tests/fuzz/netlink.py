"""Sends requests to the module, and knows after each which table must be in force."""

import errno
import os
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .netlink_requests import Requests
from .spec import Spec

NAME = b"halod\0\0\0"
NETLINK_GENERIC = 16
# linux/genetlink.h
GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_ATTR_MCAST_GROUPS, CTRL_ATTR_MCAST_GRP_ID = 1, 2, 7, 2
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_ADD_MEMBERSHIP = 270, 10, 11, 1
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_DUMP = 1, 2, 4, 0x300
HEADER, GENERIC = struct.Struct("=IHHII"), struct.Struct("=BBH")
MASK = 0x3FFF  # of an attribute's type, without flags
COMPARED_EVERY = 500  # requests
# What a request may be refused with. ENOMEM and the like are not among them.
REFUSALS = frozenset(
    {errno.EINVAL, errno.ERANGE, errno.ESTALE, errno.EOPNOTSUPP, errno.EMSGSIZE, errno.EBADMSG, errno.ENOENT}
)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in a row of bytes."""
    at = 0
    while at + 4 <= len(data):
        size, number = struct.unpack_from("=HH", data, at)
        if size < 4 or at + size > len(data):
            return
        yield number & MASK, data[at + 4 : at + size]
        at += (size + 3) & ~3


@dataclass
class Known:
    """A table as a request asks for it or as a dump shows it; of what is given twice the last counts."""

    generation: int = 0
    routes: int = 0
    fast_path: int = 0
    select_key: bytes = b""
    listeners: list[dict[str, Any]] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[int, int] = field(default_factory=dict)
    drains: dict[int, dict[str, Any]] = field(default_factory=dict)

    def add(self, spec: Spec, data: bytes) -> "Known":
        """Takes a message's attributes in."""
        names = {attribute.number: attribute.name for attribute in spec.sets["table"].values()}
        for number, value in attributes(data):
            match names.get(number):
                case "generation":
                    self.generation = int.from_bytes(value, "little")
                case "routes":
                    self.routes = int.from_bytes(value, "little")
                case "fast-path":
                    self.fast_path = int.from_bytes(value, "little")
                case "select-key":
                    self.select_key = value
                case "listener":
                    listener = _fields(spec, "listener", value)
                    absent = {"name": "", "node-port": listener.get("port"), "select": 0, "deliver": 0}
                    self.listeners.append(absent | listener)
                case "node":
                    self.nodes.append(_node(spec, value))
                case "run":
                    run = _fields(spec, "run", value)
                    self.runs |= {run["first"] + offset: id for offset, id in enumerate(_numbers(run["nodes"]))}
                case "drain":
                    drain = _fields(spec, "drain", value)
                    # How long is left differs from one moment to the next.
                    self.drains[drain["route"]] = {"node": drain["node"]}
        return self


def _fields(spec: Spec, set: str, data: bytes) -> dict[str, Any]:
    """A nest's attributes by name."""
    known = {attribute.number: attribute for attribute in spec.sets[set].values()}
    found: dict[str, Any] = {}
    for number, value in attributes(data):
        if attribute := known.get(number):
            found[attribute.name] = _value(attribute.type, value)
    return found


def _value(type: str, data: bytes) -> Any:
    match type:
        case "string":
            return data.split(b"\0")[0].decode(errors="replace")
        case "binary" | "nest":
            return data
        case _:
            return int.from_bytes(data, "little")


def _node(spec: Spec, data: bytes) -> dict[str, Any]:
    """A node, with the attributes that can be there more than once."""
    numbers = {attribute.number: attribute.name for attribute in spec.sets["node"].values()}
    several = [(numbers.get(number), value) for number, value in attributes(data)]
    fields = {"name": ""} | _fields(spec, "node", data)
    fields["address"] = sorted((value for name, value in several if name == "address"), key=len)
    fields["target"] = [_fields(spec, "target", value) for name, value in several if name == "target"]
    return fields


def _numbers(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"={len(data) // 4}I", data)


def status_generation(spec: Spec, data: bytes) -> int:
    """The generation in an answer to get-status."""
    return int(_fields(spec, "status", data)["generation"])


class Wrong(AssertionError):
    """The module did something that it must not."""


class Conversation:
    """A socket to the module in the calling thread's namespace."""

    def __init__(self) -> None:
        self._sequence = 0
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self._sock.bind((0, 0))
        self._sock.settimeout(60)
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):
            self._sock.setsockopt(SOL_NETLINK, option, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._family, group = self._look_up()
        # One that never reads what it subscribes to.
        self._deaf = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self._deaf.bind((0, 0))
        self._deaf.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    def _look_up(self) -> tuple[int, int]:
        """The numbers of the family and of its only group; OSError (ENOENT) where the module is not there."""
        self._family = GENL_ID_CTRL
        error, answers = self.ask(CTRL_CMD_GETFAMILY, struct.pack("=HH", 4 + len("halod") + 1, CTRL_ATTR_FAMILY_NAME) + NAME)
        if error:
            self._sock.close()
            raise OSError(error, os.strerror(error))
        found = dict(attributes(answers[0]))
        group = dict(attributes(next(value for _, value in attributes(found[CTRL_ATTR_MCAST_GROUPS]))))
        return int.from_bytes(found[CTRL_ATTR_FAMILY_ID], "little"), int.from_bytes(group[CTRL_ATTR_MCAST_GRP_ID], "little")

    def ask(self, command: int, payload: bytes, flags: int = 0, size: int | None = None) -> tuple[int, list[bytes]]:
        """Sends a request, which may lie about its size; returns the error (0 for none) and the answers' attributes."""
        self._sequence += 1
        whole = GENERIC.pack(command, 1, 0) + payload
        length = HEADER.size + len(whole) if size is None else size
        header = HEADER.pack(length, self._family, NLM_F_REQUEST | NLM_F_ACK | flags, self._sequence, 0)
        self._sock.send(header + whole)
        answers: list[bytes] = []
        while True:
            data = self._sock.recv(1 << 16)
            at = 0
            while at + HEADER.size <= len(data):
                length, kind, _, sequence, _ = HEADER.unpack_from(data, at)
                if sequence == self._sequence:
                    if kind in (NLMSG_ERROR, NLMSG_DONE):
                        return -struct.unpack_from("=i", data, at + HEADER.size)[0], answers
                    answers.append(data[at + HEADER.size + GENERIC.size : at + length])
                at += (length + 3) & ~3

    def close(self) -> None:
        """Closes."""
        self._sock.close()
        self._deaf.close()


class Fuzzer:
    """One namespace's table, and who changes it."""

    def __init__(self, spec: Spec, conversation: Conversation, seed: int):
        self._spec, self._conversation = spec, conversation
        self._requests, self._random = Requests(spec, seed), Random(seed)
        self._generation, self._accepted = 0, b""  # the last request that was accepted
        self.outcomes: Counter[str] = Counter()

    def run(self, count: int) -> None:
        """Sends that many requests."""
        self.compare()
        for number in range(1, count + 1):
            self._one()
            if number % COMPARED_EVERY == 0 or number == count:
                self.compare()

    def _one(self) -> None:
        random, commands = self._random, self._spec.commands
        luck = random.random()
        if luck < 0.85:
            self._changing("commit", self._requests.commit(self._generation))
        elif luck < 0.86:
            self._changing("flush", self._requests.flush(self._generation))
        else:
            self._harmless(random.choice((*commands.values(), 0, 99, 255)), self._requests.noise())

    def _changing(self, operation: str, payload: bytes) -> None:
        """A request that puts another table in force, if it is accepted."""
        error, answers = self._conversation.ask(self._spec.commands[operation], payload)
        self._note(operation, error)
        if error:
            return
        generation = Known().add(self._spec, b"".join(answers)).generation
        if generation <= self._generation:
            raise Wrong(f"{operation}: the answer's generation {generation} does not come after {self._generation}")
        self._generation, self._accepted = generation, payload if operation == "commit" else b""

    def _harmless(self, command: int, payload: bytes) -> None:
        """A request that changes nothing, whatever it is answered; some lie about their size."""
        if command in (self._spec.commands["commit"], self._spec.commands["flush"]):
            return self._changing("commit", payload)
        dump = self._random.random() < 0.5
        error, _ = self._conversation.ask(command, payload, NLM_F_DUMP if dump else 0)
        self._note("other", error)

    def _note(self, what: str, error: int) -> None:
        if error and error not in REFUSALS:
            raise Wrong(f"{what}: error {error} ({errno.errorcode.get(error)}) is none of what a request is refused with")
        self.outcomes[f"{what} {errno.errorcode[error] if error else 'done'}"] += 1

    def compare(self) -> None:
        """The table in force is the last one that was accepted."""
        found, expected = self._dumped(), Known().add(self._spec, self._accepted)
        expected.generation = self._generation
        for name, value in vars(expected).items():
            if vars(found)[name] != value:
                raise Wrong(f"{name} in force: {vars(found)[name]!r}, of the last commit accepted: {value!r}")

    def _dumped(self) -> Known:
        error, answers = self._conversation.ask(self._spec.commands["get-table"], b"", NLM_F_DUMP)
        if error:
            raise Wrong(f"get-table: {errno.errorcode.get(error, error)}")
        known = Known()
        for answer in answers:
            known.add(self._spec, answer)
        return known
