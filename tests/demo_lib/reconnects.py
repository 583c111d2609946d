"""Who lost a connection since a moment, why, and when it was back."""

import statistics
from collections import Counter

from lab.subscribers import Loss, User


class Reconnects:
    """Losses from the moment of making this."""

    def __init__(self, users: list[User]):
        self._before = {user.number: len(user.losses) for user in users}

    def of(self, user: User) -> list[Loss]:
        """The user's losses since then; none for users who came later."""
        return user.losses[self._before.get(user.number, len(user.losses)) :]

    def back(self, user: User) -> bool:
        """Whether it lost its connection and has one again."""
        losses = self.of(user)
        return bool(losses) and losses[-1].back is not None and user.connected

    def reasons(self, users: list[User]) -> Counter[str]:
        """How their connections ended: asked to by their node, or cut."""
        return Counter("asked" if loss.why == "asked" else "cut" for user in users for loss in self.of(user)[:1])

    def spread(self, users: list[User], since: float) -> tuple[float, float, float]:
        """When they were back, in seconds after a moment: min, median, max."""
        times = [back - since for user in users if (back := self.of(user)[-1].back) is not None]
        return min(times), statistics.median(times), max(times)
