"""What the routers share: the services, strict queries, small conversions."""

import math
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cloud.api.services import Services
from device_profiles.quantities import Metric, Text

__all__ = [
    "MAX_INT",
    "Given",
    "Id",
    "NoQuery",
    "PageQuery",
    "StrictQuery",
    "metric_info",
    "text",
]

MAX_INT = 2**63 - 1

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


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
