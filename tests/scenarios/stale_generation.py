"""A commit or flush that expects another generation is refused and changes nothing; of several writers one wins."""

import errno
import threading

from lab.addresses import BROWSERS_PORT, ROUTES, VIP4
from lab.checks import contains, equal
from lab.kernel import Commits, Kernel, Refused
from lab.lab import Lab
from lab.traffic import Flow, Traffic


def run(lab: Lab) -> None:
    lab.echoes(2)
    kernel = lab.kernel()
    kernel.commit(lab.table([1] * ROUTES), expected=0, generation=5)
    traffic = Traffic(lab.net.clients, [Flow(VIP4, BROWSERS_PORT + index) for index in range(ROUTES)]).start()
    heard = Commits(lab.net.halod)
    table = kernel.table()

    for expected in (0, 4, 6, 2**63):
        for what, request in (
            ("commit", lambda: kernel.commit(lab.table([2] * ROUTES), expected=expected)),
            ("flush", lambda: kernel.flush(expected)),
        ):
            try:
                request()
            except Refused as refusal:
                equal(refusal.errno, errno.ESTALE, f"errno of a {what} that expects {expected}")
                contains(str(refusal), "5", f"the text of the refusal names the generation in force: {refusal}")
            else:
                raise AssertionError(f"a {what} that expects generation {expected} was accepted; 5 is in force")
    for generation in (5, 4, 0):
        try:
            kernel.commit(lab.table([2] * ROUTES), expected=5, generation=generation)
        except Refused:
            continue
        raise AssertionError(f"a commit to generation {generation} after 5 was accepted")
    equal(kernel.table(), table, "the table after all refusals")
    equal(heard.seen, [], "multicast events of refusals")
    equal(traffic.stop(), [], "errors of connections meanwhile")

    equal(sum(race(lab, 4, 25)), kernel.generation() - 5, "generations gained, and commits that won")
    heard.stop()
    generations = [generation for _, generation in heard.seen]
    equal(generations, list(range(6, kernel.generation() + 1)), "generations told by multicast")


def race(lab: Lab, writers: int, tries: int) -> list[int]:
    """Writers that read the generation and commit the next one, all at once; how many commits each won."""
    won = [0] * writers

    def write(writer: int) -> None:
        mine = Kernel(lab.net.halod)
        for _ in range(tries):
            try:
                mine.commit(lab.table([1] * ROUTES), expected=mine.generation())
                won[writer] += 1
            except Refused as refusal:
                if refusal.errno != errno.ESTALE:
                    raise

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won
