"""The past of one device: raw points, or buckets of civil time."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from cloud.api import schemas
from cloud.api.answers import json_answer
from cloud.api.common import Given, Id, StrictQuery
from cloud.api.devices import device_row
from cloud.api.problems import ApiProblem, describe
from cloud.api.services import Services
from cloud.api.times import iso, iso_many, to_ns
from cloud.series.store import Bucket, Point
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Quality

__all__ = ["router"]

router = APIRouter(tags=["history"])

MAX_METRICS = 32
MAX_POINTS = 50_000
MAX_BUCKETS = 10_000
_DAY_S = 86_400
_DAY_NS = _DAY_S * SECOND_NS
_LATEST_NS = 4_102_444_800 * SECOND_NS  # 2100-01-01
_QUALITY = {quality: quality.name.lower() for quality in Quality}


class HistoryQuery(StrictQuery):
    """Which part of the past."""

    metric: list[Id] = Field(default=[], max_length=MAX_METRICS, description="say it again for more; none means all, up to 32")
    start: str | None = Field(
        None,
        max_length=40,
        description="ISO 8601 with zone, included; a day before `end` when left out",
        examples=["2026-11-19T00:00:00Z"],
    )
    end: str | None = Field(None, max_length=40, description="ISO 8601 with zone, excluded; now when left out")
    bucket: int | None = Field(
        None, ge=1, le=366 * _DAY_S, description="seconds; above a day whole days; at most 10000 buckets in the interval"
    )
    zone: str = Field("Asia/Shanghai", max_length=64, description="IANA zone whose midnights and days buckets follow")
    limit: int = Field(5000, ge=1, le=MAX_POINTS, description="most raw points of one metric; `truncated` tells of more")


@router.get(
    "/devices/{id}/history",
    summary="Values of one device over time, raw or in buckets",
    response_model=schemas.History,
    responses=describe(404, 503),
)
async def get_history(given: Given, device: Annotated[Id, Path(alias="id")], query: Annotated[HistoryQuery, Query()]) -> Response:
    """Raw points are at most 50 000 a metric, buckets at most 10 000; a question beyond that is refused, not thinned."""
    now_ns = given.clock.wall_ns()
    start_ns, end_ns = _interval(query, now_ns)
    if query.bucket is not None:
        _check_buckets(query.bucket, end_ns - start_ns)
    _check_zone(query.zone)
    metrics = _metrics(given, (await device_row(given, device, now_ns))["profile"], query.metric)
    head = {"device": device, "tier": "raw", "start": iso(start_ns), "end": iso(end_ns)}
    if query.bucket is None:
        found = await given.series.range(device, metrics, start_ns, end_ns, query.limit + 1)
        cut = any(len(points) > query.limit for points in found.values())
        shown = {name: _points(points[: query.limit]) for name, points in found.items()}
        return json_answer({**head, "method": "raw", "truncated": cut, "metrics": shown})
    buckets = await given.series.buckets(device, metrics, start_ns, end_ns, query.bucket, query.zone)
    return json_answer(
        {**head, "method": "bucket", "truncated": False, "metrics": {name: _buckets(b) for name, b in buckets.items()}}
    )


def _interval(query: HistoryQuery, now_ns: int) -> tuple[int, int]:
    end_ns = now_ns if query.end is None else _instant("end", query.end)
    start_ns = max(0, end_ns - _DAY_NS) if query.start is None else _instant("start", query.start)
    if start_ns >= end_ns:
        raise _invalid("query.start", f"{iso(start_ns)} is not before end {iso(end_ns)}; want start < end")
    return start_ns, end_ns


def _instant(name: str, value: str) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise _invalid(f"query.{name}", "want ISO 8601 with a zone, like 2026-11-20T08:00:00Z (write a + as %2B)") from None
    if moment.tzinfo is None:
        raise _invalid(f"query.{name}", "has no zone; add Z or an offset like %2B08:00")
    time_ns = to_ns(moment)
    if not 0 <= time_ns <= _LATEST_NS:
        raise _invalid(f"query.{name}", "want a time between 1970 and 2100")
    return time_ns


def _check_buckets(bucket_s: int, span_ns: int) -> None:
    if bucket_s > _DAY_S and bucket_s % _DAY_S:
        raise _invalid("query.bucket", f"{bucket_s} s: above a day, want whole days (a multiple of {_DAY_S})")
    if span_ns > bucket_s * SECOND_NS * MAX_BUCKETS:
        raise _invalid(
            "query.bucket", f"{bucket_s} s: more than {MAX_BUCKETS} buckets; want a wider bucket or a shorter interval"
        )


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        # OSError: names of folders in the zone database, such as "Asia".
        raise _invalid("query.zone", "want an IANA zone like Asia/Shanghai") from None


def _metrics(given: Services, profile_name: str, asked: Sequence[str]) -> list[str]:
    profile = given.catalog.get(profile_name)
    known: Mapping[str, object] = profile.metrics if profile else {}
    unknown = [name for name in asked if name not in known] if profile else []
    if unknown:
        wanted = f"want some of {', '.join(known)}"
        raise ApiProblem(Reason.UNKNOWN_METRIC, f"query.metric: no {', '.join(unknown)} in {profile_name}; {wanted}")
    metrics = list(dict.fromkeys(asked)) or list(known)[:MAX_METRICS]
    if not metrics:
        raise _invalid("query.metric", f"profile {profile_name} is not in the catalog; name the metrics")
    return metrics


def _invalid(where: str, what: str) -> ApiProblem:
    return ApiProblem(Reason.INVALID, f"{where}: {what}", [(where, what)])


def _points(points: Sequence[Point]) -> list[dict[str, Any]]:
    times = iso_many([point.time_ns for point in points])
    return [
        {"time": time, "value": point.value, "quality": _QUALITY[point.quality]}
        for time, point in zip(times, points, strict=True)
    ]


def _buckets(buckets: Sequence[Bucket]) -> list[dict[str, Any]]:
    times = iso_many([bucket.start_ns for bucket in buckets])
    return [
        {"time": time, "min": b.min, "max": b.max, "mean": b.mean, "last": b.last, "count": b.count}
        for time, b in zip(times, buckets, strict=True)
    ]
