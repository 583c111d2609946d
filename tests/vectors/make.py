#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Writes the packet vectors, *.json: see README.md.

Packets in and out are put together from their parts, all checksums summed in
full, and what becomes of each is written down here: nothing is taken from the
code under test. With --check, fails where a file is not what would be written.
"""

import copy
import ipaddress
import json
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from lab.selection import route_of  # noqa: E402

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
VIP, VIP6 = "198.51.100.1", "2001:db8:100::1"
CLIENT, CLIENT6 = "203.0.113.9", "2001:db8:3::9"
OWN, OWN6 = "192.0.2.1", "2001:db8:2::1"  # the machine itself, where the nodes are
PARTIAL = object()


# Packets


def words_sum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def checksum(data):
    return ~words_sum(data) & 0xFFFF


class Packet:
    """A packet by its parts; bytes() sums everything anew.

    l4_checksum: None computes it, a number is put there as it is, PARTIAL
    leaves the sum of the pseudo-header, as CHECKSUM_PARTIAL does.
    """

    def __init__(self, src, dst, protocol=TCP, sport=40000, dport=8000, payload=b"HaloD",
                 options=b"", extensions=(), flags=0x18, ttl=64, tos=0, fragment=0x4000,
                 l4_checksum=None, ihl=None, cut=None, tcp_options=b"", offset=None, urgent=0):
        self.__dict__.update(locals())
        del self.__dict__["self"]

    def but(self, **changes):
        other = copy.copy(self)
        other.__dict__.update(changes)
        return other

    def bytes(self):
        src = ipaddress.ip_address(self.src)
        dst = ipaddress.ip_address(self.dst)
        body = self.transport(src, dst)
        whole = self.ipv4(src, dst, body) if src.version == 4 else self.ipv6(src, dst, body)
        if self.cut is None:
            return whole
        return self.cut_short(whole)

    def message(self):
        """What the IP header is followed by, its checksum 0, and where that is; None where it has none."""
        if self.protocol == TCP:
            # Flags beyond eight bits are AE and the reserved ones.
            words = 5 + len(self.tcp_options) // 4 if self.offset is None else self.offset
            head = struct.pack("!HHIIHHHH", self.sport, self.dport, 0x01020304, 0x0A0B0C0D,
                               words << 12 | self.flags, 0xFFFF, 0, self.urgent)
            return head + self.tcp_options + self.payload, 16
        if self.protocol == UDP:
            head = struct.pack("!HHHH", self.sport, self.dport, 8 + len(self.payload), 0)
            return head + self.payload, 6
        if self.protocol in (ICMP, ICMPV6):
            # An echo request.
            head = struct.pack("!BBHHH", 8 if self.protocol == ICMP else 128, 0, 0, 1, 1)
            return head + self.payload, 2
        return self.payload, None

    def transport(self, src, dst):
        body, at = self.message()
        if at is None:
            return body
        if src.version == 4:
            pseudo = src.packed + dst.packed + struct.pack("!BBH", 0, self.protocol, len(body))
        else:
            pseudo = src.packed + dst.packed + struct.pack("!II", len(body), self.protocol)
        if self.protocol == ICMP:
            pseudo = b""
        if self.l4_checksum is PARTIAL:
            value = words_sum(pseudo)
        elif self.l4_checksum is not None:
            value = self.l4_checksum
        else:
            value = checksum(pseudo + body)
            if self.protocol == UDP and value == 0:
                value = 0xFFFF
        return body[:at] + struct.pack("!H", value) + body[at + 2:]

    def ipv4(self, src, dst, body):
        options = self.options + b"\0" * (-len(self.options) % 4)
        ihl = self.ihl if self.ihl is not None else 5 + len(options) // 4
        head = struct.pack("!BBHHHBBH", 0x40 | ihl, self.tos, 20 + len(options) + len(body),
                           0x1234, self.fragment, self.ttl, self.protocol, 0)
        head += src.packed + dst.packed + options
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body

    def ipv6(self, src, dst, body):
        kinds = [kind for kind, _ in self.extensions] + [self.protocol]
        chain = b"".join(bytes([following]) + rest
                         for following, (_, rest) in zip(kinds[1:], self.extensions))
        return struct.pack("!IHBB", 6 << 28 | self.tos << 20 | 0x12345, len(chain) + len(body),
                           kinds[0], self.ttl) + src.packed + dst.packed + chain + body

    def cut_short(self, whole):
        """The first bytes only, with the network header's length made to fit."""
        whole = whole[:self.cut]
        if whole[0] >> 4 == 6:
            return whole[:4] + struct.pack("!H", self.cut - 40) + whole[6:]
        head = whole[:2] + struct.pack("!H", self.cut) + whole[4:10] + b"\0\0" + whole[12:20]
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + whole[20:]


class Error(Packet):
    """An ICMP error: its type, code and second word, and the packet that it quotes, so many bytes of it."""

    def __init__(self, src, dst, quote, kind, code=0, word=0, keep=None, tail=b"", **kwargs):
        super().__init__(src, dst, ICMP if ":" not in src else ICMPV6, **kwargs)
        self.quote, self.kind, self.code, self.word, self.keep, self.tail = quote, kind, code, word, keep, tail

    def message(self):
        head = struct.pack("!BBHI", self.kind, self.code, 0, self.word)
        return head + self.quote.bytes()[:self.keep] + self.tail, 2

    def about(self, quote=None, **outer):
        """The same, the quoted packet and the outer header changed so."""
        return self.but(quote=self.quote.but(**(quote or {})), **outer)


