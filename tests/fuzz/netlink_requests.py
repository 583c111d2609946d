"""Requests to the module: tables that make sense, and everything that can be done to them.

A request's attributes are a list of [number, value], where value is bytes or another such list.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from .spec import SIZES, Attribute, Spec

T = TypeVar("T")
Tree = list[list[Any]]
NESTED, NET_ORDER = 1 << 15, 1 << 14
VALUES = (0, 1, 2, 63, 64, 65, 255, 256, 4095, 4096, 4097, 8192, 32767, 32768, 32769, 65535, 65536, 1 << 31, (1 << 32) - 1, (1 << 64) - 1)
COUNTS = (2, 3, 64, 65, 300)
DEEP = (2, 5, 12, 40)


def encode(tree: Tree, flag: int = NESTED) -> bytes:
    """The attributes as bytes."""
    parts = []
    for number, value in tree:
        if isinstance(value, list):
            number, value = number | flag, encode(value, flag)
        parts.append(struct.pack("=HH", (len(value) + 4) & 0xFFFF, number & 0xFFFF) + value + bytes(-len(value) % 4))
    return b"".join(parts)


POOL, RENEWED = 150, 0.01  # requests kept to be changed again, and how often one of them is made anew


@dataclass(frozen=True)
class Sample:
    """A commit's attributes, and where in them each begins."""

    data: bytes
    starts: list[int]
    generation: int | None  # where the expected one is


def headers(data: bytes, start: int = 0, end: int | None = None) -> Iterator[int]:
    """Where each attribute begins, those within others too."""
    end = len(data) if end is None else end
    while start + 4 <= end:
        size, number = struct.unpack_from("=HH", data, start)
        if size < 4 or start + size > end:
            return
        yield start
        if number & NESTED:
            yield from headers(data, start + 4, start + size)
        start += (size + 3) & ~3


def position(data: bytes, wanted: int) -> int | None:
    """Where the value of the first attribute is that has a number, and 8 bytes."""
    at = 0
    while at + 12 <= len(data):
        size, number = struct.unpack_from("=HH", data, at)
        if (size, number) == (12, wanted):
            return at + 4
        at += max((size + 3) & ~3, 4)
    return None


