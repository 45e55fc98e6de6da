"""What a case rests on: the values round the moment at which its alarm was raised, and the limit that was in force then."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from cloud.api.actor import Acting, Actor
from cloud.api.alarm_acts import AlarmId
from cloud.api.cases import CaseId
from cloud.api.common import Given, StrictQuery, metric_info
from cloud.api.examples import AT
from cloud.api.problems import ApiProblem, describe
from cloud.api.schemas import Answer, Text, Value
from cloud.api.services import Services
from cloud.api.times import iso
from cloud.dossier.values import alarms_of, at_the_time, basis_of, measured, neighbours
from cloud.relational.engine import reading
from cloud.relational.tables import cases
from cloud.series.store import Point
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason

__all__ = ["evidence_of", "readable", "router"]

router = APIRouter(tags=["cases"])

_MINUTE_NS: Final = 60 * SECOND_NS


class EvidenceQuery(StrictQuery):
    """Round which moment, and how far."""

    alarm: AlarmId | None = Field(None, description="one of the case's alarms; left out: the one that was raised first")
    minutes: int = Field(30, ge=1, le=720, description="so long before and after the alarm was raised")


class Threshold(Answer):
    """A limit; the alarm is on the side of it that `direction` says. `statistic` is "" for a limit of single values; `in_force`
    tells the limit that the gateway judged by from the one that the profile has today."""

    metric: str
    value: float
    unit: str
    direction: str
    statistic: str
    in_force: bool


class Window(Answer):
    start: str
    end: str


class EvidencePoint(Answer):
    time: str
    value: Value
    quality: str


class EvidenceMetric(Answer):
    """One metric with its values as they came; `truncated`: there are more of them."""

    name: str
    unit: str
    type: str
    title: Text | None
    low: float | None
    high: float | None
    points: list[EvidencePoint]
    truncated: bool


class Neighbour(Answer):
    """A device of the same kind near by, and what it said of the first metric at the same time."""

    device: str
    name: str
    distance_m: float
    metric: str
    value: Value
    time: str | None


_EXAMPLE: Final[dict[str, Any]] = {
    "alarm": "cover-17/cover_open/1763647200123000000", "device": "cover-17", "rule": "cover_open",
    "title": {"zh": "井盖被打开", "en": "Cover opened"}, "profile": "cover_nbiot", "profile_version": 1, "known_version": 1,
    "rule_text": "tilt_deg > 15, for 2 s", "evidence": {"tilt_deg": 41.5, "limit": 15.0}, "triggered": AT,
    "window": {"start": "2026-11-20T13:30:00.123Z", "end": "2026-11-20T14:30:00.123Z"},
    "threshold": [
        {"metric": "tilt_deg", "value": 15.0, "unit": "deg", "direction": "above", "statistic": "", "in_force": True}
    ],
    "metrics": [
        {
            "name": "tilt_deg", "unit": "deg", "type": "float", "title": {"zh": "倾角", "en": "Tilt"}, "low": 0.0, "high": 180.0,
            "points": [{"time": AT, "value": 41.5, "quality": "good"}], "truncated": False,
        }
    ],
    "neighbours": [
        {"device": "cover-18", "name": "中山路 4 号井", "distance_m": 31.5, "metric": "tilt_deg", "value": 0.5, "time": AT}
    ],
}  # fmt: skip


class CaseEvidence(Answer):
    """`alarm` is null where the case has none; then nothing was measured for it. `rule_text` is of the version
    `known_version` of the profile, `profile_version` the one that the alarm was judged by."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})
    alarm: str | None
    device: str | None
    rule: str
    title: Text | None
    profile: str
    profile_version: int | None
    known_version: int | None
    rule_text: str | None
    evidence: dict[str, Value]
    triggered: str | None
    window: Window | None
    threshold: list[Threshold]
    metrics: list[EvidenceMetric]
    neighbours: list[Neighbour]


@router.get(
    "/cases/{id}/evidence",
    summary="What was measured when the alarm of a case was raised",
    response_model=CaseEvidence,
    responses=describe(404, 503),
)
async def get_evidence(given: Given, who: Acting, case: CaseId, query: Annotated[EvidenceQuery, Query()]) -> dict[str, Any]:
    """Raw values, at most 5000 of each metric, with the limit that the gateway judged by."""
    await readable(given, who, case)
    async with reading(given.engine) as conn:
        rows = await alarms_of(conn, case)
    if query.alarm is not None:
        rows = [row for row in rows if row["id"] == query.alarm]
        if not rows:
            raise ApiProblem(Reason.NOT_FOUND, f"case {case}: has no alarm {query.alarm}")
    return await evidence_of(given, rows[0], query.minutes) if rows else _nothing()


async def readable(given: Services, who: Actor, case: int) -> None:
    """ApiProblem (404) unless the case is there and may be read."""
    async with reading(given.engine) as conn:
        row = (await conn.execute(cases.select().where(cases.c.id == case))).mappings().first()
    if row is None or not who.sees(row["district"]):
        raise ApiProblem(Reason.NOT_FOUND, f"case {case}: there is none")


async def evidence_of(given: Services, alarm: dict[str, Any], minutes: int) -> dict[str, Any]:
    """What one alarm rests on, `minutes` before and after it was raised."""
    raised_ns = alarm["raised_ns"]
    start_ns, end_ns = max(0, raised_ns - minutes * _MINUTE_NS), raised_ns + minutes * _MINUTE_NS
    basis = basis_of(alarm, given.catalog)
    shown = [metric_info(metric) for metric in basis["metrics"]]
    found = await measured(given.series, alarm["device"], [metric["name"] for metric in shown], start_ns, end_ns)
    for metric in shown:
        points, more = found.get(metric["name"], ([], False))
        metric |= {"points": [_shown_point(point) for point in points], "truncated": more}
    return {
        **basis,
        "triggered": iso(raised_ns),
        "window": {"start": iso(start_ns), "end": iso(end_ns)},
        "threshold": [msgspec.structs.asdict(each) for each in basis["threshold"]],
        "metrics": shown,
        "neighbours": await _neighbours(given, alarm, shown, start_ns) if shown else [],
    }


async def _neighbours(given: Services, alarm: dict[str, Any], shown: list[dict[str, Any]], start_ns: int) -> list[dict[str, Any]]:
    async with reading(given.engine) as conn:
        near = await neighbours(conn, alarm["device"])
    name, until_ns = shown[0]["name"], alarm["raised_ns"] + SECOND_NS
    told = []
    for each in near:
        points, _ = (await measured(given.series, each["device"], [name], start_ns, until_ns)).get(name, ([], False))
        last = at_the_time(points, alarm["raised_ns"])
        told.append({**each, "metric": name, "value": last.value if last else None, "time": iso(last.time_ns) if last else None})
    return told


def _shown_point(point: Point) -> dict[str, Any]:
    return {"time": iso(point.time_ns), "value": point.value, "quality": point.quality.name.lower()}


def _nothing() -> dict[str, Any]:
    empty = dict.fromkeys(("alarm", "device", "title", "profile_version", "known_version", "rule_text", "triggered", "window"))
    return {**empty, "rule": "", "profile": "", "evidence": {}, "threshold": [], "metrics": [], "neighbours": []}
