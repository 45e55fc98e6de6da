"""The book of orders: each change is one lookup in the table of states, inside the caller's transaction.

A row is written before anything is published, and its number (`counter`) is drawn then: a process that dies in between sends the
same order again under the same number, and the gateway, which keeps the highest number on disk, acts on it once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

import msgspec
from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.commands.offers import CommandError
from cloud.commands.states import FINAL, TABLE, CommandEvent, CommandState
from cloud.relational.tables import commands, gateways
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Outcome, Value

__all__ = ["APPROVAL_S", "MOST_IN_A_MINUTE", "Wanted", "approve", "ask", "due", "expire", "held", "news_of", "settle", "taken"]

APPROVAL_S: Final = 900
"""How long a second person may take."""
MOST_IN_A_MINUTE: Final = 6
"""Orders to one device: somebody who presses a button again and again must not wear out a contactor."""
GRACE_S: Final = 120
"""How long after its time an order's result may still be on its way before its fate is called unknown."""
_AGAIN_NS: Final = 10 * SECOND_NS
"""After so long without the broker's word an order is published again."""
_MINUTE_NS: Final = 60 * SECOND_NS
_MOST_DUE: Final = 100

Row = dict[str, Any]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """An order as somebody asks for it, checked against the device's profile."""

    device: str
    gateway: str
    command: str
    arguments: Mapping[str, Value]
    dangerous: bool
    actor: str
    role: str
    note: str
    key: str
    ttl_s: int


async def ask(conn: AsyncConnection, wanted: Wanted, now_ns: int) -> Row:
    """Put an order into the book; the one that was asked for with this key before, where there is one.

    CommandError: conflict where the key was another order's, too_often where the device has had enough of them.
    """
    if wanted.key:
        same = (await conn.execute(select(commands).filter_by(device=wanted.device, key=wanted.key))).mappings().first()
        if same is not None:
            return _same(dict(same), wanted)
    recent = select(func.count()).where(commands.c.device == wanted.device, commands.c.created_ns > now_ns - _MINUTE_NS)
    if (await conn.scalar(recent) or 0) >= MOST_IN_A_MINUTE:
        raise CommandError(Reason.TOO_OFTEN, f"{wanted.device}: {MOST_IN_A_MINUTE} orders within a minute; wait a little")
    state = CommandState.AWAITING_APPROVAL if wanted.dangerous else CommandState.QUEUED
    name = uuid4().hex
    row = {
        **msgspec.structs.asdict(wanted),
        "arguments": dict(wanted.arguments),
        "id": name,
        "key": wanted.key or name,
        "approved_by": "",
        "state": state.value,
        "counter": None,
        "tries": 0,
        "hello_ns": 0,
        "created_ns": now_ns,
        "issued_ns": None if wanted.dangerous else now_ns,
        "expires_ns": now_ns + (APPROVAL_S if wanted.dangerous else wanted.ttl_s) * SECOND_NS,
        "outcome": "",
        "reason": "",
        "detail": "",
    }
    await conn.execute(commands.insert().values(row))
    return await held(conn, name)


def _same(row: Row, wanted: Wanted) -> Row:
    if (row["command"], row["arguments"]) != (wanted.command, dict(wanted.arguments)):
        raise CommandError(Reason.CONFLICT, f"key {wanted.key!r}: was another order's, {row['command']}")
    return row


async def approve(conn: AsyncConnection, name: str, actor: str, now_ns: int) -> Row:
    """The second person agrees: from now on the order is good for its time.

    CommandError: not_found, not_allowed (the asker), conflict (nobody waits for it any more).
    """
    row = await held(conn, name)
    if row["actor"].casefold() == actor.casefold():
        raise CommandError(Reason.NOT_ALLOWED, f"command {name}: {actor} asked for it; want a second person", "actor")
    if row["state"] == CommandState.AWAITING_APPROVAL.value and row["expires_ns"] <= now_ns:
        raise CommandError(Reason.CONFLICT, f"command {name}: nobody approved it within {APPROVAL_S} s")
    then = _then(row, CommandEvent.APPROVE)
    expires_ns = now_ns + row["ttl_s"] * SECOND_NS
    changes = {"state": then.value, "approved_by": actor, "issued_ns": now_ns, "expires_ns": expires_ns}
    return await _change(conn, row, changes)


