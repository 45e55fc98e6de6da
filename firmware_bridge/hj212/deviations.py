"""What real loggers do otherwise than the standard says, by name, so that each may be tolerated or refused.

All of them occur in the standard's own examples or in collected frames, but for the two checksums at the end, which
some serial links compute; those are read only where somebody asks for them.
"""

from collections.abc import Set as AbstractSet
from enum import StrEnum

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["EVERYTHING", "REAL_DEVICES", "STRICT", "Deviation", "Deviations"]


class Deviation(StrEnum):
    """One way to differ from HJ 212-2017."""

    SHORT_LENGTH = "short_length"
    """A length of two or three digits, not filled up with zeros to four."""
    WRONG_LENGTH = "wrong_length"
    """A length that is not the data segment's, whose end the closing && and the checksum show."""
    NO_LINE_END = "no_line_end"
    """No CR LF behind the checksum."""
    LOWERCASE_CRC = "lowercase_crc"
    OVERLONG = "overlong"
    """A data segment of more than 1024 bytes. The sources at hand name no such device; four digits reach to 9999."""
    COMMA_HEADER = "comma_header"
    """A comma between header fields, where a semicolon should be."""
    NO_SEPARATOR = "no_separator"
    """No semicolon before CP."""
    PACKET_ORDER = "packet_order"
    """PNO before PNUM."""
    BLANKS = "blanks"
    """Blanks around a name or value."""
    TRAILING_SEPARATOR = "trailing_separator"
    """A separator with nothing behind it."""
    DUPLICATE_KEY = "duplicate_key"
    """A field twice in one message; the last one counts."""
    SPELLING = "spelling"
    """A name known in another spelling: Ctime for CTime, LA-td for LA-Rtd."""
    ODD_PASSWORD = "odd_password"  # noqa: S105 (a deviation's name)
    """An access password that has not six characters."""
    ODD_MN = "odd_mn"
    """An equipment number that is not up to 24 hex digits."""
    LONG_TIME = "long_time"
    """A DataTime with milliseconds, 17 digits in place of 14."""
    NOT_UTF8 = "not_utf8"
    """Text that is no UTF-8, read as GB 18030."""
    MODBUS_CRC = "modbus_crc"
    """The CRC of Modbus, high byte first."""
    SWAPPED_CRC = "swapped_crc"
    """The standard's CRC, low byte first."""


_REASONS = {
    Deviation.SHORT_LENGTH: Reason.BAD_LENGTH,
    Deviation.WRONG_LENGTH: Reason.BAD_LENGTH,
    Deviation.NO_LINE_END: Reason.TRUNCATED,
    Deviation.LOWERCASE_CRC: Reason.BAD_CHECKSUM,
    Deviation.OVERLONG: Reason.OVERSIZED,
    Deviation.MODBUS_CRC: Reason.BAD_CHECKSUM,
    Deviation.SWAPPED_CRC: Reason.BAD_CHECKSUM,
}
"""The reason to refuse for; bad_field for all others."""

EVERYTHING = frozenset(Deviation)
REAL_DEVICES = EVERYTHING - {Deviation.MODBUS_CRC, Deviation.SWAPPED_CRC}
"""What is tolerated where nothing else is said."""
STRICT: frozenset[Deviation] = frozenset()


class Deviations:
    """The deviations met so far; one that is not tolerated is refused at once."""

    def __init__(self, tolerated: AbstractSet[Deviation]) -> None:
        self._tolerated = tolerated
        self._met: dict[Deviation, None] = {}

    def meet(self, deviation: Deviation, at: int | None = None) -> None:
        """ParseError with the deviation's reason where it is not tolerated."""
        if deviation not in self._tolerated:
            reason = _REASONS.get(deviation, Reason.BAD_FIELD)
            raise ParseError(reason, f"{deviation.replace('_', ' ')}, not tolerated here", at)
        self._met[deviation] = None

    def tolerates(self, deviation: Deviation) -> bool:
        return deviation in self._tolerated

    @property
    def met(self) -> tuple[Deviation, ...]:
        """Each deviation once, in the order they were met."""
        return tuple(self._met)
