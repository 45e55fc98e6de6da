"""What a client posts: a form, fields and `attribute[code]` apart; never XML, never files.

By the specification an empty field is one that was not sent.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from cloud.open311.encode import tidy
from cloud.open311.faults import Fault, Refused, Trouble

__all__ = ["MAX_BODY_BYTES", "Form", "read_form"]

MAX_BODY_BYTES: Final = 64 * 1024
"""4,000 characters of Chinese are 36,000 bytes in a form."""

_MAX_FIELDS = 200
_ATTRIBUTE = re.compile(r"attribute\[([^\[\]]*)\](?:\[\])?")


class Form(msgspec.Struct, frozen=True):
    """The fields by name, the last of each, and every answer to each attribute."""

    fields: Mapping[str, str]
    answers: Mapping[str, Sequence[str]]

    def get(self, name: str) -> str:
        """A field; empty where it was not sent."""
        return self.fields.get(name, "")


def read_form(content_type: str, body: bytes) -> Form:
    """The form of a body. Refused where it is none, is not UTF-8 or holds more than 200 fields."""
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Refused(Trouble(Fault.NOT_A_FORM))
    try:
        pairs = parse_qsl(body.decode("utf-8"), encoding="utf-8", errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise Refused(Trouble(Fault.NOT_TEXT)) from error
    fields: dict[str, str] = {}
    answers: dict[str, list[str]] = {}
    for name, raw in pairs:
        value = _clean(raw)
        attribute = _ATTRIBUTE.fullmatch(name)
        if not value:
            continue
        if attribute is None:
            fields[name] = value
        else:
            answers.setdefault(_clean(attribute[1]), []).append(value)
    return Form(fields, answers)


def _clean(text: str) -> str:
    """Without control characters, which no store takes and nobody typed, and without blanks around it."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    typed = "".join(char for char in lines if char in "\n\t" or unicodedata.category(char) != "Cc")
    return tidy(typed).strip()
