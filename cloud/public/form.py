"""What a plain form sends: fields, and one file (RFC 7578). Whole in memory, so its length is bounded before."""

import re
from collections.abc import Mapping
from email.message import Message
from typing import Final
from urllib.parse import parse_qsl

import msgspec

__all__ = ["Form", "FormError", "read_form"]

_MOST_PARTS: Final = 20
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,70}")  # RFC 2046, 5.1.1


class FormError(ValueError):
    """A body that is no form."""


class Form(msgspec.Struct, frozen=True):
    """Fields by name, the last of each; files by name, those that are empty left out."""

    fields: Mapping[str, str]
    files: Mapping[str, bytes]


def read_form(content_type: str, body: bytes) -> Form:
    """The form of a body. FormError where it is none, is not UTF-8 or has more than 20 parts."""
    kind, boundary = _kind(content_type)
    try:
        if kind == "application/x-www-form-urlencoded":
            return Form(dict(parse_qsl(body.decode(), errors="strict", max_num_fields=_MOST_PARTS)), {})
        if kind == "multipart/form-data" and _BOUNDARY.fullmatch(boundary):
            return _multipart(body, boundary.encode())
    except ValueError as error:
        raise FormError(str(error)) from error
    raise FormError(f"{kind[:60]!r}: want a form")


def _kind(content_type: str) -> tuple[str, str]:
    header = Message()
    header["Content-Type"] = content_type.replace("\r", "").replace("\n", "")
    return header.get_content_type(), str(header.get_param("boundary") or "")


def _multipart(body: bytes, boundary: bytes) -> Form:
    """Parts stand between lines of two dashes and the boundary; the last of these ends with two dashes more."""
    mark = b"\r\n--" + boundary
    _, *parts = (b"\r\n" + body).split(mark)
    if not parts or not parts[-1].startswith(b"--") or len(parts) > _MOST_PARTS + 1:
        raise ValueError("the form has no end, or too many parts")
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for part in parts[:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name, is_file = _disposition(head)
        if is_file and content:
            files[name] = content
        elif not is_file:
            fields[name] = content.decode()
    return Form(fields, files)


def _disposition(head: bytes) -> tuple[str, bool]:
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            header = Message()
            header["Content-Disposition"] = value.strip()
            said = header.get_param("name", header="content-disposition")
            filename = header.get_param("filename", header="content-disposition")
            return str(said or ""), filename is not None
    raise ValueError("a part without Content-Disposition")
