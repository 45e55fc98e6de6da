"""Evaluation indicators: how well cases are handled, as numbers that say what they are made of."""

import datetime as dt
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field
from starlette.responses import Response

from cloud.api.answers import json_answer
from cloud.api.common import Given, StrictQuery, text
from cloud.api.examples import AT
from cloud.api.problems import ApiProblem
from cloud.api.schemas import Answer, Text
from cloud.api.times import iso, to_ns
from cloud.clocks.civil import local_date
from cloud.indicators.figures import group_title, shown
from cloud.indicators.period import Period, days
from cloud.indicators.reading import report
from cloud.indicators.sentences import RULES
from cloud.indicators.table import INDICATORS, Indicator
from cloud.indicators.tally import Line, Report
from cloud.indicators.words import CHARGE_WORDS, COUNT_WORDS, SOURCE_WORDS, By, Charge, Kind, Source
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason

__all__ = ["router"]

router = APIRouter(tags=["cases"])

MOST_DAYS: Final = 366
_DAY_NS: Final = 86_400 * SECOND_NS


class IndicatorQuery(StrictQuery):
    """Which period, and how it is grouped."""

    start: str | None = Field(
        None,
        alias="from",
        max_length=40,
        description="included: a date in the working calendar's zone, or ISO 8601 with zone; left out: the first of this month",
        examples=["2026-10-01"],
    )
    until: str | None = Field(None, max_length=40, description="the same, not included; left out: now", examples=["2026-11-01"])
    by: By = Field(By.CITY, description="groups beside the whole city")


class IndicatorAbout(Answer):
    """What a number is, and by which definition."""

    code: str
    title: Text
    kind: Kind
    numerator: Text
    denominator: Text | None = Field(description="null: it is only a count")
    charge: Charge
    charged: Text
    source: Source
    origin: Text
    version: int = Field(description="of the definition; numbers of different versions are not compared")
    sentence: Text


class IndicatorValue(Answer):
    """One number of one group."""

    group: str | None = Field(description="null: the whole city; empty: nobody is named")
    group_title: Text
    code: str
    numerator: int = Field(description="of a mean: nanoseconds")
    denominator: int | None
    value: float | None = Field(description="a share of 1, seconds, or how many; null: no data")
    shown: Text


class Indicators(Answer):
    """The numbers of a period, as they were known at `made`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "from": "2026-09-30T16:00:00.000Z", "until": "2026-10-31T16:00:00.000Z", "zone": "Asia/Shanghai", "made": AT,
                "by": "city", "rules": [{"zh": "分母为零时无数据。", "en": "Where the denominator is zero there is no data."}],
                "indicators": [
                    {
                        "code": "handling_rate", "title": {"zh": "处置率", "en": "Handled"}, "kind": "rate",
                        "numerator": {"zh": "已处置", "en": "handled"}, "denominator": {"zh": "应处置", "en": "should handle"},
                        "charge": "handler", "charged": {"zh": "处置部门及处置人员", "en": "handling department"},
                        "source": "unicom", "origin": {"zh": "联通", "en": "Unicom"}, "version": 1,
                        "sentence": {"zh": "应处置中已处置的比例。", "en": "Of what should be handled, what was."},
                    }
                ],
                "items": [
                    {
                        "group": None, "group_title": {"zh": "全市", "en": "the whole city"}, "code": "handling_rate",
                        "numerator": 11, "denominator": 12, "value": 0.9166666666666666,
                        "shown": {"zh": "91.67 %", "en": "91.67 %"},
                    }
                ],
            }
        },
    )  # fmt: skip

    start: str = Field(alias="from")
    until: str
    zone: str
    made: str
    by: By
    rules: list[Text] = Field(description="what holds for all numbers")
    indicators: list[IndicatorAbout]
    items: list[IndicatorValue] = Field(description="the whole city first, then indicator by indicator the groups")


@router.get("/indicators", summary="How well cases are handled", response_model=Indicators)
async def get_indicators(given: Given, query: Annotated[IndicatorQuery, Query()]) -> Response:
    """Every number with its numerator, denominator and the version of its definition; at most 366 days."""
    now_ns = given.clock.wall_ns()
    period = _period(query, given.desk.calendars.current.zone, now_ns)
    return json_answer(_shown(await report(given.engine, period, query.by, now_ns)))


def _period(query: IndicatorQuery, zone: ZoneInfo, now_ns: int) -> Period:
    today = local_date(now_ns, zone)
    from_ns = _instant("from", query.start or today.replace(day=1).isoformat(), zone)
    until_ns = now_ns if query.until is None else _instant("until", query.until, zone)
    if from_ns >= until_ns:
        raise _invalid("until", f"{iso(until_ns)} is not after from {iso(from_ns)}")
    if until_ns - from_ns > MOST_DAYS * _DAY_NS:
        raise _invalid("until", f"more than {MOST_DAYS} days after from; ask for a shorter period")
    return Period(name=f"{iso(from_ns)}/{iso(until_ns)}", from_ns=from_ns, until_ns=until_ns, zone=zone)


def _instant(name: str, value: str, zone: ZoneInfo) -> int:
    """A date of the zone, or an instant that says its own."""
    try:
        if len(value) == 10:
            first = dt.date.fromisoformat(value)
            return days(name, first, first + dt.timedelta(days=1), zone).from_ns
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        raise _invalid(name, "want a date, like 2026-10-01, or ISO 8601 with a zone (write a + as %2B)") from None
    if moment.tzinfo is None or not 1970 < moment.year < 2100:
        raise _invalid(name, "want a zone, Z or an offset like %2B08:00, and a year between 1970 and 2100")
    return to_ns(moment)


def _invalid(where: str, what: str) -> ApiProblem:
    return ApiProblem(Reason.INVALID, f"query.{where}: {what}", [(f"query.{where}", what)])


def _shown(made: Report) -> dict[str, Any]:
    city = [_value(By.CITY, None, line) for line in made.of_city()]
    return {
        "from": iso(made.period.from_ns),
        "until": iso(made.period.until_ns),
        "zone": made.period.zone.key,
        "made": iso(made.made_ns),
        "by": made.by.value,
        "rules": [text(rule) for rule in RULES],
        "indicators": [_about(row) for row in INDICATORS],
        "items": city + [_value(made.by, line.group, line) for line in made.of_groups()],
    }


def _about(row: Indicator) -> dict[str, Any]:
    return {
        "code": row.code,
        "title": text(row.title),
        "kind": row.kind.value,
        "numerator": text(COUNT_WORDS[row.numerator]),
        "denominator": None if row.denominator is None else text(COUNT_WORDS[row.denominator]),
        "charge": row.charge.value,
        "charged": text(CHARGE_WORDS[row.charge]),
        "source": row.source.value,
        "origin": text(SOURCE_WORDS[row.source]),
        "version": row.version,
        "sentence": text(row.sentence),
    }


def _value(by: By, group: str | None, line: Line) -> dict[str, Any]:
    unit = SECOND_NS if line.indicator.kind is Kind.MEAN else 1
    return {
        "group": group,
        "group_title": text(group_title(by, group or "")),
        "code": line.indicator.code,
        "numerator": line.numerator,
        "denominator": line.denominator,
        "value": None if line.value is None else float(line.value / unit),
        "shown": text(shown(line)),
    }
