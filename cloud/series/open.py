"""Which store an address names."""

from pathlib import Path

from cloud.series.dead_letters import DeadLetters
from cloud.series.duckdb_store import DuckStore
from cloud.series.influx_http import InfluxAddress, parse_address
from cloud.series.influx_store import InfluxStore
from cloud.series.store import SeriesStore
from telemetry.clock import Clock

__all__ = ["make_store", "parse_series"]


def parse_series(text: str) -> Path | InfluxAddress:
    """`duckdb:PATH` or `influx:http://host:port/db?...`; ValueError says what is wrong with it."""
    kind, _, rest = text.partition(":")
    if kind == "duckdb" and rest:
        return Path(rest)
    if kind == "influx" and rest:
        return parse_address(rest)
    raise ValueError(f"series {kind!r}: want duckdb:PATH or influx:http://host:port/database")


def make_store(text: str, clock: Clock | None = None, letters: DeadLetters | None = None) -> SeriesStore:
    """The store of an address, not opened yet; ValueError as `parse_series`. `clock` is the cloud's, by default the machine's.

    `letters` keeps the lines that an InfluxDB refuses; the embedded store refuses none.
    """
    address = parse_series(text)
    return DuckStore(address, clock) if isinstance(address, Path) else InfluxStore(address, clock, letters)
