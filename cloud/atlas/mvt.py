"""Mapbox Vector Tile 2.1, as far as points need it: layers of points with text, whole, decimal and truth values.

A tile is a Protocol Buffers message (specification, 4 and "vector_tile.proto"):

    Tile     3: Layer...
    Layer   15: version = 2, 1: name, 2: Feature..., 3: key..., 4: Value..., 5: extent
    Feature  1: id, 2: tags (packed: index of key, index of value, ...), 3: type = 1 (POINT), 4: geometry (packed)
    Value    1: string, 3: double, 4: int64, 7: bool

A point's geometry is one MoveTo (command 1, count 1: 9) and how far it is from the tile's corner, zigzag coded (4.3).
"""

import struct
from collections.abc import Sequence
from typing import Final

__all__ = ["EXTENT", "Layer", "Scalar", "varint"]

Scalar = str | bool | int | float

EXTENT: Final = 4096
_SMALL: Final = 1 << 14

_VERSION: Final = b"\x78\x02"  # field 15, varint 2
_TYPE_POINT: Final = b"\x18\x01"  # field 3, varint 1
_MOVE_TO: Final = b"\x09"  # command 1, count 1


def varint(number: int) -> bytes:
    """Seven bits a byte, the low ones first (Protocol Buffers, "Base 128 Varints"); `number` is not below 0."""
    if 0 <= number < _SMALL:
        return _VARINTS[number]
    return _encode(number)


def _encode(number: int) -> bytes:
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{number}: want a number of 0 to 64 bits")
    done = bytearray()
    while number > 0x7F:
        done.append(number & 0x7F | 0x80)
        number >>= 7
    done.append(number)
    return bytes(done)


_VARINTS: Final = tuple(_encode(number) for number in range(_SMALL))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field (wire type 2)."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def _value(value: Scalar) -> bytes:
    return _field(4, _bare(value))


def _bare(value: Scalar) -> bytes:
    if isinstance(value, str):
        return _field(1, value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return b"\x38" + varint(value)
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError(f"{value}: want a whole number of 64 bits")
        # int64: two's complement (not zigzag), so a negative one has all ten bytes.
        return b"\x20" + varint(value & (1 << 64) - 1)
    return b"\x19" + struct.pack("<d", value)


class Layer:
    """One layer, to which points are added; `encoded` is its field of the tile, b"" while it is empty."""

    def __init__(self, name: str, keys: Sequence[str]) -> None:
        """`keys` are the properties that its points may have, each by its place."""
        self._head = _VERSION + _field(1, name.encode())
        self._keys = b"".join(_field(3, key.encode()) for key in keys)
        self._values: dict[tuple[type, Scalar], bytes] = {}
        self._content: list[bytes] = []
        self._features: list[bytes] = []

    def __len__(self) -> int:
        return len(self._features)

    def add(self, x: int, y: int, properties: Sequence[tuple[int, Scalar]], number: int | None = None) -> None:
        """A point at (x, y) of the tile's 4096 units, which may be a little outside, with (place of key, value) pairs.

        `number` is the feature's own id. ValueError for an integer that has no 64 bits.
        """
        tags = b"".join([varint(key) + self._place(value) for key, value in properties])
        geometry = _MOVE_TO + varint(_zigzag(x)) + varint(_zigzag(y))
        own = b"" if number is None else b"\x08" + varint(number)
        inner = own + b"\x12" + varint(len(tags)) + tags + _TYPE_POINT + b"\x22" + varint(len(geometry)) + geometry
        self._features.append(b"\x12" + varint(len(inner)) + inner)

    def encoded(self) -> bytes:
        """The layer as a field of its tile."""
        if not self._features:
            return b""
        extent = b"\x28" + varint(EXTENT)
        return _field(3, b"".join([self._head, *self._features, self._keys, *self._content, extent]))

    def _place(self, value: Scalar) -> bytes:
        # True, 1 and 1.0 are one key of a dict, but three values of a tile.
        key = (type(value), value)
        place = self._values.get(key)
        if place is None:
            place = self._values[key] = varint(len(self._content))
            self._content.append(_value(value))
        return place


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1
