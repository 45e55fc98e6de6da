"""From the text of an expression to its words, each with its place."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from cloud.sensorthings.errors import StaError, invalid
from cloud.sensorthings.shapes import read_shape
from cloud.sensorthings.times import clock_text, read_duration, read_time

__all__ = ["MOST_CHARACTERS", "Token", "fault", "tokens"]

MOST_CHARACTERS: Final = 4_000

_MOMENT: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)"
_TOKEN: Final = re.compile(
    rf"""
    (?P<space>[ \t]+)
  | (?P<time>{_MOMENT}(?:/{_MOMENT})?)
  | (?P<day>\d{{4}}-\d\d-\d\d)(?![\w.:-])
  | (?P<clock>\d\d:\d\d:\d\d(?:\.\d{{1,9}})?)(?![\w.:-])
  | (?P<number>-?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.]))
  | (?P<marked>[A-Za-z]+)?'(?P<text>(?:[^']|'')*)'
  | (?P<word>[A-Za-z_@\u0080-\U0010ffff][\w.@:-]*)
  | (?P<sign>[(),/-])
    """,
    re.VERBOSE | re.ASCII,
)
_INTEGER: Final = re.compile(r"-?\d{1,30}", re.ASCII)


class Token(msgspec.Struct, frozen=True):
    """`kind` is "word", "sign", "constant" or "end"; a constant's `value` is what it stands for."""

    kind: str
    text: str
    at: int
    value: Any = None


def fault(text: str, at: int, wanted: str) -> StaError:
    """What is wrong at a place of an expression."""
    rest = text[at : at + 20]
    return invalid(f"character {at + 1}: {rest!r}: want {wanted}" if rest else f"character {at + 1}: the end: want {wanted}")


def tokens(text: str) -> list[Token]:
    """The words of an expression, an "end" last; StaError (400) with the place for anything that is none."""
    if len(text) > MOST_CHARACTERS:
        raise invalid(f"an expression of {len(text)} characters: want at most {MOST_CHARACTERS}")
    return [*_words(text), Token("end", "", len(text))]


def _words(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise fault(text, at, "a name, a constant or an operator")
        token = _token(text, found)
        if token is not None:
            yield token
        at = found.end()


def _token(text: str, found: re.Match[str]) -> Token | None:
    at, said = found.start(), found.group()
    match found.lastgroup:
        case "space":
            return None
        case "time":
            return _constant(said, at, read_time(said), text, "a time that there is")
        case "day":
            return Token("constant", said, at, said)
        case "clock":
            return Token("constant", said, at, clock_text(said))
        case "number":
            return Token("constant", said, at, _number(said))
        case "text":
            return _quoted(text, found)
        case kind:
            return Token(str(kind), said, at)


def _quoted(text: str, found: re.Match[str]) -> Token:
    at, said = found.start(), found["text"].replace("''", "'")
    match (found["marked"] or "").lower():
        case "":
            return Token("constant", said, at, said)
        case "duration":
            return _constant(said, at, read_duration(said), text, "a duration such as duration'PT1H'")
        case "geography" | "geometry":
            return _constant(said, at, read_shape(said), text, "well-known text such as geography'POINT(121.5 31.2)'")
        case _:
            raise fault(text, at, "duration'...', geography'...' or a text without a mark before it")


def _constant(said: str, at: int, value: Any, text: str, wanted: str) -> Token:
    if value is None:
        raise fault(text, at, wanted)
    return Token("constant", said, at, value)


def _number(said: str) -> int | float:
    return int(said) if _INTEGER.fullmatch(said) else float(said)
