"""halodctl doctor: a machine as it should be, one with nearly everything wrong, and what becomes of it when the
commands that it prints are run."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from lab import addresses, module, paths
from lab.addresses import BRIDGE, BROWSERS_PORT, NODES_GATEWAY4, VIP4, VIP6
from lab.checks import check, contains, equal
from lab.cluster import Cluster
from lab.lab import Lab
from lab.process import Process
from lab.topology import ip_batch
from lab.traffic import ask
from lab.wait import until

NOBODY = 65534
# From the start, so that nodes' connections are tracked: the other one keeps what is established.
GOOD_FIREWALL = """
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy accept;
        ct state invalid drop
    }
}
"""
BAD_FIREWALL = """
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
    }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        meta l4proto { icmp, ipv6-icmp } accept
    }
}
"""
BAD_OUTPUT = """
table ip filter {
    chain output {
        type filter hook output priority filter; policy drop;
        ct state established,related accept
    }
}
"""
NEIGHBOUR = "198.51.100.9/24"  # whoever has this is in one network with the VIP
# What is wrong after `break_everything`, by check: how bad it is, and what is said of it.
WRONG = [
    ("vip", "problem", f"{VIP4} is no address"),
    ("forwarding", "problem", "IPv4"),
    ("forwarding", "problem", "IPv6"),
    ("rp_filter", "warning", "by app"),
    ("accept_ra", "problem", "by clients"),
    ("redirects", "warning", f"share {BRIDGE}"),
    ("mtu", "warning", f"{BRIDGE}, where nodes are, carries packets of 1400"),
    ("bridge", "warning", "br_netfilter"),
    ("firewall", "problem", "inet filter forward drops what HaloD forwards"),
    ("firewall", "problem", "inet filter input drops nodes' connections"),
    ("certificates", "warning", "expires in"),
]


class Doctor:
    """The doctor of a cluster's machine."""

    def __init__(self, lab: Lab, cluster: Cluster):
        self.halod, self.cluster = lab.net.halod, cluster
        self.findings: list[dict[str, Any]] = []

    def look(self) -> list[dict[str, Any]]:
        """What is not as it should be."""
        done = self.cluster.daemon.ctl("--json", "doctor", "--config", self.cluster.daemon.config, check=False)
        check(done.stdout, f"the doctor says something: {done.stderr}")
        report = json.loads(done.stdout)
        self.findings = report["findings"]
        problems = [found for found in self.findings if found["level"] == "problem"]
        equal((report["problems"], done.returncode), (len(problems), 1 if problems else 0), "problems, and the exit code")
        return [found for found in self.findings if found["level"] in ("problem", "warning")]

    def finds(self, *wanted: tuple[str, str, str]) -> None:
        """Fails where the doctor finds anything else."""
        found = self.look()
        for name, level, words in wanted:
            there = [each for each in found if (each["check"], each["level"]) == (name, level) and words in each["text"]]
            check(there, f"a {level} of {name} that says {words!r}, in {found}")
            found = [each for each in found if each not in there]
        equal(found, [], "other findings")

    def mend(self, directory: Path = paths.REPO, only: str = "") -> None:
        """Runs the commands that were printed last, in their order, from a directory; or those of only one check."""
        for found in self.findings:
            for command in found["mend"] if only in ("", found["check"]) else []:
                self.halod.run("sh", "-c", command, cwd=directory)

    def until_well(self) -> None:
        """Waits until nothing is found any more: halod may be busy putting things right."""
        until("the doctor to find nothing", lambda: not self.look(), 30)


