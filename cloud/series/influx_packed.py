"""An hour of one metric in one string, beside its plain fields: what a chart reads.

A server spends its time on every field of every row; of 30 days of four metrics that is 2,880 rows of a dozen fields. The
plain ones are for everybody else who reads the server. One string is 96 bytes, little endian, as base64:

    0        1     2      4   8      16     24   32    40     48    56     64        72      80       88
    version  kind  check  n   total  low    high first last   exact start  first_ns  last_ns low_ns   high_ns

96 bytes are 128 characters without padding, so that the strings of many hours are decoded as one. It is a field of the very
line that has the plain ones, and so never older nor newer than they are. A row that ends in a text has an empty one.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cloud.series.rollups import ROW, Kind, Rows

__all__ = ["PACKED", "pack", "unpack"]

PACKED: Final = "packed"
"""The name of the field."""

_VERSION: Final = 1
_LAYOUT: Final = np.dtype(
    [
        ("version", "u1"),
        ("kind", "i1"),
        ("check", "<u2"),
        ("n", "<u4"),
        *((name, "<f8") for name in ("total", "low", "high", "first", "last")),
        *((name, "<i8") for name in ("exact", "start_ns", "first_ns", "last_ns", "low_ns", "high_ns")),
    ]
)
_CHARACTERS: Final = _LAYOUT.itemsize * 4 // 3
_KEPT: Final = tuple(name for name in ROW.names or () if name != "text")
# Odd, so that no change of one word leaves the sum as it was, and all different, so that no exchange of two does as a rule.
_WEIGHTS: Final = np.arange(1, _LAYOUT.itemsize, 2, dtype=np.uint64)


def pack(rows: Rows) -> list[str]:
    """A string for each row; an empty one for what it cannot hold: a text, or more values than any device sends in an hour."""
    laid = np.zeros(len(rows), dtype=_LAYOUT)
    for name in _KEPT:
        laid[name] = rows[name]
    laid["version"] = _VERSION
    laid["check"] = _sums(laid)
    whole = base64.b64encode(laid.tobytes()).decode()
    fits = ((rows["kind"] != Kind.TEXT) & (rows["n"] < 2**32)).tolist()
    return [whole[at * _CHARACTERS : (at + 1) * _CHARACTERS] if fit else "" for at, fit in enumerate(fits)]


def unpack(texts: Iterable[str]) -> Rows | None:
    """The rows of strings as `pack` made them; None where one is empty, of another version or damaged."""
    held = list(texts)
    if set(map(len, held)) - {_CHARACTERS}:
        return None
    try:
        laid = np.frombuffer(base64.b64decode("".join(held), validate=True), dtype=_LAYOUT)
    except (binascii.Error, ValueError):
        return None
    if len(laid) != len(held) or (laid["version"] != _VERSION).any() or (laid["check"] != _sums(laid)).any():
        return None
    rows = np.empty(len(laid), dtype=ROW)
    for name in _KEPT:
        rows[name] = laid[name]
    rows["text"] = None
    return rows


def _sums(laid: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """The weighed sum of the 16-bit words of each row, the check itself taken as 0."""
    words = np.frombuffer(laid.tobytes(), dtype="<u2").reshape(len(laid), len(_WEIGHTS)).astype(np.uint64)
    words[:, 1] = 0
    return (words @ _WEIGHTS & 0xFFFF).astype(np.uint16)
