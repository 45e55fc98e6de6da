"""Things, Datastreams, Sensors and ObservedProperties: rows of the registry as entities."""

import operator
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Table, and_, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.relational.engine import reading
from cloud.relational.tables import devices, sta_datastreams, sta_properties, sta_sensors, sta_things
from cloud.sensorthings.ask import Ask, Condition
from cloud.sensorthings.model import ID, SETS, Entity
from cloud.sensorthings.units import observation_type, unit_of
from device_profiles.model import Profile
from device_profiles.quantities import Metric, MetricType, Text

__all__ = ["Rows"]

_THING: Final = {"device": "id", "kind": "kind", "gateway": "gateway", "profile": "profile", "component_code": "component_code"}
_COMPARE: Final = {"eq": operator.eq, "gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le}
_INT64: Final = 2**63
_Columns = Mapping[tuple[str, ...], ColumnElement[Any]]


class Rows:
    """`catalog` and `vocabulary` say what devices are and measure."""

    def __init__(self, engine: AsyncEngine, catalog: Mapping[str, Profile], vocabulary: Mapping[str, Metric]) -> None:
        self._engine = engine
        self._catalog = catalog
        self._vocabulary = vocabulary

    def metric(self, profile: str, name: str) -> Metric | None:
        """The metric as this profile narrows it, or as the vocabulary has it."""
        known = self._catalog.get(profile)
        return (known.metrics.get(name) if known else None) or self._vocabulary.get(name)

    async def count(self, ask: Ask) -> int:
        """How many Things, Datastreams, Sensors, ObservedProperties or FeaturesOfInterest there are in the scope."""
        own = {"Datastreams": sta_datastreams, "Sensors": sta_sensors, "ObservedProperties": sta_properties}
        table = own.get(ask.kind.name, sta_things)
        wanted = select(func.count()).select_from(table)
        if table in {sta_things, sta_datastreams}:
            wanted = wanted.join(devices, devices.c.id == table.c.device)
        if table is sta_datastreams:
            wanted = _joined(wanted)
        async with reading(self._engine) as conn:
            return await conn.scalar(wanted.where(*_scoped(table, ask))) or 0

    async def _fetch(self, wanted: Select[Any], table: Table, ask: Ask) -> list[Mapping[str, Any]]:
        """Rows in the order of their numbers."""
        number = table.c.id
        where = [*_scoped(table, ask), *_numbered(number, ask)]
        order = number.desc() if ask.descending else number.asc()
        async with reading(self._engine) as conn:
            rows = await conn.execute(wanted.where(*where).order_by(order).limit(ask.limit))
            return [dict(row) for row in rows.mappings()]

    async def things(self, ask: Ask) -> list[Entity]:
        """Things in the order of their numbers."""
        return [self.thing(row) for row in await self.thing_rows(ask)]

    async def thing_rows(self, ask: Ask) -> list[Mapping[str, Any]]:
        """The same as rows of devices with `no`; for all that has its place from a Thing."""
        wanted = select(sta_things.c.id.label("no"), *devices.c).join_from(
            sta_things, devices, devices.c.id == sta_things.c.device
        )
        return await self._fetch(wanted.where(*_texts(ask, {})), sta_things, ask)

    def thing(self, row: Mapping[str, Any]) -> Entity:
        """One device."""
        profile = self._catalog.get(row["profile"])
        values = {
            "name": row["name"] or row["id"],
            "description": profile.title.en if profile else row["kind"],
            "properties": {
                **{name: row[column] for name, column in _THING.items()},
                "profile_version": row["profile_version"],
                "title": {"zh": profile.title.zh, "en": profile.title.en} if profile else None,
            },
        }
        return Entity(SETS["Things"], row["no"], values)

    async def datastreams(self, ask: Ask) -> list[Entity]:
        """Datastreams in the order of their numbers, without their times."""
        wanted = _joined(
            select(
                sta_datastreams.c.id.label("no"),
                sta_datastreams.c.metric,
                sta_things.c.id.label("thing"),
                sta_sensors.c.id.label("sensor"),
                sta_properties.c.id.label("property"),
                devices.c.id.label("device"),
                devices.c.name,
                devices.c.profile,
            )
            .select_from(sta_datastreams)
            .join(devices, devices.c.id == sta_datastreams.c.device)
        )
        links: _Columns = {
            ("Thing", ID): sta_things.c.id,
            ("Sensor", ID): sta_sensors.c.id,
            ("ObservedProperty", ID): sta_properties.c.id,
        }
        texts: _Columns = {
            ("ObservedProperty", "name"): sta_datastreams.c.metric,
            ("properties", "metric"): sta_datastreams.c.metric,
        }
        where = [*_texts(ask, {**texts, **_device_texts("Thing")}), *_numbers(ask, links)]
        return [self._datastream(row) for row in await self._fetch(wanted.where(*where), sta_datastreams, ask)]

    def _datastream(self, row: Mapping[str, Any]) -> Entity:
        name, metric = row["metric"], self.metric(row["profile"], row["metric"])
        if metric is None:
            # In a table of another release: it measured something that nobody here knows.
            metric = Metric(name=name, type=MetricType.STRING, unit="1", title=Text(name, name))
        values = {
            "name": f"{row['name'] or row['device']}: {name}",
            "description": metric.title.en,
            "observationType": observation_type(metric),
            "unitOfMeasurement": unit_of(metric),
            "properties": {
                "device": row["device"],
                "metric": name,
                "type": metric.type.value,
                "low": metric.low,
                "high": metric.high,
                "title": {"zh": metric.title.zh, "en": metric.title.en},
            },
        }
        refs = {"thing": row["thing"], "sensor": row["sensor"], "property": row["property"]}
        return Entity(SETS["Datastreams"], row["no"], values, refs)

    async def sensors(self, ask: Ask) -> list[Entity]:
        """Versions of profiles that devices are, or were, registered with."""
        wanted = select(sta_sensors.c.id.label("no"), sta_sensors.c.profile, sta_sensors.c.version)
        return [self._sensor(row) for row in await self._fetch(wanted, sta_sensors, ask)]

    def _sensor(self, row: Mapping[str, Any]) -> Entity:
        profile = self._catalog.get(row["profile"])
        known: dict[str, Any] = {"profile": row["profile"], "version": row["version"]}
        if profile is not None:
            title = {"zh": profile.title.zh, "en": profile.title.en}
            known |= {"kind": profile.kind, "title": title, "source": profile.source, "metrics": list(profile.metrics)}
        values = {
            "name": f"{row['profile']} v{row['version']}",
            "description": profile.title.en if profile else row["profile"],
            "encodingType": "application/json",
            "metadata": known,
            "properties": {"profile": row["profile"], "version": row["version"]},
        }
        return Entity(SETS["Sensors"], row["no"], values)

    async def properties(self, ask: Ask) -> list[Entity]:
        """The metrics of the vocabulary."""
        wanted = select(sta_properties.c.id.label("no"), sta_properties.c.metric)
        wanted = wanted.where(*_texts(ask, {("name",): sta_properties.c.metric}))
        return [self._property(row) for row in await self._fetch(wanted, sta_properties, ask)]

    def _property(self, row: Mapping[str, Any]) -> Entity:
        name = row["metric"]
        metric = self._vocabulary.get(name)
        values = {
            "name": name,
            "definition": f"urn:citynerve:metric:{name}",
            "description": metric.title.en if metric else name,
            "properties": {} if metric is None else {
                "unit": metric.unit,
                "type": metric.type.value,
                "low": metric.low,
                "high": metric.high,
                "title": {"zh": metric.title.zh, "en": metric.title.en},
            },
        }  # fmt: skip
        return Entity(SETS["ObservedProperties"], row["no"], values)


def _joined(wanted: Select[Any]) -> Select[Any]:
    """Datastreams with what they refer to."""
    version = and_(sta_sensors.c.profile == devices.c.profile, sta_sensors.c.version == devices.c.profile_version)
    return (
        wanted.join(sta_things, sta_things.c.device == sta_datastreams.c.device)
        .join(sta_sensors, version)
        .join(sta_properties, sta_properties.c.metric == sta_datastreams.c.metric)
    )


def _scoped(own: Table, ask: Ask) -> list[ColumnElement[bool]]:
    tables = {"id": own, "thing": sta_things, "sensor": sta_sensors, "property": sta_properties}
    found: list[ColumnElement[bool]] = [tables[name].c.id == number for name, number in ask.scope.items()]
    if ask.among is not None:
        found.append(tables[ask.among[0]].c.id.in_(ask.among[1]))
    return found


def _numbered(number: ColumnElement[int], ask: Ask) -> list[ColumnElement[bool]]:
    """Conditions on the number of what is asked for."""
    found: list[ColumnElement[bool]] = []
    if ask.after is not None:
        after = min(ask.after, _INT64 - 1)
        found.append(number < after if ask.descending else number > after)
    compared = [each for each in ask.where if each.path == (ID,) and type(each.value) is int and -_INT64 <= each.value < _INT64]
    return [*found, *(_COMPARE[each.op](number, each.value) for each in compared)]


def _device_texts(*before: str) -> dict[tuple[str, ...], ColumnElement[Any]]:
    return {(*before, "properties", name): devices.c[column] for name, column in _THING.items()}


def _texts(ask: Ask, columns: _Columns) -> list[ColumnElement[bool]]:
    """Texts that must be the same: an order of texts is each database's own."""
    known = {**(_device_texts() if ask.kind.name in {"Things", "FeaturesOfInterest"} else {}), **columns}
    return [known[each.path] == each.value for each in ask.where if _is_text(each) and each.path in known]


def _is_text(each: Condition) -> bool:
    return each.op == "eq" and isinstance(each.value, str) and "\0" not in each.value


def _numbers(ask: Ask, columns: _Columns) -> list[ColumnElement[bool]]:
    return [
        columns[each.path] == each.value
        for each in ask.where
        if each.op == "eq" and type(each.value) is int and -_INT64 <= each.value < _INT64 and each.path in columns
    ]
