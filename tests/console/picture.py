"""Reads the screenshots that Chromium writes: 8-bit RGB or RGBA PNG without interlacing (PNG specification, 3rd edition)."""

import struct
import zlib
from typing import Any

import numpy as np

__all__ = ["pixels"]


def pixels(png: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Height x width x 3, red green blue."""
    width, height, depth, colour = struct.unpack(">IIBB", png[16:26])
    if depth != 8 or colour not in (2, 6):
        raise ValueError(f"depth {depth}, colour type {colour}: want 8 and 2 or 6")
    bytes_per_pixel = 3 if colour == 2 else 4
    rows = np.frombuffer(zlib.decompress(_data(png)), np.uint8).reshape(height, 1 + width * bytes_per_pixel)
    picture = np.zeros((height, width * bytes_per_pixel), np.uint8)
    above = np.zeros(width * bytes_per_pixel, np.uint8)
    for y in range(height):
        above = picture[y] = _unfilter(int(rows[y, 0]), rows[y, 1:], above, bytes_per_pixel)
    return picture.reshape(height, width, bytes_per_pixel)[:, :, :3]


def _data(png: bytes) -> bytes:
    at, parts = 8, []
    while at < len(png):
        (size,) = struct.unpack_from(">I", png, at)
        if png[at + 4 : at + 8] == b"IDAT":
            parts.append(png[at + 8 : at + 8 + size])
        at += 12 + size
    return b"".join(parts)


def _unfilter(kind: int, row: np.ndarray[Any, Any], above: np.ndarray[Any, Any], step: int) -> np.ndarray[Any, Any]:
    """Clause 9.2: none, sub, up, average, and the predictor named after its author."""
    if kind == 0:
        return row
    if kind == 1:
        return np.add.accumulate(row.reshape(-1, step), axis=0, dtype=np.uint8).reshape(-1)
    if kind == 2:
        return row + above
    out, up = bytearray(row.tobytes()), above.tobytes()
    for i in range(len(out)):
        left = out[i - step] if i >= step else 0
        if kind == 3:
            out[i] = (out[i] + (left + up[i]) // 2) & 255
        else:
            out[i] = (out[i] + _paeth(left, up[i], up[i - step] if i >= step else 0)) & 255
    return np.frombuffer(bytes(out), np.uint8)


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    return min((left, above, corner), key=lambda value: abs(guess - value))
