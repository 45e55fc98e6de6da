"""The account of every lane: which records are done, and what became of them."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.relational.tables import lanes, quarantine
from telemetry.reason import Reason
from telemetry.records import Lane
from telemetry.wire import Ack

__all__ = ["WINDOW", "LaneAccount", "LaneKey", "Ledger", "Quarantined", "save"]

WINDOW: Final = 65_536
"""How far above its watermark a lane may be; what is further ahead is not taken and comes again."""

_MOST_RANGES: Final = 512
_MOST_TOLD: Final = 64

LaneKey = tuple[str, str, Lane]
"""(gateway, epoch, lane)."""

Span = tuple[int, int]


class Quarantined(msgspec.Struct, frozen=True):
    """A record refused for good, with what it held."""

    key: LaneKey
    seq: int
    reason: Reason
    detail: str
    payload: bytes


class LaneAccount(msgspec.Struct):
    """Everything up to `watermark` is done, and every closed range above it; ranges are sorted and do not touch."""

    key: LaneKey
    watermark: int = 0
    ranges: list[Span] = []
    stored: int = 0
    quarantined: int = 0
    lost: int = 0
    next_seq: int = 1
    told: list[tuple[int, Reason]] = []

    def copy(self) -> "LaneAccount":
        return msgspec.structs.replace(self, ranges=list(self.ranges), told=list(self.told))

    def missing(self, first: int, last: int) -> list[Span]:
        """The parts of `first..last` that are not done."""
        gaps: list[Span] = []
        start = max(first, self.watermark + 1)
        for low, high in self.ranges:
            if start > last:
                break
            if low > start:
                gaps.append((start, min(low - 1, last)))
            start = max(start, high + 1)
        if start <= last:
            gaps.append((start, last))
        return gaps

    def takes(self, last: int) -> bool:
        """Whether records up to `last` lie inside the window."""
        return last - self.watermark <= WINDOW and len(self.ranges) < _MOST_RANGES

    def mark(self, first: int, last: int) -> int:
        """`first..last` is done; how many of it were not before."""
        new = sum(high - low + 1 for low, high in self.missing(first, last))
        if new:
            merged: list[Span] = []
            for low, high in sorted([(1, self.watermark), *self.ranges, (first, last)]):
                if merged and low <= merged[-1][1] + 1:
                    merged[-1] = (merged[-1][0], max(merged[-1][1], high))
                else:
                    merged.append((low, high))
            if merged[0][0] == 1:
                self.watermark = merged.pop(0)[1]
            self.ranges = merged
            self.next_seq = max(self.next_seq, last + 1)
        return new

    def refuse(self, seq: int, reason: Reason) -> None:
        """One record went to quarantine; the next acknowledgement says so, and later ones repeat the latest of them."""
        self.quarantined += 1
        self.told.append((seq, reason))

    def ack(self, server_ns: int, credit: int) -> Ack:
        """The cloud's word about this lane."""
        gateway, epoch, lane = self.key
        return Ack(
            gateway=gateway,
            epoch=epoch,
            lane=lane,
            cumulative=self.watermark,
            ranges=self.ranges,
            quarantined=self.told,
            credit=credit,
            server_ns=server_ns,
        )


class Ledger:
    """The accounts of all lanes, read from the store when first asked for."""

    def __init__(self) -> None:
        self._accounts: dict[LaneKey, LaneAccount] = {}

    async def load(self, conn: AsyncConnection, keys: Iterable[LaneKey]) -> None:
        """Make sure that the accounts of `keys` are known."""
        for key in keys:
            if key not in self._accounts:
                account = await _load(conn, key)
                self._accounts.setdefault(key, account)  # another one may have been faster, and have gone on from there

    def knows(self, key: LaneKey) -> bool:
        return key in self._accounts

    def draft(self, key: LaneKey) -> LaneAccount:
        """A copy to work on; it counts only once `keep` was told of it."""
        return self._accounts[key].copy()

    def keep(self, accounts: Iterable[LaneAccount]) -> None:
        """What was just committed."""
        for account in accounts:
            account.told = account.told[-_MOST_TOLD:]
            self._accounts[account.key] = account

    def __iter__(self) -> Iterator[LaneAccount]:
        return iter(self._accounts.values())


async def save(conn: AsyncConnection, accounts: Iterable[LaneAccount], now_ns: int) -> None:
    """Write accounts over what the store has of them."""
    for account in accounts:
        row = _row(account, now_ns)
        done = await conn.execute(lanes.update().where(*_is(account.key)).values(row))
        if done.rowcount == 0:
            await conn.execute(lanes.insert().values(row))


def _row(account: LaneAccount, now_ns: int) -> dict[str, Any]:
    gateway, epoch, lane = account.key
    return {
        "gateway": gateway,
        "epoch": epoch,
        "lane": lane.value,
        "watermark": account.watermark,
        "ranges": [list(span) for span in account.ranges],
        "stored": account.stored,
        "quarantined": account.quarantined,
        "lost": account.lost,
        "next_seq": account.next_seq,
        "updated_ns": now_ns,
    }


def _is(key: LaneKey) -> tuple[Any, Any, Any]:
    gateway, epoch, lane = key
    return (lanes.c.gateway == gateway, lanes.c.epoch == epoch, lanes.c.lane == lane.value)


async def _load(conn: AsyncConnection, key: LaneKey) -> LaneAccount:
    row = (await conn.execute(select(lanes).where(*_is(key)))).mappings().first()
    if row is None:
        return LaneAccount(key)
    gateway, epoch, lane = key
    mine = (quarantine.c.gateway == gateway, quarantine.c.epoch == epoch, quarantine.c.lane == lane.value)
    told = select(quarantine.c.seq, quarantine.c.reason).where(*mine).order_by(quarantine.c.seq.desc()).limit(_MOST_TOLD)
    return LaneAccount(
        key,
        watermark=row["watermark"],
        ranges=[(low, high) for low, high in row["ranges"]],
        stored=row["stored"],
        quarantined=row["quarantined"],
        lost=row["lost"],
        next_seq=row["next_seq"],
        told=[(each.seq, Reason(each.reason)) for each in reversed((await conn.execute(told)).all())],
    )
