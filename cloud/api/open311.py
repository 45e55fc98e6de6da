"""Open311 GeoReport v2 over HTTP, as an application of its own: its answers and its errors are the specification's.

The specification says 404 for an unknown jurisdiction_id; a transcription of it says 401. Too many requests are 429 and a
store that does not answer is 503, where the specification knows only 400.
"""

import logging
from typing import Any, Final

from fastapi import FastAPI
from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.api.services import Services
from cloud.cases.draft import CaseError
from cloud.cases.telling import case_news
from cloud.notify.config import Language
from cloud.open311.config import Open311Config
from cloud.open311.encode import FORMATS, MEDIA_TYPES, encode
from cloud.open311.faults import Fault, Refused, Trouble, in_language, said
from cloud.open311.form import MAX_BODY_BYTES, Form, read_form
from cloud.open311.keys import ApiKey, find_key
from cloud.open311.language import TAGS, preferred
from cloud.open311.limits import Rates, address_of
from cloud.open311.offer import definition_document, discovery_document, service_documents, service_of
from cloud.open311.receive import Door, case_of_token, receive
from cloud.open311.requests import Asked, case_select, read_asked, read_id, request_document
from cloud.open311.submission import read_submission
from cloud.relational.engine import reading

__all__ = ["PATH", "install"]

_log = logging.getLogger(__name__)

PATH: Final = "/open311/v2"
_BUSY_S: Final = 2


def install(app: FastAPI, services: Services, config: Open311Config) -> None:
    """Add the door to `app`, at /open311/v2."""
    unknown = [code for code in config.entries if services.desk.matters.find(code, services.clock.wall_ns()) is None]
    if unknown:
        _log.info(
            "not offered, for no table of matters has them now: %s", ", ".join(unknown), extra={"event": "open311.not_offered"}
        )
    app.mount(PATH, _Endpoint(services, config).app)