class Requests:
    """Makes requests, for ever; the same ones for the same seed and generations.

    Making one from nothing is slow in an emulated guest: a pool of them is kept, of which each is
    sent as it is or with bytes changed, and now and then another takes its place.
    """

    def __init__(self, spec: Spec, seed: int):
        self._spec, self._random = spec, Random(seed)
        self._expected = spec.sets["table"]["expected-generation"].number
        self._pool: list[Sample] = []

    def commit(self, generation: int) -> bytes:
        """The attributes of a commit to replace `generation`: good, somewhat wrong, or nonsense."""
        random = self._random
        if len(self._pool) < POOL:
            self._pool.append(self._sample())
            sample = self._pool[-1]
        else:
            index = int(random.random() * POOL)
            if random.random() < RENEWED:
                self._pool[index] = self._sample()
            sample = self._pool[index]
        data = bytearray(sample.data)
        if sample.generation is not None:
            data[sample.generation : sample.generation + 8] = generation.to_bytes(8, "little")
        if random.random() < 0.6:
            self._spoil_attributes(data, sample.starts)
        return bytes(data)

    def good(self) -> bytes:
        """The attributes of a commit that must be accepted; see `expecting`."""
        return encode(self._table(0, wanting=False))

    def expecting(self, data: bytes, generation: int) -> bytes:
        """The attributes, to replace the table of this generation."""
        at = position(data, self._expected)
        assert at is not None
        return data[:at] + generation.to_bytes(8, "little") + data[at + 8 :]

    def _sample(self) -> Sample:
        random = self._random
        tree = self._table(0)
        if random.random() < 0.7:
            for _ in range(random.choice((1, 1, 1, 2, 4))):
                self._spoil(tree)
        data = encode(tree, NESTED if random.random() < 0.95 else 0)
        return Sample(data, list(headers(data)), position(data, self._expected))

    def flush(self, generation: int) -> bytes:
        """The attributes of a flush: mostly of a generation that is not in force."""
        random = self._random
        number = generation if random.random() < 0.05 else random.choice((generation + 1, generation - 1, 0, random.choice(VALUES)))
        data = bytearray(encode([self._number("table", "expected-generation", number)]))
        if random.random() < 0.3:
            self._spoil_attributes(data, [0])
        return bytes(data)

    def noise(self) -> bytes:
        """Attributes for operations that take none, or any bytes at all."""
        return b"" if self._random.random() < 0.5 or not self._pool else self.commit(0)

    def _spoil_attributes(self, data: bytearray, starts: list[int]) -> None:
        """Changes a few bytes, mostly where they mean something."""
        random, pick = self._random, self._pick
        for _ in range(pick((1, 1, 2, 4))):
            if len(data) < 8:
                return
            at = pick(starts) if starts else 0
            if at + 4 > len(data):
                at = 0
            match int(random.random() * 8):
                case 0:  # its length
                    struct.pack_into("=H", data, at, pick((0, 3, 4, 5, 8, data[at] + 1, len(data) & 0xFFFF, 0xFFFF)))
                case 1:  # its type
                    data[at + 2] = int(random.random() * 12)
                case 2:
                    data[at + 3] ^= pick((0x80, 0x40, 0x01))
                case 3:  # its value
                    data[at + 4 : at + 8] = (pick(VALUES) & 0xFFFFFFFF).to_bytes(4, "little")
                case 4:
                    data[int(random.random() * len(data))] ^= 1 << int(random.random() * 8)
                case 5:  # once more, or something of another request
                    data[at:at] = pick(self._pool).data[:200] if random.random() < 0.5 and self._pool else data[at : at + 40]
                case 6:
                    del data[at : at + 4 * pick((1, 2, 3, 8))]
                case _:
                    if random.random() < 0.3:
                        del data[int(random.random() * len(data)) :]

    def _pick(self, row: Sequence[T]) -> T:
        """As random.choice, and faster."""
        return row[int(self._random.random() * len(row))]

    def _number(self, set: str, name: str, value: int) -> list[Any]:
        attribute = self._spec.sets[set][name]
        size = SIZES[attribute.type]
        return [attribute.number, (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")]

    def _bytes(self, set: str, name: str, value: Any) -> list[Any]:
        return [self._spec.sets[set][name].number, value]

    def _table(self, generation: int, wanting: bool = True) -> Tree:
        """A table that the module must accept, some of them `wanting` a generation of their own."""
        random = self._random
        routes = random.choice((1, 2, 8, 24, 24, 64, 300))
        if random.random() < 0.002:
            routes = 32768
        nodes = random.randrange(0, 7)
        ids = random.sample(range(1, 1 << 16), nodes)
        tree = [self._number("table", "expected-generation", generation), self._number("table", "routes", routes)]
        if wanting and random.random() < 0.3:
            tree.append(self._number("table", "generation", generation + random.randrange(1, 100)))
        if random.random() < 0.5:
            tree.append(self._number("table", "fast-path", random.randrange(3)))
        # A key may be there without a listener that asks for it, but not the other way round.
        key = random.random() < 0.5
        if key:
            tree.append(self._bytes("table", "select-key", random.randbytes(16)))
        listeners = [(random.choice((0, 0, 1, 2)), random.randrange(3) if key else 0) for _ in range(random.randrange(0, 5))]
        for index, (deliver, select) in enumerate(listeners):
            tree.append(self._bytes("table", "listener", self._listener(index, deliver, select)))
        rewritten = [index for index, (deliver, _) in enumerate(listeners) if not deliver]
        for index, id in enumerate(ids):
            tree.append(self._bytes("table", "node", self._node(index, id, rewritten)))
        first = 1
        while first <= routes:
            count = min(random.choice((routes, 5, 8192)), routes - first + 1, 8192)
            tree.append(self._bytes("table", "run", self._run(first, random.choices([0, *ids], k=count))))
            first += count
        if ids:
            for route in sorted(random.sample(range(1, routes + 1), min(routes, random.choice((0, 0, 1, 5))))):
                tree.append(self._bytes("table", "drain", self._drain(route, random.sample(ids, random.randrange(1, min(4, nodes + 1))))))
        return tree

    def _listener(self, index: int, deliver: int, select: int) -> Tree:
        random = self._random
        address = bytes([198, 51, 100, 1 + index % 2]) if random.random() < 0.5 else bytes.fromhex(f"20010db801000000000000000000000{1 + index % 2}")
        fields = [
            self._bytes("listener", "address", address),
            self._number("listener", "protocol", random.choice((6, 17))),
            self._number("listener", "port", 8000 + 1000 * index),
        ]
        if random.random() < 0.5:
            fields.append(self._bytes("listener", "name", f"listener-{index}".encode() + b"\0"))
        # Packets that are not rewritten keep their ports.
        if random.random() < 0.5:
            fields.append(self._number("listener", "node-port", 8000 + 1000 * index if deliver else 20000 + 1000 * index))
        for name, number in (("deliver", deliver), ("select", select)):
            if number or random.random() < 0.3:
                fields.append(self._number("listener", name, number))
        random.shuffle(fields)
        return fields

    def _node(self, index: int, id: int, listeners: list[int]) -> Tree:
        """One with ports of its own for some of these listeners."""
        random = self._random
        fields = [self._number("node", "id", id), self._bytes("node", "address", bytes([192, 0, 2, 11 + index]))]
        if random.random() < 0.5:
            fields.append(self._bytes("node", "address", bytes.fromhex(f"20010db80002000000000000000000{11 + index:02x}")))
        if random.random() < 0.5:
            fields.append(self._bytes("node", "name", f"n{index}".encode() + b"\0"))
        for listener in random.sample(listeners, random.randrange(0, len(listeners) + 1)):
            port = 30000 + 1000 * listener
            fields.append(
                self._bytes("node", "target", [self._number("target", "listener", listener), self._number("target", "port", port)])
            )
        return fields

    def _run(self, first: int, ids: list[int]) -> Tree:
        return [self._number("run", "first", first), self._bytes("run", "nodes", struct.pack(f"={len(ids)}I", *ids))]

    def _drain(self, route: int, formers: list[int]) -> Tree:
        random = self._random
        fields = [
            self._number("drain", "route", route),
            self._bytes("drain", "node", struct.pack(f"={len(formers)}I", *formers)),
            self._bytes("drain", "left", struct.pack(f"={len(formers)}I", *(random.choice((0, 1, 60000, 4294967295)) for _ in formers))),
        ]
        if random.random() < 0.3:
            fields.append(self._number("drain", "udp-left", random.choice((0, 1000, 4294967295))))
        return fields

    def _spoil(self, tree: Tree, depth: int = 0) -> None:
        """Does one thing to the tree, at any depth."""
        random = self._random
        if not tree:
            return
        index = random.randrange(len(tree))
        number, value = tree[index]
        if isinstance(value, list) and value and depth < 8 and random.random() < 0.6:
            tree[index] = [number, [list(entry) for entry in value]]
            self._spoil(tree[index][1], depth + 1)
            return
        match random.randrange(12):
            case 0:
                del tree[index]
            case 1:
                tree.insert(random.randrange(len(tree) + 1), tree[index])
            case 2:
                tree[index : index + 1] = [tree[index]] * random.choice(COUNTS)
            case 3:
                tree[index] = [random.choice((0, number + 1, number - 1, 100, random.randrange(1 << 14))), value]
            case 4:
                tree[index] = [number ^ random.choice((NESTED, NET_ORDER)), value]
            case 5:
                tree[index] = [number, self._odd_value(number, value)]
            case 6 if not isinstance(value, list):
                tree[index] = [number, value[: random.randrange(len(value) + 1)] if random.random() < 0.5 else value + random.randbytes(random.choice((1, 2, 4, 60, 3000)))]
            case 7:
                for _ in range(random.choice(DEEP)):
                    value = [[number, value]]
                tree[index] = [number, value]
            case 8:
                tree[index] = [number, encode(value) if isinstance(value, list) else [[1, value]]]
            case 9:
                random.shuffle(tree)
            case 10:
                other = tree[random.randrange(len(tree))]
                tree[index] = [number, other[1]]
            case _:
                tree[index] = [number, random.randbytes(random.choice((0, 1, 2, 4, 8, 16, 64)))]

    def _odd_value(self, number: int, value: Any) -> Any:
        """A number at the edge of what is allowed, of the right size; or many, for an array."""
        random = self._random
        if isinstance(value, list):
            return []
        candidates = [*VALUES, *(limit for attribute in self._numbered(number) for limit in attribute.limits)]
        size = len(value)
        if size in (1, 2, 4, 8):
            return (random.choice(candidates) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        at = random.randrange(max(size // 4, 1)) * 4
        return value[:at] + random.choice(VALUES).to_bytes(8, "little")[:4] + value[at + 4 :]

    def _numbered(self, number: int) -> list[Attribute]:
        return [attribute for set in self._spec.sets.values() for attribute in set.values() if attribute.number == number]
