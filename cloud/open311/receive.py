"""A report becomes a case, once: the same submission within minutes is answered with the same case.

What was said twice is known by the `key` of the case's step, which is also the token: a hash of the submission and the
minutes in which it came. So it is known after a restart, and to a second process of the cloud.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.cases.desk import Desk
from cloud.cases.draft import CaseError
from cloud.cases.opening import Report, report
from cloud.open311.config import Open311Config
from cloud.open311.faults import Fault, Refused, Trouble
from cloud.open311.keys import ApiKey
from cloud.open311.submission import ACTOR, Submission, reporter, text_of
from cloud.relational.engine import reading, writing
from cloud.relational.tables import case_steps, cases, devices
from cloud.workflow.states import Role
from device_profiles.matter import Matter
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason

__all__ = ["REPEAT_S", "Door", "Received", "case_of_token", "receive"]

REPEAT_S: Final = 600
"""A client that had no answer tries again for some minutes."""

_TRIES: Final = 3
_PREFIX: Final = "o311-"
_TOKEN = re.compile(f"{_PREFIX}[0-9a-f]{{40}}-[0-9]{{1,12}}")


class Received(msgspec.Struct, frozen=True):
    """The case's row, its token, and whether this submission is news: a repeat is not."""

    case: Mapping[str, Any]
    token: str
    news: bool


class Door(msgspec.Struct, frozen=True):
    """What a report goes through."""

    engine: AsyncEngine
    desk: Desk
    config: Open311Config


async def receive(
    door: Door, key: ApiKey, matter: Matter, submission: Submission, now_ns: int, *, photos: tuple[str, ...] = ()
) -> Received:
    """Make a case of it or join one, in a transaction of its own. Refused where the object named by address_id is unknown.

    `photos` are ids of `evidence` that are kept already.
    """
    told = msgspec.structs.replace(await _report(door, key, matter, submission), photos=photos)
    mark = submission.mark(key.name)
    for left in reversed(range(_TRIES)):
        try:
            async with writing(door.engine) as conn:
                return await _once(conn, door.desk, told, mark, now_ns)
        except (IntegrityError, CaseError) as error:
            # Another process was here at the same moment: what it wrote is seen the next time.
            if left == 0 or (isinstance(error, CaseError) and error.reason is not Reason.CONFLICT):
                raise
    raise AssertionError("every try returns or raises")


async def case_of_token(conn: AsyncConnection, token: str) -> int | None:
    """The case that a submission became; None for what is no token of ours."""
    if not _TOKEN.fullmatch(token):
        return None
    found: int | None = await conn.scalar(select(case_steps.c.case_id).where(case_steps.c.key == token))
    return found


async def _once(conn: AsyncConnection, desk: Desk, told: Report, mark: str, now_ns: int) -> Received:
    slot = now_ns // (REPEAT_S * SECOND_NS)
    tokens = [f"{_PREFIX}{mark}-{each}" for each in (slot, slot - 1)]
    since_ns = now_ns - REPEAT_S * SECOND_NS
    sent = select(cases, case_steps.c.key.label("token")).join(case_steps, case_steps.c.case_id == cases.c.id)
    earlier = sent.where(case_steps.c.key.in_(tokens), case_steps.c.at_ns > since_ns)
    held = (await conn.execute(earlier)).mappings().first()
    if held is not None:
        return Received(dict(held), held["token"], news=False)
    joined = await report(conn, desk, msgspec.structs.replace(told, occasion=tokens[0]), now_ns)
    ours = select(func.max(case_steps.c.id)).where(case_steps.c.case_id == joined.case["id"], case_steps.c.actor == told.actor)
    step = await conn.scalar(ours)
    await conn.execute(update(case_steps).where(case_steps.c.id == step).values(key=tokens[0]))
    return Received(joined.case, tokens[0], news=True)


async def _report(door: Door, key: ApiKey, matter: Matter, submission: Submission) -> Report:
    text = text_of(submission, door.config.language)
    device = await _device(door.engine, submission)
    longitude, latitude = submission.longitude, submission.latitude
    if longitude is None and device is not None:
        longitude, latitude = device["longitude"], device["latitude"]
    return Report(
        matter=matter,
        priority=matter.priority.value,
        source="citizen",
        occasion="",
        note=text or matter.title.zh,
        actor=ACTOR + key.name,
        role=Role.SYSTEM,
        device=None if device is None else device["id"],
        longitude=longitude,
        latitude=latitude,
        address=submission.address or (submission.component if longitude is None else ""),
        description=text,
        reporter=reporter(submission, key.name, door.config.keep),
        component_code=submission.component,
    )


async def _device(engine: AsyncEngine, submission: Submission) -> Mapping[str, Any] | None:
    """The device that is registered with the code on the object. Refused where the code is all that is known of the place."""
    if not submission.component:
        return None
    wanted = select(devices.c.id, devices.c.longitude, devices.c.latitude).where(devices.c.component_code == submission.component)
    async with reading(engine) as conn:
        found = (await conn.execute(wanted.limit(2))).mappings().all()
    if len(found) != 1 and submission.longitude is None and not submission.address:
        raise Refused(Trouble(Fault.ADDRESS_ID_UNKNOWN, {"id": submission.component}))
    return dict(found[0]) if len(found) == 1 else None
