"""The packets of the benchmark, and where they are to arrive.

Every frame is a record of the module (struct bench_record in bench.h): the
bytes, and the addresses and ports that the sink must find. Route r, from 0, is
port PORT + r of the VIP, and belongs to node r % NODES in every table and rule
of every path, so that all paths get the very same packets.
"""

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from lab import addresses
from lab.wire import checksum

NODES = 3
ROUTES = 24
PORT = 8000  # route 0
OTHER_PORT = 7000  # of nobody's
ONE_PORT = 443  # of all routes, where all belong to the first node
FLOWS = 64
FLOW_PORTS = range(61000, 61000 + FLOWS)  # the client's
NEW_PORT = 1024
LISTENERS = 8  # in the table with many: at PORT, PORT + 1000 ...
LAST_PORT = PORT + 1000 * (LISTENERS - 1)
WIDE_STEP = 500  # between the routes of flows in the largest table
CROWD = 2048  # clients behind the client
CROWD_NETWORKS = {4: "198.18.0.0/15", 6: "2001:2::/48"}  # RFC 2544, RFC 5180
SPOOFED_FIRST, SPOOFED_NETWORK = "10.0.0.0", "10.0.0.0/8"
ELSEWHERE = 200  # machines beside the nodes: n200 and on

MAC_CLIENT, MAC_BALANCER_CLIENTS = bytes.fromhex("020000000302"), bytes.fromhex("020000000301")
MAC_NODE, MAC_BALANCER_NODES = bytes.fromhex("020000000202"), bytes.fromhex("020000000201")

FIN, SYN, ACK = 0x01, 0x02, 0x10
UDP_PAYLOAD = 18  # the shortest Ethernet frame over IPv4
RECORD = struct.Struct("<BB2x88s36s")


class Traffic(Enum):
    """What kind of packets."""

    FORWARD = auto()  # of connections that exist, client to VIP
    REVERSE = auto()  # their answers, node to client
    OPEN = auto()  # their first packets
    ANSWER = auto()  # the first answers
    NEW = auto()  # each opens another connection
    LAST = auto()  # as FORWARD, to the last of many listeners
    LAST_REVERSE = auto()
    WIDE = auto()  # as FORWARD, spread over the largest table
    WIDE_REVERSE = auto()
    ONE_PORT = auto()  # as FORWARD, to the port that all routes have
    ONE_PORT_REVERSE = auto()
    CROWD = auto()  # as FORWARD, each packet from another client
    CROWD_REVERSE = auto()
    SPOOFED = auto()  # as OPEN; the first of the addresses that sources which nobody has are counted from
    ROUTED = auto()  # client to a machine that is no node, by its own address
    ROUTED_REVERSE = auto()
    BESIDE = auto()  # client to a node, to a port that is no route's
    BESIDE_REVERSE = auto()


@dataclass(frozen=True, order=True)
class Kind:
    """IP version and transport protocol."""

    family: int
    protocol: str

    def __str__(self) -> str:
        return f"{self.protocol}{self.family}"


KINDS = (Kind(4, "tcp"), Kind(4, "udp"), Kind(6, "tcp"), Kind(6, "udp"))
TCP4, UDP4, TCP6, UDP6 = KINDS


@dataclass(frozen=True)
class Frames:
    """A range of records."""

    first: int
    count: int

    def part(self, start: int, count: int) -> "Frames":
        """`count` of them, from the one at `start` on."""
        if start + count > self.count:
            raise ValueError(f"frames {start} to {start + count} of {self.count}")
        return Frames(self.first + start, count)


