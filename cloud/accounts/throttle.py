"""How often somebody may try: a token bucket for each key, and no more keys than are worth keeping."""

from collections import OrderedDict
from typing import Final

from telemetry.clock import SECOND_NS

__all__ = ["MOST_KEYS", "Throttle"]

MOST_KEYS: Final = 10_000


class Throttle:
    """`burst` tries at once, then one in `every_s`. Times are a monotonic clock's nanoseconds.

    A bucket is kept as the time at which it will be full again, so a full one is nothing to keep. Beyond `most` keys the
    one that was touched longest ago is forgotten: to be forgiven a try costs ten thousand others.
    """

    def __init__(self, burst: int, every_s: float, most: int = MOST_KEYS) -> None:
        self._step_ns = round(every_s * SECOND_NS)
        self._depth_ns = burst * self._step_ns
        self._most = most
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def wait_ns(self, key: str, now_ns: int) -> int:
        """How long until `key` may try; 0 for now."""
        return max(0, self._full_at.get(key, now_ns) + self._step_ns - self._depth_ns - now_ns)

    def take(self, key: str, now_ns: int) -> None:
        """Count one try of `key`."""
        self._full_at[key] = max(self._full_at.pop(key, now_ns), now_ns) + self._step_ns
        while self._full_at and (len(self._full_at) > self._most or next(iter(self._full_at.values())) <= now_ns):
            self._full_at.popitem(last=False)

    def give_back(self, key: str) -> None:
        """The last try of `key` was a good one: it does not count."""
        if key in self._full_at:
            self._full_at[key] -= self._step_ns
