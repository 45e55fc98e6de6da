"""The ways messages go to people: how they are doing, and a test message over one of them. No address and no secret is shown."""

import asyncio
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.accounts.rights import Act
from cloud.api import examples
from cloud.api.actor import Actor, allowed
from cloud.api.common import Given, Id, NoQuery
from cloud.api.problems import ApiProblem, describe
from cloud.api.schemas import Answer, Body, example
from cloud.api.services import Services
from cloud.api.times import iso
from cloud.notify.config import ChannelConfig, Language
from cloud.notify.outbox import NotificationState
from cloud.notify.trying import in_words, try_channel
from cloud.relational.engine import reading
from cloud.relational.tables import notifications
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason

__all__ = ["router"]

router = APIRouter(tags=["channels"])

Settings = Annotated[Actor, allowed(Act.SETTINGS)]
ChannelName = Annotated[Id, Path(alias="name")]

_DAY_NS: Final = 86_400 * SECOND_NS
_MOST_S: Final = 60.0
_CHANNEL: Final[dict[str, Any]] = {
    "name": "crew",
    "kind": "wecom",
    "lang": "zh",
    "priorities": ["critical", "high"],
    "people": ["li.wei"],
    "waiting": 0,
    "day": {"sent": 41, "failed": 0, "digest": 3},
    "last_sent": examples.AT,
    "last_failure": "",
}


class DayCounts(Answer):
    """Messages of the last 24 hours by how they ended; `digest`: told of in a list."""

    sent: int
    failed: int
    digest: int


class ChannelInfo(Answer):
    """One channel. `people` is empty where its messages go to a group as a whole."""

    model_config = example(**_CHANNEL)
    name: str
    kind: str
    lang: Literal["zh", "en"]
    priorities: list[str]
    people: list[str]
    waiting: int
    day: DayCounts
    last_sent: str | None
    last_failure: str


class ChannelList(Answer):
    model_config = example(items=[_CHANNEL])
    items: list[ChannelInfo]


class Trial(Body):
    """Whom to send a test message to: one person of the channel, or everybody."""

    person: Id | None = None


class Tried(Answer):
    """What the vendor answered for one target; `zh` and `en` say what to do about it."""

    target: str
    ok: bool
    zh: str
    en: str


class TriedList(Answer):
    model_config = example(items=[{"target": "li.wei", "ok": True, "zh": "对方已接收", "en": "taken"}])
    items: list[Tried]


@router.get("/channels", summary="The ways messages go to people", response_model=ChannelList, responses=describe(401, 403))
async def list_channels(given: Given, _: Settings, __: NoQuery) -> dict[str, Any]:
    """In the order of the configuration, which alone adds and changes them."""
    since_ns = given.clock.wall_ns() - _DAY_NS
    async with reading(given.engine) as conn:
        return {"items": [await _shown(conn, channel, since_ns) for channel in given.desk.channels]}


@router.post(
    "/channels/{name}/test",
    summary="Send a test message",
    response_model=TriedList,
    responses=describe(401, 403, 404, 409, 413, 503),
)
async def send_trial(given: Given, who: Settings, name: ChannelName, wanted: Trial, _: NoQuery) -> dict[str, Any]:
    """It asks for nothing and stands in no outbox. The answer is the vendor's own, in words; at most a minute."""
    channel = _channel(given, name)
    who.heard.detail = {"person": wanted.person or ""}
    try:
        async with asyncio.timeout(_MOST_S):
            found = [one async for one in try_channel(channel, given.clock, wanted.person or "")]
    except LookupError as error:
        raise ApiProblem(Reason.NOT_FOUND, str(error)) from error
    except TimeoutError as error:
        raise ApiProblem(Reason.STORE_UNAVAILABLE, f"channel {name}: no answer within {_MOST_S:.0f} s") from error
    except OSError as error:
        raise ApiProblem(Reason.CONFLICT, f"channel {name}: a file of its configuration cannot be read") from error
    return {
        "items": [
            {"target": target, "ok": result.ok, "zh": in_words(result, Language.ZH), "en": in_words(result, Language.EN)}
            for target, result in found
        ]
    }


def _channel(given: Services, name: str) -> ChannelConfig:
    found = next((channel for channel in given.desk.channels if channel.name == name), None)
    if found is None:
        raise ApiProblem(Reason.NOT_FOUND, f"channel {name}: there is none")
    return found


async def _shown(conn: AsyncConnection, channel: ChannelConfig, since_ns: int) -> dict[str, Any]:
    mine = notifications.c.channel == channel.name
    by_state = select(notifications.c.state, func.count()).where(mine, notifications.c.created_ns >= since_ns)
    day = {row[0]: row[1] for row in await conn.execute(by_state.group_by(notifications.c.state))}
    waiting = select(func.count()).where(mine, notifications.c.state == NotificationState.PENDING.value)
    failed = select(notifications.c.failure).where(mine, notifications.c.failure != "")
    return {
        "name": channel.name,
        "kind": channel.kind.value,
        "lang": channel.lang.value,
        "priorities": [priority.value for priority in channel.priorities],
        "people": [person.name for person in channel.people],
        "waiting": await conn.scalar(waiting) or 0,
        "day": {state: day.get(state, 0) for state in ("sent", "failed", "digest")},
        "last_sent": iso(await conn.scalar(select(func.max(notifications.c.sent_ns)).where(mine))),
        "last_failure": await conn.scalar(failed.order_by(notifications.c.id.desc()).limit(1)) or "",
    }
