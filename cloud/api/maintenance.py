"""Disarming a device for a crew that is going to open it, and arming it again."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field
from sqlalchemy import select

from cloud.accounts.rights import Act
from cloud.alarms import maintenance
from cloud.alarms.maintenance import Window
from cloud.api import examples
from cloud.api.actor import Acting
from cloud.api.alarm_acts import ACT_PROBLEMS, acting
from cloud.api.common import Given, Id, NoQuery
from cloud.api.problems import ApiProblem, describe
from cloud.api.schemas import Answer, Instant, Note, Printable
from cloud.api.services import Services
from cloud.api.times import iso, to_ns
from cloud.relational.engine import reading
from cloud.relational.tables import devices
from telemetry.reason import Reason

__all__ = ["router"]

router = APIRouter(tags=["alarms"])

DevicePath = Annotated[Id, Path(alias="id")]


class Arming(Answer):
    """Whether a device is armed. Where it is not: which alarms are kept from people, from when to when, by whom and why;
    `ends_when_closed`: it is armed again by itself as soon as it was opened and is closed."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "device": "cover-17",
                "armed": False,
                "rules": ["cover_opened", "cover_struck", "cover_tilted"],
                "since": examples.AT,
                "until": "2026-11-20T09:00:00.000Z",
                "by": "li.wei",
                "reason": "clearing the drain, case 7",
                "ends_when_closed": True,
            }
        }
    )
    device: str
    armed: bool
    rules: list[str]
    since: str | None
    until: str | None
    by: str
    reason: str
    ends_when_closed: bool


class Disarming(Note):
    """Who is going to open a device, `note`: why, and until when. `code` is what stands on the device: its id or its
    component code, told to be sure that it is this one. `key` makes what is sent again happen once."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "actor": "li.wei",
                "note": "clearing the drain, case 7",
                "until": "2026-11-20T09:00:00Z",
                "code": "4401060103000017",
                "key": "0d6a1c0e-5a2f-4a39-9f3b-2f6f1c8f7f11",
            }
        }
    )
    until: Instant
    code: Annotated[str, Field(max_length=64), Printable] = ""
    key: Annotated[str, Field(max_length=64), Printable] = ""


@router.get("/devices/{id}/arming", summary="Whether a device is armed", response_model=Arming, responses=describe(404))
async def get_arming(given: Given, device: DevicePath, _: NoQuery) -> dict[str, Any]:
    """A device is armed unless a crew disarmed it for a visit that goes on."""
    await _component_code(given, device)
    return await _arming(given, device)


@router.post("/devices/{id}/disarm", summary="Disarm a device for a visit", response_model=Arming, responses=ACT_PROBLEMS)
async def disarm_device(given: Given, who: Acting, device: DevicePath, visit: Disarming, _: NoQuery) -> dict[str, Any]:
    """That it is opened, moved or tilted alarms nobody then; water, gas and silence do. Ends at its time, a day away at most,
    or as soon as it was opened and is closed again. 409 where `code` is that of another device."""
    component = await _component_code(given, device)
    if visit.code.strip() not in {"", device, component}:
        raise ApiProblem(Reason.CONFLICT, f"device {device}: {visit.code.strip()} is the code of another one")
    until_ns = to_ns(datetime.fromisoformat(visit.until))
    async with acting(given) as act:
        name = await who.acts_on(act.conn, Act.DISARM, device, visit.actor)
        act.did = await maintenance.disarm(
            act.conn,
            given.catalog,
            device,
            until_ns=until_ns,
            actor=name,
            reason=visit.note,
            now_ns=act.now_ns,
            key=visit.key,
        )
    return await _arming(given, device)


@router.post("/devices/{id}/arm", summary="Arm a device before its time", response_model=Arming, responses=ACT_PROBLEMS)
async def arm_device(given: Given, who: Acting, device: DevicePath, note: Note, _: NoQuery) -> dict[str, Any]:
    """Where it is open then, it alarms at once. 409 where it is armed."""
    async with acting(given) as act:
        name = await who.acts_on(act.conn, Act.DISARM, device, note.actor)
        act.did = await maintenance.rearm(act.conn, device, actor=name, note=note.note, now_ns=act.now_ns)
    return await _arming(given, device)


async def _component_code(given: Services, device: str) -> str:
    async with reading(given.engine) as conn:
        code = await conn.scalar(select(devices.c.component_code).where(devices.c.id == device))
    if code is None:
        raise ApiProblem(Reason.UNKNOWN_DEVICE, f"device {device}: there is none")
    return str(code)


async def _arming(given: Services, device: str) -> dict[str, Any]:
    async with reading(given.engine) as conn:
        window = await maintenance.window_of(conn, device)
    return _shown(device, window)


def _shown(device: str, window: Window | None) -> dict[str, Any]:
    return {
        "device": device,
        "armed": window is None,
        "rules": list(window.rules) if window else [],
        "since": iso(window.since_ns) if window else None,
        "until": iso(window.until_ns) if window else None,
        "by": window.by if window else "",
        "reason": window.reason if window else "",
        "ends_when_closed": window.ends_when_closed if window else False,
    }
