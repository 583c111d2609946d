"""All routes on one port, told apart by the flow: exactly the users of moved routes are asked, or cut. Who reconnects
comes from another port, and may have another route.
"""

from lab.lab import Lab
from lab.one_port_users import story


def run(lab: Lab) -> None:
    story(lab, "flow")
