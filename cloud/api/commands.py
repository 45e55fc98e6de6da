"""Orders to devices: what a device takes, asking for it, a second person's word, and what became of it."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from cloud.accounts.rights import Act
from cloud.api.actor import Acting, Actor
from cloud.api.answers import json_answer
from cloud.api.command_schemas import Approval, Approving, CommandAnswer, CommandPage, Offers, Order
from cloud.api.common import Given, Id, NoQuery, PageQuery, text
from cloud.api.cursors import Whole, next_cursor, read_cursor
from cloud.api.problems import ApiProblem, describe
from cloud.api.services import Services
from cloud.api.times import iso
from cloud.commands.book import Wanted, approve, ask, held, news_of
from cloud.commands.offers import Argument, CommandError, Preview, arguments_of, checked, preview
from cloud.commands.states import CommandState
from cloud.relational.engine import reading, writing
from cloud.relational.tables import commands, devices
from device_profiles.model import CommandSpec, Profile
from telemetry.reason import Reason

__all__ = ["router"]

router = APIRouter(tags=["commands"])

_SAME: Final = ("id", "device", "gateway", "command", "arguments", "dangerous", "actor", "approved_by", "note", "state", "tries")
_TOLD: Final = ("outcome", "reason", "detail")
DevicePath = Annotated[Id, Path(alias="id")]
CommandPath = Annotated[str, Path(alias="id", pattern=r"^[A-Za-z0-9._:\-]{1,64}$")]


class CommandQuery(PageQuery):
    """Which orders."""

    device: Id | None = Field(None, description="only to this device")
    state: list[CommandState] = Field(default=[], max_length=len(CommandState), description="only in this state; repeatable")


@router.get("/devices/{id}/commands", summary="What a device can be told", response_model=Offers, responses=describe(404))
async def get_offers(given: Given, device: DevicePath, _: NoQuery) -> Response:
    """The orders of its profile, each with what it must say; none where the profile is not in the catalog."""
    profile = (await _device(given, device))[1]
    items = [] if profile is None else [_offer(spec, profile) for spec in profile.commands.values()]
    return json_answer({"device": device, "items": items})


@router.post(
    "/devices/{id}/commands",
    summary="Tell a device to do something",
    status_code=202,
    response_model=Approval,
    responses=describe(403, 404, 409, 413, 429),
)
async def order_device(given: Given, who: Acting, device: DevicePath, order: Order, _: NoQuery) -> dict[str, Any]:
    """It goes out as soon as the gateway is there, and never after `ttl_s`. A dangerous one waits for a second person, who has a
    quarter of an hour. With `dry_run` it is only checked."""
    gateway, profile = await _device(given, device)
    spec = None if profile is None else profile.commands.get(order.command)
    if profile is None or spec is None:
        known = ", ".join(profile.commands) if profile is not None and profile.commands else "none"
        raise _problem(CommandError(Reason.INVALID, f"{device} takes no {order.command!r}; want one of: {known}"), "command")
    try:
        said = checked(spec, profile, order.arguments)
        shown = preview(spec, said)
    except CommandError as error:
        raise _problem(error, f"arguments.{error.where}" if error.where else "arguments") from None
    wanted = Wanted(
        device=device,
        gateway=gateway,
        command=spec.name,
        arguments=said,
        dangerous=spec.dangerous,
        actor=order.actor,
        role="",
        note=order.note,
        key=order.key,
        ttl_s=order.ttl_s,
    )
    row = await _ask(given, who, wanted, dry_run=order.dry_run)
    return {
        "id": None if row is None else row["id"],
        "state": None if row is None else row["state"],
        "dry_run": order.dry_run,
        "dangerous": spec.dangerous,
        "preview": _previewed(shown),
    }


@router.get("/commands", summary="Orders and what became of them", response_model=CommandPage)
async def list_commands(given: Given, query: Annotated[CommandQuery, Query()]) -> Response:
    """Newest first."""
    after = read_cursor(query.cursor, tuple[Whole, str])
    wanted = select(commands).order_by(commands.c.created_ns.desc(), commands.c.id.desc()).limit(query.limit + 1)
    if query.device is not None:
        wanted = wanted.where(commands.c.device == query.device)
    if query.state:
        wanted = wanted.where(commands.c.state.in_([state.value for state in query.state]))
    if after is not None:
        older = and_(commands.c.created_ns == after[0], commands.c.id < after[1])
        wanted = wanted.where(or_(commands.c.created_ns < after[0], older))
    async with reading(given.engine) as conn:
        rows = (await conn.execute(wanted)).mappings().all()
    page = rows[: query.limit]
    more = next_cursor(page[-1]["created_ns"], page[-1]["id"]) if len(rows) > query.limit else None
    return json_answer({"items": [_shown(dict(row)) for row in page], "next": more})


@router.get("/commands/{id}", summary="One order", response_model=CommandAnswer, responses=describe(404))
async def get_command(given: Given, command: CommandPath, _: NoQuery) -> Response:
    """Where it is, and what came of it."""
    try:
        async with reading(given.engine) as conn:
            return json_answer(_shown(await held(conn, command)))
    except CommandError as error:
        raise ApiProblem(error.reason, str(error)) from None


@router.post(
    "/commands/{id}/approve",
    summary="Agree to a dangerous order",
    response_model=CommandAnswer,
    responses=describe(403, 404, 409, 413),
)
async def approve_command(given: Given, who: Acting, command: CommandPath, approving: Approving, _: NoQuery) -> dict[str, Any]:
    """By somebody else than who asked, who may give it, too. From now on the order is good for its time."""
    try:
        async with writing(given.engine) as conn:
            row = await held(conn, command)
            name = await _allowed(given, conn, who, row["device"], approving.actor)
            row = await approve(conn, command, name, given.clock.wall_ns())
    except CommandError as error:
        raise ApiProblem(error.reason, str(error)) from None
    given.ordered()
    given.feed.publish("command", news_of(row))
    return _shown(row)


async def _device(given: Services, device: str) -> tuple[str, Profile | None]:
    """The device's gateway and profile; ApiProblem (404) where there is no such device."""
    async with reading(given.engine) as conn:
        row = (await conn.execute(select(devices.c.gateway, devices.c.profile).where(devices.c.id == device))).first()
    if row is None:
        raise ApiProblem(Reason.UNKNOWN_DEVICE, f"device {device}: there is none")
    return row.gateway, given.catalog.get(row.profile)


