"""Cutting a line's bytes into frames that tell their own length, and finding the next one after noise."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from firmware_bridge.errors import ParseError, Refused
from telemetry.reason import Reason

__all__ = ["ResyncFramer"]

Frame = TypeVar("Frame")


class ResyncFramer(Generic[Frame]):
    """Frames of one language out of a stream, whatever stands between them.

    `starts` are the bytes a frame may begin with. `measure` is given the first `head` bytes there are and answers the whole
    frame's size, 0 while more bytes are needed, or ParseError where no frame begins; `parse` makes a frame of exactly that
    many bytes, or ParseError. What is no frame gives up its first byte only, so a whole frame behind a damaged one is still
    found. Given-up bytes come out as one `Refused` before the next frame, in pieces of at most `limit` bytes; those that
    are `silence` alone are nothing. Any cut of the same bytes gives the same result. Holds at most 3 x `limit` bytes.
    """

    def __init__(
        self,
        *,
        starts: tuple[bytes, ...],
        measure: Callable[[bytes], int],
        parse: Callable[[bytes], Frame],
        head: int,
        limit: int,
        silence: bytes = b"",
    ) -> None:
        self._starts = starts
        self._measure = measure
        self._parse = parse
        self._head = head
        self._limit = limit
        self._silence = silence
        self._buffer = bytearray()
        self._noise = bytearray()
        self._why: ParseError | None = None

    def feed(self, data: bytes) -> list[Frame | Refused]:
        """The frames that `data` completes, and what had to be given up, in order."""
        said: list[Frame | Refused] = []
        for at in range(0, len(data), self._limit):
            self._buffer += data[at : at + self._limit]
            said += self._drain(quiet=False)
        return said

    def idle(self) -> list[Frame | Refused]:
        """What is left once the line has gone quiet: frames behind a length that lied, and the rest as refused."""
        return [*self._drain(quiet=True), *self._told()]

    def _drain(self, *, quiet: bool) -> Iterator[Frame | Refused]:
        while self._buffer:
            before = self._noise_bytes()
            if before:
                yield from self._drop(before, ParseError(Reason.BAD_START, "no frame begins here"))
                continue
            try:
                frame, size = self._first()
            except ParseError as error:
                yield from self._drop(1, error)
                continue
            if frame is not None:
                yield from self._told()
                del self._buffer[:size]
                yield frame
            elif quiet:
                yield from self._drop(1, ParseError(Reason.TRUNCATED, "the line went quiet within a frame"))
            else:
                return

    def _noise_bytes(self) -> int:
        """How many bytes stand before the first that a frame may begin with."""
        return min(map(self._found, self._starts))

    def _found(self, start: bytes) -> int:
        at = self._buffer.find(start)
        if at >= 0:
            return at
        partial = next((size for size in range(len(start) - 1, 0, -1) if self._buffer.endswith(start[:size])), 0)
        return len(self._buffer) - partial

    def _first(self) -> tuple[Frame | None, int]:
        """The frame the buffer begins with, None while more bytes are needed."""
        size = self._measure(bytes(self._buffer[: self._head]))
        if size == 0 or len(self._buffer) < size:
            return None, 0
        return self._parse(bytes(self._buffer[:size])), size

    def _drop(self, count: int, why: ParseError) -> Iterator[Refused]:
        while count:
            if self._why is None or self._why.reason is Reason.BAD_START:
                self._why = why
            taken = min(count, self._limit - len(self._noise))
            self._noise += self._buffer[:taken]
            del self._buffer[:taken]
            count -= taken
            if len(self._noise) >= self._limit:
                yield from self._told()

    def _told(self) -> Iterator[Refused]:
        if self._why is not None and self._noise.strip(self._silence):
            yield Refused.of(self._why, bytes(self._noise))
        self._noise.clear()
        self._why = None
