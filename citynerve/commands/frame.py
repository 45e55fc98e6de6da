"""`citynerve frame decode`: what a device's bytes say, field by field, and where they go wrong."""

import difflib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firmware_bridge.errors import ParseError
    from firmware_bridge.language import Language

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Read a device's bytes field by field.")

_LINE_BYTES = 1024 * 1024
_SEPARATORS = re.compile(r"0[xX]|[\s,:_-]+")


@app.callback()
def _group() -> None:
    """Read a device's bytes field by field."""


@app.command()
def decode(
    protocol: Annotated[
        str,
        typer.Argument(
            help="jt808, hj212, dlt645, cjt188, sl651, nbiot-at, onenet, ctwing, lwm2m-tlv, lwm2m-json, senml-json, "
            "senml-cbor, sparkplug-b, ble-advertisement, ble-door, modbus-rtu, modbus-tcp, coap, json, cbor, text, "
            "or a profile with a serial wire."
        ),
    ],
    digits: Annotated[
        list[str] | None, typer.Argument(metavar="[HEX]", help="The frame in hex; blanks and 0x do no harm.")
    ] = None,
    file: Annotated[str | None, typer.Option("--file", help="One frame in hex a line; - for standard input.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a frame.")] = False,
) -> None:
    """Print what a frame says. Exit 1 where a single frame is refused, 2 where the question itself is wrong."""
    language = _language(protocol)
    show = _show_json if as_json else _show_text
    if file is not None and not digits:
        _decode_lines(_lines(file), language, show)
    elif digits and file is None:
        if not show(language, " ".join(digits)):
            raise typer.Exit(1)
    else:
        _complain("give one frame in hex, or --file with one a line (- for standard input), and not both")
        raise typer.Exit(2)


def _language(name: str) -> "Language":
    languages = _languages(name)
    if name in languages:
        return languages[name]
    close = difflib.get_close_matches(name, languages, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    _complain(f"no protocol {name!r}.{hint} There are: {', '.join(sorted(languages))}")
    raise typer.Exit(2)


def _languages(name: str) -> "Mapping[str, Language]":
    """The table of languages; the catalog of profiles is read only for a name that is not among the fixed ones."""
    from firmware_bridge.describe import LANGUAGES, with_profiles

    if name in LANGUAGES:
        return LANGUAGES
    from device_profiles.loader import ProfileError
    from device_profiles.shelf import load_catalog

    try:
        return with_profiles(load_catalog())
    except ProfileError as error:
        _complain(f"the catalog of profiles does not load, so only the fixed protocols are there:\n{error}")
        return LANGUAGES


def _lines(file: str) -> Iterator[str]:
    """The lines that hold something, decoded so that any byte at all comes through as a character."""
    if file == "-":
        yield from _written(sys.stdin.buffer)
        return
    try:
        with Path(file).open("rb") as stream:
            yield from _written(stream)
    except OSError as error:
        _complain(f"{file}: {error.strerror}; want a file with one frame in hex a line")
        raise typer.Exit(2) from error


def _written(stream: BinaryIO) -> Iterator[str]:
    while line := stream.readline(_LINE_BYTES):
        text = line.decode("utf-8", errors="replace").strip("\ufeff \t\r\n")
        if text:
            yield text
        while len(line) == _LINE_BYTES and not line.endswith(b"\n"):  # no frame is that long: the rest goes unread
            line = stream.readline(_LINE_BYTES)


def _decode_lines(lines: Iterable[str], language: "Language", show: "Show") -> None:
    total = refused = 0
    for line in lines:
        total += 1
        refused += not show(language, line)
    _complain(f"{total} frames, {refused} refused")


def _bytes(text: str, spoken: tuple[str, ...]) -> bytes:
    """The bytes that `text` writes in hex; what begins as the language's own text stands there as it is.

    ParseError(not_hex) otherwise.
    """
    from firmware_bridge.errors import ParseError
    from telemetry.reason import Reason

    if text.startswith(spoken):
        return text.encode()
    digits = _SEPARATORS.sub("", text)
    try:
        return bytes.fromhex(digits)
    except ValueError:
        at = next((i for i, c in enumerate(digits) if c not in "0123456789abcdefABCDEF"), None)
        if at is None:
            raise ParseError(Reason.NOT_HEX, f"{len(digits)} hex digits, want an even number", len(digits) // 2) from None
        raise ParseError(Reason.NOT_HEX, f"{digits[at]!r} is no hex digit", at // 2) from None


def _show_json(language: "Language", text: str) -> bool:
    """Print one frame as one JSON object; whether it was read."""
    from firmware_bridge.errors import ParseError

    try:
        record = language.describe(_bytes(text, language.spoken))
    except ParseError as error:
        record = {"refused": error.reason, "where": str(error)}
    print(json.dumps(record, ensure_ascii=False, allow_nan=False))
    return "refused" not in record


def _show_text(language: "Language", text: str) -> bool:
    """Print one frame field by field: offset, bytes, name, value; whether it was read."""
    from firmware_bridge.errors import ParseError

    raw = b""
    try:
        raw = _bytes(text, language.spoken)
        fields = language.explain(raw)
    except ParseError as error:
        _complain(_refusal(raw, error))
        return False
    width = max((len(field.name) for field in fields), default=0)
    for field in fields:
        piece = raw[field.at : field.at + field.size].hex()
        shown = piece if len(piece) <= 24 else f"{piece[:21]}..."
        print(f"{field.at:>5}  {shown:<24}  {field.name:<{width}}  {field.value}")
    print()
    return all(field.name != "refused" for field in fields)


def _refusal(raw: bytes, error: "ParseError") -> str:
    """Why, and the bytes around the first bad one, which stands in brackets."""
    told = f"refused, {error.reason}: {error}"
    if error.at is None or error.at >= len(raw):
        return told
    before, after = raw[max(0, error.at - 8) : error.at].hex(" "), raw[error.at + 1 : error.at + 9].hex(" ")
    return f"{told}\n  {before} [{raw[error.at]:02x}] {after}"


def _complain(text: str) -> None:
    print(text, file=sys.stderr)


Show = Callable[["Language", str], bool]