@dataclass
class Template:
    """Frames of which only the ports and the record's number differ."""

    kind: Kind
    source: str
    destination: str
    macs: bytes
    flags: int = 0
    sequence: int = 0
    acknowledge: int = 0
    _head: bytes = field(init=False)
    _sum: int = field(init=False)

    def __post_init__(self) -> None:
        ends = packed(self.source) + packed(self.destination)
        size = 20 if self.kind.protocol == "tcp" else 8 + UDP_PAYLOAD
        number = {"tcp": 6, "udp": 17}[self.kind.protocol]
        if self.kind.family == 4:
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + size, 0, 0x4000, 64, number, 0) + ends
            self._head = self.macs + b"\x08\x00" + head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        else:
            self._head = self.macs + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, size, number, 64) + ends
        pseudo = ends + struct.pack("!HH", size, number)
        # Of everything but ports and number: these are added for each frame.
        self._sum = ~checksum(pseudo + self._transport(0, 0, 0, 0)) & 0xFFFF

    def record(self, number: int, ports: tuple[int, int], arrives: bytes) -> bytes:
        """The record `number`, with source and destination port, and the addresses that it arrives with."""
        total = self._sum + ports[0] + ports[1] + number
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        frame = self._head + self._transport(number, *ports, ~total & 0xFFFF or 0xFFFF)
        expected = arrives + struct.pack("!HH", *ports)
        return RECORD.pack(len(frame), len(expected), frame, expected)

    def _transport(self, number: int, sport: int, dport: int, check: int) -> bytes:
        if self.kind.protocol == "udp":
            return struct.pack("!HHHHH", sport, dport, 8 + UDP_PAYLOAD, check, number) + bytes(UDP_PAYLOAD - 2)
        return struct.pack(
            "!HHIIBBHHH", sport, dport, self.sequence, self.acknowledge, 0x50, self.flags, 8192, check, number
        )


def packed(address: str) -> bytes:
    """An address in network byte order."""
    return ipaddress.ip_address(address).packed


def node_address(family: int, node: int) -> str:
    """The address of node `node`, from 0."""
    return addresses.node(node + 1).address(family)


class Book:
    """All records, by traffic and kind; `new` of each kind open connections."""

    def __init__(self, new: int):
        self._records: list[bytes] = []
        self._frames: dict[tuple[Traffic, Kind], Frames] = {}
        for kind in KINDS:
            for traffic in Traffic:
                first = len(self._records)
                self._records += self._write(traffic, kind, new)
                self._frames[traffic, kind] = Frames(first, len(self._records) - first)

    def frames(self, traffic: Traffic, kind: Kind) -> Frames:
        """Which records these are."""
        return self._frames[traffic, kind]

    def data(self) -> bytes:
        """All records, as the module takes them."""
        return b"".join(self._records)

    def _write(self, traffic: Traffic, kind: Kind, new: int) -> Iterator[bytes]:
        number = len(self._records)
        if traffic in (Traffic.ROUTED, Traffic.ROUTED_REVERSE, Traffic.BESIDE, Traffic.BESIDE_REVERSE):
            return _routed(traffic, kind, number)
        if traffic in (Traffic.CROWD, Traffic.CROWD_REVERSE):
            # A record's number has 16 bits: not of every kind.
            return _crowd(traffic, kind, number) if kind.protocol == "tcp" else iter(())
        if traffic in (Traffic.ANSWER, Traffic.REVERSE, Traffic.LAST_REVERSE, Traffic.WIDE_REVERSE, Traffic.ONE_PORT_REVERSE):
            return _from_nodes(traffic, kind, number)
        if traffic is Traffic.SPOOFED and kind != TCP4:
            return iter(())
        return _towards_vip(traffic, kind, number, range(NEW_PORT, NEW_PORT + new) if traffic is Traffic.NEW else FLOW_PORTS)


def _route(traffic: Traffic, flow: int) -> tuple[int, int]:
    """The node of a flow's route, and the route's port."""
    if traffic in (Traffic.ONE_PORT, Traffic.ONE_PORT_REVERSE):
        return 0, ONE_PORT
    route = flow * WIDE_STEP if traffic in (Traffic.WIDE, Traffic.WIDE_REVERSE) else flow % ROUTES
    base = LAST_PORT if traffic in (Traffic.LAST, Traffic.LAST_REVERSE) else PORT
    return route % NODES, base + route


