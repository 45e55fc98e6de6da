"""Canonical JSON by RFC 8785 (JCS): the same document is always the same bytes, whoever writes it."""

import json
import math
from decimal import Decimal
from typing import Any, Final

__all__ = ["canonical"]

_EXACT: Final = 2**53 - 1
"""RFC 8785, 3.1: I-JSON numbers; a larger integer is another number to who reads it as a double."""


def canonical(document: Any) -> bytes:
    """`document` (of dicts with string keys, lists, strings, numbers, booleans, None) in UTF-8: no blanks, keys in the order of
    their UTF-16 code units, numbers as ECMAScript writes them. ValueError for what has no such form."""
    return _text(document).encode("utf-8")


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > _EXACT:
            raise ValueError(f"{value}: no double holds it")
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return f"{{{','.join(f'{_text(key)}:{_text(value[key])}' for key in keys)}}}"
    raise ValueError(f"{type(value).__name__}: has no form in JSON")


def _number(value: float) -> str:
    """ECMA-262, Number::toString: the shortest digits that mean this double, with an exponent from 1e21 on and below 1e-6."""
    if not math.isfinite(value):
        raise ValueError(f"{value}: has no form in JSON")
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 - it is finite
    text, point = "".join(map(str, digits)), len(digits) + exponent
    if len(text) <= point <= 21:
        said = text + "0" * (point - len(text))
    elif 0 < point <= 21:
        said = f"{text[:point]}.{text[point:]}"
    elif -6 < point <= 0:
        said = f"0.{'0' * -point}{text}"
    else:
        said = f"{text[0]}{'.' if text[1:] else ''}{text[1:]}e{point - 1:+d}"
    return f"-{said}" if sign else said
