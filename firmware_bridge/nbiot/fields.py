"""What stands in a line, by table: `+NAME: a,b,c` as a modem says it, and `AT+NAME=a,b,c` as it is told."""

import re
from collections.abc import Callable, Mapping

from firmware_bridge.errors import ParseError
from firmware_bridge.language import Record
from telemetry.reason import Reason

__all__ = ["BARE", "COMMANDS", "PUSHED", "SAYINGS", "Layout", "is_decimal", "parameters", "read", "whole"]

Layout = tuple[tuple[str, Callable[[str], object]], ...]
_PART = re.compile(r'\s*("[^"]*"|\([^()]*\)|[^,"()]*)\s*(?:,|$)')


def parameters(text: str) -> list[str]:
    """The parameters between commas, each as written; a comma in quotes or brackets parts nothing. ParseError: bad_field."""
    parts: list[str] = []
    at = 0
    while True:
        found = _PART.match(text, at)
        if found is None:
            raise ParseError(Reason.BAD_FIELD, "quotes or brackets that do not close", at)
        parts.append(found[1].strip())
        at = found.end()
        if at >= len(text):
            return [*parts, ""] if found[0].endswith(",") else parts


def is_decimal(text: str) -> bool:
    """Whether `text` is a whole number of at most 18 digits, with or without a sign."""
    return re.fullmatch(r"-?[0-9]{1,18}", text) is not None


def whole(text: str) -> int:
    """A whole number. ParseError: bad_field."""
    if not is_decimal(text):
        raise ParseError(Reason.BAD_FIELD, f"{text!r:.40}, want a whole number")
    return int(text)


def quoted(text: str) -> str:
    """A text, with or without its quotes."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def hexes(text: str) -> str:
    """Hex digits of whole bytes, as written. ParseError: not_hex."""
    said = quoted(text)
    if re.fullmatch(r"(?:[0-9A-Fa-f]{2})*", said) is None:
        raise ParseError(Reason.NOT_HEX, f"{said!r:.40}, want hex digits")
    return said


def digits(text: str) -> str:
    """Decimal digits that are a name and no number. ParseError: bad_field."""
    said = quoted(text)
    if not (said.isascii() and said.isdigit() and len(said) <= 22):
        raise ParseError(Reason.BAD_FIELD, f"{said!r:.40}, want digits")
    return said


def value(text: str) -> int | float | str:
    """A number where the text is one, quoted or not."""
    said = quoted(text)
    if is_decimal(said):
        return int(said)
    return float(said) if re.fullmatch(r"-?[0-9]{1,15}\.[0-9]{1,15}", said) else said


_PAYLOAD: Layout = (("len", whole), ("payload_hex", hexes))
_OBJECT: Layout = (("object", whole), ("instance", whole))
_SOCKET: Layout = (("socket", whole),)
_MIPL: Layout = (("ref", whole), *_OBJECT)
_REMOTE: Layout = (("host", quoted), ("port", whole))

SAYINGS: Mapping[str, Layout] = {
    "CGSN": (("imei", digits),),
    "NCCID": (("iccid", quoted),),
    "QCCID": (("iccid", quoted),),
    "NSONMI": (*_SOCKET, ("bytes_waiting", whole)),
    "NSOCLI": _SOCKET,
    "NSOSTR": (*_SOCKET, ("sequence", whole), ("status", whole)),
    "NNMI": _PAYLOAD,
    "NSMI": (("status", quoted),),
    "NMSTATUS": (("registration", quoted),),
    "QIOPEN": (*_SOCKET, ("result", whole)),
    "QLWDATARECV": (*_OBJECT, ("resource", whole), *_PAYLOAD),
    "QMTOPEN": (("tcp_id", whole), ("result", whole)),
    "QMTCONN": (("tcp_id", whole), ("result", whole), ("code", whole)),
    "QMTPUB": (("tcp_id", whole), ("msg_id", whole), ("result", whole)),
}
"""Behind `+NAME:`. Sayings with more to them than their places are read by `sayings`."""

COMMANDS: Mapping[str, Layout] = {
    "NCDP": _REMOTE,
    "NMGS": _PAYLOAD,
    "NSOCR": (("kind", quoted), ("ip_protocol", whole), ("port", whole), ("receive", whole)),
    "NSOST": (*_SOCKET, *_REMOTE, *_PAYLOAD),
    "NSOSTF": (*_SOCKET, *_REMOTE, ("flag", quoted), *_PAYLOAD),
    "NSORF": (*_SOCKET, ("len", whole)),
    "NSOCL": _SOCKET,
    "QLWSERV": _REMOTE,
    "QLWADDOBJ": (*_OBJECT, ("resource_count", whole), ("resources", quoted)),
    "QLWDATASEND": (*_OBJECT, ("resource", whole), *_PAYLOAD, ("flag", quoted)),
    "QMTOPEN": (("tcp_id", whole), *_REMOTE),
    "MIPLADDOBJ": _MIPL,
    "MIPLNOTIFY": (*_MIPL, ("resource", whole), ("type", whole), ("value", value), ("flag", whole)),
    "CFUN": (("functionality", whole),),
    "CEREG": (("n", whole),),
    "CGATT": (("attach", whole),),
}
"""Behind `AT+NAME=`. A command that is not here is told by its parameters as written."""

BARE: Mapping[str, Layout] = {
    "CIMI": (("imsi", digits),),
    "NSOCR": _SOCKET,
    "NSOST": (*_SOCKET, ("len", whole)),
    "NSOSTF": (*_SOCKET, ("len", whole)),
    "NSORF": (*_SOCKET, *_REMOTE, *_PAYLOAD, ("remaining", whole)),
}
"""Answers without a name of their own, by the command that they answer."""


PUSHED: Layout = (*_SOCKET, *_REMOTE, *_PAYLOAD)
"""A datagram that comes with its notice."""


def read(layout: Layout, text: str) -> Record:
    """The parameters in `text` by name; those that are left off are not there, those beyond the layout are `more`.

    ParseError: bad_field, not_hex, and bad_length where `len` is not that of the payload.
    """
    parts = parameters(text)
    record: Record = {name: convert(part) for (name, convert), part in zip(layout, parts, strict=False)}
    if len(parts) > len(layout):
        record["more"] = parts[len(layout) :]
    payload = record.get("payload_hex")
    if isinstance(payload, str) and record["len"] != len(payload) // 2:
        raise ParseError(Reason.BAD_LENGTH, f"{len(payload) // 2} bytes, but the line says {record['len']}")
    return record
