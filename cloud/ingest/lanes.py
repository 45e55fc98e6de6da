"""The accounts of all lanes, and how the relational store keeps them."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.ingest.account import LaneAccount, LaneKey, Quarantined
from cloud.relational.tables import lanes, quarantine
from telemetry.reason import Reason

__all__ = ["LaneAccount", "LaneKey", "Ledger", "Quarantined", "save"]

_MOST_TOLD: Final = 64


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
            account.committed()
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
        "moved": account.moved,
        "next_seq": account.next_seq,
        "digests": [[first, last, digest.hex()] for (first, last), digest in account.digests.items()],
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
        moved=row["moved"],
        next_seq=row["next_seq"],
        told=[(each.seq, Reason(each.reason)) for each in reversed((await conn.execute(told)).all())],
        digests={(first, last): bytes.fromhex(digest) for first, last, digest in row["digests"]},
    )
