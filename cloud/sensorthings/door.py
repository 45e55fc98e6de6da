"""SensorThings over HTTP, as an application of its own at /sta/v1.1: its answers and errors are the standard's.

An error is {"code", "type", "message", "reason"}: the form that servers and clients of this standard share, with the
product's one word for it. What the gate in front says (401, and 503 while it cannot know who asks) is a problem of RFC 9457.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.accounts.rights import Act
from cloud.accounts.trail import Entry
from cloud.api.actor import actor_of
from cloud.api.gate import accounts_of, caller_of
from cloud.api.problems import ApiProblem
from cloud.api.services import Services
from cloud.sensorthings.draft import read_array, read_observation
from cloud.sensorthings.errors import StaError, invalid, not_found, unsupported
from cloud.sensorthings.model import SETS, Entity
from cloud.sensorthings.mqtt import stream_of
from cloud.sensorthings.options import Options, read_options, read_pairs
from cloud.sensorthings.paths import Place, read_path
from cloud.sensorthings.query import Page, Query
from cloud.sensorthings.receive import Heard, Made, Receiver, unheard
from cloud.sensorthings.show import (
    array_document,
    entity_document,
    landing_document,
    page_document,
    plain,
    refs_document,
    self_link,
)
from cloud.sensorthings.stores import Stores
from cloud.series.store import StoreUnavailable
from device_profiles.quantities import Metric
from telemetry.reason import Reason

__all__ = ["PATH", "Door", "install"]

_log = logging.getLogger(__name__)

PATH: Final = "/sta/v1.1"
_ARRAYS: Final = "CreateObservations"
_BUSY_S: Final = 2
_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_HEADERS: Final = {"Cache-Control": "no-store"}
_ALONE: Final = frozenset({"$select", "$expand"})
"""The options that are about one entity (18-088, 9.3.1)."""


class Door:
    """The application; `receiver` makes Observations, for whatever else they come by."""

    def __init__(
        self,
        services: Services,
        vocabulary: Mapping[str, Metric],
        brokers: Sequence[str] = (),
        heard: Heard = unheard,
    ) -> None:
        self._brokers = brokers
        self._stores = Stores(
            engine=services.engine,
            series=services.series,
            catalog=services.catalog,
            vocabulary=vocabulary,
            clock=services.clock,
        )
        self.receiver = Receiver(self._stores, services.engine, heard)
        self.app = Starlette(
            routes=[Route("/{path:path}", self._answer, methods=_METHODS)],
            exception_handlers={
                StaError: _refused,
                ApiProblem: _not_allowed,
                HTTPException: _http,
                StoreUnavailable: _unavailable,
                DBAPIError: _unavailable,
                Exception: _broken,
            },
        )
        self.app.router.redirect_slashes = False

    async def _answer(self, request: Request) -> Response:
        base = str(request.base_url).rstrip("/") + PATH
        path = request.path_params["path"].strip("/")
        if request.method in {"GET", "HEAD"}:
            return await self._read(base, path, read_pairs(request.scope["query_string"].decode("latin-1")))
        if request.method != "POST":
            raise unsupported(f"{request.method}: entities are changed and deleted where they come from, not here")
        return await self._create(request, base, path)

    async def _read(self, base: str, path: str, pairs: list[tuple[str, str]]) -> Response:
        if not path:
            if pairs:
                raise invalid(f"{pairs[0][0][:64]!r}: there are no options here")
            return _json(landing_document(base, self._brokers))
        place = read_path(path)
        options = read_options(place.kind, pairs)
        await self._stores.numbers.keep()
        query = Query(self._stores)
        if place.many:
            return await self._list(query, base, f"{base}/{path}", place, options)
        if set(dict(pairs)) - (frozenset() if place.property or place.refs else _ALONE):
            raise invalid(f"{', '.join(sorted(set(dict(pairs)) - _ALONE)) or '$select'}: is not for one entity or property")
        entity, _ = await query.target(place)
        if entity is None:
            raise not_found(f"{path[:64]}: there is none")
        if place.property:
            return _property(entity, base, place)
        if place.refs:
            return _json({"@iot.selfLink": self_link(base, entity)})
        [found] = await query.expanded([entity], options)
        return _json(entity_document(base, found, options))

    @staticmethod
    async def _list(query: Query, base: str, address: str, place: Place, options: Options) -> Response:
        if options.data_array and (options.expand or place.refs):
            raise invalid("$resultFormat=dataArray: holds no links; leave $expand and $ref away")
        _, scope = await query.target(place)
        page = await query.page(options, scope)
        write: Callable[[str, str, Page], dict[str, Any]] = page_document
        if place.refs:
            write = refs_document
        elif options.data_array:
            write = array_document
        return _json(write(base, address, page))

    async def _create(self, request: Request, base: str, path: str) -> Response:
        arrays = path == _ARRAYS
        stream = None if arrays else _where(path)
        await _admitted(request, path)
        document = _decoded(await _body(request))
        if request.scope["query_string"]:
            raise invalid("options: there are none for what is made")
        if not arrays:
            [told] = await self.receiver.take([read_observation(document, stream)])
            if isinstance(told, StaError):
                raise told
            return await self._made(base, told)
        drafts = read_array(document)
        return _json([_address(base, each) for each in await self.receiver.take(drafts)], 201)

    async def _made(self, base: str, made: Made) -> Response:
        options = Options(kind=SETS["Observations"])
        place = Place(root=options.kind, id=made.number, hops=(), kind=options.kind, many=False)
        query = Query(self._stores)
        entity, _ = await query.target(place)
        [found] = await query.expanded([entity] if entity else [], options)
        return _json(entity_document(base, found, options), 201, Location=_address(base, made))


def install(
    app: FastAPI, services: Services, vocabulary: Mapping[str, Metric], brokers: Sequence[str] = (), heard: Heard = unheard
) -> Door:
    """Add the door to `app`, at /sta/v1.1. `brokers` are where Observations may be published; `heard` is told of them."""
    door = Door(services, vocabulary, brokers, heard)
    # The gate asks for the accounts behind the application, which this one is while it answers.
    door.app.state.accounts = app.state.accounts
    app.mount(PATH, door.app)
    return door


def _where(path: str) -> int | None:
    """The Datastream that something is posted to; StaError (501) where anything but an Observation would be made."""
    place = read_path(path)
    if place.many and place.kind is SETS["Observations"] and not place.refs:
        return stream_of(path)
    raise unsupported(f"{path[:64]}: only Observations can be made here; devices are registered by their gateways")


async def _admitted(request: Request, path: str) -> None:
    """ApiProblem where whoever asks may not write; their act is in the trail before it is done."""
    actor = actor_of(request)
    entry = Entry(action="create_observations", actor=actor.name, target=path[:200], address=caller_of(request).address)
    request.state.trail = (await accounts_of(request).trail.begin(entry), entry)
    actor.does(Act.SETTINGS, "sensorthings" if actor.free else "")


def _property(entity: Entity, base: str, place: Place) -> Response:
    values = {"@iot.id": entity.id, "@iot.selfLink": self_link(base, entity), **entity.values}
    value = plain(values.get(place.property))
    if value is None:
        return Response(status_code=204, headers=_HEADERS)
    if not place.raw:
        return _json({place.property: value})
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return Response(text, media_type="text/plain; charset=utf-8", headers=_HEADERS)


def _address(base: str, made: Made | StaError) -> str:
    """18-088, 12.2.2: the address of each, or the word error."""
    return f"{base}/Observations({made.number})" if isinstance(made, Made) else "error"


async def _body(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise invalid("body: ended before its end") from error


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("body: want JSON in UTF-8") from None


def _json(document: Any, status: int = 200, **headers: str) -> Response:
    body = msgspec.json.encode(document)
    return Response(body, status, {**_HEADERS, **headers}, "application/json")


def _error(request: Request, status: int, reason: Reason, message: str, **headers: str) -> Response:
    request.state.reason = reason.value
    return _json({"code": status, "type": "error", "message": message, "reason": reason.value}, status, **headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, StaError)  # noqa: S101 - what it was installed for
    return _error(request, error.status, error.reason, error.detail)


async def _not_allowed(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiProblem)  # noqa: S101 - what it was installed for
    status = 401 if error.reason is Reason.NOT_AUTHENTICATED else 403
    return _error(request, status, error.reason, error.detail)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it was installed for
    reason = Reason.OVERSIZED if error.status_code == 413 else Reason.INVALID
    return _error(request, error.status_code, reason, str(error.detail))


async def _unavailable(request: Request, error: Exception) -> Response:
    _log.warning("a question found no answer (%s)", type(error).__name__, extra={"event": "sensorthings.unavailable"})
    detail = "a store does not answer; try again later"
    return _error(request, 503, Reason.STORE_UNAVAILABLE, detail, **{"Retry-After": str(_BUSY_S)})


async def _broken(request: Request, error: Exception) -> Response:
    # The server logs the traceback; the caller learns nothing of the inside.
    del error
    return _error(request, 500, Reason.INTERNAL, "this is a fault of the server; it has been logged")
