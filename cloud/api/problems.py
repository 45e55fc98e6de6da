"""Every error of the API as an RFC 9457 problem: what, where and what was wanted, and the product's one word for it."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from cloud.accounts.errors import AccountError
from cloud.alarms.acts import AlarmError
from cloud.api.answers import PROBLEM_TYPE, problem_answer, problem_document
from cloud.api.headers import SECURITY
from cloud.cases.draft import CaseError
from cloud.series.store import StoreUnavailable
from telemetry.reason import Reason

__all__ = ["ApiProblem", "describe", "install"]

_log = logging.getLogger(__name__)

# The status that a reason has where no other is said.
_STATUS = {
    Reason.NOT_FOUND: 404,
    Reason.UNKNOWN_DEVICE: 404,
    Reason.CONFLICT: 409,
    Reason.INVALID: 422,
    Reason.UNKNOWN_METRIC: 422,
    Reason.OVERSIZED: 413,
    Reason.NOT_AUTHENTICATED: 401,
    Reason.NOT_ALLOWED: 403,
    Reason.TOO_OFTEN: 429,
    Reason.QUEUE_FULL: 503,
    Reason.STORE_UNAVAILABLE: 503,
}

_REASON = {
    403: Reason.NOT_ALLOWED,
    404: Reason.NOT_FOUND,
    405: Reason.NOT_ALLOWED,
    409: Reason.CONFLICT,
    413: Reason.OVERSIZED,
    503: Reason.STORE_UNAVAILABLE,
}

_EXAMPLES: dict[int, tuple[Reason, str]] = {
    401: (Reason.NOT_AUTHENTICATED, "nobody is logged in: POST /api/session first"),
    403: (Reason.NOT_ALLOWED, "Origin https://elsewhere.example: want this server's own"),
    404: (Reason.NOT_FOUND, "case 7: there is none"),
    409: (Reason.CONFLICT, "case 7: is at version 3, the step was for 2"),
    413: (Reason.OVERSIZED, "body of 70000 bytes: want at most 65536"),
    422: (Reason.INVALID, "query.limit: Input should be less than or equal to 1000"),
    429: (Reason.TOO_OFTEN, "too many tries; wait a little"),
    503: (Reason.STORE_UNAVAILABLE, "the time-series store does not answer; try again later"),
}


class ApiProblem(Exception):  # noqa: N818 - it is one, by the name of the standard
    """A refusal that a route decides on; `errors` are (where, what) pairs when there are several."""

    def __init__(self, reason: Reason, detail: str, errors: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.errors = errors


def describe(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route: these problems, with examples. 422 is in every route's description anyway."""
    return {status: {"description": HTTPStatus(status).phrase, "content": {PROBLEM_TYPE: _media(status)}} for status in statuses}


def _media(status: int) -> dict[str, Any]:
    reason, detail = _EXAMPLES[status]
    example = problem_document(status, reason.value, detail, "/api/...")
    return {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.add_exception_handler(ApiProblem, _refused)
    app.add_exception_handler(CaseError, _refused)
    app.add_exception_handler(AlarmError, _refused)
    app.add_exception_handler(AccountError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(StoreUnavailable, _unavailable)
    app.add_exception_handler(DBAPIError, _unavailable)
    app.add_exception_handler(Exception, _broken)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiProblem | CaseError | AlarmError | AccountError)  # noqa: S101 - what it was installed for
    errors = error.errors if isinstance(error, ApiProblem) else ()
    headers = {"Retry-After": str(error.wait_s)} if isinstance(error, AccountError) and error.wait_s else None
    status = _STATUS.get(error.reason, 422)
    _tell(request, error.reason)
    zh = error.zh if isinstance(error, CaseError) and error.zh != str(error) else ""
    path = request.url.path
    return problem_answer(status, error.reason.value, str(error), instance=path, errors=errors, detail_zh=zh, headers=headers)


def _tell(request: Request, reason: Reason) -> None:
    """Leave the reason where the trail finds it."""
    request.state.reason = reason.value


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it was installed for
    _tell(request, Reason.INVALID)
    errors = [(".".join(map(str, fault["loc"])), _wanted(fault)) for fault in error.errors()][:20]
    detail = "; ".join(f"{where}: {what}" for where, what in errors)
    return problem_answer(422, Reason.INVALID.value, detail, instance=request.url.path, errors=errors)


def _wanted(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "extra_forbidden":
        return "there is no such parameter here"
    return str(fault["msg"]).removeprefix("Value error, ")


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it was installed for
    # A body that is no text at all is what a body of the wrong shape is: one status for both.
    status = 422 if error.status_code == 400 else error.status_code
    reason = _REASON.get(status, Reason.INVALID)
    _tell(request, reason)
    detail = f"{request.method} {request.url.path}: {error.detail}"
    return problem_answer(status, reason.value, detail, instance=request.url.path, headers=error.headers)


def _unavailable(request: Request, error: Exception) -> Response:
    _tell(request, Reason.STORE_UNAVAILABLE)
    which = "time-series" if isinstance(error, StoreUnavailable) else "relational"
    _log.warning(
        "%s: the %s store does not answer (%s)",
        request.url.path,
        which,
        type(error).__name__,
        extra={"event": "api.store_unavailable", "store": which},
    )
    detail = f"the {which} store does not answer; try again later"
    return problem_answer(503, Reason.STORE_UNAVAILABLE.value, detail, instance=request.url.path, headers={"Retry-After": "2"})


def _broken(request: Request, error: Exception) -> Response:
    # The server logs the traceback; the caller learns nothing of the inside. Outside of all middleware: own headers.
    del error
    detail = "this is a fault of the server; it has been logged"
    return problem_answer(
        500, Reason.INTERNAL, detail, instance=request.url.path, headers={**SECURITY, "Cache-Control": "no-store"}
    )
