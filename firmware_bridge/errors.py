"""The two ways a codec says no: an exception where one thing was asked for, a value where a stream goes on."""

import msgspec

from telemetry.reason import Reason

__all__ = ["ParseError", "Refused"]


class ParseError(ValueError):
    """Bytes or a value that cannot be read. `at` is the offset of the first bad byte, where there is one."""

    def __init__(self, reason: Reason, detail: str, at: int | None = None) -> None:
        super().__init__(detail if at is None else f"byte {at}: {detail}")
        self.reason = reason
        self.detail = detail
        self.at = at


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that a framer or a batch gave up on, and why. `raw` is what was dropped, as it came off the wire."""

    reason: Reason
    detail: str
    raw: bytes = b""

    @classmethod
    def of(cls, error: ParseError, raw: bytes) -> "Refused":
        """The value that stands for `error` in a stream that goes on."""
        return cls(reason=error.reason, detail=str(error), raw=raw)
