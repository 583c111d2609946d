"""Bulk transfers, both ways at once, arrive byte for byte: with checksum offload and GSO, without either, and
with the two sorts on either side of HaloD."""

import socket
import threading
import time

from lab import addresses
from lab.addresses import ROUTES, VIP4, VIP6
from lab.checks import check
from lab.lab import Lab
from lab.netns import Namespace
from lab.transfer import transfer

BOTH_PATHS = True
SIZE = 8 << 20
SIZE_SLOW = 2 << 20
ETHERNET = 1514  # largest frame of MTU 1500
FEATURES = ("tso", "gso", "gro", "tx", "rx", "sg")


def run(lab: Lab) -> None:
    lab.echoes(1, protocols=("tcp",))
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
            largest = Largest(net.node(1))
            begin = time.monotonic()
            transfer(net.clients, vip, size, what)
            seconds = time.monotonic() - begin
            frame = largest.stop()
            print(f"# {size >> 20} MiB each way in {seconds:.1f} s, largest frame at the node {frame} bytes: {what}")
            if clients_on and nodes_on:
                check(frame > ETHERNET, f"with offload the node saw frames above {ETHERNET} bytes ({frame})")
            if not clients_on and not nodes_on:
                check(frame <= ETHERNET, f"without offload no frame at the node was above {ETHERNET} bytes ({frame})")


def offload(devices: list[tuple[Namespace, str]], on: bool) -> None:
    """Switches the offloads of devices."""
    for namespace, device in devices:
        for feature in FEATURES:  # one by one: a bridge lacks some, and says so
            namespace.run("ethtool", "-K", device, feature, "on" if on else "off", check=False)


class Largest:
    """The largest frame that comes in at a node meanwhile."""

    def __init__(self, namespace: Namespace):
        with namespace.entered():
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
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