def run(lab: Lab) -> None:
    lab.net.halod.run("nft", "-f", "-", input=GOOD_FIREWALL)
    lab.echoes(2)
    # While nobody takes its packets: later it could not be made.
    with lab.net.halod.entered():
        ours, peer = socket.socket(), socket.create_server((NODES_GATEWAY4, 0))
    with ours, peer:
        ours.bind((VIP4, BROWSERS_PORT + 5))
        ours.connect(peer.getsockname())
        cluster = lab.cluster(tls=True, active_min=2)
        for number in (1, 2):
            cluster.machine(number).start_agent()
            cluster.until_known(number)
        cluster.until_holders("n1", "n2")
        doctor = Doctor(lab, cluster)
        doctor.finds(("ports", "problem", f"own has tcp {VIP4}:{BROWSERS_PORT + 5}"))
        doctor.mend()
    doctor.finds()
    checks = {found["check"] for found in doctor.findings if found["level"] == "ok"}
    missing = {"kernel", "module", "halod", "routes", "neighbours", "ports", "store", "registration"} - checks
    equal(missing, set(), "checks without a good word")
    with_commands(lab, cluster, doctor)
    taken_port(lab, doctor)
    by_hand(lab, doctor)
    devices_and_files(lab, cluster, doctor)
    vip_elsewhere(lab, doctor)
    read_only_store(lab, doctor)
    in_years(doctor)
    lost_nodes(lab, cluster, doctor)
    without_module(lab, doctor)
    without_root(lab, cluster)
    without_daemon(cluster, doctor)


def with_commands(lab: Lab, cluster: Cluster, doctor: Doctor) -> None:
    """Everything is broken that a command mends."""
    halod = lab.net.halod
    halod.run("modprobe", "br_netfilter")
    try:
        halod.sysctl(ipv4__ip_forward=0, ipv6__conf__all__forwarding=0, ipv4__conf__app__rp_filter=1)
        halod.sysctl(ipv6__conf__clients__accept_ra=1, ipv6__conf__clients__forwarding=1)
        routes = [
            f"route {{}} default via {addresses.CLIENTS.v4} dev clients metric 10",
            f"route {{}} default via {addresses.APP.v4} dev app metric 20",
            f"route {{}} default via {addresses.node(4).v4} dev {BRIDGE} metric 30",
            f"route {{}} default via {addresses.CLIENTS.v6} dev clients proto ra metric 1024",
        ]
        ip_batch([route.format("add") for route in routes], halod)
        ip_batch([f"address delete {VIP4}/32 dev lo", f"link set {BRIDGE} mtu 1400"], halod)
        halod.run("nft", "-f", "-", input=BAD_FIREWALL)
        assert cluster.pki
        cluster.pki.issue("halod", "--server", "--address", NODES_GATEWAY4, "--days", 1)
        doctor.finds(*WRONG)
        text = cluster.daemon.ctl("doctor", "--config", cluster.daemon.config, check=False).stdout
        contains(text, f"PROBLEM  vip           {VIP4} is no address of this machine\n", "the doctor's words")
        contains(text, f"                       $ ip address add {VIP4}/32 dev lo\n", "the command that mends it")
        for vip in (VIP4, VIP6):
            try:
                check(False, f"nobody is served: {ask(lab.net.clients, vip, BROWSERS_PORT, timeout=1)}")
            except OSError:
                pass
        doctor.mend()
        doctor.until_well()
        for vip in (VIP4, VIP6):
            equal(ask(lab.net.clients, vip, BROWSERS_PORT), f"n1 {BROWSERS_PORT}", f"who answers at {vip}")
        ip_batch([route.format("delete") for route in routes], halod)
        halod.run("nft", "delete", "table", "inet", "filter")
    finally:
        halod.run("rmmod", "br_netfilter")  # modprobe -r would take the bridges along


def taken_port(lab: Lab, doctor: Doctor) -> None:
    """A program on a VIP's port is named."""
    port = BROWSERS_PORT + 5
    server = ["python3", "-m", "http.server", "--bind", VIP4, port]
    process = Process(lab.net.halod, "server", server, lab.directory)
    until("it to listen", lambda: any(f"{VIP4}:{port}" in found["text"] for found in doctor.look()))
    doctor.finds(("ports", "problem", f"(python3, process {process.pid})"))
    process.stop()
    doctor.finds()


