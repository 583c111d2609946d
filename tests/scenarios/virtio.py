"""Clients come by network cards of virtio, whose packets lie in pages and come by its own interrupts: files, datagrams in
pieces and every route, on either path; and the fast path is taken.
"""

import json
import subprocess

from lab.addresses import BROWSERS_PORT, CLIENTS, ROUTES, VIP4, VIP6
from lab.checks import check, equal
from lab.lab import Lab
from lab.received import Received
from lab.topology import ip_batch
from lab.traffic import ask
from lab.transfer import datagram, transfer
from lab.wait import until

BOTH_PATHS = True
SIZE = 2_000_003
CARDS = ("52:54:00:ca:4d:01", "52:54:00:ca:4d:02")  # tests/vm/start


def run(lab: Lab) -> None:
    net = lab.net
    subprocess.run(["modprobe", "virtio_net"], check=True)
    ip_batch([f"link delete {CLIENTS.port}"], net.halod)
    theirs, ours = cards()
    ip_batch([f"link set {theirs} netns {net.clients.name} name eth0", f"link set {ours} netns {net.halod.name} name {CLIENTS.port}"])
    net.plugged(CLIENTS)
    own = [f"address add {CLIENTS.gateway4}/{CLIENTS.prefix4} dev {CLIENTS.port}", f"address add {CLIENTS.gateway6}/64 dev {CLIENTS.port} nodad"]
    ip_batch([*own, f"link set {CLIENTS.port} up"], net.halod)
    lab.echoes(2, bases=(BROWSERS_PORT,))
    kernel = lab.kernel()
    kernel.commit(lab.table([1, 2] * (ROUTES // 2)))
    for vip in (VIP4, VIP6):
        for protocol in ("tcp", "udp"):
            for index in range(ROUTES):
                answer = ask(net.clients, vip, BROWSERS_PORT + index, protocol)
                equal(answer, f"n{index % 2 + 1} {BROWSERS_PORT + index}", f"who answers {protocol} {vip} route {index + 1}")
        with Received(CLIENTS.port) as received:
            transfer(net.clients, vip, SIZE, vip)
            datagram(net.clients, vip, vip)
        large = received.large()
        in_pages = [packet for packet in large if packet["data_len"]]
        print(f"# {len(large)} large packets, {len(in_pages)} of them in pages: {vip}")
        # The driver makes one piece of those that have room behind them.
        check(len(in_pages) > len(large) / 4, f"many packets lie in pages, {vip}")
    equal(kernel.fast_path()["fast"] > 0, lab.fast_path == "auto", "whether packets took the fast path")


def cards() -> list[str]:
    """The names of both; what a namespace had that is no more comes back after it."""

    def found() -> list[str]:
        links = json.loads(subprocess.run(["ip", "-json", "link"], capture_output=True, check=True).stdout)
        names = {link["address"]: link["ifname"] for link in links}
        return [names[address] for address in CARDS if address in names]

    until("both cards of virtio", lambda: len(found()) == len(CARDS), 10)
    return found()
