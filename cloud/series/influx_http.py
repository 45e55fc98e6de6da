"""A small client of the calls that InfluxDB 1.x, 2.x and 3.x serve: line protocol in, InfluxQL over `/query` out.

What the server at hand has is found out once, at `open`, by `influx_probe`.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec

from cloud.series.influx_address import InfluxAddress, authorization, parse_address, rest_s, unavailable
from cloud.series.influx_probe import Capabilities, Deletes, WritePath, delete_params, probe, write_params
from cloud.series.store import StoreUnavailable

__all__ = ["InfluxAddress", "InfluxClient", "Series", "WriteRefused", "parse_address", "quote"]

_log = logging.getLogger(__name__)
_TIMEOUT_S = 30.0
# 400 cannot parse, or a partial write; 413 too large; 422 a partial write in 2.x. All else may pass: 401 and 403 are
# our own configuration, 404 a database that is not made yet, 408, 429 and 5xx the server's day.
_PERMANENT = frozenset({400, 413, 422})
# Partial writes that are the server's limits, not the data's fault: a person must raise the limit, then they succeed.
_LIMITS = ("max-series-per-database", "max-values-per-tag", "max series", "cache-max-memory-size")
_MOST_TOLD = 64 * 1024


class WriteRefused(Exception):  # noqa: N818 - says what happened; the caller turns it into values
    """The server will never take at least one of the lines as they are."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Series(msgspec.Struct, frozen=True):
    """One series of an InfluxQL answer; times are nanoseconds."""

    columns: list[str]
    values: list[list[Any]] = []
    tags: dict[str, str] = {}


class _Result(msgspec.Struct):
    series: list[Series] = []
    error: str = ""


class _Answer(msgspec.Struct):
    results: list[_Result] = []
    error: str = ""


_json = msgspec.json.Decoder(_Answer)
_msgpack = msgspec.msgpack.Decoder(_Answer)

# Answers as they are: packing them costs a server several times what asking does, and most servers are next door.
_PLAIN = {"Accept-Encoding": "identity"}
_MSGPACK = "application/x-msgpack"
_COMPACT = {**_PLAIN, "Accept": _MSGPACK}


class InfluxClient:
    """One server. Use `open` before anything else and `close` at the end; `not_deleted` counts what it could not delete."""

    def __init__(self, address: InfluxAddress) -> None:
        self._address = address
        self._session: aiohttp.ClientSession | None = None
        self.has = Capabilities(version="", major=0, write=WritePath.V1, deletes=Deletes.NONE)
        self.not_deleted = 0

    @property
    def version(self) -> str:
        """What the server calls itself; empty before `open`."""
        return self.has.version

    async def open(self) -> None:
        """Connect, find out what is there and see to the database. StoreUnavailable says what does not answer or is missing."""
        self._session = aiohttp.ClientSession(
            self._address.url, headers=authorization(self._address), timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)
        )
        try:
            self.has = await probe(self._session, self._address)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def write(self, lines: Sequence[str]) -> None:
        """Returns when the server has the lines on disk (204). WriteRefused, or StoreUnavailable."""
        params = write_params(self.has.write, self._address)
        body = "\n".join(lines).encode()
        try:
            async with self._live().post(self.has.write.value, params=params, data=body) as answer:
                if answer.status < 300:
                    return
                detail = (await answer.text(errors="replace"))[:_MOST_TOLD].strip()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unavailable(error) from error
        if answer.status in _PERMANENT and not any(limit in detail for limit in _LIMITS):
            raise WriteRefused(answer.status, detail)
        raise StoreUnavailable(f"influxdb answered {answer.status}: {detail[:500]}", rest_s(answer.headers))

    async def delete_before(self, measurement: str, time_ns: int) -> None:
        """Delete what is older, by the way that the server has. Where it has none, say so once, count it and go on."""
        match self.has.deletes:
            case Deletes.QUERY:
                await self.query([f"DELETE FROM {quote(measurement)} WHERE time < {time_ns}"])  # noqa: S608 - quoted
            case Deletes.API:
                await self._delete(measurement, time_ns)
            case Deletes.NONE:
                self.not_deleted += 1
                if self.not_deleted == 1:
                    words = "influxdb %s deletes nothing by itself here: set the retention period of %s on the server"
                    event = {"event": "series.influx_keeps_all"}
                    _log.warning(words, self.version, self._address.bucket_name, extra=event)

    async def _delete(self, measurement: str, time_ns: int) -> None:
        name = measurement.replace("\\", "\\\\").replace('"', '\\"')
        span = {"start": "1970-01-01T00:00:00Z", "stop": _rfc3339(time_ns), "predicate": f'_measurement="{name}"'}
        params = delete_params(self._address)
        try:
            async with self._live().post(Deletes.API.value, params=params, json=span) as answer:
                if answer.status < 300:
                    return
                detail = (await answer.text(errors="replace"))[:500].strip()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unavailable(error) from error
        raise StoreUnavailable(f"influxdb answered a deletion with {answer.status}: {detail}", rest_s(answer.headers))

    async def query(self, statements: Sequence[str]) -> list[list[Series]]:
        """The series of each statement. StoreUnavailable where the server does not answer or refuses a statement."""
        form = {"db": self._address.database, "epoch": "ns", "q": ";".join(statements)}
        try:
            # 1.x writes this form in half the time (since 1.4; before, it answers JSON). Of the others nobody has tried it.
            async with self._live().post("/query", data=form, headers=_COMPACT if self.has.major == 1 else _PLAIN) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unavailable(error) from error
        try:
            told = (_msgpack if answer.content_type == _MSGPACK else _json).decode(body)
        except msgspec.MsgspecError as error:
            raise StoreUnavailable(f"influxdb answered {answer.status}: {body[:200]!r}") from error
        wrong = told.error or next((result.error for result in told.results if result.error), "")
        if wrong or answer.status >= 300:
            raise StoreUnavailable(f"influxdb answered {answer.status}: {wrong}")
        return [result.series for result in told.results]

    def _live(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise StoreUnavailable("influxdb: the store is not open")
        return self._session


def quote(name: str) -> str:
    """An InfluxQL identifier."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _rfc3339(time_ns: int) -> str:
    """With all nine digits: a deletion up to a second would take what was measured within it."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
