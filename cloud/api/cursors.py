"""Opaque cursors: the key of the last row of a page, so that pages stay right while rows come and go."""

import base64
import binascii
from typing import Annotated, Any, TypeVar

import msgspec

from cloud.api.problems import ApiProblem
from telemetry.reason import Reason

__all__ = ["Whole", "next_cursor", "read_cursor"]

_T = TypeVar("_T")

Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number that a database column can hold."""


def next_cursor(*key: Any) -> str:
    """The cursor that goes on after the row with this key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def read_cursor(cursor: str | None, shape: type[_T]) -> _T | None:
    """The key in a cursor, checked against its `shape` (a tuple type); ApiProblem for one that we did not make."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=shape)
    except (binascii.Error, ValueError) as error:
        raise ApiProblem(
            Reason.INVALID, "query.cursor: want the `next` of a former page, unchanged", [("query.cursor", "not a cursor")]
        ) from error
