"""All routes on one port, told apart by the client's address: exactly the users of moved routes are asked, or cut. Each
comes from an address of its own, and so has its route for good.
"""

from lab.lab import Lab
from lab.one_port_users import story


def run(lab: Lab) -> None:
    story(lab, "source")