def devices_and_files(lab: Lab, cluster: Cluster, doctor: Doctor) -> None:
    """Devices that do not forward, files whose time or place is wrong."""
    halod = lab.net.halod
    halod.sysctl(**{f"ipv4__conf__{BRIDGE}__forwarding": 0, "ipv4__conf__clients__forwarding": 0})
    doctor.finds(("forwarding", "problem", f"by {BRIDGE}"), ("forwarding", "warning", "by clients"))
    doctor.mend()
    doctor.finds()
    store = lab.directory / "halod.db"
    ahead = time.time() + 3600
    os.utime(store, (ahead, ahead))
    doctor.finds(("clock", "problem", "certificates are judged wrongly"))
    os.utime(store)
    assert cluster.pki
    key = cluster.pki.files("halod")["key"]
    key.rename(key.with_suffix(".away"))
    doctor.finds(("certificates", "problem", key.name))
    key.with_suffix(".away").rename(key)
    doctor.finds()


def vip_elsewhere(lab: Lab, doctor: Doctor) -> None:
    """A VIP on a device of its own, which is down, then narrow; in the nodes' network; errors that may not leave."""
    halod = lab.net.halod
    devices = ["link add vips type bridge", f"address add {VIP4}/32 dev vips", f"address delete {VIP4}/32 dev lo"]
    ip_batch(devices, halod)
    doctor.finds(("vip", "problem", f"{VIP4} is on vips, which is down"))
    doctor.mend()
    doctor.finds()
    range_ = halod.run("sysctl", "-n", "net.ipv4.ip_local_port_range").stdout.strip()
    halod.sysctl(ipv4__ip_local_port_range=f"{BROWSERS_PORT} 60999")
    ip_batch(["link set vips mtu 1000"], halod)
    doctor.finds(("ports", "warning", "may get a listener's port"), ("mtu", "warning", "vips carries packets of 1000"))
    doctor.mend()
    doctor.finds()
    halod.sysctl(ipv4__ip_local_port_range=range_, ipv4__ip_local_reserved_ports="\n")
    ip_batch([f"address add {VIP4}/32 dev lo", "link delete vips", f"address add {NEIGHBOUR} dev {BRIDGE}"], halod)
    doctor.finds(("vip", "warning", f"the nodes' own network ({BRIDGE})"))
    ip_batch([f"address delete {NEIGHBOUR} dev {BRIDGE}"], halod)
    halod.run("nft", "-f", "-", input=BAD_OUTPUT)
    doctor.finds(("firewall", "problem", "ip filter output drops this machine's own ICMP errors"))
    doctor.mend()
    doctor.finds()
    halod.run("nft", "delete", "table", "ip", "filter")