async def _ask(given: Services, who: Actor, wanted: Wanted, *, dry_run: bool) -> dict[str, Any] | None:
    """Put the order into the book, in the name of who may give it; None where that was only tried."""
    try:
        async with reading(given.engine) if dry_run else writing(given.engine) as conn:
            name = await _allowed(given, conn, who, wanted.device, wanted.actor)
            wanted = msgspec.structs.replace(wanted, actor=name, role=who.heard.role)
            row = None if dry_run else await ask(conn, wanted, given.clock.wall_ns())
    except CommandError as error:
        raise ApiProblem(error.reason, str(error)) from None
    who.heard.detail = {"command": wanted.command, "dry_run": dry_run, "id": "" if row is None else row["id"]}
    if row is not None:
        given.ordered()
        given.feed.publish("command", news_of(row))
    return row


async def _allowed(given: Services, conn: AsyncConnection, who: Actor, device: str, said: str) -> str:
    """The name of who may tell this device something: by the district that it stands in, else by that of its newest case."""
    wanted = select(devices.c.longitude, devices.c.latitude).where(devices.c.id == device)
    place = (await conn.execute(wanted)).first()
    district = ""
    if place is not None and place.longitude is not None and place.latitude is not None:
        district = given.desk.duty.district(place.longitude, place.latitude)
    return who.does(Act.COMMAND, said, district) if district else await who.acts_on(conn, Act.COMMAND, device, said)


def _problem(error: CommandError, where: str) -> ApiProblem:
    return ApiProblem(error.reason, f"body.{where}: {error}", [(f"body.{where}", str(error))])


def _offer(spec: CommandSpec, profile: Profile) -> dict[str, Any]:
    return {
        "name": spec.name,
        "title": text(spec.title),
        "dangerous": spec.dangerous,
        "where": spec.where,
        "arguments": [_argument(each) for each in arguments_of(spec, profile)],
    }


def _argument(argument: Argument) -> dict[str, Any]:
    names = ("name", "unit", "low", "high", "default", "required")
    return {**{name: getattr(argument, name) for name in names}, "type": argument.type.value}


def _previewed(shown: Preview) -> dict[str, Any]:
    payload = shown.payload
    return {"where": shown.where, "language": shown.language, "hex": None if payload is None else payload.hex()}


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in _SAME},
        "created": iso(row["created_ns"]),
        "approved": iso(row["issued_ns"]) if row["approved_by"] else None,
        "expires": iso(row["expires_ns"]),
        "sent": iso(row["sent_ns"]),
        "acked": iso(row["acked_ns"]),
        "finished": iso(row["finished_ns"]),
        **{name: row[name] for name in _TOLD},
    }
