"""What a server may ask of a device, and what came of it (LwM2M 1.0, clauses 5.4 and 5.5; 1.1 Core, clauses 6.3 and 6.4)."""

from enum import Enum

import msgspec

from firmware_bridge.coap import CoapMessage, CoapOption
from firmware_bridge.errors import Refused
from firmware_bridge.lwm2m.messages import (
    ACCEPT,
    BLOCK2,
    CONTENT_FORMAT,
    OBSERVE,
    URI_PATH,
    URI_QUERY,
    number_option,
    text_option,
)
from firmware_bridge.lwm2m.paths import Path, format_path
from firmware_bridge.lwm2m.payloads import Format
from firmware_bridge.lwm2m.registry import type_at
from firmware_bridge.lwm2m.values import Reading
from telemetry.reason import Reason

__all__ = ["Answered", "Operation", "Request", "flaw_of", "message_of"]


class Operation(Enum):
    """Code, Observe option, letter that the registry asks for, shortest and longest path (1.1 Core, clause 6.3)."""

    READ = ("0.01", None, "R", 1, 4)
    DISCOVER = ("0.01", None, "", 1, 3)
    OBSERVE = ("0.01", 0, "R", 1, 4)
    CANCEL = ("0.01", 1, "R", 1, 4)
    REPLACE = ("0.03", None, "W", 2, 4)
    UPDATE = ("0.02", None, "W", 2, 2)
    EXECUTE = ("0.02", None, "E", 3, 3)
    CREATE = ("0.02", None, "", 1, 1)
    DELETE = ("0.04", None, "", 2, 2)
    ATTRIBUTES = ("0.03", None, "", 1, 4)
    """How often an observation tells, by `query`: pmin, pmax (1.1 Core, clause 6.4.2 and table 7.3.2-1)."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. `format` is the payload's, or for a read the one wanted; `until_s` is when it is not worth asking any more.

    Writing one resource is REPLACE on its path; UPDATE writes some resources of an instance. `tag` is whoever asks' own, given
    back with the answer.
    """

    operation: Operation
    path: Path
    until_s: float
    format: int | None = None
    payload: bytes = b""
    query: tuple[str, ...] = ()
    tag: int = 0


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A device's answer or notification: its CoAP `code`, and the values of a 2.05; `refused` where those cannot be read."""

    endpoint: str
    request: Request
    code: str
    readings: tuple[Reading, ...] = ()
    payload: bytes = b""
    notification: bool = False
    refused: Refused | None = None


def flaw_of(request: Request) -> Refused | None:
    """Why a request cannot be asked: a path of the wrong length, or a resource that does not allow it."""
    _, _, letter, shortest, longest = request.operation.value
    if not shortest <= len(request.path) <= longest:
        return Refused(reason=Reason.BAD_FIELD, detail=f"{request.operation.name.lower()} of {format_path(request.path)}")
    row = type_at(request.path)
    if row is not None and letter not in row.operations:
        detail = f"{format_path(request.path)} {row.name} allows {row.operations}, not {letter}"
        return Refused(reason=Reason.NOT_ALLOWED, detail=detail)
    return None


def message_of(request: Request, root: str, token: bytes, message_id: int, block: int | None = None) -> CoapMessage:
    """The confirmable message that asks it of a device whose paths begin with `root`; `block` asks for a further part of the
    answer, which observes nothing by itself (RFC 7959, clause 3.4)."""
    code, observe, *_ = request.operation.value
    options: list[CoapOption] = [] if observe is None or block is not None else [number_option(OBSERVE, observe)]
    options += [] if block is None else [number_option(BLOCK2, block)]
    steps = [*root.strip("/").split("/"), *map(str, request.path)]
    options += (text_option(URI_PATH, step) for step in steps if step)
    wanted = Format.LINKS if request.operation is Operation.DISCOVER else request.format
    options += (text_option(URI_QUERY, each) for each in request.query)
    if wanted is not None:
        options.append(number_option(ACCEPT if code == "0.01" else CONTENT_FORMAT, wanted))
    return CoapMessage(type="CON", code=code, message_id=message_id, token=token, options=tuple(options), payload=request.payload)
