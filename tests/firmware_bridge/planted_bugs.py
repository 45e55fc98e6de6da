"""Five bugs of the kinds that decoders have, each put into the running product by replacing one function.

They measure the fuzzers: one that does not find these would not find their like either.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest.mock import patch

import msgspec
from fuzzing import entry

from firmware_bridge.cjt188 import frames as cjt188_frames
from firmware_bridge.dlt645 import parts as dlt645_parts
from firmware_bridge.errors import ParseError
from firmware_bridge.hj212.reassembly import Reassembler
from firmware_bridge.modbus import frames as modbus_frames
from firmware_bridge.serial.framer import SerialFramer
from telemetry.reason import Reason

__all__ = ["PLANTED", "Planted"]


class Planted(msgspec.Struct, frozen=True):
    """A bug in `language`: `owner`'s function `name` is replaced by `wrong`."""

    language: str
    owner: Any
    name: str
    wrong: Callable[..., Any]

    @contextlib.contextmanager
    def put_in(self) -> Iterator[None]:
        """The bug is there within, wherever the function went by its name."""
        entry(self.language)  # what is imported within would keep the bug
        right = getattr(self.owner, self.name)
        holders = [module for module in list(sys.modules.values()) if getattr(module, self.name, None) is right]
        with contextlib.ExitStack() as stack:
            for holder in {id(each): each for each in (self.owner, *holders)}.values():
                stack.enter_context(patch.object(holder, self.name, self.wrong))
            yield


def _believes_half_a_crc(frame: bytes) -> modbus_frames.RtuFrame:
    """Looks at the first byte of the CRC only."""
    if not 4 <= len(frame) <= modbus_frames.MAX_RTU_BYTES:
        raise ParseError(Reason.TRUNCATED, "", len(frame))
    if frame[-2] != modbus_frames.crc16(frame[:-2]) & 0xFF:
        raise ParseError(Reason.BAD_CHECKSUM, "", len(frame) - 2)
    return modbus_frames.RtuFrame(unit=frame[0], pdu=frame[1:-2])


def _measures_one_byte_early(head: bytes) -> int:
    """Reads the length byte where the head may end just before it."""
    if head[:1] != b"\x68":
        raise ParseError(Reason.BAD_START, "", 0)
    return 13 + head[10] if len(head) >= 10 else 0


def _trusts_digits(data: bytes) -> str:
    """Lets Python's own error out where a nibble is no digit."""
    return f"{int(data.hex()):0{2 * len(data)}}"


def _drops_nothing(self: SerialFramer, error: ParseError, count: int, out: list[Any]) -> None:
    """Forgets to move on behind a length that cannot be, and so never does."""
    if error.reason is not Reason.OVERSIZED:
        _DROP(self, error, count, out)


_DROP = SerialFramer._drop

PLANTED: Mapping[str, Planted] = {
    "silent acceptance of a wrong checksum": Planted("modbus", modbus_frames, "parse_rtu", _believes_half_a_crc),
    "a length read one byte early": Planted("cjt188", cjt188_frames, "_measure", _measures_one_byte_early),
    "another exception than ParseError": Planted("dlt645", dlt645_parts, "_digits", _trusts_digits),
    "an endless loop": Planted("serial", SerialFramer, "_drop", _drops_nothing),
    "no bound in reassembly": Planted("hj212", Reassembler, "_make_room", lambda *_: None),
}