def _towards_vip(traffic: Traffic, kind: Kind, number: int, clients: range) -> Iterator[bytes]:
    """From the client to the VIP, to arrive at the node of the route."""
    client = SPOOFED_FIRST if traffic is Traffic.SPOOFED else addresses.CLIENTS.address(kind.family)
    opening = traffic in (Traffic.OPEN, Traffic.NEW, Traffic.SPOOFED)
    tcp = (SYN, 1000, 0) if opening else (ACK, 1001, 5001)
    template = Template(kind, client, addresses.vip(kind.family), MAC_BALANCER_CLIENTS + MAC_CLIENT, *tcp)
    arrives = [packed(client) + packed(node_address(kind.family, node)) for node in range(NODES)]
    for flow, client_port in enumerate(clients):
        node, port = _route(traffic, flow)
        yield template.record(number + flow, (client_port, port), arrives[node])


def _from_nodes(traffic: Traffic, kind: Kind, number: int) -> Iterator[bytes]:
    """From the route's node to the client, to arrive as from the VIP."""
    client = addresses.CLIENTS.address(kind.family)
    tcp = (SYN | ACK, 5000, 1001) if traffic is Traffic.ANSWER else (ACK, 5001, 1001)
    macs = MAC_BALANCER_NODES + MAC_NODE
    templates = [Template(kind, node_address(kind.family, node), client, macs, *tcp) for node in range(NODES)]
    arrives = packed(addresses.vip(kind.family)) + packed(client)
    for flow, client_port in enumerate(FLOW_PORTS):
        node, port = _route(traffic, flow)
        yield templates[node].record(number + flow, (port, client_port), arrives)


def _routed(traffic: Traffic, kind: Kind, number: int) -> Iterator[bytes]:
    """Between the client and machines beside or among the nodes, to arrive as it was sent."""
    client = addresses.CLIENTS.address(kind.family)
    first = ELSEWHERE if traffic in (Traffic.ROUTED, Traffic.ROUTED_REVERSE) else 0
    peers = [node_address(kind.family, first + node) for node in range(NODES)]
    if traffic in (Traffic.ROUTED, Traffic.BESIDE):
        templates = [Template(kind, client, peer, MAC_BALANCER_CLIENTS + MAC_CLIENT, ACK, 1001, 5001) for peer in peers]
    else:
        templates = [Template(kind, peer, client, MAC_BALANCER_NODES + MAC_NODE, ACK, 5001, 1001) for peer in peers]
    for flow, client_port in enumerate(FLOW_PORTS):
        template = templates[flow % NODES]
        ports = (client_port, OTHER_PORT + flow)
        if template.source != client:
            ports = ports[::-1]
        yield template.record(number + flow, ports, packed(template.source) + packed(template.destination))


def _crowd(traffic: Traffic, kind: Kind, number: int) -> Iterator[bytes]:
    """Between as many clients and the VIP, one packet each."""
    network = ipaddress.ip_network(CROWD_NETWORKS[kind.family])
    vip = addresses.vip(kind.family)
    for flow in range(CROWD):
        client, client_port = str(network[flow + 1]), FLOW_PORTS[flow % FLOWS]
        node, port = _route(traffic, flow)
        server = node_address(kind.family, node)
        if traffic is Traffic.CROWD:
            template = Template(kind, client, vip, MAC_BALANCER_CLIENTS + MAC_CLIENT, ACK, 1001, 5001)
            yield template.record(number + flow, (client_port, port), packed(client) + packed(server))
        else:
            template = Template(kind, server, client, MAC_BALANCER_NODES + MAC_NODE, ACK, 5001, 1001)
            yield template.record(number + flow, (port, client_port), packed(vip) + packed(client))
