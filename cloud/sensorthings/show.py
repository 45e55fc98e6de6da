"""Entities as the documents of the standard (18-088, 8.2 and 9.2; data arrays: clause 12)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from cloud.sensorthings.model import ID, SELF, SETS, Entity
from cloud.sensorthings.options import Options
from cloud.sensorthings.query import Found, Page
from cloud.sensorthings.times import Period, show_time

__all__ = ["array_document", "entity_document", "landing_document", "page_document", "plain", "refs_document", "self_link"]

_REQUIREMENTS: Final = "http://www.opengis.net/spec/iot_sensing/1.1/req/"
_MQTT: Final = f"{_REQUIREMENTS}create-observations-via-mqtt/observations-creation"
_MET: Final = (
    *(
        f"datamodel/{each}"
        for each in (
            "entity-control-information/common-control-information",
            *(
                f"{name}/{part}"
                for name in (
                    "thing", "location", "historical-location", "datastream", "sensor", "observed-property", "observation",
                    "feature-of-interest",
                )
                for part in ("properties", "relations")
            ),
        )
    ),
    "resource-path/resource-path-to-entities",
    *(
        f"request-data/{each}"
        for each in (
            "status-code", "query-status-code", "order", "expand", "select", "orderby", "top", "skip", "count", "filter",
            "built-in-filter-operations", "pagination",
        )
    ),
    "data-array/data-array",
)  # fmt: skip
"""What is met as a whole. Not among them: built-in-query-functions (geo.length and st_relate are missing), and all of
create-update-delete but the creation of Observations."""


def landing_document(base: str, brokers: Sequence[str]) -> dict[str, Any]:
    """The addresses of the sets and what is met of the standard (9.2.1)."""
    met = [_REQUIREMENTS + each for each in _MET]
    settings: dict[str, Any] = {"conformance": [*met, _MQTT] if brokers else met}
    if brokers:
        settings[_MQTT] = {"endpoints": list(brokers)}
    return {"value": [{"name": name, "url": f"{base}/{name}"} for name in SETS], "serverSettings": settings}


def self_link(base: str, entity: Entity) -> str:
    """The address of an entity."""
    return f"{base}/{entity.kind.name}({entity.id})"


def entity_document(base: str, found: Found, options: Options) -> dict[str, Any]:
    """An entity with its control information, or with what is selected of it, and what is expanded."""
    entity, select = found.entity, options.select
    here = self_link(base, entity)
    every: dict[str, Any] = {ID: entity.id, SELF: here}
    every |= {name: plain(entity.values[name]) for name in entity.kind.properties if name in entity.values}
    shown = every if select is None else {name: value for name, value in every.items() if name in select}
    for link in entity.kind.links:
        if link in found.expanded:
            shown |= _expanded(base, found, link, options)
        elif select is None or link in select:
            shown[f"{link}@iot.navigationLink"] = f"{here}/{link}"
    return shown


def _expanded(base: str, found: Found, link: str, options: Options) -> dict[str, Any]:
    inner, behind = options.expand[link], found.expanded[link]
    if not isinstance(behind, Page):
        return {link: None if behind is None else entity_document(base, behind, inner)}
    shown: dict[str, Any] = {}
    if behind.count is not None:
        shown[f"{link}@iot.count"] = behind.count
    shown[link] = [entity_document(base, each, inner) for each in behind.items]
    if behind.further:
        shown[f"{link}@iot.nextLink"] = next_link(f"{self_link(base, found.entity)}/{link}", inner.said, behind)
    return shown


def page_document(base: str, address: str, page: Page) -> dict[str, Any]:
    """A list: count, entities, and the address of the rest."""
    return _list(address, page, [entity_document(base, each, page.options) for each in page.items])


def refs_document(base: str, address: str, page: Page) -> dict[str, Any]:
    """A list of addresses of entities."""
    return _list(address, page, [{SELF: self_link(base, each.entity)} for each in page.items])


def array_document(base: str, address: str, page: Page) -> dict[str, Any]:
    """Observations as rows, Datastream by Datastream, in the order in which those come (12.1)."""
    select = page.options.select
    kind = page.options.kind
    names = [name for name in (ID, *kind.properties) if select is None or name in select]
    shown = ["id" if name == ID else name for name in names]
    groups: dict[int, list[list[Any]]] = {}
    for each in page.items:
        values = {**each.entity.values, ID: each.entity.id}
        groups.setdefault(each.entity.refs["datastream"], []).append([plain(values[name]) for name in names])
    value = [
        {
            "Datastream@iot.navigationLink": f"{base}/Datastreams({stream})",
            "components": shown,
            "dataArray@iot.count": len(rows),
            "dataArray": rows,
        }
        for stream, rows in groups.items()
    ]
    return _list(address, page, value)


def _list(address: str, page: Page, value: list[Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {} if page.count is None else {"@iot.count": page.count}
    shown["value"] = value
    if page.further:
        shown["@iot.nextLink"] = next_link(address, page.options.said, page)
    return shown


def next_link(address: str, said: Sequence[tuple[str, str]], page: Page) -> str:
    """The same question about what comes behind this page."""
    kept = [pair for pair in said if pair[0] not in {"$skip", "$skiptoken"}]
    return f"{address}?{'&'.join(f'{name}={quote(value, safe=_SAFE)}' for name, value in (*kept, *page.further))}"


_SAFE: Final = "$'(),/;:@="


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Period):
        return show_time(value)
    return {name: plain(inner) for name, inner in value.items()} if isinstance(value, Mapping) else value
