"""Timers of power saving as eight or four binary digits (3GPP TS 24.008, 10.5.7.3, 10.5.7.4a and 10.5.5.32).

The units of T3412 extended from 011 on come from one unverified source.
"""

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["EDRX_NB_S1_MS", "active_time_s", "edrx_ms", "granted_timers", "periodic_update_s"]

_T3324_S = {0b000: 2, 0b001: 60, 0b010: 360}
_T3412_S = {0b000: 600, 0b001: 3600, 0b010: 36000, 0b011: 2, 0b100: 30, 0b101: 60, 0b110: 1_152_000}
_OFF = 0b111

EDRX_NB_S1_MS = {
    0b0010: 20_480,
    0b0011: 40_960,
    0b0101: 81_920,
    0b1001: 163_840,
    0b1010: 327_680,
    0b1011: 655_360,
    0b1100: 1_310_720,
    0b1101: 2_621_440,
    0b1110: 5_242_880,
    0b1111: 10_485_760,
}


def active_time_s(digits: str) -> int | None:
    """T3324, seconds the modem listens before it sleeps; None where it is off. ParseError: bad_field."""
    return _seconds(digits, _T3324_S)


def periodic_update_s(digits: str) -> int | None:
    """T3412 extended, seconds between the modem's reports to the network; None where it is off. ParseError: bad_field."""
    return _seconds(digits, _T3412_S)


def edrx_ms(digits: str) -> int:
    """The eDRX cycle of NB-S1 in milliseconds. ParseError: bad_field."""
    cycle = EDRX_NB_S1_MS.get(_bits(digits, 4))
    if cycle is None:
        raise ParseError(Reason.BAD_FIELD, f"eDRX {digits} is none of NB-S1")
    return cycle


def granted_timers(active: str, periodic: str) -> dict[str, object]:
    """Both timers as said and in seconds; one that is an empty text is not there. ParseError: bad_field."""
    said: dict[str, object] = {}
    if active:
        said |= {"active_time": active, "active_time_s": active_time_s(active)}
    if periodic:
        said |= {"periodic_update": periodic, "periodic_update_s": periodic_update_s(periodic)}
    return said


def _seconds(digits: str, units: dict[int, int]) -> int | None:
    bits = _bits(digits, 8)
    if bits >> 5 == _OFF:
        return None
    unit = units.get(bits >> 5)
    if unit is None:
        raise ParseError(Reason.BAD_FIELD, f"timer {digits} has an unknown unit")
    return unit * (bits & 0x1F)


def _bits(digits: str, size: int) -> int:
    if len(digits) != size or set(digits) - {"0", "1"}:
        raise ParseError(Reason.BAD_FIELD, f"{digits!r:.20}, want {size} binary digits")
    return int(digits, 2)
