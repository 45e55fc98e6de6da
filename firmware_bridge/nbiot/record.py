"""Lines of a dialogue with a modem as one flat record: what `frame decode --json` prints."""

import json
import re

from firmware_bridge.cursor import Shown
from firmware_bridge.errors import ParseError
from firmware_bridge.language import Language, Record
from firmware_bridge.nbiot.fields import COMMANDS, parameters, read
from firmware_bridge.nbiot.lines import MAX_LINE_BYTES, line_text
from firmware_bridge.nbiot.sayings import OWN_COMMANDS, parse_saying
from telemetry.reason import Reason

__all__ = ["LANGUAGE", "record"]

_COMMAND = re.compile(r"AT(?:\+([A-Z0-9]+)(=\?|\?|=(.*))?|[A-Z0-9&]*)", re.IGNORECASE)
_MAX_LINES = 64


def record(raw: bytes) -> Record:
    """Everything that the line in `raw` says, or the lines of one exchange, later ones over earlier ones.

    A line without a name is read by the command before it. ParseError, `at` the line's first byte: truncated, oversized,
    unknown_message, bad_field, bad_length, not_hex, out_of_range.
    """
    said: Record = {"protocol": "nbiot-at"}
    for _, fields in _lines(raw):
        said |= fields
    return said


def _lines(raw: bytes) -> list[tuple[tuple[int, int], Record]]:
    """Each line's offset and size, and what it says."""
    found = [(match.start(), match[0]) for match in re.finditer(rb"[^\r\n]+", raw) if match[0].strip(b" \t\0")]
    if not found:
        raise ParseError(Reason.TRUNCATED, "no line", len(raw))
    if len(found) > _MAX_LINES or any(len(line) > MAX_LINE_BYTES for _, line in found):
        raise ParseError(Reason.OVERSIZED, f"more than {_MAX_LINES} lines, or one of more than {MAX_LINE_BYTES} bytes")
    asked: str | None = None
    commanded = False
    told: list[tuple[tuple[int, int], Record]] = []
    for at, line in found:
        try:
            text = line_text(line)
            command = _COMMAND.fullmatch(text)
            if command is None:
                told.append(((at, len(line)), _saying(text, asked, commanded=commanded)))
            else:
                commanded = True
                asked = command[1] and command[1].upper()
                told.append(((at, len(line)), _command(command)))
        except ParseError as error:
            raise ParseError(error.reason, error.detail, at) from error
    return told


def _saying(text: str, asked: str | None, *, commanded: bool) -> Record:
    """What the modem says; in answer to a command also free text, such as its maker's name."""
    try:
        saying = parse_saying(text, asked)
    except ParseError as error:
        if commanded and error.reason is Reason.UNKNOWN_MESSAGE:
            return {"line": "answer", "text": text}
        raise
    return {"line": saying.kind.value, "name": saying.name} | saying.fields


def _command(found: re.Match[str]) -> Record:
    name = (found[1] or "").upper()
    record: Record = {"line": "command", "command": name or found[0], "asks": (found[2] or "").endswith("?")}
    if found[3] is None:
        return record
    if name in OWN_COMMANDS:
        return record | OWN_COMMANDS[name](found[3])
    parts = parameters(found[3])
    layout = COMMANDS.get(name)
    if layout is None or (name.startswith("MIPL") and len(parts) != len(layout)):  # firmwares differ in the places of MIPL
        return record | {"parameters": parts}
    return record | read(layout, found[3])


def _explain(raw: bytes) -> list[Shown]:
    """One entry a line."""
    return [Shown(str(fields["line"]), at, size, json.dumps(fields)) for (at, size), fields in _lines(raw)]


LANGUAGE = Language(
    describe=record,
    explain=_explain,
    spoken=("AT", "+", "OK", "ERROR", "NUESTATS", "SEND ", "Signal ", "Total ", "TX ", "RX ", "Cell ", "PENDING="),
)
