"""Every live packet vector goes through the module: what comes out, byte for byte, and where, its exit, and
whether connection tracking was kept off it.

The VIPs are not this machine's own here, but routed on to hd-app: so what passes can be seen too. HaloD's own
packets are those of raw sockets.
"""

import ipaddress
import json
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any

from lab import addresses, vector_files
from lab.checks import check, equal
from lab.kernel import Kernel
from lab.lab import Lab
from lab.wait import until
from lab.wire import Own, Tap, Wire, arrived, routed

RULES = """
table inet watch {
    counter untracked { }
    chain forward {
        type filter hook forward priority filter; policy accept;
        ct state untracked counter name untracked
    }
    chain output {
        type filter hook output priority filter; policy accept;
        meta l4proto { 4, 41 } ct state untracked counter name untracked
        jump own
    }
    chain input {
        type filter hook input priority filter; policy accept;
        jump own
    }
    # What ICMPv6 has that is no error the kernel does not track itself.
    chain own {
        meta l4proto { tcp, udp, icmp } ct state untracked counter name untracked
        icmpv6 type < 128 ct state untracked counter name untracked
    }
}
"""
# As a firewall does that wants fragments to pass one by one: the kernel puts none together that it is not to track.
APART = """
table inet apart {
    chain arrived { type filter hook prerouting priority -450; policy accept; notrack; }
}
"""
NODES = [ipaddress.ip_network(network) for network in ("192.0.2.0/24", "2001:db8:2::/64")]
CLIENTS = [ipaddress.ip_network(network) for network in ("203.0.113.0/24", "2001:db8:3::/64")]
DEADLINE = 420
OWN = [ipaddress.ip_address(address) for address in (addresses.NODES_GATEWAY4, addresses.NODES_GATEWAY6)]
MACHINES = 4  # of nodes
CHECKSUM_FIELD = {6: 16, 17: 6, 58: 2}  # where it is in a transport header


def source_of(packet: bytes) -> Any:
    """Its source address."""
    return ipaddress.ip_address(packet[12:16] if packet[0] >> 4 == 4 else packet[8:24])


def destination_of(packet: bytes) -> Any:
    """Its destination address."""
    return ipaddress.ip_address(packet[16:20] if packet[0] >> 4 == 4 else packet[24:40])


def is_fragment(vector: dict[str, Any]) -> bool:
    """Whether the kernel would keep it until the others come, or take its fragment header off."""
    packet = bytes.fromhex(vector["packet"])
    return packet[6] == 44 if packet[0] >> 4 == 6 else struct.unpack_from("!H", packet, 6)[0] & 0x3FFF != 0


def unnumbered(packet: bytes) -> bytes:
    """A packet without what no vector can know of an IPv4 header: its id, and so its checksum."""
    if packet[0] >> 4 == 6:
        return packet
    return packet[:4] + bytes(2) + packet[6:10] + bytes(2) + packet[12:]


