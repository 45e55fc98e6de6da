"""How many messages a vendor takes and a person bears, kept exactly."""

from collections import deque
from collections.abc import Iterable

from cloud.notify.config import ChannelConfig, ChannelKind
from telemetry.clock import SECOND_NS

__all__ = ["LONGEST_WINDOW_S", "Allowance", "Budget"]

# A message counts where the vendor's clock sees it arrive, which jitters by the way there.
_MARGIN_NS = SECOND_NS // 2

LONGEST_WINDOW_S = 86_400

_Limits = tuple[tuple[int, int], ...]

# (messages, seconds), of a channel as a whole. Vendors' documents: WeCom and DingTalk robots 20 a minute (DingTalk then
# blocks for ten), Feishu 100 a minute and 5 a second. A modem takes 3 to 6 s for a part (unverified): 12 a minute.
_OF_CHANNEL: dict[ChannelKind, _Limits] = {
    ChannelKind.WECOM: ((20, 60),),
    ChannelKind.DINGTALK: ((20, 60),),
    ChannelKind.FEISHU: ((100, 60), (5, 1)),
    ChannelKind.EMAIL: ((60, 60),),
    ChannelKind.APPRISE: ((20, 60),),
    ChannelKind.SMS_MODEM: ((12, 60),),
}

# The same to one person. WeCom drops what is beyond 30 a minute and 1000 an hour without an error; Aliyun takes 50 a day
# of one signature and template; Tencent's own cap is small and set in its console, so its refusals are waited out.
_OF_TARGET: dict[ChannelKind, _Limits] = {
    ChannelKind.WECOM_APP: ((30, 60), (1000, 3600)),
    ChannelKind.ALIYUN_SMS: ((50, LONGEST_WINDOW_S),),
}

# Shorter windows are only waited for: a digest that saves a second saves nobody anything.
_DIGEST_FROM_S = 30


class Budget:
    """At most `limit` grants in any `window_s` seconds.

    A bucket that refills evenly would allow twice the limit in the minute after a quiet one, and the vendors count
    in plain minutes: so each grant's own time is kept.
    """

    def __init__(self, limit: int, window_s: int) -> None:
        self._grants: deque[int] = deque(maxlen=limit)
        self._limit = limit
        self._window_ns = window_s * SECOND_NS + _MARGIN_NS
        self.digests = window_s >= _DIGEST_FROM_S

    def wait_ns(self, now_ns: int) -> int:
        """How long until one more is allowed; 0 for now."""
        if len(self._grants) < self._limit:
            return 0
        return max(0, self._grants[0] + self._window_ns - now_ns)

    def left(self, now_ns: int) -> int:
        """How many are allowed now."""
        return self._limit - sum(moment + self._window_ns > now_ns for moment in self._grants)

    def take(self, now_ns: int) -> None:
        """Count one grant; the oldest of a full window is forgotten."""
        self._grants.append(now_ns)


class Allowance:
    """What one channel may send now: the channel's own budgets, and those of each of its people.

    `earlier` are the grants of the last run, as (target, nanoseconds) on the clock that `now_ns` is read from.
    """

    def __init__(self, channel: ChannelConfig, earlier: Iterable[tuple[str, int]] = ()) -> None:
        self._whole = _budgets(_narrowed(_OF_CHANNEL.get(channel.kind, ()), channel.per_minute))
        own = _OF_TARGET.get(channel.kind, ())
        self._of = {person.name: _budgets(_narrowed(own, person.per_minute)) for person in channel.people}
        self._rest_until: dict[str, int] = {}
        for target, moment in sorted(earlier, key=lambda grant: grant[1]):
            self.take(target, moment)

    def wait_ns(self, now_ns: int) -> int:
        """How long the channel as a whole has to wait; 0 for not at all."""
        return max((budget.wait_ns(now_ns) for budget in self._whole), default=0)

    def resting(self, now_ns: int) -> list[str]:
        """The people who have had enough for now."""
        spent = {name for name, budgets in self._of.items() if any(budget.wait_ns(now_ns) for budget in budgets)}
        return sorted(spent | {name for name, until_ns in self._rest_until.items() if until_ns > now_ns})

    def last(self, target: str, now_ns: int) -> bool:
        """Whether one message is left to `target`: it had better stand for all that wait."""
        return any(budget.digests and budget.left(now_ns) <= 1 for budget in (*self._whole, *self._of.get(target, ())))

    def take(self, target: str, now_ns: int) -> None:
        """Count one message."""
        for budget in (*self._whole, *self._of.get(target, ())):
            budget.take(now_ns)

    def rest(self, target: str, until_ns: int) -> None:
        """The vendor has had enough of messages to `target`."""
        self._rest_until[target] = until_ns


def _narrowed(limits: _Limits, per_minute: int | None) -> _Limits:
    if per_minute is None:
        return limits
    return ((per_minute, 60), *(rule for rule in limits if rule[1] != 60 or rule[0] < per_minute))


def _budgets(limits: _Limits) -> tuple[Budget, ...]:
    return tuple(Budget(limit, window_s) for limit, window_s in limits)
