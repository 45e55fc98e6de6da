"""The past of one device: raw points, buckets of civil time, or what fits a screen."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Header, Path, Query
from pydantic import Field
from starlette.responses import Response

from cloud.api.answers import json_answer
from cloud.api.common import Given, Id, StrictQuery
from cloud.api.devices import device_row
from cloud.api.history_schemas import History
from cloud.api.problems import ApiProblem, describe
from cloud.api.services import Services
from cloud.api.times import iso, iso_many, to_ns
from cloud.series.store import Bucket, Point
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Quality, Value

__all__ = ["router"]

router = APIRouter(tags=["history"])

MAX_METRICS = 32
MAX_POINTS = 50_000
MAX_BUCKETS = 10_000
_DAY_S = 86_400
_DAY_NS = _DAY_S * SECOND_NS
_LATEST_NS = 4_102_444_800 * SECOND_NS  # 2100-01-01
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": _DAY_S, "w": 7 * _DAY_S}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhdw])", re.ASCII)
_QUALITY = {quality: quality.name.lower() for quality in Quality}


class HistoryQuery(StrictQuery):
    """Which part of the past."""

    metric: list[Id] = Field(default=[], max_length=MAX_METRICS, description="say it again for more; none means all, up to 32")
    start: str | None = Field(
        None,
        max_length=40,
        description="ISO 8601 with zone, included; a day before `end` when neither it nor `since` is said",
        examples=["2026-11-19T00:00:00Z"],
    )
    since: str | None = Field(
        None,
        max_length=40,
        description="instead of `start`: ISO 8601 with zone, or how long before `end`: a number and s, m, h, d or w",
        examples=["6h", "30d"],
    )
    end: str | None = Field(None, max_length=40, description="ISO 8601 with zone, excluded; now when left out")
    bucket: int | None = Field(
        None, ge=1, le=366 * _DAY_S, description="seconds; above a day whole days; at most 10000 buckets in the interval"
    )
    pixels: int | None = Field(
        None,
        ge=10,
        le=4000,
        description="width of the chart, instead of `bucket`: at most two points a pixel of each metric, no extreme left out",
    )
    zone: str = Field("Asia/Shanghai", max_length=64, description="IANA zone whose midnights and days buckets follow")
    limit: int = Field(5000, ge=1, le=MAX_POINTS, description="most raw points of one metric; `truncated` tells of more")


@router.get(
    "/devices/{id}/history",
    summary="Values of one device over time: raw, in buckets, or as many as fit a screen",
    response_model=History,
    responses={304: {"description": "It is as `If-None-Match` says"}, **describe(404, 503)},
)
async def get_history(
    given: Given,
    device: Annotated[Id, Path(alias="id")],
    query: Annotated[HistoryQuery, Query()],
    if_none_match: Annotated[str, Header(max_length=1000)] = "",
) -> Response:
    """Raw points are at most 50 000 a metric, buckets at most 10 000; a question beyond that is refused, not thinned.

    With `pixels` each column of the chart, one or two pixels wide, gives its least and greatest value at their own times, and
    text metrics their changes. A gap is a silence longer than a column and 2.5 times the device's usual interval. An answer
    about what is over, its end before the newest minute that was rolled up, has an `ETag`.
    """
    now_ns = given.clock.wall_ns()
    start_ns, end_ns = _interval(query, now_ns)
    _check_method(query, end_ns - start_ns)
    _check_zone(query.zone)
    profile = (await device_row(given, device, now_ns))["profile"]
    asked = _Asked(device, _metrics(given, profile, query.metric), start_ns, end_ns)
    if query.pixels is not None:
        document = await _chart(given, asked, query.pixels, _usual_s(given, profile))
    elif query.bucket is not None:
        document = await _in_buckets(given, asked, query.bucket, query.zone)
    else:
        document = await _raw(given, asked, query.limit)
    answer = json_answer({"device": device, "start": iso(start_ns), "end": iso(end_ns), **document})
    return _tagged(answer, if_none_match) if end_ns <= given.series.rolled_ns() else answer


class _Asked(NamedTuple):
    device: str
    metrics: list[str]
    start_ns: int
    end_ns: int


async def _raw(given: Services, asked: _Asked, limit: int) -> dict[str, Any]:
    found = await given.series.range(*asked[:2], *asked[2:], limit + 1)
    cut = any(len(points) > limit for points in found.values())
    shown = {name: _points(points[:limit]) for name, points in found.items()}
    return {"tier": "raw", "method": "raw", "truncated": cut, "metrics": shown}


async def _in_buckets(given: Services, asked: _Asked, bucket_s: int, zone: str) -> dict[str, Any]:
    found = await given.series.buckets(*asked, bucket_s, zone)
    shown = {name: _buckets(buckets) for name, buckets in found.items()}
    return {"tier": found.tier, "method": "bucket", "truncated": False, "metrics": shown}


async def _chart(given: Services, asked: _Asked, pixels: int, usual_s: float | None) -> dict[str, Any]:
    chart = await given.series.chart(*asked, pixels, usual_s)
    curves = chart.curves.items()
    return {
        "tier": chart.tier,
        "method": "pixels",
        "truncated": False,
        "column_s": chart.column_ns / SECOND_NS,
        "metrics": {name: list(map(_Drawn, iso_many(curve.times_ns), curve.values)) for name, curve in curves},
        "gaps": {name: [{"start": iso(gap.start_ns), "end": iso(gap.end_ns)} for gap in curve.gaps] for name, curve in curves},
    }


class _Drawn(msgspec.Struct, gc=False):
    """A point of a chart, in the form that is written fastest."""

    time: str
    value: Value


def _usual_s(given: Services, profile_name: str) -> float | None:
    """The longest time that a device of a profile is silent while all is well; None where nobody knows."""
    profile = given.catalog.get(profile_name)
    if profile is None:
        return None
    reporting = profile.reporting
    return reporting.heartbeat_s if reporting.on_change else reporting.interval_s


def _tagged(answer: Response, if_none_match: str) -> Response:
    """With a tag that changes with the answer, for late values change even the closed past. Weak: it may be compressed."""
    tag = f'W/"{blake2b(bytes(answer.body), digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in {each.strip() for each in if_none_match.split(",")}:
        return Response(status_code=304, headers=headers)
    answer.headers.update(headers)
    return answer


def _interval(query: HistoryQuery, now_ns: int) -> tuple[int, int]:
    end_ns = now_ns if query.end is None else _instant("end", query.end)
    if query.start is not None and query.since is not None:
        raise _invalid("query.since", "is said beside start; want one of them")
    if query.since is not None and (known := _DURATION.fullmatch(query.since)):
        start_ns = max(0, end_ns - int(known[1]) * _UNITS_S[known[2]] * SECOND_NS)
    elif query.since is not None:
        start_ns = _instant("since", query.since)
    else:
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


def _check_method(query: HistoryQuery, span_ns: int) -> None:
    if query.bucket is not None and query.pixels is not None:
        raise _invalid("query.pixels", "is said beside bucket; want one of them")
    if query.bucket is not None:
        _check_buckets(query.bucket, span_ns)


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
