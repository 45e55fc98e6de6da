"""Makes Observations: values of devices that are registered, written where those of gateways are."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.relational.engine import reading
from cloud.relational.tables import devices
from cloud.sensorthings.ask import Ask
from cloud.sensorthings.draft import Draft, judged
from cloud.sensorthings.errors import StaError, invalid, not_found
from cloud.sensorthings.model import SETS
from cloud.sensorthings.stores import Stores
from cloud.sensorthings.values import Stream
from cloud.sensorthings.walk import number_of
from cloud.series.honest import doubted
from telemetry.reason import Reason
from telemetry.records import Flaw, Reading, Value
from telemetry.wire import ReadingsBatch, group_readings

__all__ = ["Heard", "Made", "Receiver", "unheard"]

_EPOCH: Final = "sensorthings"
_AT_ONCE: Final = 500

Heard = Callable[[ReadingsBatch, int], None]
"""Told of a batch that was stored, and the time: the registry notes when each device was heard."""


def unheard(_batch: ReadingsBatch, _now_ns: int) -> None:
    """Nobody is told."""


class Made(msgspec.Struct, frozen=True):
    """The number of a new Observation."""

    number: int


class _Ready(msgspec.Struct, frozen=True):
    stream: Stream
    row: Mapping[str, Any]
    time_ns: int
    value: Value
    flaw: Flaw | None


class Receiver:
    """Takes drafts, one caller at a time: so that nothing comes between the look whether there is one and the writing."""

    def __init__(self, stores: Stores, engine: AsyncEngine, heard: Heard) -> None:
        self._stores = stores
        self._engine = engine
        self._heard = heard
        self._turn = asyncio.Lock()

    async def take(self, drafts: Sequence[Draft | StaError]) -> list[Made | StaError]:
        """What became of each, in order. StoreUnavailable where nothing could be written; the same may be said again."""
        async with self._turn:
            known = await self._streams([draft.stream for draft in drafts if isinstance(draft, Draft)])
            ready = [await self._ready(draft, known) for draft in drafts]
            fresh = _once(ready)
            refused = await self._write(list({id(each): each for each in fresh if isinstance(each, _Ready)}.values()))
            return [await self._told(each, refused) for each in fresh]

    async def _streams(self, numbers: Sequence[int]) -> dict[int, tuple[Stream, Mapping[str, Any]]]:
        await self._stores.numbers.keep()
        found: list[Stream] = []
        unique = list(dict.fromkeys(number for number in numbers if 0 < number < 2**63))
        for start in range(0, len(unique), _AT_ONCE):
            ask = Ask(kind=SETS["Datastreams"], among=("id", unique[start : start + _AT_ONCE]))
            found += await self._stores.values.streams(ask)
        names = list(dict.fromkeys(stream.device for stream in found))
        rows: dict[str, Mapping[str, Any]] = {}
        async with reading(self._engine) as conn:
            for start in range(0, len(names), _AT_ONCE):
                wanted = select(devices).where(devices.c.id.in_(names[start : start + _AT_ONCE]))
                rows |= {row["id"]: dict(row) for row in (await conn.execute(wanted)).mappings()}
        return {stream.no: (stream, rows[stream.device]) for stream in found if stream.device in rows}

    async def _ready(
        self, draft: Draft | StaError, known: Mapping[int, tuple[Stream, Mapping[str, Any]]]
    ) -> "_Ready | Made | StaError":
        try:
            return await self._checked(draft, known) if isinstance(draft, Draft) else draft
        except StaError as error:
            return error

    async def _checked(self, draft: Draft, known: Mapping[int, tuple[Stream, Mapping[str, Any]]]) -> "_Ready | Made":
        if draft.stream not in known:
            raise not_found(f"Datastreams({draft.stream}): there is none")
        stream, row = known[draft.stream]
        if draft.thing not in {None, stream.thing}:
            raise invalid(f"FeatureOfInterest: Datastreams({stream.no}) is about FeaturesOfInterest({stream.thing})")
        metric = self._stores.rows.metric(row["profile"], stream.metric)
        if metric is None:
            raise StaError(400, Reason.UNKNOWN_METRIC, f"{stream.metric}: nobody here knows what it measures")
        value, flaw = judged(metric, draft.result)
        time_ns = self._stores.clock.wall_ns() if draft.time_ns is None else draft.time_ns
        fetch = self._stores.values.fetch(stream)
        held = await fetch(time_ns, time_ns + 1, 1, back=False)
        if not held:
            return _Ready(stream, row, time_ns, value, flaw)
        number = await number_of(stream.no, time_ns, fetch)
        if held[0].value != value or type(held[0].value) is not type(value) or number is None:
            detail = f"Datastreams({stream.no}): has another result at this time, {str(held[0].value)[:32]!r}"
            raise StaError(409, Reason.CONFLICT, detail)
        # Said again, by whoever did not hear the answer: it is there.
        return Made(number)

    async def _write(self, ready: Sequence[_Ready]) -> dict[int, str]:
        """Write what is ready; the offsets of what the store refuses for good, with why."""
        if not ready:
            return {}
        now_ns = self._stores.clock.wall_ns()
        readings = [_reading(each, now_ns) for each in ready]
        refused: dict[int, str] = {}
        by_gateway: dict[str, list[int]] = {}
        for offset, each in enumerate(ready):
            by_gateway.setdefault(each.row["gateway"], []).append(offset)
        for gateway, offsets in by_gateway.items():
            batch = doubted(group_readings(gateway, _EPOCH, 1, [readings[offset] for offset in offsets]), now_ns)
            for row in await self._stores.series.write([batch]):
                refused[id(ready[offsets[row.seq - 1]])] = row.detail
            self._heard(batch, now_ns)
        return refused

    async def _told(self, each: "_Ready | Made | StaError", refused: Mapping[int, str]) -> Made | StaError:
        if not isinstance(each, _Ready):
            return each
        if id(each) in refused:
            return StaError(400, Reason.STORE_REFUSED, f"the store does not take it: {refused[id(each)][:200]}")
        number = await number_of(each.stream.no, each.time_ns, self._stores.values.fetch(each.stream))
        if number is None:
            return invalid(f"Datastreams({each.stream.no}): this quarter of a second has 64 Observations; no number is left")
        return Made(number)


def _once(ready: "Sequence[_Ready | Made | StaError]") -> "list[_Ready | Made | StaError]":
    """The same time of the same Datastream twice in one message: the second is a conflict, or the first again."""
    first: dict[tuple[int, int], _Ready] = {}
    found: list[_Ready | Made | StaError] = []
    for each in ready:
        if not isinstance(each, _Ready):
            found.append(each)
            continue
        held = first.setdefault((each.stream.no, each.time_ns), each)
        same = held.value == each.value and type(held.value) is type(each.value)
        conflict = StaError(409, Reason.CONFLICT, f"Datastreams({each.stream.no}): two results at one time")
        found.append(held if same else conflict)
    return found


def _reading(each: _Ready, now_ns: int) -> Reading:
    return Reading(
        device=each.stream.device,
        profile=each.row["profile"],
        profile_version=each.row["profile_version"],
        time_ns=each.time_ns,
        received_ns=now_ns,
        values={each.stream.metric: each.value},
        flaws={} if each.flaw is None else {each.stream.metric: each.flaw},
    )
