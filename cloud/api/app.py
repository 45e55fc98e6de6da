"""The application: routers, problems, headers, and a description that says all of it."""

import asyncio
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.middleware.gzip import GZipMiddleware

from cloud.accounts.accounts import Accounts
from cloud.api import (
    accounts,
    alarm_health,
    alarm_many,
    alarms,
    case_board,
    case_evidence,
    case_export,
    cases,
    channels,
    commands,
    dead_letters,
    devices,
    evidence,
    frames,
    gateways,
    history,
    indicators,
    keys,
    ledger,
    maintenance,
    metrics,
    opened,
    overview,
    plan,
    problems,
    session,
    stream,
    suppressions,
    system,
    tiles,
    watchlist,
)
from cloud.api import map as city_map
from cloud.api.gate import Gate, audited
from cloud.api.headers import BodyLimit, OriginCheck, SecurityHeaders
from cloud.api.schemas import Problem
from cloud.api.services import Services

__all__ = ["Services", "build_app"]

_PEOPLE = (session, accounts, keys)
# /alarms/health stands before what takes any id.
_ALARMS = (alarm_health, alarm_many, alarms, suppressions, maintenance)
_CITY = (
    city_map,
    tiles,
    devices,
    frames,
    history,
    *_ALARMS,
    cases,
    case_board,
    case_evidence,
    case_export,
    watchlist,
    evidence,
    indicators,
    overview,
    gateways,
    ledger,
    stream,
    dead_letters,
    channels,
    commands,
    plan,
    system,
)

_DESCRIPTION = """\
Telemetry of a city's street furniture: devices, values, alarms, cases.

Times are ISO 8601 in UTC with milliseconds; ages are seconds; positions are WGS-84; units are UCUM codes.
Lists are paged: give `next` back as `cursor` for the next page; a page holds at most 1000 items, bodies at most 64 KiB.
Parameters that a route does not know are refused. Every error is an RFC 9457 problem with a `reason`.
As soon as somebody has an account, every route but health and the login itself wants a session: the cookie of a page, or
`Authorization: Bearer` of a program. Names and roles in bodies must then be the session's own.
"""


def build_app(services: Services) -> FastAPI:
    """The API over `services`; the console is mounted beside it by the wiring."""
    # No /docs page: its scripts would come from elsewhere. The description itself is at /api/openapi.json.
    app = FastAPI(
        title="citynerve",
        version="1",
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(audited)],
    )
    app.state.services = services
    app.state.background = (services.atlas.run,)
    app.state.accounts = Accounts(services.engine, services.clock, services.accounts)
    app.state.streams = set()
    app.state.trying = asyncio.Lock()
    for module in (*_PEOPLE, *_CITY):
        app.include_router(module.router, prefix="/api", responses=problems.describe(422))
    # Short, for it ends an SMS.
    app.include_router(opened.router, responses=problems.describe(422))
    app.include_router(case_export.pages)
    # Where Prometheus looks for it.
    app.include_router(metrics.router, responses=problems.describe(422))
    problems.install(app)
    # The last one added stands outermost.
    app.add_middleware(Gate)
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    app.add_middleware(BodyLimit)
    app.add_middleware(OriginCheck)
    app.add_middleware(SecurityHeaders)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign] # FastAPI's own way of changing it
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        _, defined = models_json_schema([(Problem, "serialization")], ref_template="#/components/schemas/{model}")
        document["components"]["schemas"].update(defined["$defs"])
        app.openapi_schema = document
    return app.openapi_schema
