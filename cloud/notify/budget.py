"""How many messages a vendor takes, kept exactly."""

from collections import deque
from collections.abc import Iterable

from cloud.notify.config import ChannelConfig, ChannelKind
from telemetry.clock import SECOND_NS

__all__ = ["Budget", "budgets_of"]

# A message counts where the vendor's clock sees it arrive, which jitters by the way there.
_MARGIN_NS = SECOND_NS // 2

# Vendors' documents: WeCom and DingTalk robots 20 a minute (DingTalk then blocks for ten), Feishu 100 a minute and 5 a second.
_LIMITS: dict[ChannelKind, tuple[tuple[int, int], ...]] = {
    ChannelKind.WEBHOOK: (),
    ChannelKind.WECOM: ((20, 60),),
    ChannelKind.DINGTALK: ((20, 60),),
    ChannelKind.FEISHU: ((100, 60), (5, 1)),
    ChannelKind.EMAIL: ((60, 60),),
}


class Budget:
    """At most `limit` grants in any `window_s` seconds.

    A bucket that refills evenly would allow twice the limit in the minute after a quiet one, and the vendors count
    in plain minutes: so each grant's own time is kept.
    """

    def __init__(self, limit: int, window_s: int) -> None:
        self._grants: deque[int] = deque(maxlen=limit)
        self._limit = limit
        self._window_ns = window_s * SECOND_NS + _MARGIN_NS

    def wait_ns(self, now_ns: int) -> int:
        """How long until one more is allowed; 0 for now."""
        if len(self._grants) < self._limit:
            return 0
        return max(0, self._grants[0] + self._window_ns - now_ns)

    def take(self, now_ns: int) -> None:
        """Count one grant; the oldest of a full window is forgotten."""
        self._grants.append(now_ns)


def budgets_of(channel: ChannelConfig, earlier_ns: Iterable[int] = ()) -> tuple[Budget, ...]:
    """The budgets of one channel, with the grants of the last run still counted."""
    limits = _LIMITS[channel.kind]
    if channel.per_minute is not None:
        limits = ((channel.per_minute, 60), *(rule for rule in limits if rule[1] < 60))
    budgets = tuple(Budget(limit, window_s) for limit, window_s in limits)
    for moment in sorted(earlier_ns):
        for budget in budgets:
            budget.take(moment)
    return budgets
