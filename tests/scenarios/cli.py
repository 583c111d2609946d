"""Every command of halodctl against a live cluster: what it says, in JSON and as a table, is what the kernel
holds, read by other code; what it does is done; its exit codes and errors are for scripts."""

import json
import re
from typing import Any

from lab import module, paths
from lab.addresses import APPS_PORT, BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import check, contains, equal
from lab.cluster import ASSIGNMENT_24, Cluster
from lab.lab import Lab
from lab.process import Process
from lab.wait import until

NOBODY = 65534


def run(lab: Lab) -> None:
    lab.echoes(3)
    cluster = lab.cluster(active_min=2, reserve=1)
    for number in (1, 2, 3):
        cluster.machine(number).start_agent()
        cluster.until_state(f"n{number}", "active", "reserve")
    cluster.until_holders("n1", "n2")
    watch = Process(
        lab.net.halod, "watch", [paths.HALODCTL, "--socket", cluster.control.path, "--json", "watch"], lab.directory
    )
    watch.until_says('"watching"')

    reports(cluster)
    nodes(cluster)
    kernel(lab, cluster)
    watched = [json.loads(line) for line in watch.text().splitlines()]
    kinds = [event["kind"] for event in watched]
    for kind in ("watching", "committed", "routes_moved", "kernel_changed"):
        contains(kinds, kind, "kinds of events that were watched")
    committed = [event["generation"] for event in watched if event["kind"] == "committed"]
    equal(committed, sorted(set(committed)), "generations of the commits that were watched: each once, in order")

    cluster.daemon.stop()
    equal(watch.wait(), 3, "exit code of a watch whose daemon ended")
    failures(lab, cluster)


def ask(cluster: Cluster, *words: object) -> Any:
    """A command's JSON."""
    return json.loads(cluster.daemon.ctl("--json", *words).stdout)


def shown(cluster: Cluster, *words: object) -> str:
    """The same for people; in a file, so without colours."""
    text = cluster.daemon.ctl(*words).stdout
    check("\x1b" not in text, f"{words} writes no colours to a file")
    return text


def expand(ranges: list[list[int]]) -> set[int]:
    """[[1, 3], [5, 5]] as {1, 2, 3, 5}."""
    return {route for first, last in ranges for route in range(first, last + 1)}


def row(text: str, *cells: object) -> None:
    """Fails where no line of a table begins with these cells."""
    wanted = [str(cell) for cell in cells]
    lines = [re.split(r"\s{2,}|\s*[|│┆]\s*", line.strip(" |│┆")) for line in text.splitlines()]
    check(any(line[: len(wanted)] == wanted for line in lines), f"a row {wanted} in\n{text}")


