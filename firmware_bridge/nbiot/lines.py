"""A modem's bytes cut into lines (3GPP TS 27.007, V.250: CR LF around each answer; firmwares differ in how many)."""

from collections.abc import Iterator

from firmware_bridge.errors import ParseError, Refused
from telemetry.reason import Reason

__all__ = ["MAX_LINE_BYTES", "LineAssembler", "line_text"]

MAX_LINE_BYTES = 4096
"""A datagram of 1,358 bytes in hex, its head, and some more."""


def line_text(raw: bytes) -> str:
    """A line as text without the blanks around it. ParseError: bad_field for bytes outside printable ASCII."""
    text = raw.strip(b" \t\0")
    bad = next((at for at, byte in enumerate(text) if not 0x20 <= byte < 0x7F and byte != 0x09), None)
    if bad is not None:
        raise ParseError(Reason.BAD_FIELD, f"byte {text[bad]:02x} within a line", bad)
    return text.decode("ascii")


class LineAssembler:
    """Lines out of a stream. Empty ones are nothing; one with noise in it is refused and the next is whole again.

    Holds at most MAX_LINE_BYTES; what is longer is refused once and skipped to the next line end.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[str | Refused]:
        """The lines that `data` completes, in order."""
        for byte in data:
            if byte not in b"\r\n":
                yield from self._hold(byte)
                continue
            raw, self._held, self._skipping = bytes(self._held), bytearray(), False
            if raw:
                yield from self._line(raw)

    def idle(self) -> Iterator[str | Refused]:
        """A line that nothing ended, given up on once the modem has gone quiet."""
        raw, self._held, self._skipping = bytes(self._held), bytearray(), False
        if raw.strip():
            yield Refused(reason=Reason.TRUNCATED, detail="the modem went quiet within a line", raw=raw)

    def _hold(self, byte: int) -> Iterator[Refused]:
        if self._skipping:
            return
        self._held.append(byte)
        if len(self._held) > MAX_LINE_BYTES:
            raw, self._held, self._skipping = bytes(self._held), bytearray(), True
            yield Refused(reason=Reason.OVERSIZED, detail=f"a line of more than {MAX_LINE_BYTES} bytes", raw=raw)

    @staticmethod
    def _line(raw: bytes) -> Iterator[str | Refused]:
        try:
            text = line_text(raw)
        except ParseError as error:
            yield Refused.of(error, raw)
            return
        if text:
            yield text
