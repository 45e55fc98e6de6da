"""Devices: where they are, how they stand, what they last said."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy import ColumnElement, Select, and_, func, select
from starlette.responses import Response

from cloud.api import schemas
from cloud.api.answers import json_answer
from cloud.api.atlas import BOX, DeviceState, DistrictName, Loaded, box_of, degrees_of
from cloud.api.common import Given, Id, NoQuery, PageQuery, StrictQuery, metric_info, text
from cloud.api.cursors import next_cursor, read_cursor
from cloud.api.map_schemas import SearchPage
from cloud.api.problems import ApiProblem, describe
from cloud.api.services import Services
from cloud.api.times import age_s, iso
from cloud.atlas.atlas import Atlas
from cloud.atlas.finding import find
from cloud.atlas.tiles import Filter
from cloud.relational.chunks import chunks
from cloud.relational.engine import reading
from cloud.relational.tables import alarms, cases, devices
from cloud.series.store import Point
from cloud.watch.limits import UNKNOWN_S, offline_after_s
from device_profiles.model import Profile
from telemetry.alarm_states import AlarmState
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason

__all__ = ["device_row", "router"]

router = APIRouter(tags=["devices"])

MAX_LATEST = 200
"""Devices in one query: an address must not be longer than proxies take."""
MOST_LATEST = 1000


class DeviceQuery(PageQuery):
    """Which devices."""

    kind: list[Id] = Field(default=[], max_length=50, description="only of these kinds, for instance manhole_cover")
    state: list[DeviceState] = Field(default=[], max_length=5, description="only in these states")
    district: list[DistrictName] = Field(default=[], max_length=50, description="only in these districts")
    gateway: Id | None = Field(None, description="only behind this gateway")
    box: str | None = Field(None, max_length=200, description=BOX)
    crs: Literal["wgs84", "display"] = Field("wgs84", description="what `box` is in: WGS-84, or the map's own system")
    q: str | None = Field(None, min_length=1, max_length=100, description="part of the id, name or component code")

    def of(self, atlas: Atlas) -> Filter:
        """In the numbers of the atlas."""
        gateways = () if self.gateway is None else (self.gateway,)
        return atlas.filter(kinds=self.kind, states=self.state, districts=self.district, gateways=gateways)


class LatestQuery(StrictQuery):
    """Whose latest values."""

    device: list[Id] = Field(min_length=1, max_length=MAX_LATEST, description="a device's id; say it again for more")


class LatestBody(schemas.Body):
    """Whose latest values."""

    model_config = schemas.Body.model_config | {"json_schema_extra": {"example": {"devices": ["cover-17", "lamp-3"]}}}
    devices: list[Id] = Field(min_length=1, max_length=MOST_LATEST)


class SearchQuery(StrictQuery):
    """What is looked for."""

    q: str = Field(min_length=1, max_length=100, description="part of a name, an id or an address, or a case's number")
    limit: int = Field(20, ge=1, le=100, description="most items in the answer")


@router.get(
    "/devices",
    summary="Devices, a page at a time, in order of id",
    response_model=schemas.DevicePage,
    responses=describe(503),
)
async def list_devices(given: Given, atlas: Loaded, query: Annotated[DeviceQuery, Query()]) -> Response:
    """At most 1000 a page. What is shown is as of now; which devices fit `state` is known a quarter of a second later."""
    now_ns = given.clock.wall_ns()
    after = read_cursor(query.cursor, tuple[str])
    inside = None
    if query.box is not None and query.crs == "display":
        inside = atlas.displayed(box_of(atlas, query.box, displayed=True))
    elif query.box is not None:
        inside = atlas.area(*degrees_of(query.box))
    ids = await atlas.page(query.of(atlas), inside, query.q, after[0] if after else None, query.limit + 1)
    rows = await _rows(given, ids[: query.limit])
    more = next_cursor(ids[query.limit - 1]) if len(ids) > query.limit else None
    return json_answer({"items": [_shown(given, row, now_ns) for row in rows], "next": more})


@router.get(
    "/devices/search",
    summary="Devices, cases and addresses for a search box",
    response_model=SearchPage,
    responses=describe(503),
)
async def search_devices(atlas: Loaded, query: Annotated[SearchQuery, Query()]) -> Response:
    """A case of exactly that number first, then devices, then other open cases, then the addresses of those."""
    return json_answer({"items": [item._asdict() for item in await find(atlas, query.q, query.limit)]})


@router.get("/devices/{id}", summary="One device with its metrics", response_model=schemas.DeviceDetail, responses=describe(404))
async def get_device(given: Given, device: Annotated[Id, Path(alias="id")], _: NoQuery) -> dict[str, Any]:
    """The metrics are those of the profile that the device is registered with; none where it is not in the catalog."""
    now_ns = given.clock.wall_ns()
    row = await device_row(given, device, now_ns)
    profile = given.catalog.get(row["profile"])
    metrics = [] if profile is None else [metric_info(metric) for metric in profile.metrics.values()]
    return {**_shown(given, row, now_ns), "metrics": metrics}


@router.get(
    "/devices/{id}/latest",
    summary="The newest value of every metric of one device",
    response_model=schemas.Latest,
    responses=describe(404, 503),
)
async def get_latest(given: Given, device: Annotated[Id, Path(alias="id")], _: NoQuery) -> Response:
    """By event time. Metrics that the device never sent are left out."""
    now_ns = given.clock.wall_ns()
    row = await device_row(given, device, now_ns)
    points = await given.series.latest([device])
    return json_answer(_latest(device, given.catalog.get(row["profile"]), points.get(device, {}), now_ns))


@router.get(
    "/latest",
    summary="The newest values of up to 200 devices",
    response_model=schemas.LatestPage,
    responses=describe(503),
)
async def get_many_latest(given: Given, query: Annotated[LatestQuery, Query()]) -> Response:
    """In the order asked for. Devices that do not exist are left out."""
    return await _latest_of(given, query.device)


@router.post(
    "/latest",
    summary="The newest values of up to 1000 devices",
    response_model=schemas.LatestPage,
    responses=describe(503),
)
async def ask_many_latest(given: Given, body: LatestBody, _: NoQuery) -> Response:
    """The same for more devices than an address can name. Changes nothing."""
    return await _latest_of(given, body.devices)


async def _latest_of(given: Services, asked: Sequence[str]) -> Response:
    now_ns = given.clock.wall_ns()
    ids = list(dict.fromkeys(asked))
    profiles: dict[str, str] = {}
    async with reading(given.engine) as conn:
        for some in chunks(ids):
            rows = await conn.execute(select(devices.c.id, devices.c.profile).where(devices.c.id.in_(some)))
            profiles |= {row.id: row.profile for row in rows}
    known = [device for device in ids if device in profiles]
    points = await given.series.latest(known)
    items = [_latest(device, given.catalog.get(profiles[device]), points.get(device, {}), now_ns) for device in known]
    return json_answer({"items": items})


async def device_row(given: Services, device: str, now_ns: int) -> dict[str, Any]:
    """The device's row with `state`, `open_alarms` and `open_cases`; ApiProblem (404) where there is none."""
    rows = await _rows(given, [device])
    if not rows:
        raise ApiProblem(Reason.UNKNOWN_DEVICE, f"device {device}: there is none")
    return {**rows[0], "state": _state(given, rows[0], now_ns)}