def reports(cluster: Cluster) -> None:
    """status, routes, nodes, listeners, plan."""
    table = cluster.kernel.table()
    held = {name: {i + 1 for i, holder in enumerate(table.holders()) if holder == name} for name in ("n1", "n2")}
    equal(held, {"n1": ASSIGNMENT_24[2][0], "n2": ASSIGNMENT_24[2][1]}, "the kernel's table")

    status = ask(cluster, "status")
    expected = {
        "cluster": "lab", "generation": table.generation, "routes": ROUTES, "routes_without_node": 0, "slots": 2,
        "active": 2, "reserve": 1, "draining": 0, "lost": 0, "connections": 3, "handshakes": 0,
        "pid": cluster.daemon.process and cluster.daemon.process.pid, "store": str(cluster.directory / "halod.db"),
    }  # fmt: skip
    equal({name: status[name] for name in expected}, expected, "status")
    kernel = cluster.kernel.status()
    expected = {
        "state": "in_step", "generation": kernel["generation"], "version": kernel["version"],
        "draining": 0, "flows": 0, "flow_slots": 0, "forward_full": cluster.kernel.counters()["forward_full"],
    }  # fmt: skip
    equal(status["kernel"], expected, "the kernel in status")
    for words in (f"Generation    {table.generation}\n", "2 active, 1 reserve", "24 in 2 slots", "in step"):
        contains(shown(cluster, "status"), words, "status for people")

    routes = ask(cluster, "routes")
    equal((routes["generation"], routes["routes"]), (table.generation, ROUTES), "routes")
    equal({run["node"]: expand(run["routes"]) for run in routes["runs"]}, held, "who holds which routes")
    text = shown(cluster, "routes")
    contains(text, "1 111111111111222222222222 24\n", "the map of the routes")
    row(text, 1, 1, "n1", 12, "1-12")
    check("1111" not in shown(cluster, "routes", "--map", "never"), "no map where none is wanted")

    known = {node["name"]: node for node in ask(cluster, "nodes")}
    equal({name: node["state"] for name, node in known.items()}, {"n1": "active", "n2": "active", "n3": "reserve"}, "nodes")
    for node in table.nodes:
        equal((known[node.name]["id"], tuple(known[node.name]["addresses"])), (node.id, node.addresses), f"{node.name}")
        equal(expand(known[node.name]["routes"]), held.get(node.name, set()), f"routes of {node.name}")
    check(all(node["connected"] and node["healthy"] for node in known.values()), "every node is connected and healthy")
    row(shown(cluster, "nodes"), "n2", known["n2"]["id"], "active")

    listeners = [(each["name"], each["address"], each["protocol"], each["port"]) for each in ask(cluster, "listeners")]
    equal(listeners, [(each.name, each.address, each.protocol, each.port) for each in table.listeners], "listeners")
    row(shown(cluster, "listeners"), "apps", VIP6, "tcp", f"{APPS_PORT}-{APPS_PORT + ROUTES - 1}")

    plan = ask(cluster, "plan")
    equal((plan["from"], plan["to"], plan["moved"]), (2, 3, 8), "the plan for one more node")
    equal([expand(each["routes"]) for each in plan["after"]], ASSIGNMENT_24[3], "routes of the slots in the plan")
    equal([each.get("node") for each in plan["before"]], ["n1", "n2"], "who fills the slots before it")
    back = ask(cluster, "plan", "--routes", 24, "--nodes", 4, "--to", 2)
    equal([expand(each["routes"]) for each in back["after"]], ASSIGNMENT_24[2], "routes of the slots after the way back")
    contains(shown(cluster, "plan"), "8 routes move to it", "the plan for people")
    equal(cluster.kernel.table(), table, "the kernel's table after all these questions")


def nodes(cluster: Cluster) -> None:
    """node activate, reserve, remove."""
    contains(ask(cluster, "node", "activate", "n3")["done"], "n3", "what node activate says")
    cluster.until_holders("n1", "n2", "n3")
    done = cluster.daemon.ctl("node", "activate", "n3", check=False)
    equal((done.returncode, done.stdout, "n3" in done.stderr), (1, "", True), f"activating it again: {done.stderr}")
    contains(shown(cluster, "node", "reserve", "n3"), "n3", "what node reserve says")
    cluster.until_holders("n1", "n2")
    equal(cluster.states()["n3"], "reserve", "its state")
    # Removed, the agent comes back by itself and joins like a new one.
    before = {node["name"]: node.get("peer") for node in cluster.control.ask("nodes")}["n3"]
    contains(shown(cluster, "node", "remove", "n3"), "n3", "what node remove says")

    def anew() -> bool:
        peers = {node["name"]: node.get("peer") for node in cluster.control.ask("nodes")}
        return peers.get("n3") not in (None, before)

    until("the removed node's agent to connect anew", anew)
    done = cluster.daemon.ctl("--json", "node", "remove", "nobody", check=False)
    equal((done.returncode, done.stdout), (1, ""), "removing a node that there is not")
    error = json.loads(done.stderr)
    equal((error["exit"], "nobody" in error["error"]), (1, True), f"the failure in JSON: {error}")


def fast_path(cluster: Cluster) -> None:
    """What takes it, and why the rest does not."""
    report = ask(cluster, "fast-path")
    equal(report["fast_path"], "auto", "the fast path that halod asks for by itself")
    devices = {each["name"]: (each["ipv4"], each["ipv6"]) for each in report["devices"]}
    equal(devices, cluster.kernel.devices(), "devices")
    equal(devices["lo"], ("loopback", "loopback"), "the state of lo")
    packets = {each["name"]: each["packets"] for each in report["packets"]}
    now = cluster.kernel.fast_path()
    equal(list(packets), list(now), "names of ways")
    check(all(count <= now[name] for name, count in packets.items()), f"ways, {packets} then {now}")
    text = shown(cluster, "fast-path")
    row(text, "lo", "loopback", "loopback")
    row(text, "slow_exit")