class Rig:
    """Clients on one side, nodes on the other, and a place where all goes that passes to a VIP."""

    def __init__(self, lab: Lab, packets: list[bytes], nodes: set[str]):
        self.halod = lab.net.halod
        self.kernel = Kernel(self.halod)
        self.tap: Tap | None = None
        self.own, self.clients, self.beyond = Own(lab.net.halod), Wire(lab.net.clients), Wire(lab.net.app)
        machines = {number: Wire(lab.net.node(number)) for number in range(1, MACHINES + 1)}
        self.ends = (self.own, self.clients, *machines.values(), self.beyond)
        self.other_node = machines[1]
        self.nodes = {
            ipaddress.ip_address(addresses.node(number).address(family)): wire
            for number, wire in machines.items()
            for family in (4, 6)
        }
        lines = [
            f"address del {addresses.VIP4}/32 dev lo",
            f"address del {addresses.VIP6}/128 dev lo",
            f"route add {addresses.VIP4} dev {addresses.APP.port}",
            f"route add {addresses.VIP6} dev {addresses.APP.port}",
        ]
        neighbours = {destination_of(packet) for packet in packets} | set(map(ipaddress.ip_address, nodes))
        for address in sorted(neighbours - set(OWN), key=str):
            wire, device = self.side(address)
            lines.append(f"neighbour replace {address} dev {device} lladdr {wire.mac.hex(':')} nud permanent")
        self.halod.run("ip", "-batch", "-", input="\n".join(lines) + "\n")
        links = json.loads(self.halod.run("ip", "-json", "link").stdout)
        self.counters = self.kernel.counters()
        self.macs = {link["ifname"]: bytes.fromhex(link["address"].replace(":", "")) for link in links if link["link_type"] == "ether"}

    def side(self, address: Any) -> tuple[Wire, str]:
        """Where an address is: the far end, and HaloD's device to it."""
        if any(address in network for network in NODES if network.version == address.version):
            return self.nodes.get(address, self.other_node), addresses.BRIDGE
        if any(address in network for network in CLIENTS if network.version == address.version):
            return self.clients, addresses.CLIENTS.port
        return self.beyond, addresses.APP.port

    def commit(self, table: dict[str, Any], fast_path: str, before: list[list[str]] | None = None) -> None:
        """Puts a file's table in force, or its last ones one by one, and sends what comes before in each."""
        tables = vector_files.tables_of(table, fast_path)
        if tables[-1].drains:
            # Nothing is remembered where no route drains.
            self.kernel.commit(replace(tables[-1], drains={}))
        for state, packets in zip(tables[-len(before or [[]]) :], before or [[]], strict=True):
            self.kernel.commit(state)
            for packet in packets:
                self.come_before(bytes.fromhex(packet))

    def come_before(self, packet: bytes) -> None:
        """Sends a packet and waits until it is through."""
        self.send(packet)
        (exit,) = until("a packet that comes before to be counted", lambda: self.kernel.grown(self.counters), 10)
        if not exit.startswith("drop_"):
            equal(len(arrived(self.ends, 10)), 1, f"packets that came out of one that comes before: {exit}")
        self.exits()

    def send(self, packet: bytes, own: bool = False, partial: bool = False) -> None:
        """Sends a packet from where its source is, or as this machine's own."""
        if own or source_of(packet) in OWN:
            # Where it is dropped, its sender is told.
            with suppress(PermissionError):
                self.own.send(packet)
            return
        wire, device = self.side(source_of(packet))
        if partial:
            version, protocol = packet[0] >> 4, packet[9] if packet[0] >> 4 == 4 else packet[6]
            wire.send_partial(packet, self.macs[device], {4: 20, 6: 40}[version], CHECKSUM_FIELD[protocol])
        else:
            wire.send(packet, self.macs[device])

    def exits(self, passed: bool = False) -> dict[str, int]:
        """How often each exit but `pass` was taken since the last call.

        What kernels say of their own links passes at any time, so of `pass` it is only checked
        that it has grown, where the caller says that something has `passed`.
        """
        before, self.counters = self.counters, self.kernel.counters()
        taken = {name: count - before[name] for name, count in self.counters.items() if count != before[name]}
        check(taken.pop("pass", 0) > 0 or not passed, "the counter pass has grown")
        return taken

    def put_through(self, what: str, vector: dict[str, Any]) -> None:
        """Sends the packet and compares what becomes of it."""
        packet = bytes.fromhex(vector["packet"])
        last = vector.get("then", vector)
        exit, made_here = last["exit"], vector["hook"] == "local_out"
        self.send(packet, made_here, vector["csum"] == "partial")
        if (tap := self.tap) and not made_here and source_of(packet) not in OWN:
            until(f"{what}: to be seen as it came", lambda: packet in tap.seen(), 10)
        if last["out"] is None:
            counter = self.counters[exit]
            until(f"{what}: {exit} to grow", lambda: self.kernel.counters()[exit] > counter, 10)
            equal(arrived(self.ends, 0), [], f"{what}: what came out")
            equal(self.exits(), {exit: 1}, f"{what}: exits")
            return
        out = bytes.fromhex(last["out"])
        to = ipaddress.ip_address(vector["to"]) if "to" in vector else destination_of(out)
        end = self.own if to in OWN else self.side(to)[0]
        came_out = out if made_here or end is self.own else routed(out)
        known = unnumbered if "outer" in vector else bytes
        found = [(name, known(seen).hex()) for name, seen in arrived(self.ends, 10)]
        equal(found, [(end.name, vector.get("outer", "") + came_out.hex())], f"{what}: what came out")
        # What is this machine's own is not counted where it leaves.
        passed = exit == "pass" and not (made_here and "then" in vector)
        equal(self.exits(passed), {} if exit == "pass" else {exit: 1}, f"{what}: exits")
        if exit == "icmp_tunnel":
            # What the kernel has learnt by it is not to be known to those that follow.
            self.halod.run("ip", "route", "flush", "cache")
            self.halod.run("ip", "-6", "route", "flush", "cache")

    def untracked(self) -> int:
        """How many packets were sent on untracked."""
        return int(self.halod.run("nft", "list", "counters").stdout.split("packets ")[1].split()[0])


