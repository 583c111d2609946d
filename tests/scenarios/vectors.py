"""Every live packet vector goes through the module: what comes out, byte for byte, its exit, and whether
connection tracking was kept off it.

The VIPs are not this machine's own here, but routed on to hd-app: so what passes can be seen too.
"""

import ipaddress
import json
import struct
from collections import Counter
from typing import Any

from lab import addresses, vector_files
from lab.checks import check, equal
from lab.kernel import Kernel
from lab.lab import Lab
from lab.wait import until
from lab.wire import Wire, arrived, checksum, routed

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
    }
}
"""
NODES = [ipaddress.ip_network(network) for network in ("192.0.2.0/24", "2001:db8:2::/64")]
CLIENTS = [ipaddress.ip_network(network) for network in ("203.0.113.0/24", "2001:db8:3::/64")]
TRANSPORT_CHECKSUM = {6: 16, 17: 6}  # where it is in the header


def source_of(packet: bytes) -> Any:
    """Its source address."""
    return ipaddress.ip_address(packet[12:16] if packet[0] >> 4 == 4 else packet[8:24])


def destination_of(packet: bytes) -> Any:
    """Its destination address."""
    return ipaddress.ip_address(packet[16:20] if packet[0] >> 4 == 4 else packet[24:40])


def as_from_vip(packet: bytes, table: dict[str, Any]) -> bytes:
    """A node's packet without options, on ports that are the listener's own, as HaloD sends it on."""
    version, protocol = packet[0] >> 4, packet[9] if packet[0] >> 4 == 4 else packet[6]
    size, at = (20, 12) if version == 4 else (40, 8)
    port = struct.unpack_from("!H", packet, size)[0]
    vip = next(
        ipaddress.ip_address(listener["address"])
        for listener in table["listeners"]
        if ipaddress.ip_address(listener["address"]).version == version
        and {"tcp": 6, "udp": 17}[listener["protocol"]] == protocol
        and 0 <= port - listener["port"] < (1 if "select" in listener else table["routes"])
    )
    head = packet[:at] + vip.packed + packet[at + len(vip.packed) : size]
    if version == 4:
        head = head[:10] + struct.pack("!H", checksum(head[:10] + bytes(2) + head[12:])) + head[12:]
    body, field = packet[size:], TRANSPORT_CHECKSUM[protocol]
    body = body[:field] + bytes(2) + body[field + 2 :]
    pseudo = vip.packed + destination_of(packet).packed + struct.pack("!II", len(body), protocol)
    return head + body[:field] + struct.pack("!H", checksum(pseudo + body)) + body[field + 2 :]


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
        self.clients, self.nodes, self.beyond = Wire(lab.net.clients), Wire(lab.net.node(1)), Wire(lab.net.app)
        self.wires = (self.clients, self.nodes, self.beyond)
        lines = [
            f"address del {addresses.VIP4}/32 dev lo",
            f"address del {addresses.VIP6}/128 dev lo",
            f"route add {addresses.VIP4} dev {addresses.APP.port}",
            f"route add {addresses.VIP6} dev {addresses.APP.port}",
        ]
        neighbours = {destination_of(packet) for packet in packets} | set(map(ipaddress.ip_address, nodes))
        for address in sorted(neighbours, key=str):
            wire, device = self.side(address)
            lines.append(f"neighbour replace {address} dev {device} lladdr {wire.mac.hex(':')} nud permanent")
        self.halod.run("ip", "-batch", "-", input="\n".join(lines) + "\n")
        links = json.loads(self.halod.run("ip", "-json", "link").stdout)
        self.counters = self.kernel.counters()
        self.macs = {link["ifname"]: bytes.fromhex(link["address"].replace(":", "")) for link in links if link["link_type"] == "ether"}

    def side(self, address: Any) -> tuple[Wire, str]:
        """Where an address is: the far end, and HaloD's device to it."""
        if any(address in network for network in NODES if network.version == address.version):
            return self.nodes, addresses.BRIDGE
        if any(address in network for network in CLIENTS if network.version == address.version):
            return self.clients, addresses.CLIENTS.port
        return self.beyond, addresses.APP.port

    def commit(self, table: dict[str, Any], fast_path: str) -> None:
        """Puts a vectors file's table in force."""
        self.kernel.commit(vector_files.table_of(table, fast_path))

    def exits(self, passed: bool = False) -> dict[str, int]:
        """How often each exit but `pass` was taken since the last call.

        What kernels say of their own links passes at any time, so of `pass` it is only checked
        that it has grown, where the caller says that something has `passed`.
        """
        before, self.counters = self.counters, self.kernel.counters()
        taken = {name: count - before[name] for name, count in self.counters.items() if count != before[name]}
        check(taken.pop("pass", 0) > 0 or not passed, "the counter pass has grown")
        return taken

    def put_through(self, what: str, table: dict[str, Any], vector: dict[str, Any]) -> None:
        """Sends the packet and compares what becomes of it."""
        packet = bytes.fromhex(vector["packet"])
        wire, device = self.side(source_of(packet))
        # A node's packet that pre_routing leaves alone is the next hook's.
        exit = vector["exit"] or "reverse"
        wire.send(packet, self.macs[device])
        if vector["out"] is None:
            counter = self.counters[exit]
            until(f"{what}: {exit} to grow", lambda: self.kernel.counters()[exit] > counter, 10)
            equal(arrived(self.wires, 0), [], f"{what}: what came out")
            equal(self.exits(), {exit: 1}, f"{what}: exits")
            return
        out = bytes.fromhex(vector["out"]) if vector["exit"] else as_from_vip(packet, table)
        to = ipaddress.ip_address(vector["to"]) if "to" in vector else destination_of(out)
        expected = (self.side(to)[0].name, vector.get("outer", "") + routed(out).hex())
        found = [(name, (unnumbered(seen) if "outer" in vector else seen).hex()) for name, seen in arrived(self.wires, 10)]
        equal(found, [expected], f"{what}: what came out")
        equal(self.exits(passed=exit == "pass"), {} if exit == "pass" else {exit: 1}, f"{what}: exits")

    def untracked(self) -> int:
        """How many packets were sent on untracked."""
        return int(self.halod.run("nft", "list", "counters").stdout.split("packets ")[1].split()[0])