def read_only_store(lab: Lab, doctor: Doctor) -> None:
    """As a file system is after an error."""
    subprocess.run(["mount", "--bind", lab.directory, lab.directory], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", lab.directory], check=True)
        doctor.finds(("store", "problem", f"{lab.directory} is mounted read-only"))
    finally:
        subprocess.run(["umount", lab.directory], check=True)
    doctor.finds()


def in_years(doctor: Doctor) -> None:
    """What was issued ends."""
    own = ("certificates", "problem", "halod's certificate has expired")
    ca = [("certificates", "warning", "the CA expires in 9 days"), ("certificates", "problem", "the CA has expired")]
    for days, wanted in ((400, [own]), (3640, [own, ca[0]]), (3660, [own, ca[1]])):
        before, moment = time.time(), time.monotonic()
        time.clock_settime(time.CLOCK_REALTIME, before + days * 86400)
        try:
            doctor.finds(*wanted)
        finally:
            time.clock_settime(time.CLOCK_REALTIME, before + time.monotonic() - moment)
    doctor.finds()


def lost_nodes(lab: Lab, cluster: Cluster, doctor: Doctor) -> None:
    """Every node's cable is out."""
    nodes = [addresses.node(number) for number in (1, 2)]
    for node in nodes:
        lab.net.link(node, False)
    for name in ("n1", "n2"):
        cluster.until_state(name, "lost")
    ip_batch([f"neighbour flush dev {BRIDGE}"], lab.net.halod)
    silent = [("neighbours", "warning", f"n{number} ({address}) does not answer")
              for number, node in enumerate(nodes, 1) for address in (node.v4, node.v6)]  # fmt: skip
    doctor.finds(("halod", "problem", "24 of 24 routes have no node"), *silent)
    for number, node in enumerate(nodes, 1):
        lab.net.link(node, True)
        cluster.until_state(f"n{number}", "active")
    cluster.until_holders("n1", "n2")
    doctor.until_well()


def by_hand(lab: Lab, doctor: Doctor) -> None:
    """What no command mends: ports that others have, nodes that cannot be reached."""
    halod = lab.net.halod
    with halod.entered():
        own, any_address = socket.socket(), socket.socket(socket.AF_INET6)
    with own, any_address:
        own.bind((VIP4, BROWSERS_PORT + 3))
        any_address.bind(("::", BROWSERS_PORT + 7))
        for sock in (own, any_address):
            sock.listen()
        doctor.finds(("ports", "problem", f"{VIP4}:{BROWSERS_PORT + 3}"), ("ports", "warning", f"[::]:{BROWSERS_PORT + 7}"))
    node = addresses.node(2)
    ip_batch([f"route add unreachable {node.v6}/128"], halod)
    doctor.finds(("routes", "problem", f"n2 ({node.v6})"))
    shown = [found["show"] for found in doctor.findings if found["check"] == "routes" and found["show"]]
    contains(halod.run("sh", "-c", *shown).stdout, f"unreachable {node.v6}", "the route that the command shows")
    ip_batch([f"route delete unreachable {node.v6}/128"], halod)
    # An address that nobody answers for: the switch has lost the cable of a machine that is known.
    lab.net.link(node, False)
    ip_batch([f"neighbour flush dev {BRIDGE}"], halod)
    words = ("neighbours", f"n2 ({node.v4}) does not answer on {BRIDGE}")
    found = [each for each in doctor.look() if each["check"] == words[0] and words[1] in each["text"]]
    check(found, f"{words[1]}: {doctor.findings}")
    lab.net.link(node, True)
    doctor.until_well()


def without_module(lab: Lab, doctor: Doctor) -> None:
    """It is unloaded; the commands load it, and halod puts its table there again."""
    module.unload()
    # halod looks at the kernel once a second.
    until("halod to miss it", lambda: any(each["check"] == "halod" for each in doctor.look()))
    found = {each["check"]: each for each in doctor.look()}
    equal(found["module"]["mend"], ["modprobe -a nf_defrag_ipv4 nf_defrag_ipv6", "insmod build/kmod/halod.ko"], "how it is loaded")
    equal(found["halod"]["level"], "problem", "halod without the module")
    # On either flavour the command finds the module that was built for it.
    built = lab.directory / "build/kmod"
    built.mkdir(parents=True)
    (built / "halod.ko").symlink_to(paths.MODULE)
    doctor.mend(lab.directory, "module")
    doctor.cluster.kernel.reconnect()
    doctor.until_well()


def without_root(lab: Lab, cluster: Cluster) -> None:
    """Much can be looked at all the same; what cannot is said."""
    argv = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env", "PATH=/nowhere",
            paths.HALODCTL, "--json", "doctor", "--config", cluster.daemon.config)  # fmt: skip
    report = json.loads(lab.net.halod.run(*argv, check=False).stdout)
    levels = {found["check"]: (found["level"], found["text"]) for found in report["findings"]}
    for name in ("module", "firewall", "clock"):
        equal(levels[name][0], "unknown", f"{name} of an unprivileged user")
    contains(levels["firewall"][1], "nft", "why the firewall is not looked at")
    for name in ("forwarding", "vip", "mtu"):
        equal(levels[name][0], "ok", f"{name} of an unprivileged user")


def without_daemon(cluster: Cluster, doctor: Doctor) -> None:
    """The kernel's table and the configuration stand in for it."""
    cluster.daemon.kill()
    doctor.finds(("halod", "problem", "does not run"))
    texts = {found["check"]: found["text"] for found in doctor.findings}
    contains(texts["routes"], f"4 addresses on-link at {BRIDGE}", "the nodes of the kernel's table")
    module.unload()
    module.load()
    doctor.finds(("halod", "problem", "does not run"), ("module", "warning", "has no table"))
