"""Whether anybody disciplines the machine's clock: what adjtimex(2) says, which is where every time daemon writes it."""

import ctypes
import struct
from typing import Protocol

__all__ = ["Discipline", "KernelClock", "believes"]

_TIMEX_BYTES = 512
"""More than `struct timex` has on any Linux; all zeros asks and changes nothing."""
_STATUS = struct.Struct("@iLLLLi")
"""modes, offset, freq, maxerror, esterror, status: the head of `struct timex`."""
_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


class Discipline(Protocol):
    """Who can say whether the machine's clock follows a time source."""

    def vouches(self) -> bool:
        """Whether it does now."""
        ...


class KernelClock:
    """The kernel's own word; where it cannot be asked, nobody vouches."""

    def __init__(self) -> None:
        self._ask = getattr(ctypes.CDLL(None), "adjtimex", None)

    def vouches(self) -> bool:
        if self._ask is None:
            return False
        timex = ctypes.create_string_buffer(_TIMEX_BYTES)
        return believes(int(self._ask(timex)), timex.raw)


def believes(answer: int, timex: bytes) -> bool:
    """What adjtimex's return value and `struct timex` mean: a failed call (-1) and TIME_ERROR are no discipline."""
    status: int = _STATUS.unpack_from(timex)[-1]
    return 0 <= answer != _TIME_ERROR and not status & _STA_UNSYNC