def run(lab: Lab) -> None:
    files = vector_files.files()
    every = [vector for file in files for vector in file["vectors"]]
    live = [vector for vector in every if vector["live"]]
    for vector in every:
        check(vector["live"] or vector["not_live_because"], f"{vector['name']}: says why it is not live")
    comes_out = [bytes.fromhex(vector.get("then", vector)["out"]) for vector in live if vector["out"]]
    rig = Rig(lab, comes_out, {vector["to"] for vector in live if "to" in vector})
    for fast_path in ("off", "auto"):
        put_all_through(rig, files, fast_path)
    watched_in_pages(rig, files)


def put_group_through(rig: Rig, file: dict[str, Any], vectors: list[dict[str, Any]], fast_path: str, what: str) -> None:
    """Puts a file's vectors through its table, each with what comes before it."""
    if vectors:
        rig.commit(file["table"], fast_path)
    for vector in vectors:
        if file["table"].get("drains"):
            rig.commit(file["table"], fast_path, vector.get("before"))
        rig.put_through(f"{file['topic']}, {what}: {vector['name']}", vector)


def watched_in_pages(rig: Rig, files: list[dict[str, Any]]) -> None:
    """Those that come in whole come in pages, and a program looks on, which sees them as they came."""
    rig.tap, rig.clients.paged = Tap(rig.halod), True
    for wire in rig.nodes.values():
        wire.paged = True
    count = 0
    for file in files:
        group = [each for each in file["vectors"] if each["live"] and comes_in_pages(each)]
        put_group_through(rig, file, group, "auto", "in pages and watched")
        count += len(group)
    rig.tap.close()
    print(f"   vectors, in pages and watched: {count}")


def comes_in_pages(vector: dict[str, Any]) -> bool:
    """Whether it can come so: whole, by a device, with its checksum done; and needs nothing before it."""
    return not is_fragment(vector) and vector["hook"] != "local_out" and vector["csum"] == "full" and "before" not in vector


def put_all_through(rig: Rig, files: list[dict[str, Any]], fast_path: str) -> None:
    """All that are live, without the fast path or with it; then once more with connection tracking on, which it gives way to."""
    sent: Counter[str] = Counter()
    before = rig.kernel.fast_path()
    live = {file["topic"]: [vector for vector in file["vectors"] if vector["live"]] for file in files}
    fragments = {topic: [vector for vector in vectors if is_fragment(vector)] for topic, vectors in live.items()}
    whole = {topic: [vector for vector in vectors if not is_fragment(vector)] for topic, vectors in live.items()}
    for file in files:
        put_group_through(rig, file, whole[file["topic"]], fast_path, f"fast path {fast_path}")
        sent[file["topic"]] += len(live[file["topic"]])
    taken = {name: count - before[name] for name, count in rig.kernel.fast_path().items() if count != before[name]}
    equal(taken.get("fast", 0) > 0, fast_path == "auto", f"vectors take the fast path, {fast_path}: {taken}")

    rig.halod.run("nft", "-f", "-", input=APART)
    for file in files:
        put_group_through(rig, file, fragments[file["topic"]], fast_path, f"fast path {fast_path}, apart")
    rig.halod.run("nft", "delete", "table", "inet", "apart")

    rig.halod.run("nft", "-f", "-", input=RULES)
    watched, fast = 0, rig.kernel.fast_path()["fast"]
    for file in files:
        again = [vector for vector in whole[file["topic"]] if vector["out"]]
        for kept_off in (False, True):
            group = [vector for vector in again if vector["untracked"] is kept_off and "before" not in vector]
            before_group = rig.untracked()
            put_group_through(rig, file, group, fast_path, "tracking on")
            equal(rig.untracked() - before_group, len(group) if kept_off else 0, f"{file['topic']}: packets sent on untracked")
            watched += len(group)
    equal(rig.kernel.fast_path()["fast"], fast, "packets past a firewall's rules")
    rig.halod.run("nft", "delete", "table", "inet", "watch")
    topics = ", ".join(f"{topic} {count}" for topic, count in sorted(sent.items()))
    total = sum(len(file["vectors"]) for file in files)
    print(
        f"   vectors, fast path {fast_path}: {sum(sent.values())} of {total} are live and were sent ({topics}); "
        f"{watched} again with tracking on; where they arrived: {taken}"
    )
