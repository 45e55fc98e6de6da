"""The yardstick: what a store takes from a writer that does nothing else, its data made ready beforehand."""

import asyncio
import time
from pathlib import Path

import aiohttp
import duckdb
import numpy as np

from benchmarks.load import DEVICES, METRICS, VALUES_EACH, Street

__all__ = ["bare_duckdb", "bare_influx"]

_POINTS_EACH = 5000
"""Points in one request: what InfluxData's own guide to fast writing recommends."""


async def bare_influx(url: str, seconds: float) -> float:
    """Values per second that InfluxDB takes as line protocol over one kept connection, the bodies made beforehand."""
    async with aiohttp.ClientSession() as session:
        await _post(session, f"{url}/query", params={"q": 'CREATE DATABASE "bare"'})
        bodies, sent, spent = _Bodies(), 0, 0.0
        while spent < seconds:
            body = bodies.next()
            started = time.perf_counter()
            await _post(session, f"{url}/write", params={"db": "bare", "precision": "ns"}, body=body)
            spent += time.perf_counter() - started
            sent += _POINTS_EACH
    return sent * VALUES_EACH / spent


async def _post(session: aiohttp.ClientSession, url: str, params: dict[str, str], body: bytes = b"") -> None:
    async with session.post(url, params=params, data=body) as answer:
        if answer.status >= 300:
            raise RuntimeError(f"{url}: {answer.status} {(await answer.text())[:200]}")


class _Bodies:
    def __init__(self) -> None:
        self._street = Street()

    def next(self) -> bytes:
        return "\n".join(
            f"reading,device={r.device} {','.join(f'{name}={value}' for name, value in r.values.items())} {r.time_ns}"
            for r in self._street.readings(_POINTS_EACH)
        ).encode()


async def bare_duckdb(folder: Path, seconds: float) -> float:
    """Values per second that DuckDB appends from ready numpy columns, one synced commit for each `_POINTS_EACH` readings."""
    return await asyncio.to_thread(_append_columns, folder / "bare.duckdb", seconds)


def _append_columns(path: Path, seconds: float) -> float:
    devices = np.tile(np.arange(_POINTS_EACH, dtype=np.int32) % len(DEVICES), VALUES_EACH)
    metrics = np.repeat(np.arange(len(METRICS), dtype=np.int32), _POINTS_EACH)
    values = np.random.default_rng(1).random(_POINTS_EACH * VALUES_EACH)
    flaws = np.zeros(_POINTS_EACH * VALUES_EACH, dtype=np.int16)
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE floats (device INTEGER, metric INTEGER, time_ns BIGINT, value DOUBLE, flaw SMALLINT)")
        rounds, spent = 0, 0.0
        while spent < seconds:
            times = np.tile(np.arange(_POINTS_EACH, dtype=np.int64) + rounds * _POINTS_EACH, VALUES_EACH)
            connection.register(
                "staged", {"device": devices, "metric": metrics, "time_ns": times, "value": values, "flaw": flaws}
            )
            started = time.perf_counter()
            connection.execute("INSERT INTO floats SELECT * FROM staged")
            spent += time.perf_counter() - started
            connection.unregister("staged")
            rounds += 1
    return rounds * _POINTS_EACH * VALUES_EACH / spent