def extension(kind, size=8):
    """An options header (hop-by-hop 0, destination 60) full of padding."""
    pad = bytes([1, size - 4]) + bytes(size - 4)
    return kind, bytes([size // 8 - 1]) + pad


def routing(kind, left, address):
    return 43, bytes([2, kind, left, 0, 0, 0, 0]) + ipaddress.ip_address(address).packed


def fragment(offset, more, ident=0x01020304):
    return 44, struct.pack("!BHI", 0, offset | more, ident)


# Tables


def listeners():
    rows = []
    for name, protocol, port in (("browsers", "tcp", 8000), ("apps", "tcp", 9000),
                                 ("quic", "udp", 8000)):
        for address in (VIP, VIP6):
            rows.append({"name": name, "address": address, "protocol": protocol, "port": port,
                         "node_port": port})
    return rows


def node(number, v4=True, v6=True, targets=None):
    addresses = [f"192.0.2.{10 + number}"] * v4 + [f"2001:db8:2::{10 + number}"] * v6
    return {"id": number, "name": f"n{number}", "addresses": addresses, "targets": targets or []}


def push_table():
    """24 routes: 1-8 n1, 9-16 n2, 17-20 n3, 21 n4 (IPv4 only), 22 n5 (IPv6 only), 23 none, 24 n3.

    n3 has ports of its own for browsers (18000, both families) and, IPv4 only, for quic (28000).
    """
    own = [{"listener": 0, "port": 18000}, {"listener": 1, "port": 18000},
           {"listener": 4, "port": 28000}]
    return {
        "routes": 24,
        "listeners": listeners(),
        "nodes": [node(1), node(2), node(3, targets=own), node(4, v6=False), node(5, v4=False)],
        "route_nodes": [1] * 8 + [2] * 8 + [3] * 4 + [4, 5, 0, 3],
    }


def shared_table():
    """Two push servers on one machine: n1 and n2 share addresses, n2 has ports of its own."""
    table = push_table()
    twin = node(1)
    twin.update(id=2, name="n2", targets=[{"listener": index, "port": listener["port"] + 1000 * 10}
                                          for index, listener in enumerate(listeners())])
    table["nodes"] = [node(1), twin]
    table["route_nodes"] = [1, 2] * 12
    return table


def far_table():
    """As many routes as there can be on one port range, and the last ports that exist."""
    return {
        "routes": 32768,
        "listeners": [{"name": "browsers", "address": VIP, "protocol": "tcp", "port": 32768,
                       "node_port": 1}],
        "nodes": [node(1), node(2)],
        "route_nodes": [1] * 32767 + [2],
    }


def one_port_table():
    """The table above, and one port for all routes three times: by source, by flow, and by source for UDP."""
    table = push_table()
    for name, protocol, port, select, node_port in (("web", "tcp", 443, "source", 8443), ("mqtt", "tcp", 8883, "flow", 8883),
                                                    ("h3", "udp", 443, "source", 8443)):
        for address in (VIP, VIP6):
            table["listeners"].append({"name": name, "address": address, "protocol": protocol, "port": port,
                                       "node_port": node_port, "select": select})
    table["nodes"][2]["targets"].append({"listener": 6, "port": 18443})
    table["select_key"] = bytes(range(16)).hex()
    return table


# Vectors

FORWARD, REVERSE = "pre_routing", "post_routing"


def vector(name, hook, packet, exit, out=None, untracked=None, csum="full", live=None, then=None, before=None):
    """One vector; `out` is what differs in the packet that comes out, or that packet.

    `exit` None: the hook does nothing but keep connection tracking off it; `then` is the exit of
    post_routing, and the packet that comes out there.
    `live`: why the packet cannot be sent through a real machine as it is.
    `before`: the packets that come before, a list for each of the last tables.
    """
    rewritten = out is not None
    row = {"name": name, "hook": hook, "packet": packet.bytes().hex(), "csum": csum, "exit": exit}
    if exit is not None and exit.startswith("drop_"):
        row["out"] = None
    else:
        if not isinstance(out, Packet):
            out = packet.but(**out) if rewritten else packet
        row["out"] = out.bytes().hex()
    row["untracked"] = rewritten if untracked is None else untracked
    assert (exit is None) == (then is not None), f"{name}: who counts it?"
    if then is not None:
        row["then"] = {"exit": then[0], "out": then[1].bytes().hex()}
    if before is not None:
        row["before"] = [[one.bytes().hex() for one in packets] for packets in before]
    row["live"] = live is None
    if live is not None:
        row["not_live_because"] = live
    return row


def forward(name, packet, exit="forward", **kwargs):
    return vector(name, FORWARD, packet, exit, **kwargs)


def reverse(name, packet, exit="reverse", **kwargs):
    return vector(name, REVERSE, packet, exit, **kwargs)


def to_vip(protocol=TCP, dport=8000, **kwargs):
    return Packet(CLIENT, VIP, protocol, 40000, dport, **kwargs)


def to_vip6(protocol=TCP, dport=8000, **kwargs):
    return Packet(CLIENT6, VIP6, protocol, 40000, dport, **kwargs)


def from_node(number, protocol=TCP, sport=8000, **kwargs):
    return Packet(f"192.0.2.{10 + number}", CLIENT, protocol, sport, 40000, **kwargs)


def from_node6(number, protocol=TCP, sport=8000, **kwargs):
    return Packet(f"2001:db8:2::{10 + number}", CLIENT6, protocol, sport, 40000, **kwargs)


N1, N2, N3, N4, N5 = (f"192.0.2.{n}" for n in range(11, 16))
N1_6, N2_6, N3_6, N4_6, N5_6 = (f"2001:db8:2::{n}" for n in range(11, 16))


def forward_topic():
    return push_table(), [
        forward("tcp v4, browsers, route 1", to_vip(flags=0x02, payload=b""), out={"dst": N1}),
        forward("tcp v4, browsers, route 8, with data", to_vip(dport=8007), out={"dst": N1}),
        forward("tcp v4, browsers, route 9", to_vip(dport=8008), out={"dst": N2}),
        forward("tcp v4, apps, route 1", to_vip(dport=9000), out={"dst": N1}),
        forward("tcp v4, apps, route 16", to_vip(dport=9015), out={"dst": N2}),
        forward("udp v4, quic, route 1", to_vip(UDP), out={"dst": N1}),
        forward("udp v4, quic, route 16", to_vip(UDP, 8015), out={"dst": N2}),
        forward("tcp v6, browsers, route 1", to_vip6(flags=0x02, payload=b""), out={"dst": N1_6}),
        forward("tcp v6, browsers, route 16", to_vip6(dport=8015), out={"dst": N2_6}),
        forward("tcp v6, apps, route 9", to_vip6(dport=9008), out={"dst": N2_6}),
        forward("udp v6, quic, route 1", to_vip6(UDP), out={"dst": N1_6}),
        forward("udp v6, quic, route 24", to_vip6(UDP, 8023), out={"dst": N3_6}),
        forward("tcp v4, a reset", to_vip(flags=0x04, payload=b""), out={"dst": N1}),
        forward("tcp v4, odd length", to_vip(payload=b"odd"), out={"dst": N1}),
        forward("tcp v4, DSCP and ECN stay", to_vip(tos=0xBB), out={"dst": N1}),
        forward("tcp v6, traffic class stays", to_vip6(tos=0xBB), out={"dst": N1_6}),
    ]


def reverse_topic():
    return push_table(), [
        reverse("tcp v4, browsers, route 1", from_node(1, flags=0x12, payload=b""),
                out={"src": VIP}),
        reverse("tcp v4, browsers, route 9, with data", from_node(2, sport=8008),
                out={"src": VIP}),
        reverse("tcp v4, a reset of a flow that nobody knows", from_node(2, flags=0x14, payload=b""),
                out={"src": VIP}),
        reverse("tcp v4, from a node that does not hold the route now", from_node(1, sport=8008),
                out={"src": VIP}),
        reverse("tcp v4, apps, route 24", from_node(1, sport=9023), out={"src": VIP}),
        reverse("udp v4, quic, route 2", from_node(1, UDP, 8001), out={"src": VIP}),
        reverse("tcp v6, browsers, route 1", from_node6(1), out={"src": VIP6}),
        reverse("tcp v6, apps, route 9", from_node6(2, sport=9008), out={"src": VIP6}),
        reverse("udp v6, quic, route 24", from_node6(5, UDP, 8023), out={"src": VIP6}),
        vector("tcp v4, as it arrives: left alone, but untracked", FORWARD, from_node(1), None,
               untracked=True, then=("reverse", from_node(1).but(src=VIP))),
        vector("udp v6, as it arrives: left alone, but untracked", FORWARD, from_node6(1, UDP),
               None, untracked=True, then=("reverse", from_node6(1, UDP).but(src=VIP6))),
        reverse("tcp v4, port next to the range", from_node(1, sport=8024), "pass"),
        reverse("udp v4, ports of a TCP listener", from_node(1, UDP, 9000), "pass"),
        reverse("tcp v4, a node's own connection out", from_node(1, sport=45678), "pass"),
    ]


def routes_topic():
    return push_table(), [
        forward("the last route", to_vip(dport=9023), out={"dst": N3}),
        forward("the last route, v6", to_vip6(dport=9023), out={"dst": N3_6}),
        forward("one port beyond the range", to_vip(dport=8024), "pass"),
        forward("one port beyond the range, v6", to_vip6(dport=8024), "pass"),
        forward("one port before the range", to_vip(dport=7999), "pass"),
        forward("a route without a node", to_vip(dport=8022), "drop_no_node"),
        forward("a route without a node, v6, udp", to_vip6(UDP, 8022), "drop_no_node"),
        forward("a node with IPv4 only, asked in IPv4", to_vip(dport=8020), out={"dst": N4}),
        forward("a node with IPv4 only, asked in IPv6", to_vip6(dport=8020), "drop_no_address"),
        forward("a node with IPv6 only, asked in IPv6", to_vip6(dport=8021), out={"dst": N5_6}),
        forward("a node with IPv6 only, asked in IPv4", to_vip(dport=8021), "drop_no_address"),
        forward("udp to ports that only TCP has", to_vip(UDP, 9000), "pass"),
    ]


def ports_topic():
    return push_table(), [
        forward("a node with its own ports, first of its routes", to_vip(dport=8016),
                out={"dst": N3, "dport": 18016}),
        forward("a node with its own ports, the last route", to_vip(dport=8023),
                out={"dst": N3, "dport": 18023}),
        forward("its own ports, v6", to_vip6(dport=8019), out={"dst": N3_6, "dport": 18019}),
        forward("its own ports, udp", to_vip(UDP, 8017), out={"dst": N3, "dport": 28017}),
        forward("the listener's ports where it has none", to_vip6(UDP, 8017), out={"dst": N3_6}),
        forward("a listener for which it has none", to_vip(dport=9016), out={"dst": N3}),
        reverse("back from its own ports", from_node(3, sport=18023),
                out={"src": VIP, "sport": 8023}),
        reverse("back from its own ports, v6", from_node6(3, sport=18000),
                out={"src": VIP6, "sport": 8000}),
        reverse("back from its own ports, udp", from_node(3, UDP, 28017),
                out={"src": VIP, "sport": 8017}),
        reverse("the listener's ports mean nothing on it", from_node(3, sport=8016), "pass"),
    ]


def shared_topic():
    return shared_table(), [
        forward("odd routes to the first server", to_vip(dport=8002), out={"dst": N1}),
        forward("even routes to the second", to_vip(dport=8003), out={"dst": N1, "dport": 18003}),
        forward("even routes to the second, v6", to_vip6(UDP, 8023),
                out={"dst": N1_6, "dport": 18023}),
        reverse("back from the first", from_node(1, sport=9002), out={"src": VIP}),
        reverse("back from the second", from_node(1, sport=19003),
                out={"src": VIP, "sport": 9003}),
        reverse("back from the second, v6", from_node6(1, UDP, 18023),
                out={"src": VIP6, "sport": 8023}),
    ]


def far_topic():
    return far_table(), [
        forward("route 1 of 32,768", to_vip(dport=32768), out={"dst": N1, "dport": 1}),
        forward("route 32,768", to_vip(dport=65535), out={"dst": N2, "dport": 32768}),
        forward("the port before", to_vip(dport=32767), "pass"),
        reverse("back from route 1", from_node(1, sport=1), out={"src": VIP, "sport": 32768}),
        reverse("back from route 32,768", from_node(2, sport=32768),
                out={"src": VIP, "sport": 65535}),
        reverse("back from the port after", from_node(2, sport=32769), "pass"),
    ]


def one_port_topic():
    table = one_port_table()
    key = bytes.fromhex(table["select_key"])

    def client(select, node, v6=False, start=2):
        """A client (address, port) whose route that node has."""
        for n in range(start, 250):
            address, port = (f"2001:db8:3::{n:x}" if v6 else f"203.0.113.{n}"), 40000 + n
            if table["route_nodes"][route_of(key, select, address, port, table["routes"]) - 1] == node:
                return {"src": address, "sport": port}
        raise LookupError(f"no client for node {node}")

    def about(packet):
        """What its receiver says of a packet that was too big."""
        return Error(packet.dst, packet.src, packet, 3 if ":" not in packet.src else 2,
                     4 if ":" not in packet.src else 0, 1280, payload=b"")

    syn = {"flags": 0x02, "payload": b""}
    web, mqtt, h3 = to_vip(dport=443), to_vip(dport=8883), to_vip(UDP, 443)
    web6, mqtt6, h36 = to_vip6(dport=443), to_vip6(dport=8883), to_vip6(UDP, 443)
    one, two, three = (client("source", node) for node in (1, 2, 3))
    one6, two6 = (client("source", node, True) for node in (1, 2))
    flow, flow6 = client("flow", 2), client("flow", 2, True)
    to_n2 = {"dst": N2, "dport": 8443}
    rows = [
        forward("by source, a client of n1", web.but(**one, **syn), out={"dst": N1, "dport": 8443}),
        forward("by source, a client of n2", web.but(**two), out=to_n2),
        forward("by source, the same client's other port", web.but(**two | {"sport": 1}), out=to_n2),
        forward("by source, a node with a port of its own", web.but(**three), out={"dst": N3, "dport": 18443}),
        forward("by source, v6, a client of n1", web6.but(**one6), out={"dst": N1_6, "dport": 8443}),
        forward("by source, v6, a client of n2", web6.but(**two6), out={"dst": N2_6, "dport": 8443}),
        forward("by source, udp: where its TCP goes", h3.but(**two), out=to_n2),
        forward("by source, udp v6", h36.but(**two6), out={"dst": N2_6, "dport": 8443}),
        forward("by source, no node", web.but(**client("source", 0)), "drop_no_node"),
        forward("by source, a node without IPv4", web.but(**client("source", 5)), "drop_no_address"),
        forward("by source, v6, a node without IPv6", web6.but(**client("source", 4, True)), "drop_no_address"),
        forward("by flow", mqtt.but(**flow), out={"dst": N2}),
        forward("by flow, v6", mqtt6.but(**flow6), out={"dst": N2_6}),
        forward("the next port is nobody's", web.but(dport=444), "pass"),
        forward("the port before", web.but(dport=442), "pass"),
        forward("beside them a port for each route", to_vip(dport=8008), out={"dst": N2}),
        reverse("back", from_node(2, sport=8443), out={"src": VIP, "sport": 443}),
        reverse("back to a client of another node", from_node(2, sport=8443).but(dst=one["src"]), out={"src": VIP, "sport": 443}),
        reverse("back from a port of its own", from_node(3, sport=18443), out={"src": VIP, "sport": 443}),
        reverse("the listener's port means nothing on that node", from_node(3, sport=8443), "pass"),
        reverse("back, v6", from_node6(3, sport=8443), out={"src": VIP6, "sport": 443}),
        reverse("back, udp", from_node(1, UDP, 8443), out={"src": VIP, "sport": 443}),
        reverse("back, by flow", from_node(1, sport=8883), out={"src": VIP}),
        reverse("the next port of a node is its own", from_node(1, sport=8444), "pass"),
    ]
    # A client that finds the VIP's packet too big: to the node that has the client's route.
    for name, who, port, number, node_port, protocol in (
            ("by source", two, 443, N2, 8443, TCP), ("by flow", flow, 8883, N2, 8883, TCP),
            ("by source, udp", one, 443, N1, 8443, UDP)):
        sent = Packet(VIP, who["src"], protocol, port, who["sport"])
        rows.append(forward(f"a client's ICMP error, {name}", about(sent), "icmp_to_node",
                            out=about(sent.but(src=number, sport=node_port)).but(src=who["src"], dst=number)))
    for name, who, port, number, node_port in (("by source", two6, 443, N2_6, 8443), ("by flow", flow6, 8883, N2_6, 8883)):
        sent = Packet(VIP6, who["src"], TCP, port, who["sport"])
        rows.append(forward(f"a client's ICMP error, v6, {name}", about(sent), "icmp_to_node",
                            out=about(sent.but(src=number, sport=node_port)).but(src=who["src"], dst=number)))
    sent = Packet(CLIENT, N2, TCP, 40000, 8443)
    rows.append(reverse("a node's ICMP error", about(sent), "icmp_to_client",
                        out=about(sent.but(dst=VIP, dport=443)).but(src=VIP)))
    return table, rows


def zero_word(packet):
    """A payload by which the packet's UDP checksum is computed as zero."""
    probe = packet.but(payload=b"\0\0").bytes()
    offset = 26 if ":" not in packet.src else 46
    return probe[offset:offset + 2]


def checksums_topic():
    becomes_zero = to_vip(UDP)
    becomes_zero = becomes_zero.but(payload=zero_word(becomes_zero.but(dst=N1)))
    becomes_zero6 = to_vip6(UDP)
    becomes_zero6 = becomes_zero6.but(payload=zero_word(becomes_zero6.but(dst=N1_6)))
    was_zero = to_vip(UDP)
    was_zero = was_zero.but(payload=zero_word(was_zero))
    rows = [
        forward("udp v4 without a checksum", to_vip(UDP, l4_checksum=0), out={"dst": N1}),
        forward("udp v4 without a checksum, port changed", to_vip(UDP, 8017, l4_checksum=0),
                out={"dst": N3, "dport": 28017}),
        reverse("udp v4 without a checksum, back", from_node(3, UDP, 28017, l4_checksum=0),
                out={"src": VIP, "sport": 8017}),
        forward("udp v4, the new checksum is computed as 0", becomes_zero, out={"dst": N1}),
        forward("udp v6, the new checksum is computed as 0", becomes_zero6, out={"dst": N1_6}),
        forward("udp v4, the old checksum was computed as 0", was_zero, out={"dst": N1}),
        forward("tcp v4, partial", to_vip(l4_checksum=PARTIAL), out={"dst": N1}, csum="partial"),
        forward("tcp v4, partial, port changed", to_vip(dport=8016, l4_checksum=PARTIAL),
                out={"dst": N3, "dport": 18016}, csum="partial"),
        forward("udp v4, partial", to_vip(UDP, l4_checksum=PARTIAL), out={"dst": N1},
                csum="partial"),
        forward("tcp v6, partial", to_vip6(l4_checksum=PARTIAL), out={"dst": N1_6},
                csum="partial"),
        reverse("tcp v6, partial, port changed", from_node6(3, sport=18000, l4_checksum=PARTIAL),
                out={"src": VIP6, "sport": 8000}, csum="partial"),
        reverse("udp v6, partial", from_node6(1, UDP, l4_checksum=PARTIAL), out={"src": VIP6},
                csum="partial"),
    ]
    zeros = {row["name"]: row["out"] for row in rows}
    assert zeros["udp v4, the new checksum is computed as 0"][52:56] == "ffff"
    assert zeros["udp v6, the new checksum is computed as 0"][92:96] == "ffff"
    return push_table(), rows


def headers_topic():
    timestamps = bytes([68, 12, 5, 0]) + bytes(8)
    router_alert = bytes([148, 4, 0, 0])
    deep = [extension(60)] * 8
    def syn(**kwargs):
        return {"flags": 0x02, "payload": b""} | kwargs
    # What stacks send, what none does, and what contradicts itself: nothing of it is HaloD's.
    usual = bytes.fromhex("020405b4" "0402" "080a0102030400000000" "01" "030307")
    tcp = [
        ("the usual options of a SYN", syn(tcp_options=usual)),
        ("options as long as can be", {"tcp_options": b"\x01" * 40}),
        ("three blocks of SACK and timestamps",
         {"tcp_options": bytes.fromhex("0101080a0102030405060708" "0101051a") + bytes(range(24))}),
        ("MD5 signature", {"tcp_options": bytes([1, 1, 19, 18]) + bytes(range(16))}),
        ("authentication option", {"tcp_options": bytes([29, 16, 1, 2]) + bytes(range(12))}),
        ("MPTCP", syn(tcp_options=bytes([30, 12, 1, 129]) + bytes(range(8)))),
        ("kinds that nobody knows", {"tcp_options": bytes([253, 4, 0xF9, 0x89, 77, 2, 254, 2])}),
        ("an option of length 0", {"tcp_options": bytes([2, 0, 5, 0xB4])}),
        ("an option of length 1", {"tcp_options": bytes([8, 1, 1, 1])}),
        ("an option beyond the options", {"tcp_options": bytes([1, 1, 8, 40])}),
        ("an option that ends behind its kind", {"tcp_options": bytes([1, 1, 1, 2])}),
        ("something after the end of options", {"tcp_options": bytes([0, 1, 2, 3])}),
        ("data offset 0", {"offset": 0}),
        ("data offset 4", {"offset": 4}),
        ("data offset 15, beyond the packet", {"offset": 15}),
        ("urgent data", {"flags": 0x38, "urgent": 3}),
        ("an urgent pointer beyond the packet", {"flags": 0x38, "urgent": 0xFFFF}),
        ("an urgent pointer without its flag", {"urgent": 3}),
        ("a SYN that offers accurate ECN", syn(flags=0x1C2)),
        ("congestion experienced, window reduced", {"flags": 0xD8}),
        ("reserved bits", {"flags": 0xE18}),
        ("all flags", {"flags": 0xFFF}),
        ("no flag", {"flags": 0}),
        ("a SYN with data", syn(payload=b"HaloD", tcp_options=bytes([34, 10]) + bytes(range(8)) + b"\x01\x01")),
    ]
    rows = [forward(f"{version}: tcp, {name}", to(**changes), out={"dst": number})
            for name, changes in tcp for version, to, number in (("v4", to_vip, N1), ("v6", to_vip6, N1_6))]
    long = {"tcp_options": b"\x01" * 40}
    return push_table(), rows + [
        forward("v4: tcp, options as long as can be in both, port changed",
                to_vip(dport=8016, options=bytes([1] * 40), **long), out={"dst": N3, "dport": 18016}),
        forward("v6: tcp, options as long as can be, eight extension headers",
                to_vip6(extensions=deep, **long), out={"dst": N1_6}),
        reverse("v4: tcp, options as long as can be, back", from_node(3, sport=18016, **long),
                out={"src": VIP, "sport": 8016}),
        reverse("v6: tcp, data offset 4, back", from_node6(1, offset=4), out={"src": VIP6}),
        forward("v4 options: timestamps", to_vip(options=timestamps), out={"dst": N1},
                live="the kernel writes the time into it as it sends it on, after the hook"),
        forward("v4 options: padding", to_vip(options=bytes([1] * 8)), out={"dst": N1}),
        forward("v4 options: as long as can be, udp", to_vip(UDP, options=bytes([1] * 40)),
                out={"dst": N1}),
        forward("v4 options: router alert, port changed",
                to_vip(dport=8016, options=router_alert), out={"dst": N3, "dport": 18016}),
        reverse("v4 options, back", from_node(1, options=bytes([1] * 4)), out={"src": VIP}),
        forward("v6 destination options", to_vip6(extensions=[extension(60)]), out={"dst": N1_6}),
        forward("v6 hop-by-hop and destination options, udp",
                to_vip6(UDP, extensions=[extension(0), extension(60, 24)]), out={"dst": N1_6}),
        reverse("v6 destination options, back", from_node6(2, extensions=[extension(60, 16)]),
                out={"src": VIP6}),
        forward("v6, a packet in one fragment", to_vip6(extensions=[fragment(0, 0)]),
                out={"dst": N1_6}),
        forward("v6, routing header at its end",
                to_vip6(extensions=[routing(2, 0, "2001:db8:3::1")]), out={"dst": N1_6}),
        forward("v6, routing header not at its end: another's checksum",
                to_vip6(extensions=[routing(2, 1, "2001:db8:3::1")]), "pass"),
        forward("v6, eight extension headers", to_vip6(extensions=deep), out={"dst": N1_6}),
        forward("v6, nine extension headers", to_vip6(extensions=deep + deep[:1]),
                "drop_extension"),
        forward("v6, options longer than anyone looks", to_vip6(extensions=[extension(60, 96)]),
                "drop_extension"),
        reverse("v6, options longer than anyone looks, back",
                from_node6(1, extensions=[extension(60, 96)]), "pass"),
    ]


def broken_topic():
    more, last = 0x2000, 0x0010
    why = "the kernel drops it before any hook where it arrives, and lets no raw socket send it"
    return push_table(), [
        forward("v4 cut within the TCP header", to_vip(cut=39), "drop_truncated"),
        forward("v4 cut before the ports", to_vip(cut=20), "drop_truncated"),
        forward("v4 cut within the UDP header", to_vip(UDP, cut=27), "drop_truncated"),
        forward("v6 cut within the TCP header", to_vip6(cut=59), "drop_truncated"),
        forward("v6 cut within an extension header",
                to_vip6(extensions=[extension(60)], cut=44), "drop_truncated"),
        forward("v4 cut, to an address that is not a VIP", Packet(CLIENT, "192.0.2.99", cut=39),
                "pass"),
        # Met only where the kernel is kept from putting them together.
        forward("v4 first fragment", to_vip(UDP, fragment=more), "drop_fragment"),
        forward("v4 last fragment", to_vip(UDP, fragment=last), "drop_fragment"),
        forward("v4 fragment, not to a VIP", Packet(CLIENT, "192.0.2.99", UDP, fragment=more),
                "pass"),
        forward("v4 fragment of an echo request to a VIP", to_vip(ICMP, fragment=more), "pass"),
        forward("v6 first fragment", to_vip6(UDP, extensions=[fragment(0, 1)]), "drop_fragment"),
        forward("v6 last fragment", to_vip6(UDP, extensions=[fragment(16, 0)]), "drop_fragment"),
        forward("v6 fragment of an echo request", to_vip6(ICMPV6, extensions=[fragment(0, 1)]),
                "pass"),
        reverse("v4 fragment from a node", from_node(1, UDP, fragment=more), "pass"),
        forward("v4 header shorter than any", to_vip(ihl=4), "drop_malformed", live=why),
    ]


ROUTER, ROUTER6 = "203.0.113.254", "2001:db8:3::fe"  # on a client's way
INNER, INNER6 = "192.0.2.200", "2001:db8:2::c8"  # on a node's way
UNREACHABLE, EXCEEDED, PARAMETER = 3, 11, 12
UNREACHABLE6, TOO_BIG6, EXCEEDED6, PARAMETER6 = 1, 2, 3, 4


def to_node(name, error, number=1, exit="icmp_to_node", sport=None, **kwargs):
    """An error about a packet from the VIP to a client, which goes to the node."""
    if exit != "icmp_to_node":
        return forward(name, error, exit, **kwargs)
    address = f"192.0.2.{10 + number}" if error.protocol == ICMP else f"2001:db8:2::{10 + number}"
    quote = {"src": address, "sport": sport or error.quote.sport}
    return forward(name, error, exit, out=error.about(quote, dst=address), **kwargs)


def to_client(name, error, says="router", dport=None, **kwargs):
    """An error about a packet to a node, which goes to the client; the node's own is from the VIP."""
    vip = VIP if error.protocol == ICMP else VIP6
    quote = {"dst": vip, "dport": dport or error.quote.dport}
    outer = {"src": vip} if says == "node" else {}
    return reverse(name, error, "icmp_to_client", out=error.about(quote, **outer), **kwargs)


def sent(protocol=TCP, sport=8000, **kwargs):
    """A packet that HaloD has sent on to a client, as a router there has got it."""
    return Packet(VIP, CLIENT, protocol, sport, 40000, ttl=61, **kwargs)


def sent6(protocol=TCP, sport=8000, **kwargs):
    return Packet(VIP6, CLIENT6, protocol, sport, 40000, ttl=61, **kwargs)


def icmp_to_node_topic():
    long = bytes(range(200)) * 3
    too_big = Error(ROUTER, VIP, sent(payload=long), UNREACHABLE, 4, 1280)
    too_big6 = Error(ROUTER6, VIP6, sent6(payload=long), TOO_BIG6, 0, 1280)
    timestamps = bytes([68, 12, 5, 0]) + bytes(8)
    no_sum = sent(UDP, l4_checksum=0, payload=long)
    # What a router adds of its own (RFC 4884): the quote is 128 bytes long, and an object follows.
    labels = bytes.fromhex("200042fb0008010100010140")
    options6 = [extension(60, 72)]
    return push_table(), [
        to_node("v4 fragmentation needed", too_big),
        to_node("v4 fragmentation needed, route 9, apps", too_big.about({"sport": 9008}), 2),
        to_node("v4 fragmentation needed, own ports", too_big.about({"sport": 8016}), 3, sport=18016),
        to_node("v4 host unreachable", too_big.but(code=1)),
        to_node("v4 time exceeded", too_big.but(kind=EXCEEDED, code=0, word=0)),
        to_node("v4 parameter problem", too_big.but(kind=PARAMETER, code=0, word=20 << 24)),
        to_node("v4 port unreachable, from the client, udp",
                Error(CLIENT, VIP, sent(UDP), UNREACHABLE, 3)),
        to_node("v4 udp, no checksum", Error(ROUTER, VIP, no_sum, UNREACHABLE, 4, 1280)),
        to_node("v4 udp, 8 bytes quoted", Error(ROUTER, VIP, sent(UDP), UNREACHABLE, 3, keep=28)),
        to_node("v4 tcp, 8 bytes quoted", too_big.but(keep=28)),
        to_node("v4 tcp, 8 bytes quoted, own ports",
                too_big.about({"sport": 8016}, keep=28), 3, sport=18016),
        # Half a checksum is none: it stays.
        to_node("v4 tcp, quoted to within its checksum",
                too_big.about({"l4_checksum": 0xABCD}, keep=37)),
        to_node("v4 tcp, quoted to its checksum", too_big.but(keep=38)),
        to_node("v4 odd length", too_big.but(keep=51)),
        to_node("v4 with an extension", too_big.but(word=32 << 16 | 1280, keep=128, tail=labels)),
        to_node("v4 where the length's field holds something else", too_big.but(word=2 << 16 | 1280)),
        to_node("v4 options in the quoted packet", too_big.about({"options": timestamps})),
        to_node("v4 options in both, as long as can be",
                too_big.about({"options": bytes([1] * 40)}, options=bytes([1] * 40))),
        to_node("v4 of the first fragment", too_big.about({"fragment": 0x2000})),
        to_node("v4 DSCP and TTL of both stay", too_big.about({"tos": 0xB8, "ttl": 1}, tos=0xC0, ttl=9)),
        to_node("v4 of a node with IPv4 only", too_big.about({"sport": 8020}), 4),
        to_node("v6 packet too big", too_big6),
        to_node("v6 packet too big, own ports", too_big6.about({"sport": 8017}), 3, sport=18017),
        to_node("v6 no route", too_big6.but(kind=UNREACHABLE6, word=0)),
        to_node("v6 hop limit exceeded", too_big6.but(kind=EXCEEDED6, word=0)),
        to_node("v6 parameter problem", too_big6.but(kind=PARAMETER6, word=40)),
        to_node("v6 port unreachable, from the client, udp",
                Error(CLIENT6, VIP6, sent6(UDP), UNREACHABLE6, 4)),
        to_node("v6 udp, 8 bytes quoted", Error(ROUTER6, VIP6, sent6(UDP), UNREACHABLE6, 4, keep=48)),
        to_node("v6 tcp, 8 bytes quoted", too_big6.but(keep=48)),
        to_node("v6 odd length", too_big6.but(keep=81)),
        to_node("v6 extension headers in the quoted packet",
                too_big6.about({"extensions": [extension(0, 16), extension(60, 40)]})),
        to_node("v6 with an extension, where TCP's checksum would be",
                Error(ROUTER6, VIP6, sent6(extensions=options6), UNREACHABLE6, word=16 << 24, keep=128,
                      tail=labels)),
        to_node("v6 extension headers before the error",
                too_big6.but(extensions=[extension(60, 64)])),
        to_node("v6 of the first fragment", too_big6.about({"extensions": [fragment(0, 1)]})),
        to_node("v4 about a route without a node", too_big.about({"sport": 8022}), exit="drop_no_node"),
        to_node("v6 about a node with IPv4 only", too_big6.about({"sport": 8020}),
                exit="drop_no_address"),
        to_node("v4 quoted to before the end of the ports", too_big.but(keep=27), exit="drop_icmp_quote"),
        to_node("v6 quoted to before the end of the ports", too_big6.but(keep=47), exit="drop_icmp_quote"),
        to_node("v4 of a later fragment", too_big.about({"fragment": 0x2010}), exit="drop_icmp_quote"),
        to_node("v6 of a later fragment", too_big6.about({"extensions": [fragment(16, 1)]}),
                exit="drop_icmp_quote"),
        to_node("v4 of a header shorter than any", too_big.about({"ihl": 4}), exit="drop_icmp_quote"),
        to_node("v6 of more extension headers than anyone looks at",
                too_big6.about({"extensions": [extension(60)] * 9}), exit="drop_icmp_quote"),
        to_node("v4 quoted to before the end of the addresses", too_big.but(keep=19), exit="pass"),
        to_node("v4 nothing quoted", too_big.but(keep=0), exit="pass"),
        to_node("v4 ends within its own header", too_big.but(cut=26), exit="pass"),
        to_node("v6 nothing quoted", too_big6.but(keep=0), exit="pass"),
        to_node("v4 about a packet of this machine", too_big.about({"sport": 22}), exit="pass"),
        to_node("v6 about a packet of this machine", too_big6.about({"sport": 22}), exit="pass"),
        to_node("v4 about an echo request of this machine",
                Error(ROUTER, VIP, sent(ICMP), EXCEEDED), exit="pass"),
        to_node("v4 about a packet that its receiver has not sent",
                Error(ROUTER, VIP, Packet("198.51.100.2", CLIENT, TCP, 8000, 40000), UNREACHABLE),
                exit="pass"),
        to_node("v4 to a node, about a packet that only HaloD can have sent",
                Error(ROUTER, N1, sent(), UNREACHABLE), exit="pass"),
        to_node("v4 source quench", too_big.but(kind=4, code=0), exit="pass"),
        to_node("v4 redirect", too_big.but(kind=5, code=1), exit="pass"),
        to_node("v6 an error of another type", too_big6.but(kind=100), exit="pass"),
        to_node("v4 a fragment of an error", too_big.but(fragment=0x2000), exit="pass"),
    ]


def asked(protocol=TCP, dport=8000, number=1, **kwargs):
    """A client's packet that HaloD has sent on to a node, as a router there has got it."""
    return Packet(CLIENT, f"192.0.2.{10 + number}", protocol, 40000, dport, ttl=61, **kwargs)


def asked6(protocol=TCP, dport=8000, number=1, **kwargs):
    return Packet(CLIENT6, f"2001:db8:2::{10 + number}", protocol, 40000, dport, ttl=61, **kwargs)


def icmp_to_client_topic():
    long = bytes(range(200)) * 3
    too_big = Error(INNER, CLIENT, asked(payload=long), UNREACHABLE, 4, 1280)
    too_big6 = Error(INNER6, CLIENT6, asked6(payload=long), TOO_BIG6, 0, 1280)
    made4 = Error("203.0.113.1", CLIENT, asked(), UNREACHABLE, 4, 1280)
    made6 = Error(OWN6, N1_6, Packet(N1_6, CLIENT6, TCP, 8000, 40000), TOO_BIG6, 0, 1280)
    return push_table(), [
        to_client("v4 fragmentation needed, from a router", too_big),
        to_client("v4 host unreachable, from the node",
                  Error(N1, CLIENT, asked(), UNREACHABLE, 1), "node"),
        to_client("v4 port unreachable, from the node, udp",
                  Error(N2, CLIENT, asked(UDP, 8008, 2), UNREACHABLE, 3), "node"),
        to_client("v4 time exceeded, apps", too_big.about({"dport": 9000}, kind=EXCEEDED, code=0, word=0)),
        to_client("v4 parameter problem, own ports",
                  Error(N3, CLIENT, asked(dport=18016, number=3), PARAMETER, 0, 20 << 24), "node", 8016),
        to_client("v4 from a node that does not hold the route now", too_big.about({"dport": 8008})),
        to_client("v4 udp, no checksum",
                  Error(INNER, CLIENT, asked(UDP, l4_checksum=0), UNREACHABLE, 4, 1280)),
        to_client("v4 tcp, 8 bytes quoted", too_big.but(keep=28)),
        to_client("v4 udp, 8 bytes quoted, own ports",
                  Error(N3, CLIENT, asked(UDP, 28017, 3), UNREACHABLE, 3, keep=28), "node", 8017),
        to_client("v4 options in both", too_big.about({"options": bytes([1] * 8)}, options=bytes([1] * 4))),
        to_client("v4 of the first fragment", too_big.about({"fragment": 0x2000})),
        to_client("v6 packet too big, from a router", too_big6),
        to_client("v6 port unreachable, from the node, udp",
                  Error(N2_6, CLIENT6, asked6(UDP, 8008, 2), UNREACHABLE6, 4), "node"),
        to_client("v6 hop limit exceeded, own ports",
                  Error(INNER6, CLIENT6, asked6(dport=18000, number=3), EXCEEDED6), dport=8000),
        to_client("v6 tcp, 8 bytes quoted", too_big6.but(keep=48)),
        to_client("v6 extension headers in both",
                  too_big6.about({"extensions": [extension(60, 24)]}, extensions=[extension(60)])),
        to_client("v6 parameter problem, odd length", too_big6.but(kind=PARAMETER6, keep=81)),
        vector("v4 as it arrives: left alone, but untracked", FORWARD, too_big, None, untracked=True,
               then=("icmp_to_client", too_big.about({"dst": VIP}))),
        vector("v6 as it arrives: left alone, but untracked", FORWARD, too_big6, None, untracked=True,
               then=("icmp_to_client", too_big6.about({"dst": VIP6}))),
        reverse("v4 about a node's other port", too_big.about({"dport": 22}), "pass"),
        reverse("v4 about someone else", Error(INNER, CLIENT, Packet(CLIENT, "192.0.2.99"), UNREACHABLE),
                "pass"),
        reverse("v4 about a packet that its receiver has not sent",
                Error(INNER, "203.0.113.8", asked(), UNREACHABLE), "pass"),
        reverse("v4 of a later fragment", too_big.about({"fragment": 0x2010}), "pass"),
        reverse("v6 nothing quoted", too_big6.but(keep=0), "pass"),
        # This machine's own.
        vector("v4 fragmentation needed, made here", "local_out", made4, None, untracked=True,
               then=("icmp_to_client", made4.about({"dst": VIP}))),
        vector("v6 packet too big, made here, for a node", "local_out", made6, None, untracked=True,
               then=("pass", made6)),
        vector("v4 made here, about a packet of this machine", "local_out",
               Error(OWN, "192.0.2.99", Packet("192.0.2.99", CLIENT, TCP, 8000, 40000), EXCEEDED), "pass"),
        vector("v4 no way to the client, made here", "local_out",
               Error(VIP, VIP, Packet(VIP, CLIENT, TCP, 8008, 40000), UNREACHABLE, 1), "icmp_to_node",
               out=Error(VIP, N2, Packet(N2, CLIENT, TCP, 8008, 40000), UNREACHABLE, 1)),
        vector("v4 about this machine's own connection", "local_in",
               Error(N2, OWN, Packet(OWN, N2, UDP, 40000, 8008), UNREACHABLE, 3), "icmp_to_client",
               out=Error(VIP, OWN, Packet(OWN, VIP, UDP, 40000, 8008), UNREACHABLE, 3)),
        vector("v6 partial", "post_routing",
               Error(N1_6, CLIENT6, asked6(), UNREACHABLE6, l4_checksum=PARTIAL), "icmp_to_client",
               out=Error(VIP6, CLIENT6, asked6().but(dst=VIP6), UNREACHABLE6, l4_checksum=PARTIAL),
               csum="partial"),
    ]


def foreign_topic():
    return push_table(), [
        forward("tcp v4 to someone else", Packet(CLIENT, "192.0.2.99"), "pass"),
        forward("tcp v6 to someone else", Packet(CLIENT6, "2001:db8:2::99"), "pass"),
        forward("udp v4 to a node itself", Packet(CLIENT, N1, UDP), "pass"),
        forward("ssh to the VIP", to_vip(dport=22), "pass"),
        forward("ping to the VIP", to_vip(ICMP), "pass"),
        forward("ping to the VIP, v6", to_vip6(ICMPV6), "pass"),
        forward("another protocol to the VIP", to_vip(132), "pass"),
        forward("v6, no next header", to_vip6(59), "pass"),
        reverse("tcp v4 from someone else", Packet("192.0.2.99", CLIENT, TCP, 8000, 40000),
                "pass"),
        reverse("ping answered by a node", from_node(1, ICMP), "pass"),
        reverse("a request on its way to a node", Packet(CLIENT, N1, TCP, 40000, 8000), "pass"),
    ]


def local_topic():
    # No kernel answers a reset.
    refused = {"flags": 0x14, "payload": b""}
    return push_table(), [
        vector("this machine asks, tcp v4", "local_out", Packet(OWN, VIP, dport=8008),
               "local_out", out={"dst": N2}),
        vector("this machine asks, udp v6, port as it is", "local_out",
               Packet(OWN6, VIP6, UDP, dport=8017), "local_out", out={"dst": N3_6}),
        vector("this machine asks, no node", "local_out", Packet(OWN, VIP, dport=8022),
               "drop_no_node"),
        vector("this machine asks elsewhere", "local_out", Packet(OWN, N1, dport=22), "pass"),
        vector("the answer to this machine, tcp v4", "local_in",
               Packet(N2, OWN, TCP, 8008, 40000, **refused), "local_in", out={"src": VIP}),
        vector("the answer to this machine, tcp v6, own ports", "local_in",
               Packet(N3_6, OWN6, TCP, 18000, 40000, **refused), "local_in",
               out={"src": VIP6, "sport": 8000}),
        vector("a node's own talk with this machine", "local_in",
               Packet(N2, OWN, TCP, 45678, 7600, **refused), "pass"),
    ]


def direct_table(deliver):
    """The first table, browsers and quic delivered so, apps not; and one port for all routes, by source, so."""
    table = push_table()
    for listener in table["listeners"]:
        if listener["name"] != "apps":
            listener["deliver"] = deliver
    for address in (VIP, VIP6):
        table["listeners"].append({"name": "web", "address": address, "protocol": "tcp", "port": 443, "node_port": 443,
                                   "select": "source", "deliver": deliver})
    table["nodes"][2]["targets"] = [{"listener": 2, "port": 19000}]
    table["select_key"] = bytes(range(16)).hex()
    return table


def as_it_is(name, packet, to, exit="forward", hook=FORWARD, **kwargs):
    """A packet that goes to a node's link address."""
    return vector(name, hook, packet, exit, out={}, **kwargs) | {"to": to}


def inside(name, packet, to, exit="forward", hook=FORWARD, **kwargs):
    """A packet that goes to a node inside another one, of HaloD's machine, with the same DSCP, ECN and DF."""
    own, protocol, size = (OWN6, 41, 40) if ":" in to else (OWN, 4, 20)
    outer = Packet(own, to, protocol, payload=packet.bytes(), tos=packet.tos, fragment=packet.fragment & 0x4000).bytes()[:size]
    if size == 20:
        outer = outer[:4] + bytes(2) + outer[6:10] + bytes(2) + outer[12:]
    return vector(name, hook, packet, exit, out={}, **kwargs) | {"to": to, "outer": outer.hex()}


def ipip_topic():
    table = direct_table("ipip")
    sent = Packet(VIP, CLIENT, TCP, 8008, 40000)
    sent6 = Packet(VIP6, CLIENT6, UDP, 8000, 40000)
    outer = Packet(OWN, N1, 4, payload=to_vip().bytes())
    outer6 = Packet(OWN6, N1_6, 41, payload=to_vip6().bytes())
    router, router6 = "192.0.2.254", "2001:db8:2::fe"
    told = Error(OWN, CLIENT, to_vip(), 3, 4, 1480)
    return table, [
        inside("tcp v4, browsers, route 1", to_vip(flags=0x02, payload=b""), N1),
        inside("tcp v4, browsers, route 9, with data", to_vip(dport=8008), N2),
        inside("tcp v6, browsers, route 16", to_vip6(dport=8015), N2_6),
        inside("udp v4, quic, route 1", to_vip(UDP), N1),
        inside("udp v6, quic, route 24", to_vip6(UDP, 8023), N3_6),
        inside("udp v4, may be fragmented", to_vip(UDP, fragment=0), N1),
        inside("tcp v4, options stay inside", to_vip(options=b"\x01\x01\x01\x00"), N1),
        inside("tcp v6, behind options", to_vip6(extensions=[extension(60)]), N1_6),
        inside("tcp v4, DSCP and ECN are copied", to_vip(tos=0xBB), N1),
        inside("tcp v6, DSCP and ECN are copied", to_vip6(tos=0xBA), N1_6),
        forward("tcp v4, apps of the same VIP, rewritten", to_vip(dport=9008), out={"dst": N2}),
        forward("tcp v4, no node", to_vip(dport=8022), "drop_no_node"),
        forward("tcp v4, the node has no such address", to_vip(dport=8021), "drop_no_address"),
        reverse("tcp v4, a node's own, from a port of the listener", from_node(1), "pass"),
        inside("v4, a router says: too big, to the VIP", Error("203.0.113.254", VIP, sent, 3, 4, 1280), N2, "icmp_to_node"),
        inside("v6, the client says: nobody there", Error(CLIENT6, VIP6, sent6, 1, 4), N1_6, "icmp_to_node"),
        forward("v4, a router says of the outer packet: too big", Error(router, OWN, outer, 3, 4, 1280),
                "icmp_tunnel", untracked=True),
        forward("v6, a router says of the outer packet: too big", Error(router6, OWN6, outer6, 2, 0, 1280),
                "icmp_tunnel", untracked=True),
        forward("v4, the same of another's outer packet", Error(router, OWN, outer.but(src="192.0.2.9"), 3, 4, 1280),
                "pass"),
        forward("v4, the same of one to nobody's node", Error(router, OWN, outer.but(dst="192.0.2.99"), 3, 4, 1280),
                "pass"),
        inside("this machine asks, tcp v4", Packet(OWN, VIP, dport=8008), N2, "local_out", hook="local_out"),
        vector("this machine asks from the VIP itself, v4", "local_out", Packet(VIP, VIP, dport=8008), "drop_own_vip"),
        vector("this machine says of what it sends inside: too big", "local_out", told,
               None, untracked=True, then=("pass", told)),
    ]


def dsr_topic():
    table = direct_table("dsr")
    key = bytes.fromhex(table["select_key"])
    held = lambda client: table["route_nodes"][route_of(key, "source", client, 40000, 24) - 1]  # noqa: E731
    clients = [f"203.0.113.{n}" for n in range(1, 60)]
    known = next(client for client in clients if held(client) == 2)
    # What a node has sent from the VIP, as a router on its way quotes it.
    sent = Packet(VIP, CLIENT, TCP, 8008, 40000)
    sent6 = Packet(VIP6, CLIENT6, UDP, 8000, 40000)
    return table, [
        as_it_is("tcp v4, browsers, route 1", to_vip(flags=0x02, payload=b""), N1),
        as_it_is("tcp v4, browsers, route 9, with data", to_vip(dport=8008), N2),
        as_it_is("tcp v4, a reset", to_vip(dport=8023, flags=0x04, payload=b""), N3),
        as_it_is("tcp v6, browsers, route 16", to_vip6(dport=8015), N2_6),
        as_it_is("udp v4, quic, route 1", to_vip(UDP), N1),
        as_it_is("udp v6, quic, route 24", to_vip6(UDP, 8023), N3_6),
        as_it_is("tcp v4, options stay", to_vip(options=b"\x01\x01\x01\x00"), N1),
        as_it_is("tcp v6, behind options", to_vip6(extensions=[extension(60)]), N1_6),
        as_it_is("udp v4, checksum 0 stays", to_vip(UDP, l4_checksum=0), N1),
        as_it_is("tcp v4, DSCP and ECN stay", to_vip(tos=0xBB), N1),
        as_it_is("tcp v4, one port, by source", Packet(known, VIP, dport=443), N2),
        forward("tcp v4, apps of the same VIP, rewritten", to_vip(dport=9008), out={"dst": N2}),
        forward("tcp v4, no node", to_vip(dport=8022), "drop_no_node"),
        forward("tcp v4, the node has no such address", to_vip(dport=8021), "drop_no_address"),
        forward("tcp v6, the node has no such address", to_vip6(dport=8020), "drop_no_address"),
        forward("tcp v4, port next to the range", to_vip(dport=8024), "pass"),
        reverse("tcp v4, a node's own, from a port of the listener", from_node(1), "pass"),
        reverse("tcp v4, apps, answered by way of HaloD", from_node(2, sport=9008), out={"src": VIP}),
        as_it_is("v4, a router says: too big, to the VIP",
                 Error("203.0.113.254", VIP, sent, 3, 4, 1280), N2, "icmp_to_node"),
        as_it_is("v6, the client says: nobody there", Error(CLIENT6, VIP6, sent6, 1, 4), N1_6, "icmp_to_node"),
        forward("v4, the same about a route without node", Error(CLIENT, VIP, sent.but(sport=8022), 3, 3), "drop_no_node"),
        as_it_is("this machine asks, tcp v4", Packet(OWN, VIP, dport=8008), N2, "local_out", hook="local_out"),
        as_it_is("this machine asks, udp v6", Packet(OWN6, VIP6, UDP), N1_6, "local_out", hook="local_out"),
        vector("this machine asks from the VIP itself, v4", "local_out", Packet(VIP, VIP, dport=8008), "drop_own_vip"),
        vector("this machine asks from the VIP itself, v6", "local_out", Packet(VIP6, VIP6, dport=8008), "drop_own_vip"),
    ]


LONG = 600_000  # ms, more than anything here takes


def drain_table():
    """Twelve routes that drain, each in its way, and what was in force before, twice.

    Browsers and quic are rewritten, apps go as they are, inner ones inside others; and one port by flow.
    """
    table = push_table()
    for listener in table["listeners"]:
        if listener["name"] == "apps":
            listener["deliver"] = "dsr"
    for address in (VIP, VIP6):
        table["listeners"].append({"name": "inner", "address": address, "protocol": "tcp", "port": 10000,
                                   "node_port": 10000, "deliver": "ipip"})
    table["listeners"].append({"name": "mqtt", "address": VIP, "protocol": "tcp", "port": 8883, "node_port": 8883,
                               "select": "flow"})
    table["select_key"] = bytes(range(16)).hex()
    # n4 has IPv4 only.
    table["nodes"] = [node(1), node(2), node(3, targets=[{"listener": 0, "port": 18000}]), node(4, v6=False)]
    table["routes"] = 12

    def state(holders, *drains):
        rows = []
        for route, formers, udp in drains:
            row = {"route": route, "nodes": [{"node": number, "left": left} for number, left in formers]}
            rows.append(row | ({"udp_left": udp} if udp else {}))
        return {"route_nodes": holders, "drains": rows}

    one, two, three = (1, LONG), (2, LONG), (3, LONG)
    # Route 1 has moved once, 2 twice, 3 three times; 4's time is over, of 5's two nodes the second one's;
    # 6 keeps UDP, 7 is back where it was, 8 has no node any more, 9 was at n4; 10 moved from n2 to n1,
    # 11 is yet to move, 12 never does.
    table["earlier"] = [
        state([2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1],
              *((route, [one], 0) for route in (1, 2, 3, 4, 5, 6, 7, 8)), (9, [(4, LONG)], 0), (10, [two], 0)),
        state([2, 2, 3, 2, 2, 2, 2, 0, 2, 1, 1, 1],
              (1, [one], 0), (2, [one], 0), (3, [one, two], 0), (4, [one], 0), (5, [one], 0), (6, [one], LONG),
              (7, [one], 0), (8, [one, two], 0), (9, [(4, LONG)], 0), (10, [two], 0)),
    ]
    return table | state(
        [2, 3, 4, 2, 3, 2, 1, 0, 2, 1, 2, 1],
        (1, [one], 0), (2, [one, two], 0), (3, [one, two, three], 0), (4, [(1, 0)], 0), (5, [one, (2, 0)], 0),
        (6, [one], LONG), (7, [one, two], 0), (8, [one, two], 0), (9, [(4, LONG)], 0), (10, [two], 0), (11, [one], 0))


def drain_topic():
    table = drain_table()
    key = bytes.fromhex(table["select_key"])
    syn = {"flags": 0x02, "payload": b""}

    def to(route, v6=False, base=8000, **kwargs):
        return (to_vip6 if v6 else to_vip)(dport=base + route - 1, **kwargs)

    def opened(packet):
        """The SYN of a packet's flow."""
        return packet.but(**syn)

    def goes(name, packet, number, exit="forward", port=None, **kwargs):
        """On to a node, rewritten."""
        address = f"2001:db8:2::{10 + number}" if ":" in packet.src else f"192.0.2.{10 + number}"
        hook = "local_out" if packet.src in (OWN, OWN6) else FORWARD
        return vector(name, hook, packet, exit, out={"dst": address, "dport": port or packet.dport}, **kwargs)

    def stays(name, packet, number, **kwargs):
        return goes(name, packet, number, "forward_former", **kwargs)

    def from_(number, route, v6=False, **kwargs):
        return (from_node6 if v6 else from_node)(number, sport=8000 + route - 1, **kwargs)

    rows = []
    for v6 in (False, True):
        version, vip = ("v6", VIP6) if v6 else ("v4", VIP)
        ack, moved = to(1, v6), to(2, v6)
        own = Packet(OWN6 if v6 else OWN, vip, TCP)
        refused = {"flags": 0x14, "payload": b""}
        third = None if v6 else 18001
        rows += [
            # Moved once, from n1 to n2.
            goes(f"{version}: a SYN: to the new node", opened(ack), 2),
            goes(f"{version}: its SYN again", opened(ack), 2, before=[[opened(ack)]]),
            goes(f"{version}: its next packet", ack, 2, before=[[opened(ack)]]),
            goes(f"{version}: its next packet, another table since its SYN", ack, 2, before=[[opened(ack)], []]),
            goes(f"{version}: its end", ack.but(flags=0x11), 2, before=[[opened(ack)]]),
            goes(f"{version}: its reset", ack.but(flags=0x04), 2, before=[[opened(ack)]]),
            goes(f"{version}: what comes after its reset", ack, 2, before=[[opened(ack), ack.but(flags=0x04)]]),
            stays(f"{version}: a packet from before", ack, 1),
            stays(f"{version}: the end of one from before", ack.but(flags=0x11), 1),
            stays(f"{version}: a reset of one from before", ack.but(flags=0x04), 1),
            goes(f"{version}: one from before whose port is used again", ack, 2, before=[[ack, opened(ack)]]),
            stays(f"{version}: a SYN with ACK opens nothing", ack.but(flags=0x12), 1),
            stays(f"{version}: a SYN with RST opens nothing", ack.but(flags=0x06), 1),
            stays(f"{version}: a SYN with FIN opens nothing", ack.but(flags=0x03), 1),
            stays(f"{version}: no flag opens nothing", ack.but(flags=0), 1),
            stays(f"{version}: after a SYN with ACK", ack, 1, before=[[ack.but(flags=0x12)]]),
            goes(f"{version}: a SYN with ECN flags, data and options",
                 ack.but(flags=0xC2, tcp_options=bytes([34, 2, 1, 1])), 2),
            goes(f"{version}: after a SYN with ECN flags", ack, 2, before=[[ack.but(flags=0xC2)]]),
            goes(f"{version}: after a SYN behind headers of options", ack, 2, before=[
                [opened(ack).but(extensions=[extension(60)]) if v6 else opened(ack).but(options=b"\1" * 4)]]),
            stays(f"{version}: another port of the same client", ack.but(sport=40001), 1, before=[[opened(ack)]]),
            stays(f"{version}: the same client at another route", to(6, v6), 1, before=[[opened(ack)]]),
            # Moved twice, from n1 by n2 to n3, which has ports of its own for IPv4.
            goes(f"{version}: moved twice, a SYN", opened(moved), 3, port=third),
            goes(f"{version}: moved twice, its next packet", moved, 3, port=third, before=[[opened(moved)]]),
            stays(f"{version}: moved twice, opened on the way", moved, 2, before=[[opened(moved)], []]),
            stays(f"{version}: moved twice, opened on the way, two tables ago", moved, 2,
                  before=[[opened(moved)], [], []]),
            stays(f"{version}: moved twice, from before", moved, 1),
            goes(f"{version}: moved twice, the port of one opened on the way used again", moved, 3,
                 port=third, before=[[opened(moved)], [opened(moved)]]),
            # Is back at n1.
            stays(f"{version}: back again, opened elsewhere meanwhile", to(7, v6), 2, before=[[opened(to(7, v6))], []]),
            goes(f"{version}: back again, from before", to(7, v6), 1),
            # After the deadline.
            goes(f"{version}: time is over, from before", to(4, v6), 2),
            goes(f"{version}: time is over, opened since", to(4, v6), 2, before=[[opened(to(4, v6))], []]),
            goes(f"{version}: the second one's time is over", to(5, v6), 3, port=None if v6 else 18004,
                 before=[[opened(to(5, v6))], []]),
            stays(f"{version}: the second one's time is over, not the first one's", to(5, v6), 1),
            # No node any more.
            forward(f"{version}: no node any more, a SYN", opened(to(8, v6)), "drop_no_node"),
            stays(f"{version}: no node any more, opened before", to(8, v6), 2, before=[[opened(to(8, v6))], [], []]),
            stays(f"{version}: no node any more, from before", to(8, v6), 1),
            # UDP.
            goes(f"{version}: udp: moves at once", to(1, v6, protocol=UDP), 2),
            goes(f"{version}: udp: moved twice", to(2, v6, protocol=UDP), 3),
            stays(f"{version}: udp: stays for a while", to(6, v6, protocol=UDP), 1),
            goes(f"{version}: tcp where udp stays for a while, a SYN", opened(to(6, v6)), 2),
            # Routes that do not drain, beside those that do.
            goes(f"{version}: a route that does not drain", to(12, v6), 1),
            stays(f"{version}: a route that did not drain when it was opened", to(11, v6), 1,
                  before=[[opened(to(11, v6))], []]),
            # Back from the nodes.
            reverse(f"{version}: back from the former node", from_(1, 1, v6), out={"src": vip}),
            reverse(f"{version}: back from the new node", from_(2, 1, v6), out={"src": vip}, before=[[opened(ack)]]),
            reverse(f"{version}: back from the former node, of one that the new one has", from_(1, 1, v6, flags=0x12),
                    "drop_stale", before=[[opened(ack)]]),
            reverse(f"{version}: back from the node on the way, of its own", from_(2, 2, v6), out={"src": vip},
                    before=[[opened(moved)], []]),
            reverse(f"{version}: back from the first node, of the same", from_(1, 2, v6), "drop_stale",
                    before=[[opened(moved)], []]),
            reverse(f"{version}: back from the one whose time is over", from_(2, 5, v6), out={"src": vip},
                    before=[[opened(to(5, v6))], []]),
            reverse(f"{version}: back from the first, of the same", from_(1, 5, v6), "drop_stale",
                    before=[[opened(to(5, v6))], []]),
            reverse(f"{version}: back, udp", from_(1, 1, v6, protocol=UDP), out={"src": vip}, before=[[opened(ack)]]),
            # This machine's own.
            goes(f"{version}: this machine asks, a SYN", opened(own), 2, "local_out"),
            goes(f"{version}: this machine asks, its next packet", own, 2, "local_out", before=[[opened(own)]]),
            goes(f"{version}: this machine asks, from before", own, 1, "local_out"),
            vector(f"{version}: the answer to this machine, from before", "local_in",
                   from_(1, 1, v6, **refused).but(dst=own.src), "local_in", out={"src": vip}),
            vector(f"{version}: the answer to this machine, of one that the new node has", "local_in",
                   from_(1, 1, v6, **refused).but(dst=own.src), "drop_stale", before=[[opened(own)]]),
        ]
        # ICMP errors go where the flow's packets go.
        said, quoted = (sent6, asked6) if v6 else (sent, asked)
        kind = (TOO_BIG6, 0, 1280) if v6 else (UNREACHABLE, 4, 1280)
        router, inner, client = (ROUTER6, INNER6, CLIENT6) if v6 else (ROUTER, INNER, CLIENT)
        big, big_way = Error(router, vip, said(), *kind), Error(router, vip, said(sport=8001), *kind)
        about = Error(inner, client, quoted(), *kind)
        unreachable = Error(N1_6 if v6 else N1, client, quoted(), *((UNREACHABLE6, 4) if v6 else (UNREACHABLE, 3)))
        rows += [
            to_node(f"{version}: an error to the former node", big),
            to_node(f"{version}: an error to the new node", big, 2, before=[[opened(ack)]]),
            to_node(f"{version}: an error about a SYN-ACK is no SYN", big.about({"flags": 0x12})),
            to_node(f"{version}: an error about what looks like a SYN is none", big.about({"flags": 0x02})),
            to_node(f"{version}: an error to the node on the way", big_way, 2, before=[[opened(moved)], []]),
            to_node(f"{version}: an error about udp, which has moved", Error(router, vip, said(UDP), *kind), 2),
            to_node(f"{version}: an error about udp, which stays", Error(router, vip, said(UDP, 8005), *kind)),
            to_node(f"{version}: an error about a route whose time is over",
                    Error(router, vip, said(sport=8003), *kind), 2),
            to_client(f"{version}: an error about a packet to the former node", about),
            to_client(f"{version}: an error about a packet to the new node",
                      Error(inner, client, quoted(number=2), *kind), before=[[opened(ack)]]),
            reverse(f"{version}: an error about a packet to the former node, of one that the new one has", about,
                    "drop_stale", before=[[opened(ack)]]),
            to_client(f"{version}: an error of the former node", unreachable, "node"),
            reverse(f"{version}: an error of the former node, of one that the new one has", unreachable, "drop_stale",
                    before=[[opened(ack)]]),
        ]
        # Nodes that have the VIP.
        first, second = (N1_6, N2_6) if v6 else (N1, N2)
        for how, send, base in (("as it is", as_it_is, 9000), ("inside", inside, 10000)):
            direct, way, error = to(1, v6, base), to(2, v6, base), big.about({"sport": base})
            rows += [
                send(f"{version}: {how}: the flow of another listener", direct, first, "forward_former",
                     before=[[opened(ack)]]),
                send(f"{version}: {how}: a SYN", opened(direct), second),
                send(f"{version}: {how}: its next packet", direct, second, before=[[opened(direct)]]),
                send(f"{version}: {how}: from before", direct, first, "forward_former"),
                send(f"{version}: {how}: opened on the way", way, second, "forward_former", before=[[opened(way)], []]),
                forward(f"{version}: {how}: no node any more", opened(to(8, v6, base)), "drop_no_node"),
                send(f"{version}: {how}: an error to the former node", error, first, "icmp_to_node"),
                send(f"{version}: {how}: an error to the new node", error, second, "icmp_to_node",
                     before=[[opened(direct)]]),
            ]
    three, nine = to(3), to(9, True)
    port = next(port for port in range(40000, 50000) if route_of(key, "flow", CLIENT, port, table["routes"]) == 1)
    flow = Packet(CLIENT, VIP, TCP, port, 8883)
    return table, rows + [
        stays("v4: moved three times, from before", three, 1),
        stays("v4: moved three times, opened on the first node on the way", three, 2, before=[[opened(three)], [], []]),
        stays("v4: moved three times, opened on the second", three, 3, port=18002, before=[[opened(three)], []]),
        goes("v4: moved three times, opened on the last", three, 4, before=[[opened(three)]]),
        stays("v4: at a former node with IPv4 only, from before", to(9), 4),
        forward("v6: at a former node with IPv4 only, from before", nine, "drop_no_address"),
        goes("v6: at a former node with IPv4 only, a SYN", opened(nine), 2),
        forward("v6: on to a node with IPv4 only, a SYN", opened(to(3, True)), "drop_no_address"),
        stays("v4: one port, by flow, from before", flow, 1),
        goes("v4: one port, by flow, opened since", flow, 2, before=[[opened(flow)]]),
        forward("v6: no SYN at no node: not remembered", to(8, True), "forward_former", out={"dst": N1_6},
                before=[[opened(to(8, True))]]),
        forward("v4: a port beside", to_vip(dport=8012), "pass"),
    ]


TOPICS = {
    "forward": forward_topic,
    "reverse": reverse_topic,
    "routes": routes_topic,
    "ports": ports_topic,
    "shared": shared_topic,
    "far": far_topic,
    "one_port": one_port_topic,
    "checksums": checksums_topic,
    "headers": headers_topic,
    "broken": broken_topic,
    "icmp_to_node": icmp_to_node_topic,
    "icmp_to_client": icmp_to_client_topic,
    "foreign": foreign_topic,
    "local": local_topic,
    "dsr": dsr_topic,
    "ipip": ipip_topic,
    "drain": drain_topic,
}


def runs(values):
    """Equal neighbours as {node, count}, so that long tables stay readable."""
    out = []
    for value in values:
        if out and out[-1]["node"] == value:
            out[-1]["count"] += 1
        else:
            out.append({"node": value, "count": 1})
    return out


def text(topic, table, vectors):
    """The file of a topic."""
    names = [row["name"] for row in vectors]
    assert len(set(names)) == len(names), f"{topic}: names are not unique"
    table = dict(table)
    for state in (table, *table.get("earlier", [])):
        state["route_nodes"] = runs(state["route_nodes"])
    whole = {
        "topic": topic,
        "note": "Made by make.py. out is the packet as it leaves the hook: TTL or hop limit "
                "not yet lowered.",
        "table": table,
        "vectors": vectors,
    }
    return json.dumps(whole, indent=1) + "\n"


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit("make.py: the only option is --check")
    stale = []
    for topic, make in TOPICS.items():
        path = HERE / f"{topic}.json"
        new = text(topic, *make())
        if not check:
            path.write_text(new)
        elif not path.exists() or path.read_text() != new:
            stale.append(path.name)
    extra = {path.stem for path in HERE.glob("*.json")} - set(TOPICS)
    if extra:
        sys.exit(f"make.py: no topic for {', '.join(sorted(extra))}")
    if stale:
        sys.exit(f"make.py: {', '.join(stale)} would be written differently; run make.py")


if __name__ == "__main__":
    main()
