"""What the door offers: discovery, the services, and what is asked about each; the matters of today in their own words."""

from collections.abc import Iterator
from typing import Any, Final, Protocol

from cloud.notify.config import Language
from cloud.open311.catalogue import Attribute, Entry
from cloud.open311.config import Open311Config
from cloud.open311.faults import Fault, Refused, Trouble, in_language
from device_profiles.matter import Matter

__all__ = ["ENDPOINT", "FindMatter", "definition_document", "discovery_document", "offered", "service_documents", "service_of"]

ENDPOINT: Final = "http://wiki.open311.org/GeoReport_v2"
"""The specification's own name, as discovery has it."""


class FindMatter(Protocol):
    """The line of a matter by which a case goes that is opened at an instant; None where no table has it."""

    def __call__(self, code: str, at_ns: int, /) -> Matter | None: ...


def offered(config: Open311Config, find: FindMatter, now_ns: int) -> Iterator[tuple[Entry, Matter]]:
    """What can be reported now, in the list's order."""
    for code, entry in config.entries.items():
        matter = find(code, now_ns)
        if matter is not None:
            yield entry, matter


def service_of(config: Open311Config, find: FindMatter, code: str, now_ns: int) -> tuple[Entry, Matter]:
    """One service. Refused where it is not offered now."""
    entry = config.entries.get(code)
    matter = None if entry is None else find(code, now_ns)
    if entry is None or matter is None:
        raise Refused(Trouble(Fault.SERVICE_UNKNOWN, {"service": code}))
    return entry, matter


def service_documents(config: Open311Config, find: FindMatter, language: Language, now_ns: int) -> list[dict[str, Any]]:
    """GET services."""
    return [
        {
            "service_code": entry.code,
            "service_name": in_language(matter.title, language),
            "description": in_language(matter.filed_when, language),
            "metadata": bool(entry.attributes),
            "type": "batch" if config.asynchronous else "realtime",
            "keywords": in_language(entry.keywords, language),
            "group": in_language(entry.group, language),
        }
        for entry, matter in offered(config, find, now_ns)
    ]


def definition_document(entry: Entry, language: Language) -> dict[str, Any]:
    """GET services/CODE."""
    asked = [_attribute(attribute, order, language) for order, attribute in enumerate(entry.attributes, 1)]
    return {"service_code": entry.code, "attributes": asked}


def discovery_document(config: Open311Config, find: FindMatter, url: str, now_ns: int) -> dict[str, Any]:
    """GET discovery; `url` is where this door is. It changes with the list, and when a table of matters comes into force."""
    changed = max([config.changed, *(matter.valid_from for _, matter in offered(config, find, now_ns))])
    here = {
        "specification": ENDPOINT,
        "url": url,
        "changeset": changed,
        "type": config.kind.value,
        "formats": ["text/xml", "application/json"],
    }
    return {
        "changeset": changed,
        "contact": config.contact,
        "key_service": config.key_service or config.contact,
        "endpoints": [here],
    }


def _attribute(attribute: Attribute, order: int, language: Language) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "variable": attribute.asked,
        "code": attribute.code,
        "datatype": attribute.datatype.value,
        "required": attribute.required,
        "datatype_description": in_language(attribute.hint, language) or None,
        "order": order,
        "description": in_language(attribute.description, language),
    }
    if attribute.values:
        shown["values"] = [{"key": key, "name": in_language(name, language)} for key, name in attribute.values.items()]
    return shown
