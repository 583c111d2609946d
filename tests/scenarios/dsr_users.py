"""What lab.direct_users tells, of nodes on HaloD's network."""

from lab import direct
from lab.direct_users import move_and_death
from lab.lab import Lab

# Four push servers with agents and 48 users: more than others on a busy machine.
DEADLINE = 300


def run(lab: Lab) -> None:
    back = direct.WayBack(lab.net, 4)
    move_and_death(lab, "dsr")
    back.close()
