"""A million packets that nobody should send, and every one of them is counted once.

They are made of the packet vectors, and of what was captured here on the way of real connections, pings,
fragments and ICMP errors, each changed at random: headers, options, fragments, lengths, ends of others. Three
programs throw them, for clients, for nodes, and as packets of HaloD's own machine, while tables with draining
routes replace each other. FUZZ_PACKETS says how many (20,000 by default; `make fuzz` throws 1,000,000),
FUZZ_SEED repeats a run.
"""

import os
import random
import time

from fuzz import packets
from fuzz.account import Account
from lab import addresses, vector_files
from lab.addresses import APPS_PORT, BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check
from lab.kernel import Kernel, Table
from lab.lab import Lab
from lab.pieces import Hand, Piece
from lab.topology import Topology
from lab.traffic import Flow, Traffic
from lab.wire import Wire

NEEDS_DEBUG = True
DEADLINE = 2400
COUNT = int(os.environ.get("FUZZ_PACKETS", 20_000))
SEED = int(os.environ.get("FUZZ_SEED", 0)) or time.time_ns() & 0xFFFFFFFF
MOST_DRAINS = 24
PAUSE = 1.0  # between commits, which take the time of many packets
LATER = 10  # once each table has been there both ways: so many times as long as the commit took
SHARES = {"clients": 0.5, "nodes": 0.4, "own": 0.1}


