"""One document, two writings: XML and, by the Spark convention, JSON without the root element.

A document is made of dictionaries, lists, texts, numbers, booleans and None. In XML every element of a list is named after
the list (`services` holds `service`), None is an empty element; nothing else differs, so the two are equal by making.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any, Final

import msgspec

__all__ = ["FORMATS", "MEDIA_TYPES", "encode", "tidy"]

FORMATS: Final = ("xml", "json")
# GeoReport v2, "Format Support".
MEDIA_TYPES: Final = {"xml": "text/xml; charset=utf-8", "json": "application/json; charset=utf-8"}

_ONE_OF: Final[Mapping[str, str]] = {
    "services": "service",
    "attributes": "attribute",
    "values": "value",
    "service_requests": "request",
    "errors": "error",
    "endpoints": "endpoint",
    "formats": "format",
}

_LINE_END = re.compile(r"\r\n?")
# XML 1.0, clause 2.2 (Char), without the carriage return; no escape can carry what is not in it.
_NOT_XML = re.compile("[^\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def tidy(text: str) -> str:
    """The text with what XML cannot carry replaced by U+FFFD, and every line's end a line feed."""
    return _NOT_XML.sub("\ufffd", _LINE_END.sub("\n", text))


def encode(form: str, root: str, document: Any) -> bytes:
    """The document in `xml` or `json`, UTF-8; `root` names the XML's root element."""
    clean = _tidied(document)
    if form == "json":
        return msgspec.json.encode(clean)
    written: bytes = ET.tostring(_element(root, clean), encoding="utf-8", xml_declaration=True)
    return written


def _tidied(value: Any) -> Any:
    if isinstance(value, str):
        return tidy(value)
    if isinstance(value, Mapping):
        return {name: _tidied(inner) for name, inner in value.items()}
    return [_tidied(inner) for inner in value] if isinstance(value, list) else value


def _element(name: str, value: Any) -> ET.Element:
    element = ET.Element(name)
    if isinstance(value, Mapping):
        element.extend(_element(inner, under) for inner, under in value.items())
    elif isinstance(value, list):
        element.extend(_element(_ONE_OF[name], under) for under in value)
    elif value is not None:
        element.text = str(value).lower() if isinstance(value, bool) else str(value)
    return element
