"""Options and files that programs cannot use: each says what is wrong and what would be right, and ends with
its exit code, while the daemon that runs, and its table, stay as they are."""

from lab import paths
from lab.checks import check, contains, equal
from lab.lab import Lab


def run(lab: Lab) -> None:
    cluster = lab.cluster()
    table, running = cluster.kernel.table(), cluster.control.ask("status")
    good = cluster.daemon.config.read_text()
    bad = lab.directory / "bad.toml"

    def refused(code: int, words: tuple[str, ...], *argv: object) -> None:
        done = lab.net.halod.run(*argv, check=False, timeout=20)
        what = " ".join(str(part) for part in argv)
        equal((done.returncode, done.stdout), (code, ""), f"exit code and output of {what}; it said: {done.stderr}")
        for word in words:
            contains(done.stderr, word, f"the error of {what}")
        check("panicked" not in done.stderr, f"{what} does not panic: {done.stderr}")

    # The daemon's file. Its own words are those of the tests of the crate; here is what only a whole one shows.
    listeners = good[good.index("[[listener]]") : good.index("[nodes]")]
    second = good.replace('"2001:db8:100::1"', '"198.51.100.2"', 1)
    line = second[: second.index('"198.51.100.2"')].count("\n") + 1
    for text, words in (
        (good.replace(listeners, ""), (f"{bad}: there is no listener", "[[listener]]")),
        (second, (f"{bad}:{line}: 198.51.100.2", "second address of its family")),
        (good.replace("routes = 24", "routes = 24\nport = 8000"), (f"{bad}:3: unknown field `port`",)),
        (
            good.replace("routes = 24", "routes = 32769").replace("max_nodes = 64", "max_nodes = 0"),
            (f"{bad}:2: routes = 32769", "1 to 32768", "max_nodes = 0"),
        ),
        ("\0\1\2", (f"{bad}:1: ",)),
        ("", (f"{bad}: ",)),
    ):
        check(text != good, f"a file other than the right one, for {words}")
        bad.write_text(text)
        refused(2, words, paths.HALOD, "--config", bad)
    bad.write_bytes(b"cluster = \"\xff\"\n")
    refused(2, (str(bad), "UTF-8"), paths.HALOD, "--config", bad)
    refused(2, (str(lab.directory),), paths.HALOD, "--config", lab.directory)
    refused(2, ("--wait-module", "soon"), paths.HALOD, "--config", bad, "--wait-module", "soon")
    done = lab.net.halod.run(paths.HALOD, "--config", cluster.daemon.config, "--check-config")
    contains(done.stdout, "is right", "--check-config of the daemon's own file")

    # A second daemon: on the same store, and on one of its own.
    refused(4, (f"pid {running['pid']}", "halod.db.lock"), paths.HALOD, "--config", cluster.daemon.config)
    bad.write_text(good.replace("/halod.db", "/other.db").replace("/control.sock", "/other.sock"))
    refused(1, ("192.0.2.1:7600", "nodes.listen"), paths.HALOD, "--config", bad)

    # halodctl.
    for words, arguments in (
        (("explode", "Usage"), ("explode",)),
        (("Usage",), ("node", "activate")),
        (("--routes", "65537", "65536"), ("plan", "--routes", 65537, "--nodes", 2)),
        (("--nodes",), ("plan", "--routes", 24)),
        (("25",), ("plan", "--routes", 24, "--nodes", 25)),
        (("--timeout", "soon"), ("--timeout", "soon", "status")),
        (("--expected", "-1"), ("kernel", "flush", "--yes", "--expected=-1")),
        (("--map", "sometimes", "never"), ("routes", "--map", "sometimes")),
    ):
        refused(2, words, paths.HALODCTL, "--socket", cluster.control.path, *arguments)
    refused(3, ("/nowhere",), paths.HALODCTL, "--socket", "/nowhere", "status")

    # halod-node.
    right = {"--halod": "192.0.2.1:7600", "--name": "n1", "--address": "192.0.2.11"}
    for words, changes in (
        (("--name",), {"--name": "N 1"}),
        (("--halod", "192.0.2.1:7600"), {"--halod": "192.0.2.1"}),
        (("192.0.2.300", "192.0.2.11"), {"--address": "192.0.2.300"}),
        (("127.0.0.1", "loopback"), {"--address": "127.0.0.1"}),
        (("browsers=8000",), {"--port": "browsers"}),
        (("0", "browsers=8000"), {"--port": "browsers=0"}),
        (("5", "200ms"), {"--watch-interval": "5"}),
        (("/nowhere.toml",), {"--config": "/nowhere.toml"}),
        (("--fast",), {"--fast": "1"}),
    ):
        options = [part for option in (right | changes).items() for part in option]
        refused(2, words, paths.HALOD_NODE, *options)
    for missing in right:
        options = [part for name, value in right.items() if name != missing for part in (name, value)]
        refused(2, (f"give {missing}",), paths.HALOD_NODE, *options)
    bad.write_text('halod = "192.0.2.1:7600"\nname = "n1"\naddress = "192.0.2.11"\nwatch_interval = "fast"\n')
    refused(2, (f"{bad}:4", "200ms"), paths.HALOD_NODE, "--config", bad)
    bad.write_text('halod = "192.0.2.1:7600"\nnaem = "n1"\n')
    refused(2, (f"{bad}:2", "naem", "name"), paths.HALOD_NODE, "--config", bad)

    status = cluster.control.ask("status")
    same = ("pid", "generation", "kernel", "lost", "connections")
    equal({name: status[name] for name in same}, {name: running[name] for name in same}, "the daemon that runs")
    equal(cluster.kernel.table(), table, "the kernel's table")
