"""How long to wait before the next attempt."""

import random

__all__ = ["Backoff"]


class Backoff:
    """Pauses that double from `first_s` to `most_s`, each drawn from its upper half: after a regional outage a
    thousand gateways must not come back in the same second."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s

    def reset(self) -> None:
        """It worked: begin small again."""
        self._next_s = self._first_s

    def next_s(self) -> float:
        """The next pause in seconds."""
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, self._most_s)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
