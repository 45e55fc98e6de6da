"""The two kinds of bytes that the API answers with: JSON, and RFC 9457 problems."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

__all__ = ["PROBLEM_TYPE", "json_answer", "problem_answer", "problem_document"]

PROBLEM_TYPE = "application/problem+json"


def json_answer(document: Any, status: int = 200) -> Response:
    """`document` encoded as it is: for the large answers, which a model would only slow down."""
    return Response(msgspec.json.encode(document), status_code=status, media_type="application/json")


def problem_answer(
    status: int,
    reason: str,
    detail: str,
    *,
    instance: str = "",
    errors: Sequence[tuple[str, str]] = (),
    detail_zh: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem as a response; `errors` are (where, what)."""
    body = msgspec.json.encode(problem_document(status, reason, detail, instance, errors, detail_zh=detail_zh))
    return Response(body, status_code=status, media_type=PROBLEM_TYPE, headers=dict(headers or {}))


def problem_document(
    status: int, reason: str, detail: str, instance: str = "", errors: Sequence[tuple[str, str]] = (), *, detail_zh: str = ""
) -> dict[str, Any]:
    """RFC 9457, 3.1, with `reason`, `errors` and `detail_zh` as extension members; the last is "" where there is no Chinese."""
    return {
        "type": f"urn:citynerve:problem:{reason}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "detail_zh": detail_zh,
        "instance": instance,
        "reason": reason,
        "errors": [{"where": where, "what": what} for where, what in errors],
    }
