"""A cluster whose nodes show certificates that halodctl pki made: strangers beside it get nowhere and disturb
nobody, a dead node is replaced as without TLS, and new certificates are used without a restart of anything."""

import signal
import socket
import ssl

from lab.addresses import BROWSERS_PORT, NODE_PROTOCOL_PORT, NODES_GATEWAY4, ROUTES, VIP4, VIP6
from lab.checks import check, contains, equal
from lab.cluster import Cluster
from lab.lab import Lab
from lab.netns import Namespace
from lab.pki import Pki
from lab.traffic import Flow, Traffic
from lab.wait import until

HELLO = b'{"type":"hello","version":1,"name":"n4","addresses":["192.0.2.14"]}\n'


def dial(namespace: Namespace) -> socket.socket:
    """A connection to the nodes' port."""
    with namespace.entered():
        sock = socket.socket()
    sock.settimeout(20)
    sock.connect((NODES_GATEWAY4, NODE_PROTOCOL_PORT))
    return sock


def client(pki: Pki, name: str = "") -> ssl.SSLContext:
    """A client as Python has it, with the certificate of that name, if any."""
    context = ssl.create_default_context(cafile=str(pki.files("halod")["ca"]))
    if name:
        files = pki.files(name)
        context.load_cert_chain(files["certificate"], files["key"])
    return context


def converse(namespace: Namespace, context: ssl.SSLContext) -> str:
    """What HaloD says to n4's hello over TLS, or how it ends the connection instead."""
    try:
        with context.wrap_socket(dial(namespace), server_hostname="halod") as sock:
            sock.sendall(HELLO)
            return sock.recv(65536).decode()
    except (ssl.SSLError, ConnectionResetError) as error:
        return str(error)


def serial(namespace: Namespace, cluster: Cluster) -> str:
    """That of the certificate that HaloD shows."""
    assert cluster.pki
    # A client without certificate sees HaloD's before it is turned away.
    with client(cluster.pki).wrap_socket(dial(namespace), server_hostname="halod") as sock:
        certificate = sock.getpeercert()
    assert certificate
    return str(certificate["serialNumber"])


def run(lab: Lab) -> None:
    lab.echoes(4)
    cluster = lab.cluster(tls=True, active_min=2, reserve=2)
    assert cluster.pki
    for number in (1, 2, 3):
        cluster.machine(number).start_agent()
        cluster.until_state(f"n{number}", "active", "reserve")
    cluster.until_holders("n1", "n2")
    flows = [Flow(vip, BROWSERS_PORT + index) for vip in (VIP4, VIP6) for index in range(0, ROUTES // 2, 4)]
    traffic = Traffic(lab.net.clients, flows, pause=0.1).start()
    before = cluster.kernel.generation(), peers(cluster)

    def unharmed(what: str) -> None:
        equal((cluster.kernel.generation(), peers(cluster)), before, f"{what}: the table and the nodes")

    strangers(lab, cluster, unharmed)
    equal(traffic.errors(), [], "errors of connections meanwhile")

    # The reserve node takes over from the one that dies.
    cluster.machine(2).kill()
    cluster.until_holders("n1", "n3")
    equal(traffic.stop(), [], "errors of connections to the node that lives")

    # New certificates, with no restart: HaloD's by SIGHUP, a node's when it connects again.
    old = serial(lab.net.node(4), cluster)
    cluster.pki.issue("halod", "--server", "--address", NODES_GATEWAY4)
    assert cluster.daemon.process
    cluster.daemon.process.signal(signal.SIGHUP)
    until("HaloD's new certificate to be shown", lambda: serial(lab.net.node(4), cluster) != old, 4)
    cluster.pki.issue("n1")
    generation = cluster.kernel.generation()
    cluster.daemon.kill()
    cluster.daemon.start()
    for name in ("n1", "n3"):
        until(f"{name} to come back", lambda name=name: peers(cluster)[name] is not None)
    equal(cluster.kernel.generation(), generation, "generation after a restart of the daemon")
    cluster.until_holders("n1", "n3")


def strangers(lab: Lab, cluster: Cluster, unharmed) -> None:  # noqa: ANN001
    """Those that should not get in, at n4's machine."""
    assert cluster.pki
    evil, pki = lab.net.node(4), cluster.pki
    other = Pki(lab.directory, "other-pki").create().issue("n4")
    forged = client(pki)
    forged.load_cert_chain(other.files("n4")["certificate"], other.files("n4")["key"])
    old = client(pki, "n1")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    for what, context, says in (
        ("no certificate", client(pki), "certificate required"),
        ("a certificate of another CA", forged, "decrypt error"),
        ("HaloD's own certificate", client(pki, "halod"), "unsupported certificate"),
        ("another node's certificate", client(pki, "n1"), "the hello is of n4, but the certificate is for n1"),
        ("TLS 1.2", old, "protocol version"),
    ):
        contains(converse(evil, context).lower(), says, f"what HaloD says to {what}")
        unharmed(what)
    for what, first in {
        "plaintext": HELLO,
        "garbage": b"\x16" + bytes(range(255)),
        "half a record": b"\x16\x03\x01\x02\x00\x01",
    }.items():
        with dial(evil) as sock:
            sock.sendall(first)
            said = b""
            try:
                while part := sock.recv(65536):
                    said += part
            except ConnectionResetError:
                pass
        check(b"welcome" not in said, f"{what} is not welcomed")
        unharmed(what)
    agent = cluster.machine(4).start_agent("--tls-name", "another").agent
    assert agent
    agent.until_says('not valid for name "another"')
    agent.stop()
    unharmed("an agent that expects another name")
    check("n4" not in cluster.states(), "n4 was never there")
    # With its own certificate it gets in.
    contains(converse(evil, client(pki, "n4")), "welcome", "what HaloD says to n4's own certificate")
    cluster.control.ask("node_remove", name="n4")


def peers(cluster: Cluster) -> dict[str, str | None]:
    """Where each node's connection comes from."""
    return {node["name"]: node.get("peer") for node in cluster.control.ask("nodes") if node["name"] != "n4"}