def run(lab: Lab) -> None:
    kernel, net = lab.kernel(), lab.net
    captured = captures(lab, kernel)
    vectors = packets.from_vectors()
    file = lab.directory / "packets"
    kinds = packets.write(file, [*vectors, *captured])
    print(f"# {COUNT} packets made of {kinds} ({len(vectors)} vectors, {len(captured)} captured), FUZZ_SEED={SEED}", flush=True)
    macs = silence(net, vectors)
    tables = [vector_files.table_of(file["table"]) for file in vector_files.files()]
    kernel.commit(tables[0])
    account = Account(net.halod, kernel)

    begin, commits = time.monotonic(), 0
    shares = {name: int(COUNT * share) for name, share in SHARES.items()}
    throwers = [
        packets.throw(net.clients, "clients", file, shares["clients"], SEED, ("eth0", macs[addresses.CLIENTS.port]), lab.directory),
        packets.throw(net.node(1), "nodes", file, shares["nodes"], SEED + 1, ("eth0", macs[addresses.BRIDGE]), lab.directory),
        packets.throw(net.halod, "own", file, shares["own"], SEED + 2, None, lab.directory),
    ]
    choice = random.Random(SEED)
    choice.shuffle(tables)
    # However few there are, of the packets that go on inside others there are some.
    tables.sort(key=lambda table: all(listener.deliver != "ipip" for listener in table.listeners))
    while any(thrower.running for thrower in throwers):
        table = draining(tables[commits % len(tables)], choice)
        # Not auto, which is off here: the account's rules are hooks of others.
        table.fast_path = ("off", "on")[(commits + commits // len(tables)) % 2]
        started = time.monotonic()
        kernel.commit(table)
        commits += 1
        now = time.monotonic()
        pause = PAUSE if commits < 2 * len(tables) else max(PAUSE, (now - started) * LATER)
        while any(thrower.running for thrower in throwers) and time.monotonic() < now + pause:
            time.sleep(0.1)
    seconds = time.monotonic() - begin

    results = {thrower.name: packets.sent(thrower) for thrower in throwers}
    for name, (sent, refused) in results.items():
        check(sent + refused == shares[name] and sent > shares[name] / 2, f"{name}: of {shares[name]} packets {sent} were sent")
    books, account_text = account.balance(results["clients"][0] + results["nodes"][0])
    exits = books.exits
    print(f"# {COUNT / seconds:.0f} packets a second, {commits} commits meanwhile; {account_text}")
    print("# " + ", ".join(f"{name} {count}" for name, count in sorted(exits.items(), key=lambda item: -item[1])))
    # Packets that are all refused at the door say nothing of what lies behind it.
    for exit in ("forward", "forward_former", "reverse", "icmp_to_node", "icmp_to_client", "pass", "drop_truncated", "local_out"):
        check(exits[exit] > 0, f"some packets left by {exit}: {exits}")
    check(books.fast > 0, "some packets took the fast path")
    check(books.seen["outer"] > 0, "some packets went on inside others")


def captures(lab: Lab, kernel: Kernel) -> list[bytes]:
    """Packets of real traffic, as clients and nodes send and receive them."""
    net = lab.net
    lab.echoes(2)
    kernel.commit(lab.table([1, 2] * (ROUTES // 2)).drain(2, routes=range(1, ROUTES, 2), udp=600_000))
    flows = [Flow(vip, base + index, protocol) for vip in (VIP4, VIP6) for base in (BROWSERS_PORT, APPS_PORT) for protocol in ("tcp", "udp") for index in (0, 1, 2)]
    hand = Hand(net.clients, addresses.CLIENTS)
    with packets.Capture(net.clients) as clients, packets.Capture(net.node(1)) as nodes:
        traffic = Traffic(net.clients, flows).start()
        for vip, mark in ((VIP4, "-4"), (VIP6, "-6")):
            net.clients.run("ping", mark, "-c", "2", "-i", "0.2", "-s", "3000", vip, check=False)
            net.clients.run("ping", mark, "-c", "1", "-W", "1", addresses.node(3).v4 if mark == "-4" else addresses.node(3).v6, check=False)
            # An odd port answers; the one after the last route's is nobody's.
            net.clients.run("traceroute", mark, "-U", "-p", BROWSERS_PORT, "-q", "1", "-m", "3", "-w", "1", vip, check=False)
            for number in range(8):
                hand.send(vip, bytes(64), Piece(number, 0))
                hand.send(vip, bytes(64), Piece(number, 8 if number % 2 else 4, more=False))
        traffic.stop()
    return clients.packets + nodes.packets


def silence(net: Topology, vectors: list[bytes]) -> dict[str, str]:
    """Nobody answers any more, and HaloD knows where all are; returns its own link addresses, by device."""
    wires = {addresses.CLIENTS.port: Wire(net.clients), addresses.BRIDGE: Wire(net.node(1)), addresses.APP.port: Wire(net.app)}
    for namespace in (net.node(2), net.node(3), net.node(4)):
        Wire(namespace).close()
    for namespace in (net.clients, net.app, *(net.node(number) for number in range(1, 5))):
        namespace.run("nft", "add table netdev silence; add chain netdev silence wall { type filter hook ingress device eth0 priority 0; policy drop; }")
    lines = []
    for host in [addresses.CLIENTS, addresses.APP, *(addresses.node(number) for number in range(1, 20))]:
        device = addresses.BRIDGE if host.bridged else host.port
        for address in (host.v4, host.v6):
            lines.append(f"neighbour replace {address} dev {device} lladdr {wires[device].mac.hex(':')} nud permanent")
    net.halod.run("ip", "-batch", "-", input="\n".join(lines) + "\n")
    for wire in wires.values():
        wire.close()
    return packets.link_addresses(net.halod)


def draining(table: Table, choice: random.Random) -> Table:
    """The table, with some routes that drain from other nodes, for a moment or for long."""
    table.drains, table.udp_left = {}, {}
    ids = [node.id for node in table.nodes]
    routes = range(1, len(table.routes) + 1)
    # No more: to write down thousands takes longer than what is to be thrown meanwhile.
    for route in choice.sample(routes, min(len(routes) // 2, MOST_DRAINS)):
        formers = choice.sample(ids, min(len(ids), choice.randrange(1, 4)))
        table.drain(*formers, routes=[route], left=choice.choice((0, 100, 5000, 600_000)), udp=choice.choice((0, 1000)))
    return table
