"""A client uses a port again after a move, while the former node still has its old connection: the SYN goes to the
route's node, and nothing that the former node says again of the old connection reaches the new one. So it goes
with the next move; and after the drains too, where nothing is remembered any more."""

from lab.addresses import BROWSERS_PORT, ROUTES
from lab.checks import check, equal
from lab.lab import Lab
from lab.rawtcp import ACK, RST, RawClient
from lab.wait import until

BOTH_PATHS = True
PORT = BROWSERS_PORT + 7
OWN_PORT = 20_000


def run(lab: Lab) -> None:
    lab.echoes(3)
    kernel = lab.kernel()
    for version in (4, 6):
        client = RawClient(lab.net, version)
        kernel.commit(lab.table([1] * ROUTES))
        old = client.connection(PORT, OWN_PORT, isn=1000)
        equal(old.open(), "n1", "who greets before the move")
        other = client.connection(PORT, OWN_PORT + 1)
        equal(other.open(), "n1", "who greets the neighbour before the move")
        # What n1 says to this is never acknowledged: it says it again and again.
        old.send(ACK, b"unheard\n")
        old.heard("n1's echo", lambda segment: segment.data == b"unheard\n")

        kernel.commit(lab.table([2] * ROUTES).drain(1))
        old.heard("n1's echo once more", lambda segment: segment.data == b"unheard\n")
        stale = kernel.counters()["drop_stale"]
        new = client.connection(PORT, OWN_PORT, isn=900_000_000)
        equal(new.open(), "n2", "who greets the port's second connection")
        until("n1's echo to be dropped", lambda: kernel.counters()["drop_stale"] > stale)
        # A straggler of the old connection is n2's to ignore (RFC 9293: it says where it is).
        old.send(ACK, b"straggler\n")
        where = new.heard("n2's word on that", lambda segment: not segment.data)
        equal((where.flags, where.seq, where.ack), (ACK, new.ack, new.seq), "what n2 says to a straggler")
        equal(new.asks("still?"), "still?", "what is heard on it")
        equal(other.asks("still?"), "still?", "what the neighbour hears, whose connection is n1's")

        kernel.commit(lab.table([3] * ROUTES).drain(1, 2))
        equal(new.asks("again?"), "again?", "what is heard after the next move")
        equal(new.asks("and?"), "and?", "what is heard after the next move, from n2 as before")
        newest = client.connection(PORT, OWN_PORT, isn=1_900_000_000)
        equal(newest.open(), "n3", "who greets the port's third connection")
        equal(newest.asks("and?"), "and?", "what is heard on it")

        kernel.commit(lab.table([3] * ROUTES))
        equal(newest.asks("still?"), "still?", "what the third connection hears after the drains")
        other.send(ACK, b"still?\n")
        reset = other.heard("the end of what was n1's", lambda segment: segment.flags & RST)
        check(not reset.data, "a reset without data")
