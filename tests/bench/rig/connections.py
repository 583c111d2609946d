"""What a connection costs from its SYN to its last ACK: the kernels of client, balancer, and node together."""

import subprocess
from collections.abc import Callable
from statistics import median

from lab import paths
from lab.addresses import CLIENTS, NODES_GATEWAY4, VIP4
from lab.netns import Namespace
from lab.topology import ip_batch

from . import frames
from .frames import NODES, PORT, node_address
from .world import World

PROGRAM = paths.REPO / "build/bench/connections"
# Of 64 connections each. The first find what others take from caches then.
BATCHES, FIRST = 48, 16


def cost(name: str, setup: Callable[[World], None], balanced: bool) -> float:
    """Instructions for a connection to the VIP, or to a node itself if it is not `balanced`."""
    world = World(f"connect-{name}")
    nodes = [node_address(4, node) for node in range(NODES)]
    _machine(world.client, [CLIENTS.v4], CLIENTS.gateway4, frames.MAC_BALANCER_CLIENTS)
    _machine(world.nodes, nodes, NODES_GATEWAY4, frames.MAC_BALANCER_NODES)
    setup(world)
    with world.nodes.entered():
        server = subprocess.Popen([PROGRAM, "serve", str(PORT)], stdout=subprocess.PIPE, text=True)
    with server:
        try:
            assert server.stdout and server.stdout.readline() == "ready\n", "the server does not begin"
            took = world.client.run(PROGRAM, "open", VIP4 if balanced else nodes[0], PORT, BATCHES).stdout.split()
        finally:
            server.kill()
    world.remove()
    return median(map(float, took[FIRST:]))


def _machine(namespace: Namespace, own: list[str], gateway: str, mac: bytes) -> None:
    """A machine with addresses, behind the balancer."""
    ip_batch(
        [
            *(f"address add {address}/24 dev eth0" for address in own),
            f"neighbour add {gateway} lladdr {mac.hex(':')} nud permanent dev eth0",
            f"route add default via {gateway}",
        ],
        namespace,
    )
