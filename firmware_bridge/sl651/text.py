"""The body of a frame in the ASCII encoding (SL 651-2014, clauses 6.4 and 6.6).

serial, 4 hex digits | sent, 12 digits | ST station class TT observed | DRxnn step | name value ...

A name may be followed by several values, a time step apart; several names in a row by as many values each time.
"""

import re
from collections.abc import Iterator

from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.sl651.body import Body, civil_or_flaw
from firmware_bridge.sl651.elements import BY_ASCII
from firmware_bridge.sl651.frames import Frame
from firmware_bridge.sl651.readings import Reading
from firmware_bridge.sl651.tables import CLASSES
from firmware_bridge.sl651.values import Value, read_text
from telemetry.reason import Reason

__all__ = ["parse_text"]

_TOKEN = re.compile(rb"[^ \r\n]+")
_STEP = re.compile(r"DR([DHN])(\d\d)")
_STEP_MINUTES = {"D": 1440, "H": 60, "N": 1}
_CLASSES = frozenset(map(chr, CLASSES))
_HEAD_BYTES = 16

Token = tuple[str, int]
"""A word of the body, and where it stands."""


def parse_text(frame: Frame) -> Body:
    """The body of a frame in ASCII, or of a whole message put together from packets. Never refused, see `parse_body`."""
    body = Body()
    if frame.packet is not None and frame.packet[1] > 1:
        body.rest = frame.body
        return body
    head = frame.body[:_HEAD_BYTES]
    try:
        body.serial = int(head[:4].decode("ascii"), 16)
    except ValueError:
        body.flaws.append(Refused.of(ParseError(Reason.NOT_HEX, f"serial {head[:4]!r}", 0), head[:4]))
    digits = head[4:].decode("ascii", errors="replace")
    if len(digits) == 12 and digits.isascii() and digits.isdecimal():
        body.sent = civil_or_flaw(digits, "sent", body.flaws, 4)
    else:
        body.flaws.append(Refused.of(ParseError(Reason.BAD_FIELD, f"sent {digits!r}, want 12 digits", 4), head[4:]))
    _walk(list(_tokens(frame.body)), frame, body)
    return body


def _tokens(data: bytes) -> Iterator[Token]:
    for match in _TOKEN.finditer(data, _HEAD_BYTES):
        yield match[0].decode("gb18030", errors="replace"), match.start()


def _walk(tokens: list[Token], frame: Frame, body: Body) -> None:
    at = 0
    while at < len(tokens):
        word, stands = tokens[at]
        following = tokens[at + 1][0] if at + 1 < len(tokens) else ""
        step = _STEP.fullmatch(word)
        if word in {"ST", "F1F1"}:
            body.station = following
            classed = at + 2 < len(tokens) and tokens[at + 2][0] in _CLASSES
            body.station_class = ord(tokens[at + 2][0]) if classed else None
            at += 3 if classed else 2
        elif word in {"TT", "F0F0"}:
            body.observing = civil_or_flaw(following, "observed", body.flaws, stands) if _is_time(following) else None
            body.observed += [] if body.observing is None else [body.observing]
            at += 2
        elif word in {"RGZS", "F2F2"}:
            body.manual = frame.body[stands + len(word) :].decode("gb18030", errors="replace").strip()
            return
        elif word in {"PIC", "F3F3"}:
            body.picture = frame.body[stands + len(word) + 1 :]
            return
        elif step is not None:
            body.step_minutes = int(step[2]) * _STEP_MINUTES[step[1]]
            at += 1
        else:
            at = _elements(tokens, at, body)


def _is_time(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) == 10


def _is_name(word: str) -> bool:
    known = word in BY_ASCII or word in {"ST", "TT", "RGZS", "PIC", "F0F0", "F1F1", "F2F2", "F3F3"}
    return known or (word.isascii() and word[:1].isalpha() and not _is_filler(word) and not _is_hex_series(word))


def _is_filler(word: str) -> bool:
    return not word.strip("FfMm*")


def _is_hex_series(word: str) -> bool:
    return len(word) in {8, 24, 48} and not set(word) - set("0123456789ABCDEFabcdef")


def _elements(tokens: list[Token], at: int, body: Body) -> int:
    """Read names and the values behind them from `at` on; where the next one begins."""
    names = [at]
    while names[-1] + 1 < len(tokens) and tokens[names[-1] + 1][0] in BY_ASCII and tokens[at][0] in BY_ASCII:
        names.append(names[-1] + 1)
    end = names[-1] + 1
    while end < len(tokens) and not _is_name(tokens[end][0]) and _STEP.fullmatch(tokens[end][0]) is None:
        end += 1
    values = tokens[names[-1] + 1 : end]
    for index, name_at in enumerate(names):
        body.readings.append(_reading(tokens[name_at], values[index :: len(names)], body))
    return end


def _reading(name: Token, words: list[Token], body: Body) -> Reading:
    word, stands = name
    element = BY_ASCII.get(word)
    values: list[Value | None] = []
    flaw: Refused | None = None
    for text, where in words:
        try:
            values.append(read_text(element, text))
        except ParseError as error:
            values.append(None)
            flaw = flaw or Refused.of(ParseError(error.reason, error.detail, where), text.encode())
    if not values:
        flaw = Refused.of(ParseError(Reason.MISSING, f"{word} has no value", stands), b"")
    last, last_at = words[-1] if words else name
    return Reading(
        id=word if element is None else f"{element.id:02X}",
        name=f"element_{word.lower()}" if element is None else element.name,
        name_zh=None if element is None else element.name_zh,
        ascii=word,
        value=values if len(values) > 1 else next(iter(values), None),  # type: ignore[arg-type]
        unit=None if element is None else element.unit,
        observed=body.observing,
        series=len(values) > 1,
        decimals=len(last.partition(".")[2]),
        raw=" ".join(text for text, _ in words).encode(),
        text=True,
        flaw=flaw,
        at=stands,
        size=last_at + len(last) - stands,
    )
