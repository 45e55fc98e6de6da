"""What DL/T 645 and CJ/T 188 share on the line: wake-up bytes, 68 in front, a sum and 16 behind; one question at a time."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.values import Decoded
from telemetry.reason import Reason

__all__ = ["END", "Asking", "MeterPlan", "MeterRound", "Told", "check_whole", "find_frame", "parse_woken"]

END = 0x16

_Frame = TypeVar("_Frame")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a frame was to the question in hand. `answers`: it is what the meter says to it, be it a refusal; `refused` is why
    it was of no use, None for a good answer and for what is nothing, such as the question's own echo on a two-wire line."""

    answers: bool
    refused: Refused | None = None


class Asking(Protocol):
    """Something asked of one meter. Bytes and frames only: the caller keeps the time."""

    def question(self) -> bytes | None:
        """The question to send now, the same until it is answered or given up; None when there is none left."""
        ...

    def hear(self, frame: Any) -> Told:
        """Take a frame off the line; the question in hand is done where it answers that."""
        ...


class MeterRound(Asking, Protocol):
    """Everything that is read of one meter, asked once."""

    def give_up(self) -> None:
        """Nobody answered the question in hand: what it asked for is bad with reason timeout."""
        ...

    @property
    def spoke(self) -> bool:
        """Whether the meter has answered anything in this round."""
        ...

    def decoded(self) -> Decoded:
        """The round as one reading; what was not asked is bad with reason timeout."""
        ...


class MeterPlan(Protocol):
    """What is read of one meter, and what was learnt of it."""

    timeout_s: float
    """How long the meter may take to begin its answer."""
    poll_s: float

    def framer(self) -> Any:
        """A framer of the meter's language, with `feed` and `idle`."""
        ...

    def begin(self) -> MeterRound:
        """A new round."""
        ...


def parse_woken(raw: bytes, parse: Callable[[bytes], _Frame]) -> _Frame:
    """`parse` of what stands behind the wake-up bytes; a ParseError's `at` counts from the first byte of `raw`."""
    woken = len(raw) - len(raw.lstrip(b"\xfe"))
    return _parse_from(raw, woken, len(raw), parse)


def find_frame(raw: bytes, *, length_at: int, least: int, parse: Callable[[bytes], _Frame]) -> tuple[_Frame, int]:
    """The first whole frame among the bytes of a capture, and where its 68 stands.

    A frame has `least` bytes, and as many more as the byte at `length_at` says. ParseError of the first 68 otherwise.
    """
    refusal: ParseError | None = None
    for at in (at for at, byte in enumerate(raw) if byte == 0x68):
        size = least + raw[at + length_at] if at + length_at < len(raw) else least
        try:
            return _parse_from(raw, at, at + size, parse), at
        except ParseError as error:
            refusal = refusal or error
    raise refusal or ParseError(Reason.BAD_START, "no frame begins with 68", 0)


def check_whole(raw: bytes, size: int, least: int) -> None:
    """Length and integrity of a frame that says it has `size` bytes, 0 where it is too short to say.

    ParseError: truncated, bad_length, bad_field (the end), bad_checksum.
    """
    if not size or len(raw) < size:
        raise ParseError(Reason.TRUNCATED, f"{len(raw)} bytes, want {size or f'at least {least}'}", len(raw))
    if len(raw) > size:
        raise ParseError(Reason.BAD_LENGTH, f"{len(raw) - size} bytes behind the frame", size)
    if raw[-1] != END:
        raise ParseError(Reason.BAD_FIELD, f"ends in {raw[-1]:02x}, want 16", size - 1)
    want = sum(raw[:-2]) & 0xFF
    if raw[-2] != want:
        raise ParseError(Reason.BAD_CHECKSUM, f"checksum {raw[-2]:02x}, want {want:02x}", size - 2)


def _parse_from(raw: bytes, begin: int, end: int, parse: Callable[[bytes], _Frame]) -> _Frame:
    try:
        return parse(raw[begin:end])
    except ParseError as error:
        raise ParseError(error.reason, error.detail, None if error.at is None else error.at + begin) from error