def kernel(lab: Lab, cluster: Cluster) -> None:
    """kernel show, counters, flush."""
    cluster.until_holders("n1", "n2")
    table = cluster.kernel.table()
    report = ask(cluster, "kernel", "show")
    equal((report["generation"], report["routes"]), (table.generation, ROUTES), "kernel show")
    held = {route: run["node"] or 0 for run in report["runs"] for route in expand(run["routes"])}
    equal([held[route] for route in range(1, ROUTES + 1)], table.routes, "kernel show, routes")
    equal(
        [(each["name"], each["address"], each["protocol"], each["port"]) for each in report["listeners"]],
        [(each.name, each.address, each.protocol, each.port) for each in table.listeners],
        "kernel show, listeners",
    )
    equal(
        [(each["id"], each["name"], tuple(each["addresses"])) for each in report["nodes"]],
        [(each.id, each.name, each.addresses) for each in table.nodes],
        "kernel show, nodes",
    )
    text = shown(cluster, "kernel", "show")
    row(text, 0, "browsers", VIP4, "tcp", BROWSERS_PORT)
    row(text, table.nodes[0].id, table.nodes[0].name)
    counters = [(each["name"], each["packets"]) for each in ask(cluster, "kernel", "counters")]
    now = cluster.kernel.counters()
    equal([name for name, _ in counters], list(now), "kernel counters, names")
    check(all(packets <= now[name] for name, packets in counters), f"kernel counters, {counters} then {now}")
    row(shown(cluster, "kernel", "counters"), "drop_no_node")
    fast_path(cluster)

    stale = cluster.daemon.ctl("kernel", "flush", "--yes", "--expected", table.generation + 5, check=False)
    equal(stale.returncode, 1, "exit code of a flush of another generation")
    contains(stale.stderr, str(table.generation), "which one is in force")
    unasked = cluster.daemon.ctl("kernel", "flush", check=False)
    equal((unasked.returncode, "--yes" in unasked.stderr), (2, True), f"a flush that cannot ask: {unasked.stderr}")
    equal(cluster.kernel.table(), table, "the table after both")
    flushed = ask(cluster, "kernel", "flush", "--yes", "--expected", table.generation)["generation"]
    check(flushed > table.generation, f"the flush is generation {flushed}, after {table.generation}")
    cluster.until_holders("n1", "n2")
    until("the daemon to be in step", lambda: ask(cluster, "status")["kernel"]["state"] == "in_step")
    again = cluster.kernel.table()
    check(again.generation > flushed, f"the daemon's table is generation {again.generation}, after {flushed}")
    equal((again.routes, again.nodes, again.listeners), (table.routes, table.nodes, table.listeners), "its table")


def failures(lab: Lab, cluster: Cluster) -> None:
    """Exit codes where there is no daemon, no permission, no module."""
    for words in (("status",), ("nodes",), ("plan",), ("watch",), ("node", "remove", "n1")):
        done = cluster.daemon.ctl(*words, check=False)
        equal((done.returncode, done.stdout), (3, ""), f"{words} without a daemon: {done.stderr}")
        contains(done.stderr, str(cluster.control.path), f"{words} without a daemon: the error")
    equal(ask(cluster, "plan", "--routes", 24, "--nodes", 2)["moved"], 8, "a plan needs no daemon")
    equal(ask(cluster, "kernel", "show")["routes"], ROUTES, "the kernel's table without the daemon")
    for words in (("show",), ("counters",), ("flush", "--yes")):
        done = lab.net.halod.run("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                                 paths.HALODCTL, "kernel", *words, check=False)  # fmt: skip
        equal((done.returncode, done.stdout), (5, ""), f"kernel {words} of an unprivileged user: {done.stderr}")
    equal(cluster.holders()[0], "n1", "who holds route 1 after that")
    module.unload()
    done = cluster.daemon.ctl("kernel", "show", check=False)
    equal((done.returncode, done.stdout, "load the module" in done.stderr), (4, "", True), f"without the module: {done.stderr}")
    done = lab.net.halod.run(paths.HALOD, "--config", cluster.daemon.config, check=False)
    equal(done.returncode, 3, f"exit code of halod without the module: {done.stderr}")
