"""What the routers share: the services, strict queries, small conversions."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import ColumnElement, case, literal

from cloud.api.services import Services
from device_profiles.model import Profile
from device_profiles.quantities import Metric, Text
from telemetry.clock import SECOND_NS

__all__ = [
    "MAX_INT",
    "Given",
    "Id",
    "NoQuery",
    "PageQuery",
    "StrictQuery",
    "metric_info",
    "offline_after",
    "offline_after_s",
    "text",
]

MAX_INT = 2**63 - 1
_SILENCES = 2.5

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:\-]{0,63}$")]


class StrictQuery(BaseModel):
    """A query that refuses parameters it does not know."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(StrictQuery):
    """One page of a list."""

    cursor: str | None = Field(None, max_length=512, description="`next` of the page before; leave out for the first")
    limit: int = Field(100, ge=1, le=1000, description="most items in one answer")


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Given = Annotated[Services, Depends(_services)]
NoQuery = Annotated[StrictQuery, Query()]


def text(label: Text | None) -> dict[str, str] | None:
    """A label of a profile as the API shows it."""
    return None if label is None else {"zh": label.zh, "en": label.en}


def metric_info(metric: Metric) -> dict[str, Any]:
    """A metric of a profile as the API shows it; a limit that JSON has no number for is left out."""
    return {
        "name": metric.name,
        "unit": metric.unit,
        "type": metric.type.value,
        "title": text(metric.title),
        "low": _finite(metric.low),
        "high": _finite(metric.high),
    }


def offline_after_s(profile: Profile) -> float:
    """Seconds of silence after which a device of `profile` counts as offline: 2.5 times the longest it may keep.

    Where readings are forwarded on change only, the cloud's longest silence is the heartbeat, not the device's own.
    """
    reporting = profile.reporting
    longest = max(reporting.interval_s, reporting.heartbeat_s) if reporting.on_change else reporting.interval_s
    return _SILENCES * longest


def offline_after(profile: ColumnElement[str], catalog: Mapping[str, Profile]) -> ColumnElement[int]:
    """The same as SQL, in nanoseconds by a column of profile names; a day for profiles that are not in the catalog."""
    unknown = literal(86_400 * SECOND_NS)
    if not catalog:
        return unknown
    known = {name: round(offline_after_s(found) * SECOND_NS) for name, found in catalog.items()}
    return case(known, value=profile, else_=unknown)


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
