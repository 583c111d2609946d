"""A wrong configuration or option ends halod with an error that names file, line and what would be right; the
kernel's table stays as it is."""

import re

from lab import paths
from lab.addresses import ROUTES
from lab.checks import check, contains, equal
from lab.daemon import Settings
from lab.lab import Lab


def run(lab: Lab) -> None:
    kernel = lab.kernel()
    kernel.commit(lab.table([1] * ROUTES), generation=7)
    table = kernel.table()
    good = Settings(heartbeat_ms=100, heartbeat_misses=3).toml(lab.directory)
    file = lab.directory / "halod.toml"

    def line_of(text: str, part: str) -> int:
        return text[: text.index(part)].count("\n") + 1

    # What is replaced, by what, and the words that the error has besides file and line.
    wrong = [
        ("routes = 24", "routes = 0", ("routes",)),
        ("routes = 24", "routes = 40000", ("40000", "32768")),
        ("routes = 24", 'routes = "many"', ("routes",)),
        ("routes = 24", "rooms = 24", ("rooms",)),
        ("routes = 24", "routes = ", ()),
        ("active_min = 3", "active_min = -1", ("active_min",)),
        ("reserve = 1", "reserve = 1.5", ("reserve",)),
        ('protocol = "tcp"', 'protocol = "sctp"', ("sctp", "tcp")),
        ("port = 8000", "port = 65530", ("65530",)),
        ("port = 8000", "port = 0", ("port",)),
        ('"198.51.100.1", "2001:db8:100::1"', '"198.51.100.300"', ("198.51.100.300",)),
        ('"198.51.100.1", "2001:db8:100::1"', "", ("addresses",)),
        ("port = 9000", "port = 8023", ("8023", "overlaps")),
        ('listen = ["192.0.2.1:7600"]', 'listen = ["192.0.2.1"]', ("192.0.2.1",)),
        ('plaintext_from = ["192.0.2.0/24"]', 'plaintext_from = ["192.0.2.0/33"]', ("192.0.2.0/33",)),
        ('heartbeat = "100ms"', 'heartbeat = "fast"', ("fast",)),
        ('heartbeat = "100ms"', 'heartbeat = "0ms"', ("heartbeat",)),
        ("heartbeat_misses = 3", "heartbeat_misses = 0", ("heartbeat_misses",)),
        ("[nodes]", "[nodes", ()),
    ]
    for old, new, words in wrong:
        check(old in good, f"the right configuration holds {old!r}")
        text = good.replace(old, new, 1)
        file.write_text(text)
        for arguments in (("--check-config",), ()):
            done = lab.net.halod.run(paths.HALOD, "--config", file, *arguments, check=False, timeout=20)
            what = f"{new!r} instead of {old!r}, options {arguments}"
            equal(done.returncode, 2, f"exit code with {what}; it said: {done.stderr}")
            contains(done.stderr, str(file), f"the error with {what}")
            place = re.search(re.escape(str(file)) + r":(\d+)", done.stderr)
            check(place is not None, f"the error with {what} names a line: {done.stderr}")
            assert place is not None
            line = line_of(text, new or "addresses")
            # Two listeners that do not fit together: the table of the second is named.
            near = line - 4 <= int(place[1]) <= line + 1 if "overlaps" in words else abs(int(place[1]) - line) <= 1
            check(near, f"the error with {what} names line {line}, not {place[1]}: {done.stderr}")
            for word in words:
                contains(done.stderr, word, f"the error with {what}")

    for arguments, words, code in (
        (("--config", "/nowhere/halod.toml"), ("/nowhere/halod.toml",), 2),
        (("--konfig", file), ("--konfig",), 2),
    ):
        done = lab.net.halod.run(paths.HALOD, *arguments, check=False, timeout=20)
        equal(done.returncode, code, f"exit code with options {arguments}")
        for word in words:
            contains(done.stderr, word, f"the error with options {arguments}")
    equal(kernel.table(), table, "the kernel's table after all that")

    # The right one is right; and a second daemon beside the first is refused.
    cluster = lab.cluster(nodes=1)
    done = lab.net.halod.run(paths.HALOD, "--config", cluster.daemon.config, check=False, timeout=20)
    equal(done.returncode, 4, f"exit code of a second halod; it said: {done.stderr}")
    generation = cluster.kernel.generation()

    # Other numbers of routes than the table's are refused on a restart, and the kernel goes on.
    equal(cluster.daemon.stop(), 0, "exit code after SIGTERM")
    cluster.daemon.config.write_text(cluster.daemon.settings.toml(lab.directory).replace("routes = 24", "routes = 12"))
    done = lab.net.halod.run(paths.HALOD, "--config", cluster.daemon.config, check=False, timeout=20)
    check(done.returncode not in (0, 101), f"halod does not start with another number of routes: exit {done.returncode}")
    contains(done.stderr, "--reset-table", "what it says then")
    equal(cluster.kernel.generation(), generation, "generation after it")
    equal(cluster.holders(), ["n1"] * ROUTES, "the kernel's table after it")
