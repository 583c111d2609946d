"""Building and deleting the namespaces and links of the laboratory."""

import fcntl
import socket
import struct
import subprocess
import time
from contextlib import nullcontext

from . import addresses
from .addresses import Host
from .flavour import SLOWER
from .netns import RUN, Namespace, kill_all, pids_in
from .wait import until

PREFIX = "hd-"

# linux/sockios.h, linux/if.h
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 1


class Topology:
    """The network of the package's drawing, with `nodes` node machines.

    Two of them can exist at once, with the same addresses, where one has a
    `tag` that its namespaces' names end with.
    """

    def __init__(self, nodes: int = 4, tag: str = ""):
        self.hosts = [addresses.CLIENTS, addresses.APP] + [addresses.node(n) for n in range(1, nodes + 1)]
        self._tag = tag
        names = [addresses.HALOD] + [host.name for host in self.hosts]
        ip_batch([f"netns add {name}{tag}" for name in names])
        self._namespaces = {name: Namespace(name + tag) for name in names}
        for namespace in self._namespaces.values():
            # Addresses count at once, without waiting for duplicate address detection.
            namespace.sysctl(ipv6__conf__default__accept_dad=0, ipv6__conf__all__accept_dad=0)
        self.halod.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        ip_batch(self._links())
        ip_batch(self._halod(), self.halod)
        for host in self.hosts:
            ip_batch(_host(host), self._namespaces[host.name])

    @property
    def halod(self) -> Namespace:
        """Where the VIPs, the module's table and the daemon are."""
        return self._namespaces[addresses.HALOD]

    @property
    def clients(self) -> Namespace:
        """Where users are."""
        return self._namespaces[addresses.CLIENTS.name]

    @property
    def app(self) -> Namespace:
        """Where the application is that publishes to users."""
        return self._namespaces[addresses.APP.name]

    def node(self, number: int) -> Namespace:
        """The machine of node n<number>, from 1."""
        return self._namespaces[addresses.node(number).name]

    def link(self, host: Host, up: bool) -> float:
        """Plugs a host's cable in, or pulls it; returns the moment (time.monotonic) just before.

        At HaloD's end, where the device is a port of the bridge: the host loses
        its carrier, HaloD's kernel keeps address and route, as with a switch
        between. By ioctl, for the moment's sake: starting ip(8) takes longer
        than what is measured from it.
        """
        name = host.port.encode().ljust(16, b"\0")
        with self.halod.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            flags = struct.unpack_from("16sH", fcntl.ioctl(sock, SIOCGIFFLAGS, name + bytes(24)))[1]
            flags = flags | IFF_UP if up else flags & ~IFF_UP
            moment = time.monotonic()
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH22x", name, flags))
        return moment

    def plugged(self, host: Host) -> None:
        """Gives a host whose eth0 is new its addresses and routes."""
        ip_batch(_host(host), self._namespaces[host.name])

    def _links(self) -> list[str]:
        return [
            f"link add {host.port} netns {addresses.HALOD}{self._tag} type veth peer name eth0 netns {host.name}{self._tag}"
            for host in self.hosts
        ]

    def _halod(self) -> list[str]:
        lines = [
            "link set lo up",
            f"address add {addresses.VIP4}/32 dev lo",
            f"address add {addresses.VIP6}/128 dev lo nodad",
            f"link add {addresses.BRIDGE} type bridge forward_delay 0",
            f"address add {addresses.NODES_GATEWAY4}/24 dev {addresses.BRIDGE}",
            f"address add {addresses.NODES_GATEWAY6}/64 dev {addresses.BRIDGE} nodad",
            f"link set {addresses.BRIDGE} up",
        ]
        for host in self.hosts:
            if host.bridged:
                lines.append(f"link set {host.port} master {addresses.BRIDGE}")
            else:
                lines.append(f"address add {host.gateway4}/{host.prefix4} dev {host.port}")
                lines.append(f"address add {host.gateway6}/64 dev {host.port} nodad")
            lines.append(f"link set {host.port} up")
        return lines

    def close(self) -> None:
        """Ends everything inside and deletes the namespaces."""
        for namespace in self._namespaces.values():
            namespace.close()
        sweep()


def _host(host: Host) -> list[str]:
    return [
        "link set lo up",
        f"address add {host.v4}/{host.prefix4} dev eth0",
        f"address add {host.v6}/64 dev eth0 nodad",
        "link set eth0 up",
        f"route add default via {host.gateway4}",
        f"route add default via {host.gateway6}",
    ]


def sweep() -> None:
    """Kills what runs in any namespace of the laboratory and deletes them all, whoever made them."""
    names = [path.name for path in RUN.glob(PREFIX + "*")] if RUN.exists() else []
    if not names:
        return
    inodes = {path.stat().st_ino for path in RUN.glob(PREFIX + "*")}

    def empty() -> bool:
        kill_all(pids := pids_in(inodes))
        return not pids

    until("processes in the laboratory's namespaces to end", empty)
    ip_batch([f"netns delete {name}" for name in names])


def ip_batch(lines: list[str], namespace: Namespace | None = None) -> None:
    """Runs lines of ip(8), in one process: a start of a program is dear in an emulated guest."""
    with namespace.entered() if namespace else nullcontext():
        done = subprocess.run(
            ["ip", "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=60 * SLOWER
        )
    if done.returncode:
        raise RuntimeError(f"ip -batch in {namespace.name if namespace else 'the root namespace'}: {done.stderr.strip()}")