async def held(conn: AsyncConnection, name: str) -> Row:
    """One order; CommandError (not_found) where there is none."""
    row = (await conn.execute(select(commands).where(commands.c.id == name))).mappings().first()
    if row is None:
        raise CommandError(Reason.NOT_FOUND, f"command {name}: there is none")
    return dict(row)


async def expire(conn: AsyncConnection, now_ns: int) -> list[Row]:
    """End what is past its time: what was never sent is expired, what was is unknown once its result is overdue."""
    waiting = commands.c.state.in_([CommandState.AWAITING_APPROVAL.value, CommandState.QUEUED.value])
    away = commands.c.state.in_([CommandState.SENT.value, CommandState.ACKED.value])
    over = or_(
        and_(waiting, commands.c.expires_ns <= now_ns),
        and_(away, commands.c.expires_ns <= now_ns - GRACE_S * SECOND_NS),
    )
    rows = (await conn.execute(select(commands).where(over).order_by(commands.c.expires_ns).limit(_MOST_DUE))).mappings().all()
    return [await _end(conn, dict(row), now_ns) for row in rows]


async def _end(conn: AsyncConnection, row: Row, now_ns: int) -> Row:
    if row["state"] in {CommandState.SENT.value, CommandState.ACKED.value}:
        event, outcome, reason = CommandEvent.GIVE_UP, Outcome.UNKNOWN, Reason.TIMEOUT
        detail = "it was sent, and the gateway has not said what came of it"
    else:
        event, outcome, reason = CommandEvent.EXPIRE, Outcome.EXPIRED, Reason.EXPIRED
        approving = row["state"] == CommandState.AWAITING_APPROVAL.value
        detail = "no second person approved it" if approving else "its gateway was not there; it was never sent"
    return await _finish(conn, row, event, now_ns, outcome=outcome, reason=reason, detail=detail)


async def due(conn: AsyncConnection, now_ns: int) -> list[tuple[Row, Command]]:
    """What is to be published now, in the order in which each gateway is to hear it; the rows say already that it was.

    That is: what waits for a gateway that is there, what the broker never confirmed, and what was sent before the gateway
    connected anew. Nothing past its time.
    """
    again = or_(
        and_(commands.c.state == CommandState.SENT.value, commands.c.tried_ns <= now_ns - _AGAIN_NS),
        commands.c.hello_ns != gateways.c.hello_ns,
    )
    away = commands.c.state.in_([CommandState.SENT.value, CommandState.ACKED.value])
    wanted = (
        select(commands, gateways.c.hello_ns.label("now_hello_ns"))
        .join(gateways, gateways.c.id == commands.c.gateway)
        .where(gateways.c.online, commands.c.expires_ns > now_ns)
        .where(or_(commands.c.state == CommandState.QUEUED.value, and_(away, again)))
        # Numbers that are drawn already go first: a gateway takes no number below the highest it has seen.
        .order_by(commands.c.counter.is_(None), commands.c.counter, commands.c.issued_ns, commands.c.id)
        .limit(_MOST_DUE)
    )
    rows = (await conn.execute(wanted)).mappings().all()
    return [await _sent(conn, dict(row), now_ns) for row in rows]


async def _sent(conn: AsyncConnection, row: Row, now_ns: int) -> tuple[Row, Command]:
    hello_ns = row.pop("now_hello_ns")
    counter = row["counter"] if row["counter"] is not None else await _next_counter(conn, row["gateway"], now_ns)
    changes = {
        "state": _then(row, CommandEvent.SEND).value,
        "counter": counter,
        "tries": row["tries"] + 1,
        "hello_ns": hello_ns,
        "tried_ns": now_ns,
        "sent_ns": row["sent_ns"] or now_ns,
    }
    row = await _change(conn, row, changes)
    command = Command(
        id=row["id"],
        gateway=row["gateway"],
        device=row["device"],
        action=row["command"],
        args=row["arguments"],
        actor=row["actor"],
        counter=counter,
        issued_ns=row["issued_ns"],
        ttl_s=row["ttl_s"],
    )
    return row, command


