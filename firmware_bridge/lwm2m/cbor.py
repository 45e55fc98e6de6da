"""The small part of CBOR that SenML needs, decimal fractions included, read within bounds (RFC 8949; RFC 8428, clause 6)."""

import math
import struct

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["MAX_DEPTH", "parse_items"]

MAX_DEPTH = 4
_FLOATS = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
_SIMPLE = {20: False, 21: True, 22: None, 23: None}
_DECIMAL_FRACTION = 4


def parse_items(data: bytes) -> object:
    """The one data item in `data`: lists, maps, numbers, texts, bytes, booleans, None.

    ParseError: truncated, oversized (deeper than four levels), not_cbor (trailing bytes, other tags, a key twice).
    """
    reader = _Reader(data)
    item = reader.item(0)
    if reader.at != len(data):
        raise ParseError(Reason.NOT_CBOR, f"{len(data) - reader.at} bytes after the document", reader.at)
    return item


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def item(self, depth: int) -> object:
        start = self.at
        if depth > MAX_DEPTH:
            raise ParseError(Reason.OVERSIZED, f"nested deeper than {MAX_DEPTH}", start)
        major, info = divmod(self._take(1)[0], 32)
        if major == 7:
            return self._simple(info, start)
        argument = self._argument(info, start, indefinite=major in {2, 3, 4, 5})
        match major:
            case 0 | 1:
                return self._known(argument, start) if major == 0 else -1 - self._known(argument, start)
            case 2 | 3:
                raw = self._string(major, argument)
                return raw if major == 2 else self._text(raw, start)
            case 4:
                return self._list(argument, depth)
            case 5:
                return self._map(argument, depth)
            case _:
                return self._decimal_fraction(argument, depth, start)

    def _take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise ParseError(Reason.TRUNCATED, f"{size} bytes, {len(self.data) - self.at} are left", self.at)
        self.at += size
        return self.data[self.at - size : self.at]

    def _argument(self, info: int, start: int, *, indefinite: bool) -> int | None:
        """The head's number, None for an indefinite length."""
        if info < 24:
            return info
        if info < 28:
            return int.from_bytes(self._take(1 << info - 24), "big")
        if info == 31 and indefinite:
            return None
        raise ParseError(Reason.NOT_CBOR, f"additional information {info}", start)

    def _known(self, argument: int | None, start: int) -> int:
        if argument is None:
            raise ParseError(Reason.NOT_CBOR, "a number of indefinite length", start)
        return argument

    def _simple(self, info: int, start: int) -> object:
        if info in _SIMPLE:
            return _SIMPLE[info]
        if info in _FLOATS:
            layout, size = _FLOATS[info]
            return float(struct.unpack(layout, self._take(size))[0])
        raise ParseError(Reason.NOT_CBOR, f"simple value or break {info}", start)

    def _string(self, major: int, size: int | None) -> bytes:
        if size is not None:
            return self._take(size)
        parts = []
        while not self._broken():
            start = self.at
            part_major, info = divmod(self._take(1)[0], 32)
            if part_major != major or info == 31:
                raise ParseError(Reason.NOT_CBOR, "a string's part is not a string of the same kind", start)
            parts.append(self._take(self._argument(info, start, indefinite=False) or 0))
        return b"".join(parts)

    def _text(self, raw: bytes, start: int) -> str:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ParseError(Reason.NOT_CBOR, "a text that is not UTF-8", start) from error

    def _broken(self) -> bool:
        """Whether a break stands here; if so it is taken."""
        if self.data[self.at : self.at + 1] != b"\xff":
            return False
        self.at += 1
        return True

    def _list(self, size: int | None, depth: int) -> list[object]:
        found: list[object] = []
        while len(found) != size and not (size is None and self._broken()):
            found.append(self.item(depth + 1))
        return found

    def _map(self, size: int | None, depth: int) -> dict[object, object]:
        found: dict[object, object] = {}
        while len(found) != size and not (size is None and self._broken()):
            start = self.at
            key = self.item(depth + 1)
            if not isinstance(key, (str, int)) or isinstance(key, bool) or key in found:
                raise ParseError(Reason.NOT_CBOR, "a key that stands there twice, or is neither text nor number", start)
            found[key] = self.item(depth + 1)
        return found

    def _decimal_fraction(self, tag: int | None, depth: int, start: int) -> float:
        if tag != _DECIMAL_FRACTION:
            raise ParseError(Reason.NOT_CBOR, f"tag {tag}; only decimal fractions are known", start)
        match self.item(depth + 1):
            case [int() as exponent, int() as mantissa] if not isinstance(exponent, bool) and not isinstance(mantissa, bool):
                value = float(f"{mantissa}e{exponent}")
            case _:
                raise ParseError(Reason.NOT_CBOR, "a decimal fraction is a list of two whole numbers", start)
        if not math.isfinite(value):
            raise ParseError(Reason.NOT_CBOR, "a decimal fraction beyond what a float holds", start)
        return value
