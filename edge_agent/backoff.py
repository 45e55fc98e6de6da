"""How long to wait before the next attempt."""

import asyncio
import random

__all__ = ["Backoff", "heed_cancellation"]


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


def heed_cancellation() -> None:
    """Raise CancelledError where the running task was cancelled and has not noticed.

    Before Python 3.13 a TaskGroup whose child fails while the group is being cancelled raises the child's error alone.
    A loop that retries after errors calls this before it tries again, or it could not be stopped.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