async def _rows(given: Services, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of these devices, in their order, each with what is open and when it was last heard."""
    found: dict[str, dict[str, Any]] = {}
    async with reading(given.engine) as conn:
        for some in chunks(ids):
            rows = (await conn.execute(_select().where(devices.c.id.in_(some)))).mappings()
            found |= {row["id"]: dict(row) for row in rows}
    for device, row in found.items():
        row["last_reading_ns"] = given.atlas.last_heard(device, row["last_reading_ns"])
    return [found[device] for device in ids if device in found]


def _select() -> Select[Any]:
    open_cases = select(func.count()).where(cases.c.device == devices.c.id, cases.c.closed_ns.is_(None)).scalar_subquery()
    return select(
        devices,
        _open_alarms().label("open_alarms"),
        _open_alarms(alarms.c.priority == "critical").label("critical_alarms"),
        open_cases.label("open_cases"),
    )


def _open_alarms(*more: ColumnElement[bool]) -> ColumnElement[int]:
    is_open = and_(alarms.c.device == devices.c.id, alarms.c.state != AlarmState.NORMAL.value, *more)
    return select(func.count()).select_from(alarms).where(is_open).correlate(devices).scalar_subquery()


def _state(given: Services, row: dict[str, Any], now_ns: int) -> str:
    """The same as `cloud.atlas.state` has for a million at once."""
    if row["open_alarms"]:
        return "critical" if row["critical_alarms"] else "alarm"
    if row["last_reading_ns"] is None:
        return "unknown"
    profile = given.catalog.get(row["profile"])
    silence_s = UNKNOWN_S if profile is None else offline_after_s(profile)
    return "offline" if row["last_reading_ns"] < now_ns - round(silence_s * SECOND_NS) else "normal"


def _shown(given: Services, row: dict[str, Any], now_ns: int) -> dict[str, Any]:
    names = ("id", "name", "kind", "profile", "profile_version", "gateway", "longitude", "latitude", "component_code")
    return {
        **{name: row[name] for name in names},
        "state": _state(given, row, now_ns),
        "last_reading": iso(row["last_reading_ns"]),
        "age_s": age_s(row["last_reading_ns"], now_ns),
        "open_alarms": row["open_alarms"],
        "open_cases": row["open_cases"],
    }


def _latest(device: str, profile: Profile | None, points: dict[str, Point], now_ns: int) -> dict[str, Any]:
    known = profile.metrics if profile else {}
    # In the profile's order, as its author meant them to be read; what it does not know comes after.
    names = [name for name in known if name in points] + sorted(points.keys() - known.keys())
    return {"device": device, "metrics": [_newest(name, profile, points[name], now_ns) for name in names]}


def _newest(name: str, profile: Profile | None, point: Point, now_ns: int) -> dict[str, Any]:
    metric = profile.metrics.get(name) if profile else None
    return {
        "metric": name,
        "value": point.value,
        "unit": metric.unit if metric else "",
        "quality": point.quality.name.lower(),
        "reason": point.reason.value if point.reason else None,
        "time": iso(point.time_ns),
        "age_s": age_s(point.time_ns, now_ns),
        "title": text(metric.title) if metric else None,
    }
