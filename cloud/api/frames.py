"""What a device really said: its frames around an instant, field by field, with the first byte that is wrong."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict, Field
from sqlalchemy import select
from starlette.responses import Response

from cloud.api.answers import json_answer
from cloud.api.common import Given, Id, StrictQuery
from cloud.api.problems import ApiProblem, describe
from cloud.api.schemas import Answer
from cloud.api.times import instant_ns, iso
from cloud.frames import KeptFrame, frames_around
from cloud.relational.engine import reading
from cloud.relational.tables import devices
from device_profiles.model import Profile
from firmware_bridge.decoding import Decoding, decode_frame
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason

__all__ = ["Frame", "router", "shown_frame"]

router = APIRouter(tags=["devices"])

MAX_FRAMES: Final = 200
_LATEST_NS: Final = 4_102_444_800 * SECOND_NS  # 2100-01-01

_EXAMPLE: Final[dict[str, Any]] = {
    "time": "2026-11-20T14:00:00.000Z",
    "direction": "up",
    "language": "modbus-rtu",
    "hex": "01030400e6000a9bc3",
    "size": 9,
    "left_out": 0,
    "gateway": "gw-1",
    "source": "/dev/ttyS1",
    "received": "2026-11-20T14:00:00.412Z",
    "skew_s": 0.412,
    "alarm": "",
    "decoded": {
        "ok": True,
        "error": None,
        "at": None,
        "fields": [{"name": "unit", "value": 1, "unit": "", "bytes": [0, 1], "note": ""}],
    },
}


class FrameField(Answer):
    """One field; `bytes` are [from, to), counted from the frame's first byte. `note` says what is wrong with it."""

    name: str
    value: bool | int | float | str | None
    unit: str
    bytes: list[int]
    note: str


class FrameDecoded(Answer):
    """What the bytes say. `error` says why they cannot be read, `at` is the first bad byte where one is to blame."""

    ok: bool
    error: str | None
    at: int | None
    fields: list[FrameField]


class Frame(Answer):
    """One frame as it came. `skew_s` is received - the device's own time, null where it tells none; `left_out` counts bytes at
    its end that no record had room for; `alarm` is the occurrence that it raised, or empty."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})
    time: str
    direction: Literal["up", "down"]
    language: str
    hex: str
    size: int
    left_out: int
    gateway: str
    source: str
    received: str | None
    skew_s: float | None
    alarm: str
    decoded: FrameDecoded


class FramePage(Answer):
    """Frames in order of time."""

    model_config = ConfigDict(json_schema_extra={"example": {"items": [_EXAMPLE]}})
    items: list[Frame]


class FrameQuery(StrictQuery):
    """Around which instant."""

    at: str | None = Field(None, max_length=40, description="ISO 8601 with zone; now when left out")
    before: int = Field(20, ge=0, le=MAX_FRAMES, description="how many readings' frames up to that instant, included")
    after: int = Field(0, ge=0, le=MAX_FRAMES, description="how many behind it")


@router.get(
    "/devices/{id}/frames",
    summary="The frames of one device around an instant, field by field",
    response_model=FramePage,
    responses=describe(404, 503),
)
async def get_frames(given: Given, device: Annotated[Id, Path(alias="id")], query: Annotated[FrameQuery, Query()]) -> Response:
    """Those that proved an alarm, and all of a device whose gateway is told to send them (`frames = true`)."""
    at_ns = given.clock.wall_ns() if query.at is None else _instant(query.at)
    async with reading(given.engine) as conn:
        row = (await conn.execute(select(devices.c.gateway).where(devices.c.id == device))).first()
        if row is None:
            raise ApiProblem(Reason.UNKNOWN_DEVICE, f"device {device}: there is none")
        found = await frames_around(conn, given.series, device, at_ns, before=query.before, after=query.after)
    return json_answer({"items": [shown_frame(kept, row.gateway, given.catalog) for kept in found]})


def shown_frame(kept: KeptFrame, gateway: str, catalog: Mapping[str, Profile]) -> dict[str, Any]:
    """A frame as the API shows it."""
    frame, received_ns = kept.frame, kept.received_ns
    told = received_ns is not None and received_ns != kept.time_ns
    return {
        "time": iso(kept.time_ns),
        "direction": "up",
        "language": frame.language,
        "hex": frame.raw.hex(),
        "size": len(frame.raw) + frame.left_out,
        "left_out": frame.left_out,
        "gateway": gateway,
        "source": kept.source,
        "received": iso(received_ns),
        "skew_s": round((received_ns - kept.time_ns) / SECOND_NS, 3) if told and received_ns is not None else None,
        "alarm": kept.alarm,
        "decoded": _decoded(decode_frame(frame.language, frame.raw, catalog), len(frame.raw), frame.left_out),
    }


def _decoded(decoding: Decoding, size: int, left_out: int) -> dict[str, Any]:
    fields = [
        {"name": field.name, "value": field.value, "unit": "", "bytes": [field.begin, field.end], "note": ""}
        for field in decoding.fields
    ]
    error = None
    if decoding.refused:
        error = f"{decoding.reason}: {decoding.detail}" + (f" ({left_out} bytes are left out)" if left_out else "")
        if not fields and decoding.at is not None:
            end = min(decoding.at + 1, size)
            fields = [{"name": "refused", "value": None, "unit": "", "bytes": [min(decoding.at, size), end], "note": error}]
    return {"ok": not decoding.refused, "error": error, "at": decoding.at, "fields": fields}


def _instant(value: str) -> int:
    try:
        time_ns = instant_ns(value)
    except (ValueError, TypeError, OverflowError):  # TypeError: it has no zone
        time_ns = -1
    if not 0 <= time_ns <= _LATEST_NS:
        wanted = "want ISO 8601 with a zone between 1970 and 2100, like 2026-11-20T08:00:00Z (write a + as %2B)"
        raise ApiProblem(Reason.INVALID, f"query.at: {wanted}", [("query.at", wanted)])
    return time_ns
