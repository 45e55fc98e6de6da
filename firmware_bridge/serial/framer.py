"""Cutting a serial line's bytes into the whole, checked frames of one device's form."""

from collections.abc import Callable

from firmware_bridge.errors import ParseError, Refused
from telemetry.reason import Reason

__all__ = ["SerialFramer"]


class SerialFramer:
    """Frames of one form out of a stream, whatever stands between them.

    `whole` is given the bytes there are, and answers the size of the checked frame they begin with, 0 while more are
    needed, or ParseError; `spoilt` tells how many of them to give up then. What is given up comes out as one refusal before
    the next good frame, in pieces of at most `limit` bytes. Any cut of the same bytes gives the same frames. Holds at most
    three times `limit`.
    """

    def __init__(self, whole: Callable[[bytes], int], limit: int, spoilt: Callable[[bytes], int] = lambda _: 1) -> None:
        self._whole = whole
        self._spoilt = spoilt
        self._limit = max(1, limit)
        self._buffer = bytearray()
        self._noise = bytearray()
        self._why: ParseError | None = None

    def feed(self, data: bytes) -> list[bytes | Refused]:
        """The frames that `data` completes, and what had to be given up, in order."""
        out: list[bytes | Refused] = []
        for start in range(0, len(data), self._limit):
            self._buffer += data[start : start + self._limit]
            self._drain(out, quiet=False)
        return out

    def idle(self) -> list[bytes | Refused]:
        """What is left once the line has gone quiet: frames behind a length byte that lied, and the rest as refused."""
        out: list[bytes | Refused] = []
        self._drain(out, quiet=True)
        self._give_up(out)
        return out

    def _drain(self, out: list[bytes | Refused], *, quiet: bool) -> None:
        while self._buffer:
            try:
                size = self._whole(bytes(self._buffer))
            except ParseError as error:
                self._drop(error, self._spoilt(bytes(self._buffer)), out)
                continue
            if size:
                self._give_up(out)
                out.append(bytes(self._buffer[:size]))
                del self._buffer[:size]
            elif quiet:
                self._drop(ParseError(Reason.TRUNCATED, "the line went quiet within a frame"), 1, out)
            else:
                return

    def _drop(self, error: ParseError, count: int, out: list[bytes | Refused]) -> None:
        if self._why is None or self._why.reason is Reason.BAD_START:
            self._why = error
        self._noise += self._buffer[:count]
        del self._buffer[:count]
        if len(self._noise) >= self._limit:
            self._give_up(out)

    def _give_up(self, out: list[bytes | Refused]) -> None:
        if self._why is not None:
            out.append(Refused.of(self._why, bytes(self._noise)))
        self._noise.clear()
        self._why = None