class _Endpoint:
    def __init__(self, services: Services, config: Open311Config) -> None:
        self._services = services
        self._config = config
        self._find = services.desk.matters.find
        self._door = Door(services.engine, services.desk, config)
        self._readers = Rates()
        self._reporters = Rates()
        self._keys = Rates()
        self.app = Starlette(
            routes=[
                Route("/discovery.{form}", self._discovery),
                Route("/services.{form}", self._list_services),
                Route("/services/{code}.{form}", self._define_service),
                Route("/requests.{form}", self._requests, methods=["GET", "POST"]),
                Route("/requests/{id}.{form}", self._get_request),
                Route("/tokens/{id}.{form}", self._get_token),
            ],
            exception_handlers={
                Refused: self._refused,
                HTTPException: self._http,
                DBAPIError: self._unavailable,
                CaseError: self._unavailable,
                Exception: self._broken,
            },
        )
        self.app.router.redirect_slashes = False

    async def _discovery(self, request: Request) -> Response:
        self._enter(request)
        url = self._config.url or str(request.base_url).rstrip("/") + PATH
        return self._answer(request, "discovery", discovery_document(self._config, self._find, url, self._now_ns()))

    async def _list_services(self, request: Request) -> Response:
        self._enter(request)
        self._jurisdiction(request.query_params.get("jurisdiction_id", ""))
        listed = service_documents(self._config, self._find, self._language(request), self._now_ns())
        return self._answer(request, "services", listed)

    async def _define_service(self, request: Request) -> Response:
        self._enter(request)
        self._jurisdiction(request.query_params.get("jurisdiction_id", ""))
        entry, _ = service_of(self._config, self._find, request.path_params["code"], self._now_ns())
        return self._answer(request, "service_definition", definition_document(entry, self._language(request)))

    async def _requests(self, request: Request) -> Response:
        return await (self._report(request) if request.method == "POST" else self._list_requests(request))

    async def _list_requests(self, request: Request) -> Response:
        self._enter(request)
        self._jurisdiction(request.query_params.get("jurisdiction_id", ""))
        return await self._cases(request, read_asked(request.query_params.multi_items(), self._now_ns()))

    async def _get_request(self, request: Request) -> Response:
        self._enter(request)
        self._jurisdiction(request.query_params.get("jurisdiction_id", ""))
        number = read_id(request.path_params["id"])
        return await self._cases(request, Asked(ids=() if number is None else (number,)), one=True)

    async def _cases(self, request: Request, asked: Asked, *, one: bool = False) -> Response:
        async with reading(self._services.engine) as conn:
            rows = (await conn.execute(case_select(self._config, asked))).mappings().all()
        if one and not rows:
            raise Refused(Trouble(Fault.REQUEST_UNKNOWN, {"id": request.path_params["id"]}))
        language = self._language(request)
        shown = [request_document(self._config, self._find, row, language) for row in rows]
        return self._answer(request, "service_requests", shown)

    async def _get_token(self, request: Request) -> Response:
        self._enter(request)
        self._jurisdiction(request.query_params.get("jurisdiction_id", ""))
        token = request.path_params["id"]
        async with reading(self._services.engine) as conn:
            case = await case_of_token(conn, token)
        if case is None:
            raise Refused(Trouble(Fault.TOKEN_UNKNOWN, {"id": token}))
        return self._answer(request, "service_requests", [{"service_request_id": str(case), "token": token}])

    async def _report(self, request: Request) -> Response:
        _known_format(request)
        self._knock(self._reporters, self._address(request), self._config.reports_per_minute)
        form = read_form(request.headers.get("content-type", ""), await _body(request))
        key = self._key(form)
        self._jurisdiction(form.get("jurisdiction_id") or request.query_params.get("jurisdiction_id", ""))
        if not form.get("service_code"):
            raise Refused(Trouble(Fault.SERVICE_MISSING))
        now_ns = self._now_ns()
        entry, matter = service_of(self._config, self._find, form.get("service_code"), now_ns)
        if not key.may_report(entry.code):
            raise Refused(Trouble(Fault.SERVICE_NOT_ALLOWED, {"service": entry.code}))
        submission = read_submission(form, entry)
        received = await receive(self._door, key, matter, submission, now_ns)
        if received.news:
            self._services.feed.publish("case", case_news(received.case))
            self._services.notify()
        number = received.case["id"]
        # Nothing of who reports, and nothing of what was written, is for a log.
        _log.info(
            "a report of %s by key %s is in case %d",
            entry.code,
            key.name,
            number,
            extra={"event": "open311.report", "case": number},
        )
        name, value = ("token", received.token) if self._config.asynchronous else ("service_request_id", str(number))
        notice = in_language(matter.closes_when, self._language(request))
        made = {name: value, "service_notice": notice, "account_id": submission.account_id or None}
        return self._answer(request, "service_requests", [made])

    def _key(self, form: Form) -> ApiKey:
        if not self._config.keys:
            raise Refused(Trouble(Fault.NO_KEYS))
        if not form.get("api_key"):
            raise Refused(Trouble(Fault.KEY_MISSING))
        key = find_key(self._config.keys, form.get("api_key"))
        if key is None:
            raise Refused(Trouble(Fault.KEY_UNKNOWN))
        self._knock(self._keys, key.name, key.per_minute)
        return key

    def _enter(self, request: Request) -> None:
        """Somebody comes to read."""
        _known_format(request)
        self._knock(self._readers, self._address(request), self._config.reads_per_minute)

    def _knock(self, rates: Rates, name: str, per_minute: int) -> None:
        wait_s = rates.wait_s(name, per_minute, self._services.clock.monotonic_ns())
        if wait_s:
            raise Refused(Trouble(Fault.TOO_MANY, {"wait": wait_s}), retry_after_s=wait_s)

    def _jurisdiction(self, said: str) -> None:
        if not self._config.jurisdiction_id or said == self._config.jurisdiction_id:
            return
        raise Refused(Trouble(Fault.JURISDICTION_UNKNOWN if said else Fault.JURISDICTION_MISSING, {"id": said}))

    @staticmethod
    def _address(request: Request) -> str:
        return address_of(request.client.host if request.client else None)

    def _now_ns(self) -> int:
        return self._services.clock.wall_ns()

    def _language(self, request: Request) -> Language:
        return preferred(request.headers.get("accept-language", ""), self._config.language)

    def _answer(self, request: Request, root: str, document: Any, status: int = 200, **headers: str) -> Response:
        form, language = _form_of(request), self._language(request)
        about = {"Cache-Control": "no-store", "Content-Language": TAGS[language], "Vary": "Accept-Language", **headers}
        return Response(encode(form, root, document), status, about, MEDIA_TYPES[form])

    def _errors(self, request: Request, *troubles: Trouble, **headers: str) -> Response:
        errors = said(troubles, self._language(request))
        return self._answer(request, "errors", errors, troubles[0].status, **headers)

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)  # noqa: S101 - what it was installed for
        wait = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
        return self._errors(request, *error.troubles, **wait)

    async def _http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - what it was installed for
        if error.status_code == 405:
            return self._errors(request, Trouble(Fault.METHOD, {"method": request.method}), **dict(error.headers or {}))
        return self._errors(request, Trouble(Fault.NOWHERE))

    async def _unavailable(self, request: Request, error: Exception) -> Response:
        _log.warning("a report or question found no answer (%s)", type(error).__name__, extra={"event": "open311.unavailable"})
        return self._errors(request, Trouble(Fault.UNAVAILABLE), **{"Retry-After": str(_BUSY_S)})

    async def _broken(self, request: Request, error: Exception) -> Response:
        # The server logs the traceback; the caller learns nothing of the inside.
        del error
        return self._errors(request, Trouble(Fault.BROKEN))


def _known_format(request: Request) -> None:
    """Refused where the format is none of ours."""
    if request.path_params["form"] not in FORMATS:
        raise Refused(Trouble(Fault.NOWHERE))


def _form_of(request: Request) -> str:
    """The format that the address asks for; XML, which every client reads, where it asks for none of ours."""
    asked = request.url.path.rpartition(".")[2]
    return asked if asked in FORMATS else "xml"


async def _body(request: Request) -> bytes:
    """The whole body. Refused above 64 KiB, by what really comes."""
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                raise Refused(Trouble(Fault.TOO_LARGE, {"most": MAX_BODY_BYTES}))
    except ClientDisconnect as error:
        raise Refused(Trouble(Fault.NOT_TEXT)) from error
    return bytes(body)
