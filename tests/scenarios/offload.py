"""Bulk transfers, both ways at once, arrive byte for byte: with checksum offload and GSO, without either, with the two
sorts on either side of HaloD, and with BIG TCP, whose packets are longer than their headers can say. So do many
datagrams that are one packet for most of the way.
"""

import socket
import threading
import time

from lab import addresses
from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.lab import Lab
from lab.netns import Namespace
from lab.topology import Topology, ip_batch
from lab.traffic import FAMILIES
from lab.transfer import transfer
from lab.wire import ETH_P_ALL

BOTH_PATHS = True
SIZE = 8_000_009  # so that the last segments are odd ones
SIZE_SLOW = 2_000_003
SEGMENT, SEGMENTS, LAST = 1001, 40, 333  # bytes; how many of them; bytes of one more
SOL_UDP, UDP_SEGMENT = 17, 103  # linux/udp.h
ETHERNET = 1514  # largest frame of MTU 1500
LARGEST = 65535 + 14  # the largest whose IP header says how long it is
BIG = 180_000  # bytes that a packet may have inside the machine
# The last two leave datagrams together where they are sent on.
FEATURES = ("tso", "gso", "gro", "tx", "rx", "sg", "tx-udp-segmentation", "rx-udp-gro-forwarding")


def run(lab: Lab) -> None:
    lab.echoes(1)
    kernel = lab.kernel()
    kernel.commit(lab.table([1] * ROUTES))
    net = lab.net
    client_side = [(net.clients, "eth0"), (net.halod, "clients")]
    node_side = [(net.node(1), "eth0"), (net.halod, "n1"), (net.halod, addresses.BRIDGE)]
    for clients_on, nodes_on in ((True, True), (False, True), (True, False), (False, False)):
        offload(client_side, clients_on)
        offload(node_side, nodes_on)
        size = SIZE if clients_on and nodes_on else SIZE_SLOW
        for vip in (VIP4, VIP6):
            what = f"{vip}, offload {'on' if clients_on else 'off'} at the client, {'on' if nodes_on else 'off'} at the node"
            frame = bulk(net, vip, size, what)
            segments(net.clients, vip, what)
            if clients_on and nodes_on:
                check(frame > ETHERNET, f"with offload the node saw frames above {ETHERNET} bytes ({frame})")
            if not clients_on and not nodes_on:
                check(frame <= ETHERNET, f"without offload no frame at the node was above {ETHERNET} bytes ({frame})")
    for namespace, device in client_side + node_side:
        offload([(namespace, device)], on=True)
        limits = [f"{kind}_max_size {BIG}" for kind in ("gso", "gro", "gso_ipv4", "gro_ipv4")]
        ip_batch([f"link set {device} {' '.join(limits)}"], namespace)
    for namespace in (net.clients, net.node(1)):
        namespace.sysctl(ipv4__tcp_min_tso_segs=120)  # however slow the machine is
    for vip in (VIP4, VIP6):
        frame = bulk(net, vip, SIZE, f"{vip}, BIG TCP")
        check(frame > LARGEST, f"with BIG TCP the node saw frames above {LARGEST} bytes ({frame})")


def bulk(net: Topology, vip: str, size: int, what: str) -> int:
    """A transfer; returns the length of the largest frame that the node got meanwhile."""
    largest = Largest(net.node(1))
    begin = time.monotonic()
    transfer(net.clients, vip, size, what)
    seconds = time.monotonic() - begin
    frame = largest.stop()
    print(f"# {size} bytes each way in {seconds:.1f} s, largest frame at the node {frame} bytes: {what}")
    return frame


def segments(clients: Namespace, vip: str, what: str) -> None:
    """Datagrams that are sent as one, and come back one by one."""
    data = [bytes([number]) * SEGMENT for number in range(SEGMENTS)] + [bytes([SEGMENTS]) * LAST]
    with clients.entered():
        sock = socket.socket(FAMILIES[6 if ":" in vip else 4], socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(10)
        sock.setsockopt(SOL_UDP, UDP_SEGMENT, SEGMENT)
        sock.connect((vip, BROWSERS_PORT))
        sock.send(b"".join(data))
        expected = {f"n1 {BROWSERS_PORT} ".encode() + one for one in data}
        equal({sock.recv(2048) for _ in data} == expected, True, f"whether all datagrams come back whole, {what}")


def offload(devices: list[tuple[Namespace, str]], on: bool) -> None:
    """Switches the offloads of devices."""
    for namespace, device in devices:
        for feature in FEATURES:  # one by one: a bridge lacks some, and says so
            namespace.run("ethtool", "-K", device, feature, "on" if on else "off", check=False)


class Largest:
    """The largest frame that comes in at a node meanwhile."""

    def __init__(self, namespace: Namespace):
        with namespace.entered():
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._sock.settimeout(0.2)
        self._stop = False
        self._largest = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        buffer = bytearray(16)
        while not self._stop:
            try:
                # MSG_TRUNC: the whole length, of which only the beginning is copied.
                length, _, _, address = self._sock.recvmsg_into([buffer], 0, socket.MSG_TRUNC)
            except TimeoutError:
                continue
            if address[2] != socket.PACKET_OUTGOING:
                self._largest = max(self._largest, length)

    def stop(self) -> int:
        """Ends, and returns its length."""
        self._stop = True
        self._thread.join()
        self._sock.close()
        return self._largest
