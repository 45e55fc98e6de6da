"""Numbers for what has no row: a value or a fix is (owner, nanosecond), and its number must fit in a Java long.

    bit 62 .. 39   number of the Datastream (or Thing)           24 bits: 16,777,215 of them
    bit 38 .. 6    window of 256 ms since 2000-01-01             33 bits: until 2069-09
    bit  5 .. 0    place in the window                            6 bits

A place is counted in steps of 4 ms plus the nanoseconds beyond the step, modulo 64: so values 4 ms apart have different
places, and so have those that stand a nanosecond apart since a clock of whole seconds told one time for them. Where two
values of one window would have one place, the later takes the next that is free. A window holds 64 numbers; values beyond
that have none. Why it is so is in docs/decisions/0019.
"""

from collections.abc import Iterable
from typing import Final

from telemetry.clock import SECOND_NS

__all__ = ["END_NS", "FIRST_NS", "MOST_OWNERS", "WINDOW_NS", "first_of", "owner_of", "pack", "places", "unpack", "window_of"]

FIRST_NS: Final = 946_684_800 * SECOND_NS
"""2000-01-01T00:00:00Z. An earlier time is no device's (the gateways replace it)."""
WINDOW_NS: Final = 256_000_000
_STEP_NS: Final = WINDOW_NS // 64
_PLACES: Final = 64
_WINDOW_BITS: Final = 33
_OWNER_SHIFT: Final = _WINDOW_BITS + 6
END_NS: Final = FIRST_NS + (1 << _WINDOW_BITS) * WINDOW_NS
"""The first instant that has no number: in September 2069."""
MOST_OWNERS: Final = (1 << 24) - 1


def window_of(time_ns: int) -> tuple[int, int]:
    """The window around a time, [start, end) in nanoseconds."""
    start = time_ns - (time_ns - FIRST_NS) % WINDOW_NS
    return start, start + WINDOW_NS


def places(times_ns: Iterable[int]) -> dict[int, int]:
    """time -> place, for all times of one window in rising order; a time beyond the 64th has none."""
    taken: dict[int, int] = {}
    for time_ns in sorted(times_ns)[:_PLACES]:
        steps, beyond = divmod((time_ns - FIRST_NS) % WINDOW_NS, _STEP_NS)
        place = (steps + beyond) % _PLACES
        while place in taken:
            place = (place + 1) % _PLACES
        taken[place] = time_ns
    return {time_ns: place for place, time_ns in taken.items()}


def pack(owner: int, time_ns: int, place: int) -> int:
    """The number; ValueError outside of 1 to 16,777,215 owners, the times above and 64 places."""
    if not (0 < owner <= MOST_OWNERS and FIRST_NS <= time_ns < END_NS and 0 <= place < _PLACES):
        raise ValueError(f"{owner} at {time_ns} ns, place {place}: has no number")
    return owner << _OWNER_SHIFT | (time_ns - FIRST_NS) // WINDOW_NS << 6 | place


def unpack(number: int) -> tuple[int, int, int] | None:
    """Owner, start of the window in ns, place; None for a number that `pack` never makes."""
    owner = number >> _OWNER_SHIFT
    if not 0 < owner <= MOST_OWNERS:
        return None
    window = number >> 6 & ((1 << _WINDOW_BITS) - 1)
    return owner, FIRST_NS + window * WINDOW_NS, number % _PLACES


def first_of(owner: int) -> int:
    """The smallest number of an owner: for what it has without a time of its own."""
    return owner << _OWNER_SHIFT


def owner_of(number: int) -> int:
    """Whose number it is."""
    return number >> _OWNER_SHIFT
