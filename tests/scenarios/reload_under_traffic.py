"""The module is loaded and unloaded, again and again, while packets come in."""

import sys
from pathlib import Path

from lab import module
from lab.addresses import BROWSERS_PORT, ROUTES, VIP4, VIP6
from lab.checks import equal
from lab.lab import Lab
from lab.process import Process
from lab.traffic import ask

BOTH_PATHS = True
TIMES = 10
FLOOD = Path(__file__).resolve().parents[1] / "lab/flood.py"


def run(lab: Lab) -> None:
    echoes = lab.echoes(2)
    table = lab.table([1, 2] * (ROUTES // 2))
    kernel = lab.kernel()
    floods = [
        Process(lab.net.clients, f"flood-{vip}", [sys.executable, FLOOD, vip, BROWSERS_PORT, ROUTES], lab.directory)
        for vip in (VIP4, VIP6)
    ]
    for _ in range(TIMES):
        kernel.commit(table)
        for vip in (VIP4, VIP6):
            for index in (0, ROUTES - 1):
                answer = ask(lab.net.clients, vip, BROWSERS_PORT + index)
                equal(answer, f"n{index % 2 + 1} {BROWSERS_PORT + index}", f"who answers {vip} route {index + 1}")
        module.unload()
        try:
            answer = ask(lab.net.clients, VIP4, BROWSERS_PORT)
        except ConnectionRefusedError:
            answer = "refused"
        equal(answer, "refused", "without the module the port is HaloD's own machine's")
        module.load()
        kernel.reconnect()
        equal(kernel.generation(), 0, "generation after loading")
    heard = sum(sum(echo.datagrams.values()) for echo in echoes)
    print(f"# {TIMES} times, {heard} datagrams reached nodes meanwhile")
    equal([flood.running for flood in floods], [True, True], "the floods run to the end")
    equal(heard > 0, True, "the flood reached nodes")
