"""How long to wait before the next attempt."""

import random

__all__ = ["Backoff"]


class Backoff:
    """Pauses that double from `first_s` to `most_s`, each drawn by chance: after a regional outage a thousand gateways
    must not come back in the same second. Without a `chance` of its own from the upper half of the pause, with one from
    all of it."""

    def __init__(self, first_s: float, most_s: float, *, chance: random.Random | None = None) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s
        self._chance = chance

    def reset(self) -> None:
        """It worked: begin small again."""
        self._next_s = self._first_s

    def next_s(self) -> float:
        """The next pause in seconds."""
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, self._most_s)
        if self._chance is not None:
            return pause_s * self._chance.random()
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
