"""What became of one attempt to reach somebody, and the words for why it failed."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

__all__ = ["Failure", "Receipt", "Redactor", "SendResult", "http_failure"]

_DETAIL_CHARS = 300
_SHORTEST_SECRET = 6


class Failure(StrEnum):
    """Why a message did not get through; each has its own way of trying again.

    AUTH    the signature, key, address or keyword rule was refused: a person must change the configuration
    RATE    too many for now: wait as long as the vendor wants
    FORMAT  the vendor refuses this message as it is
    GONE    the robot, address or mailbox is no longer there
    NETWORK the way there, or the vendor's own trouble, or an answer that its table does not know
    UNKNOWN_AFTER_TIMEOUT  it may have arrived: the answer never came
    """

    AUTH = "auth"
    RATE = "rate"
    FORMAT = "format"
    GONE = "gone"
    NETWORK = "network"
    UNKNOWN_AFTER_TIMEOUT = "unknown_after_timeout"


class Receipt(StrEnum):
    """What a vendor knows of a message whose answer never came.

    ARRIVED  it has it: a repeat would be a second message
    ABSENT   it has never seen it: a repeat is the first
    UNKNOWN  it could not be asked, or cannot say
    """

    ARRIVED = "arrived"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class SendResult(msgspec.Struct, frozen=True, kw_only=True):
    """`failure` is None when the vendor took the message; `retry_after_s` is the vendor's own wish, `receipt` its own id
    of the message, "" where it gives none."""

    failure: Failure | None = None
    vendor_code: str = ""
    detail: str = ""
    retry_after_s: float | None = None
    receipt: str = ""

    @property
    def ok(self) -> bool:
        """Whether the vendor took the message."""
        return self.failure is None


class Redactor:
    """Takes a channel's secrets out of text that is going to be stored, logged or shown."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # Longest first, so that a secret inside another leaves no half of it behind.
        self._secrets = sorted({s for s in secrets if len(s) >= _SHORTEST_SECRET}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """`text` on one line, without secrets, at most 300 characters."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:_DETAIL_CHARS]


def http_failure(status: int) -> Failure | None:
    """What an HTTP status alone says; None for success."""
    if 200 <= status < 300:
        return None
    match status:
        case 401 | 403 | 407:
            return Failure.AUTH
        case 404 | 410:
            return Failure.GONE
        case 429:
            return Failure.RATE
        case 408 | 425:
            return Failure.NETWORK
        case _:
            return Failure.NETWORK if status >= 500 else Failure.FORMAT
