"""Which lines of a write an InfluxDB refused, read from its answer where that says enough; else halving finds them.

    1.x, 2.x   partial write: field type conflict: input field "m" on measurement "reading" is type string, already
               exists as type integer dropped=2
    1.x, 2.x   partial write: unable to parse 'reading,device=a m= 1000': missing field value dropped=0
    3.x        {"error": "partial write of line protocol occurred", "data": [{"line_number": 2, "error_message": "..."}]}

The first was seen at 1.6.7; 3.x names at most 100 lines (docs.influxdata.com, "Troubleshoot issues writing data"). Whoever
asks writes the other lines again: that is harmless, and finds what an answer left out.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

__all__ = ["blamed", "field_types", "words_of"]

_CONFLICT: Final = re.compile(r'input field "(.*)" on measurement ".*" is type (\w+), already exists as type \w+ dropped=(\d+)')
_UNPARSED: Final = re.compile(r"unable to parse '(.*?)': ([^\n]*)")
# One field of a line: a key that ends at an equals sign without a backslash before it, and a value quoted or not.
_FIELD: Final = re.compile(r'((?:\\.|[^\\,= ])+)=("(?:\\.|[^"\\])*"|[^, ]+)', re.DOTALL)
_HEAD: Final = re.compile(r"(?:\\.|[^\\ ])+ ", re.DOTALL)


def words_of(detail: str) -> str:
    """What the server says in words, without the document around it."""
    document = _document(detail)
    told = next((document[name] for name in ("error", "message") if isinstance(document.get(name), str)), detail)
    return str(told)[:500]


def blamed(detail: str, lines: Sequence[str]) -> Mapping[int, str]:
    """index of a line -> why it was refused, of those that the answer names for certain; empty where it names none."""
    by_number = _by_number(_document(detail), len(lines))
    if by_number:
        return by_number
    words = words_of(detail)
    unparsed = {text: f"unable to parse: {why}"[:500] for text, why in _UNPARSED.findall(words)}
    if unparsed:
        return {index: unparsed[line] for index, line in enumerate(lines) if line in unparsed}
    conflict = _CONFLICT.search(words)
    if conflict is None:
        return {}
    field, kind, dropped = conflict[1], conflict[2], int(conflict[3])
    meant = [index for index, line in enumerate(lines) if field_types(line).get(field) == kind]
    # Fewer or more than it dropped: another field is in conflict as well, or another shard knows another type.
    return dict.fromkeys(meant, words) if len(meant) == dropped else {}


def field_types(line: str) -> dict[str, str]:
    """field -> float, integer, boolean or string, of one line as `influx_lines` writes it."""
    head = _HEAD.match(line)
    if head is None:
        return {}
    return {re.sub(r"\\(.)", r"\1", key): _type(value) for key, value in _FIELD.findall(line, head.end())}


def _type(value: str) -> str:
    if value.startswith('"'):
        return "string"
    if value in {"True", "False"}:
        return "boolean"
    return "integer" if value.endswith("i") else "float"


def _by_number(document: Mapping[str, Any], count: int) -> dict[int, str]:
    data = document.get("data")
    found: dict[int, str] = {}
    for each in data if isinstance(data, list) else ():
        number = each.get("line_number") if isinstance(each, dict) else None
        if isinstance(number, int) and 1 <= number <= count:
            found[number - 1] = str(each.get("error_message", ""))[:500]
    return found


def _document(detail: str) -> Mapping[str, Any]:
    try:
        told = msgspec.json.decode(detail)
    except msgspec.MsgspecError:
        return {}
    return told if isinstance(told, dict) else {}
