"""What lab.direct_users tells, of nodes two routers away from HaloD, which get packets inside others."""

from lab.beyond import Beyond
from lab.direct_users import move_and_death
from lab.lab import Lab

# Four push servers with agents and 48 users: more than others on a busy machine.
DEADLINE = 300


def run(lab: Lab) -> None:
    way = Beyond(lab.net, 4)
    move_and_death(lab, "ipip")
    way.close()