def run(lab: Lab) -> None:
    files = vector_files.files()
    every = [vector for file in files for vector in file["vectors"]]
    live = [vector for vector in every if vector["live"]]
    for vector in every:
        check(vector["live"] or vector["not_live_because"], f"{vector['name']}: says why it is not live")
    for vector in live:
        check(vector["hook"] in ("pre_routing", "post_routing"), f"{vector['name']}: can be sent from outside at {vector['hook']}")
        equal(vector["csum"], "full", f"{vector['name']}: checksum of a packet from outside")
    rig = Rig(lab, [bytes.fromhex(vector["out"]) for vector in live if vector["out"]], {vector["to"] for vector in live if "to" in vector})
    for fast_path in ("off", "auto"):
        put_all_through(rig, files, fast_path)


def put_all_through(rig: Rig, files: list[dict[str, Any]], fast_path: str) -> None:
    """All that are live, without the fast path or with it; then once more with connection tracking on, which it gives way to."""
    sent: Counter[str] = Counter()
    before = rig.kernel.fast_path()
    for file in files:
        if not any(vector["live"] for vector in file["vectors"]):
            continue
        rig.commit(file["table"], fast_path)
        for vector in file["vectors"]:
            if vector["live"]:
                rig.put_through(f"{file['topic']}, fast path {fast_path}: {vector['name']}", file["table"], vector)
                sent[file["topic"]] += 1
    taken = {name: count - before[name] for name, count in rig.kernel.fast_path().items() if count != before[name]}
    equal(taken.get("fast", 0) > 0, fast_path == "auto", f"vectors take the fast path, {fast_path}: {taken}")

    rig.halod.run("nft", "-f", "-", input=RULES)
    watched, fast = 0, rig.kernel.fast_path()["fast"]
    for file in files:
        again = [vector for vector in file["vectors"] if vector["live"] and vector["out"]]
        if again:
            rig.commit(file["table"], fast_path)
        for kept_off in (False, True):
            group = [vector for vector in again if vector["untracked"] is kept_off]
            before_group = rig.untracked()
            for vector in group:
                rig.put_through(f"{file['topic']}, tracking on: {vector['name']}", file["table"], vector)
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
