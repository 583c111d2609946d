"""Clients come through tunnels in UDP (FOU), whose checksum the kernel has added up over all that is inside
(CHECKSUM_COMPLETE): files and datagrams arrive at a node, and at one on HaloD's own machine, where the sum must still
hold for the packet that HaloD made of it: the kernel would not say that it does not, but add all up again.
"""

from lab.addresses import BROWSERS_PORT, CLIENTS, NODES_GATEWAY4, NODES_GATEWAY6, ROUTES, VIP4, VIP6, Host
from lab.checks import check, equal
from lab.echo import Echo
from lab.flavour import DEBUG
from lab.kernel import Node
from lab.lab import Lab
from lab.netns import Namespace
from lab.received import CHECKSUM_COMPLETE, Called, Received
from lab.topology import ip_batch
from lab.transfer import datagram, transfer

BOTH_PATHS = True
SIZE = 500_003
OWN = Host("", "", NODES_GATEWAY4, NODES_GATEWAY6, "", "", 24)
# What is inside: the VIP, the client's address there, kind of the device, its IP protocol, UDP port.
KINDS = {
    4: (VIP4, "203.0.113.66/32", "ipip", 4, 5554),
    6: (VIP6, "2001:db8:3::66/128", "sit", 41, 5556),
}


def run(lab: Lab) -> None:
    net = lab.net
    for module in ("fou", "ipip", "sit"):
        net.halod.run("modprobe", module)
    # What is inside has the room that it has everywhere else.
    for namespace, device in ((net.clients, "eth0"), (net.halod, CLIENTS.port)):
        ip_batch([f"link set {device} mtu 1600"], namespace)
    # Sums are left to software on this side, and not known to be right on that one.
    net.clients.run("ethtool", "-K", "eth0", "tx", "off")
    net.halod.run("ethtool", "-K", CLIENTS.port, "rx", "off")
    for family in KINDS:
        ours, theirs = f"clients{family}", f"halod{family}"
        tunnel(net.halod, ours, CLIENTS.gateway4, CLIENTS.v4, family)
        tunnel(net.clients, theirs, CLIENTS.v4, CLIENTS.gateway4, family)
        vip, client, *_ = KINDS[family]
        ip_batch([f"route add {client} dev {ours}"], net.halod)
        nodad = "nodad" if family == 6 else ""
        ip_batch([f"address add {client} dev {theirs} {nodad}", f"route add {vip} dev {theirs} src {client.split('/')[0]}"], net.clients)
    lab.echoes(1, bases=(BROWSERS_PORT,))
    Echo(net.halod, "n1", OWN, bases=(BROWSERS_PORT,))
    kernel = lab.kernel()
    for node, where in ((Node(1, "n1", (OWN.v4, OWN.v6)), "on HaloD's machine"), (None, "a node")):
        kernel.commit(lab.table([1] * ROUTES, nodes=[node] if node else None))
        for family, (vip, *_) in KINDS.items():
            what = f"{vip}, {where}"
            with Received(f"clients{family}") as received, Called("__skb_checksum_complete") as sums:
                transfer(net.clients, vip, SIZE, what)
                datagram(net.clients, vip, what)
            count, large = len(received.packets), received.large()
            summed = sum(packet["ip_summed"] == CHECKSUM_COMPLETE for packet in large)
            print(f"# {count} packets, {summed} of {len(large)} large ones with a whole sum; {sums.count} sums made: {what}")
            equal(summed, len(large), f"large packets that came with a whole sum, {what}")
            # One for each outer packet; one more would be made where that did not hold.
            if node and not DEBUG:  # which has no kprobes
                check(0 < sums.count < 1.1 * count, f"{sums.count} sums were made for {count} packets, {what}")


def tunnel(namespace: Namespace, device: str, local: str, remote: str, family: int) -> None:
    """One end of it."""
    _, _, kind, protocol, port = KINDS[family]
    namespace.run("ip", "fou", "add", "port", port, "ipproto", protocol)
    encap = f"encap fou encap-sport auto encap-dport {port} encap-csum"
    ip_batch([f"link add {device} type {kind} local {local} remote {remote} ttl 64 {encap}", f"link set {device} mtu 1500 up"], namespace)
