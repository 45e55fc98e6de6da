"""Reads a Mapbox Vector Tile by the specification 2.1 alone, and holds it to what that demands."""

import struct
from collections.abc import Iterator
from typing import Any

__all__ = ["read_tile"]


def read_tile(content: bytes) -> dict[str, list[dict[str, Any]]]:
    """Layer -> its points: `x`, `y`, `id` (None where it has none) and the properties in `is`. ValueError for a bad tile."""
    layers: dict[str, list[dict[str, Any]]] = {}
    for number, value in _fields(content):
        _demand(number == 3, f"field {number} in a tile")
        name, points = _layer(value)
        _demand(name not in layers, "4.1: a layer's name must be one of its own")
        layers[name] = points
    return layers


def _layer(content: bytes) -> tuple[str, list[dict[str, Any]]]:
    found: dict[int, list[Any]] = {}
    for number, value in _fields(content):
        found.setdefault(number, []).append(value)
    _demand(set(found) <= {1, 2, 3, 4, 5, 15}, "a field that a layer has not")
    _demand(found[15] == [2], "4.1: version 2")
    _demand(found.get(5) == [4096], "the extent that the product promises")
    _demand(len(found[1]) == 1 and len(found.get(2, [])) >= 1, "4.1: one name, and a feature at least")
    keys = [each.decode() for each in found.get(3, [])]
    values = [_value(each) for each in found.get(4, [])]
    return found[1][0].decode(), [_feature(each, keys, values) for each in found[2]]


def _feature(content: bytes, keys: list[str], values: list[Any]) -> dict[str, Any]:
    found = dict(_fields(content))
    _demand(found[3] == 1, "a point")
    tags, geometry = list(_varints(found.get(2, b""))), list(_varints(found[4]))
    _demand(len(tags) % 2 == 0, "4.4: tags come in pairs")
    _demand(len(geometry) == 3 and geometry[0] == (1 | 1 << 3), "4.3.4.2: one MoveTo of one point")
    shown = {keys[key]: values[value] for key, value in zip(tags[::2], tags[1::2], strict=True)}
    _demand(len(shown) == len(tags) // 2, "4.4: no key twice")
    x, y = ((each >> 1) ^ -(each & 1) for each in geometry[1:])
    return {"x": x, "y": y, "id": found.get(1), "is": shown}


def _value(content: bytes) -> Any:
    ((number, value),) = _fields(content)
    match number:
        case 1:
            return value.decode()
        case 3:
            return struct.unpack("<d", value)[0]
        case 4:
            return value - (1 << 64) if value >> 63 else value
        case 7:
            return bool(value)
        case _:
            raise ValueError(f"a value of field {number}")


def _fields(content: bytes) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        if tag & 7 == 0:
            value, place = _varint(content, place)
            yield tag >> 3, value
            continue
        if tag & 7 == 2:
            size, place = _varint(content, place)
        else:
            _demand(tag & 7 == 1, "a wire type that has no place here")
            size = 8
        _demand(place + size <= len(content), "cut off")
        yield tag >> 3, content[place : place + size]
        place += size


def _varints(content: bytes) -> Iterator[int]:
    place = 0
    while place < len(content):
        value, place = _varint(content, place)
        yield value


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        _demand(place < len(content) and shift < 70, "cut off")
        value |= (content[place] & 0x7F) << shift
        shift += 7
        place += 1
        if not content[place - 1] & 0x80:
            return value, place


def _demand(held: bool, what: str) -> None:
    if not held:
        raise ValueError(what)