async def _next_counter(conn: AsyncConnection, gateway: str, now_ns: int) -> int:
    """Above every earlier one, also those that a store restored from an older copy has forgotten: those are of earlier times."""
    last = await conn.scalar(select(func.max(commands.c.counter)).where(commands.c.gateway == gateway)) or 0
    return max(last + 1, now_ns // 1_000_000)


async def taken(conn: AsyncConnection, name: str, now_ns: int) -> Row | None:
    """The broker has an order; None where that is no news, since its end is known already."""
    row = await held(conn, name)
    if row["state"] != CommandState.SENT.value:
        return None
    return await _change(conn, row, {"state": _then(row, CommandEvent.TAKEN).value, "acked_ns": now_ns})


async def settle(conn: AsyncConnection, results: Sequence[CommandResult]) -> list[Row]:
    """Note what gateways say of orders, in the order in which they said it; the rows that it changed.

    A result of nobody's order, or of another device than the order's, changes nothing, and neither does a second one.
    """
    changed = []
    for result in results:
        row = (await conn.execute(select(commands).where(commands.c.id == result.id))).mappings().first()
        if row is None or row["device"] != result.device:
            continue
        outcome, detail = _meant(dict(row), result)
        event = _EVENTS[outcome]
        if (CommandState(row["state"]), event) not in TABLE:
            continue
        reason = result.reason
        changed.append(await _finish(conn, dict(row), event, result.time_ns, outcome=outcome, reason=reason, detail=detail))
    return changed


_EVENTS: Final[Mapping[Outcome, CommandEvent]] = {
    Outcome.DONE: CommandEvent.DONE,
    Outcome.REFUSED: CommandEvent.REFUSED,
    Outcome.FAILED: CommandEvent.FAILED,
    Outcome.EXPIRED: CommandEvent.TOO_LATE,
    Outcome.UNKNOWN: CommandEvent.UNKNOWN,
}


def _meant(row: Row, result: CommandResult) -> tuple[Outcome, str]:
    """A gateway that was restarted refuses what it has seen before; whether it carried it out then, it does not know."""
    if result.outcome is Outcome.REFUSED and result.reason is Reason.DUPLICATE:
        return Outcome.UNKNOWN, f"the gateway has had it before, and does not know what came of it: {result.detail}"
    if result.outcome is Outcome.EXPIRED and row["tries"] > 1:
        return Outcome.UNKNOWN, f"the last time it came too late; it was sent {row['tries']} times: {result.detail}"
    return result.outcome, result.detail


def news_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the feed says of an order."""
    return {name: row[name] for name in ("id", "device", "gateway", "command", "state", "outcome", "reason")}


def _then(row: Row, event: CommandEvent) -> CommandState:
    state = CommandState(row["state"])
    then = TABLE.get((state, event))
    if then is None:
        raise CommandError(Reason.CONFLICT, f"command {row['id']}: is {state}, which knows no {event}")
    return then


async def _finish(
    conn: AsyncConnection, row: Row, event: CommandEvent, at_ns: int, *, outcome: Outcome, reason: Reason | None, detail: str
) -> Row:
    state = _then(row, event)
    ended = {"finished_ns": at_ns} if state in FINAL else {}
    told = {"outcome": outcome.value, "reason": "" if reason is None else reason.value, "detail": detail[:2000]}
    return await _change(conn, row, {"state": state.value, **told, **ended})


async def _change(conn: AsyncConnection, row: Row, changes: Mapping[str, Any]) -> Row:
    await conn.execute(update(commands).where(commands.c.id == row["id"]).values(**changes))
    return {**row, **changes}
