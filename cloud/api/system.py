"""How the cloud itself is doing."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from starlette.responses import Response

from cloud.api import schemas
from cloud.api.answers import json_answer
from cloud.api.common import Given, NoQuery
from cloud.api.services import Services
from cloud.api.times import iso
from cloud.relational.engine import reading
from cloud.series.mirror import MirrorReport
from cloud.series.store import StoreUnavailable

__all__ = ["router"]

router = APIRouter(tags=["system"])


@router.get(
    "/health",
    summary="Whether the stores answer",
    response_model=schemas.Health,
    responses={503: {"model": schemas.Health, "description": "A store does not answer"}},
)
async def get_health(request: Request, given: Given, _: NoQuery) -> Response:
    """200 while everything answers, 503 otherwise; the body says what does not."""
    relational, series = await _relational(given), await _series(given)
    well = relational and series
    document = {
        "status": "ok" if well else "degraded",
        "relational": relational,
        "series": series,
        "mirror": None if given.mirror is None else _mirror(given.mirror.report()),
        "streams": len(request.app.state.streams),
        "time": iso(given.clock.wall_ns()),
    }
    return json_answer(document, 200 if well else 503)


@router.get("/counts", summary="The cloud's account of itself", response_model=schemas.Counts)
async def get_counts(given: Given, _: NoQuery) -> Any:
    """Totals since the stores were made."""
    return msgspec.to_builtins(await given.counts())


def _mirror(report: MirrorReport) -> dict[str, Any]:
    shown = ("state", "waiting", "lag_s", "sent", "dropped", "refused")  # the fault may name hosts
    return {name: getattr(report, name) for name in shown}


async def _relational(given: Services) -> bool:
    try:
        async with reading(given.engine) as conn:
            await conn.execute(text("SELECT 1"))
    except DBAPIError:
        return False
    return True


async def _series(given: Services) -> bool:
    try:
        await given.series.latest([])
    except StoreUnavailable:
        return False
    return True
