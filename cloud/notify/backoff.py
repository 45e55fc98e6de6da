"""When to try again."""

from cloud.notify.config import ChannelKind
from cloud.notify.results import Failure, SendResult

__all__ = ["GIVE_UP_AFTER_S", "delay_s", "most_copies", "pause_s"]

GIVE_UP_AFTER_S = 24 * 3600
"""A message that could not be sent for a day tells nobody anything new; it stays visible as failed."""

_LONGEST_S = 600.0
_LONGEST_WISH_S = 3600.0
_CHANNEL_PAUSE_S = 30.0

# First wait in seconds; it doubles with each attempt. None: no attempt will ever succeed, so give up at once.
_FIRST_S: dict[Failure, float | None] = {
    Failure.AUTH: None,
    Failure.FORMAT: None,
    Failure.GONE: None,
    Failure.RATE: 60.0,
    Failure.NETWORK: 2.0,
    # It may have arrived: a repeat too soon is a second message on the same phone.
    Failure.UNKNOWN_AFTER_TIMEOUT: 30.0,
}

# How often a message whose answer never came is sent at most. A webhook's receiver and a mail reader know a repeat by its
# key; people in a group and on a phone see a second message.
_MOST_COPIES: dict[ChannelKind, int | None] = {
    ChannelKind.WEBHOOK: None,
    ChannelKind.EMAIL: None,
    ChannelKind.WECOM: 5,
    ChannelKind.DINGTALK: 5,
    ChannelKind.FEISHU: 5,
    ChannelKind.WECOM_APP: 5,
    ChannelKind.ALIYUN_SMS: 3,
    ChannelKind.TENCENT_SMS: 3,
    ChannelKind.SMS_MODEM: 3,
    ChannelKind.APPRISE: 3,
}


def most_copies(kind: ChannelKind) -> int | None:
    """The bound on copies of one message over a channel of this kind; None where a repeat is known as one."""
    return _MOST_COPIES[kind]


def delay_s(result: SendResult, attempts: int, waited_s: float, chance: float) -> float | None:
    """Seconds until the next attempt, or None to give up.

    `attempts` counts the one that just failed, `waited_s` is the message's age, `chance` in 0..1 spreads the waits
    over their upper half so that many messages do not come back at the same instant.
    """
    if result.failure is None:
        raise ValueError("a message that was taken has no next attempt")
    first = _FIRST_S[result.failure]
    if first is None or waited_s >= GIVE_UP_AFTER_S:
        return None
    if result.retry_after_s is not None:
        return min(result.retry_after_s, _LONGEST_WISH_S) * (1.0 + 0.1 * chance)
    longest = min(_LONGEST_S, first * 2.0 ** min(attempts - 1, 20))
    return longest * (0.5 + 0.5 * chance)


def pause_s(failure: Failure, delay: float) -> float:
    """How long the whole channel rests after one failure: others would meet the same wall."""
    match failure:
        case Failure.RATE:
            return delay
        case Failure.NETWORK | Failure.UNKNOWN_AFTER_TIMEOUT:
            return min(delay, _CHANNEL_PAUSE_S)
        case Failure.AUTH | Failure.FORMAT | Failure.GONE:
            return 0.0
