"""A flood of SYNs from addresses that nobody has, to N ports in turn, as fast as it can be sent.

    synflood.py VIP PORT ROUTES COUNT GATEWAY_MAC

They come from 203.0.113.128 to .227, and from COUNT / 100 ports of each. The device is eth0.
"""

import socket
import sys
from pathlib import Path
from struct import pack_into

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import addresses
from lab.process import Process
from lab.rawtcp import SYN, Segment, gateway_mac
from lab.topology import Topology
from lab.wire import ETHERTYPES

HOSTS = 100
FIRST_PORT = 1024
SPORT, CHECKSUM = 34, 50  # where they are in the frame
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20  # linux/socket.h, linux/if_packet.h


def start(net: Topology, port: int, routes: int, count: int, logs: Path) -> Process:
    """Starts the program below as one of the clients. What the nodes answer ends with them, unheard."""
    net.halod.run("ip", "route", "replace", "203.0.113.128/25", "via", addresses.CLIENTS.v4)
    argv = [sys.executable, __file__, addresses.VIP4, port, routes, count, gateway_mac(net).hex()]
    return Process(net.clients, "synflood", argv, logs)


def main(vip: str, port: int, routes: int, count: int, gateway: bytes) -> None:
    """Returns when all are sent."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind(("eth0", 0))
        sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        head = gateway + sock.getsockname()[4] + ETHERTYPES[4].to_bytes(2)
        for host in range(HOSTS):
            frame = bytearray(head + Segment(0, port + host % routes, host, 0, SYN).packet(f"203.0.113.{128 + host}", vip))
            rest = ~int.from_bytes(frame[CHECKSUM : CHECKSUM + 2]) & 0xFFFF
            for sport in range(FIRST_PORT, FIRST_PORT + count // HOSTS):
                total = rest + sport
                pack_into("!H", frame, SPORT, sport)
                pack_into("!H", frame, CHECKSUM, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
                sock.send(frame)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), bytes.fromhex(sys.argv[5]))
