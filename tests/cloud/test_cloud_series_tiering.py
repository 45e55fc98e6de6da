"""Who keeps the tiers: in portions, only where this process leads, forgetting what is old and nothing else."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cloud_records import S, batch, reading

from cloud.config import ConfigError, load_config
from cloud.series.duckdb_store import DuckStore
from cloud.series.store import StoreUnavailable, Tier
from cloud.series.tiering import Retention, Tiering
from telemetry.clock import ManualClock

DAY, MINUTE = 86_400 * S, 60 * S
NOW = 1_760_000_400 * S  # 2025-10-09T09:00:00Z


async def store_of(folder: Path, clock: ManualClock, days: Sequence[int]) -> DuckStore:
    """With one value on each of the days before now."""
    store = DuckStore(folder / "series.duckdb", clock)
    await store.open()
    await store.write([batch(*(reading(at_ns=NOW - day * DAY, values={"m": float(day)}) for day in days))])
    return store


async def held(store: DuckStore, tier: Tier) -> list[int]:
    """The days before now of which a tier holds anything."""
    if tier is Tier.RAW:
        points = (await store.range("cover-1", ["m"], 0, 2**62, 1000))["m"]
        return sorted(round((NOW - point.time_ns) / DAY) for point in points)
    buckets = (await store.rollup(tier, "cover-1", ["m"], 0, 2**62))["m"]
    return sorted(round((NOW - bucket.start_ns) / DAY) for bucket in buckets)


async def work(tiering: Tiering, done: Callable[[], bool], clock: ManualClock) -> None:
    """Turn after turn until it is done and nothing is due soon."""
    for _ in range(3000):
        if await tiering.turn(clock.wall_ns()) >= 5 and done():
            return
    raise AssertionError("it never comes to rest")


async def test_each_tier_is_kept_as_long_as_is_said(tmp_path: Path) -> None:
    clock = ManualClock(NOW + 2 * MINUTE)
    store = await store_of(tmp_path, clock, [0, 5, 20, 100])
    retention = Retention(raw_days=3, minute_days=10, hour_days=50)
    tiering = Tiering(store, retention, clock, lambda: True)
    await work(tiering, lambda: tiering.rolled.until_ns > NOW, clock)
    assert [await held(store, tier) for tier in (Tier.RAW, Tier.MINUTE)] == [[0], [0, 5]]
    assert await held(store, Tier.HOUR) == [5, 20]
    await store.close()


async def test_0_days_are_for_ever(tmp_path: Path) -> None:
    clock = ManualClock(NOW + 2 * MINUTE)
    store = await store_of(tmp_path, clock, [0, 5, 3000])
    tiering = Tiering(store, Retention(raw_days=0, minute_days=0, hour_days=0), clock, lambda: True)
    await work(tiering, lambda: tiering.rolled.until_ns > NOW, clock)
    assert [await held(store, tier) for tier in Tier] == [[0, 5, 3000], [0, 5, 3000], [5, 3000]]
    await store.close()


async def test_who_does_not_lead_makes_nothing(tmp_path: Path) -> None:
    clock = ManualClock(NOW + 2 * MINUTE)
    store = await store_of(tmp_path, clock, [0])
    task = asyncio.create_task(Tiering(store, Retention(), clock, lambda: False).run())
    await asyncio.sleep(0.05)
    task.cancel()
    assert store.rolled_ns() == 0
    await store.close()


async def test_a_store_that_is_away_is_waited_for_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(NOW + 2 * MINUTE)
    store = await store_of(tmp_path, clock, [0])
    tiering = Tiering(store, Retention(), clock, lambda: True)

    async def away(_: DuckStore, now_ns: int) -> None:
        raise StoreUnavailable("away", 9.0)

    with monkeypatch.context() as patch:
        patch.setattr(DuckStore, "roll", away)
        assert await tiering.turn(clock.wall_ns()) == 9.0
    assert tiering.failures == 1
    await work(tiering, lambda: tiering.rolled.until_ns > NOW, clock)
    await store.close()


def config(tmp_path: Path, more: str) -> Path:
    path = tmp_path / "cloud.toml"
    path.write_text(f'data_dir = "data"\nbroker = "mqtt://127.0.0.1:1883"\n{more}')
    return path


def test_how_long_each_tier_is_kept_is_configured(tmp_path: Path) -> None:
    assert load_config(config(tmp_path, "")).retention == Retention(raw_days=90, minute_days=730, hour_days=0)
    found = load_config(config(tmp_path, 'series = "duckdb:x"\n[retention]\nraw_days = 7\nminute_days = 7\nhour_days = 30\n'))
    assert (found.retention, found.series) == (Retention(raw_days=7, minute_days=7, hour_days=30), "duckdb:x")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        pytest.param("raw_days = -1", "raw_days", id="less than none"),
        pytest.param("raw_day = 1", "raw_day", id="an unknown key"),
        pytest.param("raw_days = 0\nminute_days = 5", "minute_days", id="minutes shorter than raw values that are kept for ever"),
        pytest.param("raw_days = 20\nminute_days = 5", "minute_days", id="minutes shorter than raw values"),
    ],
)
def test_a_retention_that_cannot_be_meant_is_told(tmp_path: Path, table: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_config(config(tmp_path, f"[retention]\n{table}\n"))
