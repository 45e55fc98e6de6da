"""Devices: where they are, how they stand, what they last said."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy import ColumnElement, Select, and_, case, func, literal, or_, select
from starlette.responses import Response

from cloud.api import schemas
from cloud.api.answers import json_answer
from cloud.api.common import Given, Id, NoQuery, PageQuery, StrictQuery, metric_info, text
from cloud.api.cursors import next_cursor, read_cursor
from cloud.api.problems import ApiProblem, describe
from cloud.api.services import Services
from cloud.api.times import age_s, iso
from cloud.relational.engine import reading
from cloud.relational.tables import alarms, cases, devices
from cloud.series.store import Point
from cloud.watch.limits import offline_after
from device_profiles.model import Profile
from telemetry.alarm_states import AlarmState
from telemetry.reason import Reason

__all__ = ["device_row", "router"]

router = APIRouter(tags=["devices"])

MAX_LATEST = 200


class DeviceQuery(PageQuery):
    """Which devices."""

    kind: Id | None = Field(None, description="only of this kind, for instance manhole_cover")
    state: Literal["normal", "alarm", "critical", "offline", "unknown"] | None = Field(None, description="only in this state")
    gateway: Id | None = Field(None, description="only behind this gateway")
    q: str | None = Field(None, min_length=1, max_length=100, description="part of the id, name or component code")


class LatestQuery(StrictQuery):
    """Whose latest values."""

    device: list[Id] = Field(min_length=1, max_length=MAX_LATEST, description="a device's id; say it again for more")


@router.get("/devices", summary="Devices, a page at a time, in order of id", response_model=schemas.DevicePage)
async def list_devices(given: Given, query: Annotated[DeviceQuery, Query()]) -> dict[str, Any]:
    """At most 1000 a page. `state` and the counts are as of now."""
    now_ns = given.clock.wall_ns()
    after = read_cursor(query.cursor, tuple[str])
    wanted = _select(given, now_ns).order_by(devices.c.id).limit(query.limit + 1)
    for condition in _conditions(query, _state(given, now_ns)):
        wanted = wanted.where(condition)
    if after is not None:
        wanted = wanted.where(devices.c.id > after[0])
    async with reading(given.engine) as conn:
        rows = (await conn.execute(wanted)).mappings().all()
    page = rows[: query.limit]
    more = next_cursor(page[-1]["id"]) if len(rows) > query.limit else None
    return {"items": [_shown(dict(row), now_ns) for row in page], "next": more}


@router.get("/devices/{id}", summary="One device with its metrics", response_model=schemas.DeviceDetail, responses=describe(404))
async def get_device(given: Given, device: Annotated[Id, Path(alias="id")], _: NoQuery) -> dict[str, Any]:
    """The metrics are those of the profile that the device is registered with; none where it is not in the catalog."""
    now_ns = given.clock.wall_ns()
    row = await device_row(given, device, now_ns)
    profile = given.catalog.get(row["profile"])
    metrics = [] if profile is None else [metric_info(metric) for metric in profile.metrics.values()]
    return {**_shown(row, now_ns), "metrics": metrics}


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
    now_ns = given.clock.wall_ns()
    ids = list(dict.fromkeys(query.device))
    async with reading(given.engine) as conn:
        rows = await conn.execute(select(devices.c.id, devices.c.profile).where(devices.c.id.in_(ids)))
        profiles: dict[str, str] = {row.id: row.profile for row in rows}
    points = await given.series.latest([device for device in ids if device in profiles])
    items = [
        _latest(device, given.catalog.get(profiles[device]), points.get(device, {}), now_ns)
        for device in ids
        if device in profiles
    ]
    return json_answer({"items": items})


async def device_row(given: Services, device: str, now_ns: int) -> dict[str, Any]:
    """The device's row with `state`, `open_alarms` and `open_cases`; ApiProblem (404) where there is none."""
    async with reading(given.engine) as conn:
        row = (await conn.execute(_select(given, now_ns).where(devices.c.id == device))).mappings().first()
    if row is None:
        raise ApiProblem(Reason.UNKNOWN_DEVICE, f"device {device}: there is none")
    return dict(row)


def _select(given: Services, now_ns: int) -> Select[Any]:
    open_cases = select(func.count()).where(cases.c.device == devices.c.id, cases.c.closed_ns.is_(None)).scalar_subquery()
    return select(
        devices,
        _state(given, now_ns).label("state"),
        _open_alarms().label("open_alarms"),
        open_cases.label("open_cases"),
    )


def _open_alarms(*more: ColumnElement[bool]) -> ColumnElement[int]:
    is_open = and_(alarms.c.device == devices.c.id, alarms.c.state != AlarmState.NORMAL.value, *more)
    return select(func.count()).select_from(alarms).where(is_open).correlate(devices).scalar_subquery()


def _state(given: Services, now_ns: int) -> ColumnElement[str]:
    heard = devices.c.last_reading_ns
    return case(
        (_open_alarms(alarms.c.priority == "critical") > 0, "critical"),
        (_open_alarms() > 0, "alarm"),
        (heard.is_(None), "unknown"),
        (heard < literal(now_ns) - offline_after(devices.c.profile, given.catalog), "offline"),
        else_="normal",
    )


def _conditions(query: DeviceQuery, state: ColumnElement[str]) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.kind is not None:
        found.append(devices.c.kind == query.kind)
    if query.gateway is not None:
        found.append(devices.c.gateway == query.gateway)
    if query.state is not None:
        found.append(state == query.state)
    if query.q is not None:
        texts = (devices.c.id, devices.c.name, devices.c.component_code)
        found.append(or_(*(column.icontains(query.q, autoescape=True) for column in texts)))
    return found


def _shown(row: dict[str, Any], now_ns: int) -> dict[str, Any]:
    names = ("id", "name", "kind", "profile", "profile_version", "gateway", "longitude", "latitude", "component_code")
    return {
        **{name: row[name] for name in names},
        "state": row["state"],
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
