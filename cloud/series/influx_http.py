"""A small client of the two calls that InfluxDB 1.x, 2.x and 3.x all serve: `/write` and InfluxQL over `/query`."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import aiohttp
import msgspec

from cloud.series.store import StoreUnavailable

__all__ = ["InfluxAddress", "InfluxClient", "Series", "WriteRefused", "parse_address", "quote"]

_TIMEOUT_S = 30.0
_LONGEST_REST_S = 60.0
# 400 cannot parse, or a partial write; 413 too large; 422 a partial write in 2.x. All else may pass: 401 and 403 are
# our own configuration, 404 a database that is not made yet, 408, 429 and 5xx the server's day.
_PERMANENT = frozenset({400, 413, 422})
# Partial writes that are the server's limits, not the data's fault: a person must raise the limit, then they succeed.
_LIMITS = ("max-series-per-database", "max-values-per-tag", "max series", "cache-max-memory-size")


class InfluxAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where and as whom. `token_file` wins over name and password."""

    url: str
    database: str
    username: str = ""
    password_file: Path | None = None
    token_file: Path | None = None


def parse_address(text: str) -> InfluxAddress:
    """`http://host:port/db?username=..&password_file=..&token_file=..`; ValueError says what is wrong with it."""
    parts = urlsplit(text)
    database = unquote(parts.path.strip("/"))
    if parts.scheme not in {"http", "https"} or not parts.hostname or not database or "/" in database:
        raise ValueError(f"series {text!r}: want influx:http://host:port/database")
    options = dict(parse_qsl(parts.query))
    unknown = options.keys() - {"username", "password_file", "token_file"}
    if unknown:
        raise ValueError(f"series option {', '.join(sorted(unknown))}: want username, password_file or token_file")
    return InfluxAddress(
        url=f"{parts.scheme}://{parts.netloc}",
        database=database,
        username=options.get("username", ""),
        password_file=Path(options["password_file"]) if "password_file" in options else None,
        token_file=Path(options["token_file"]) if "token_file" in options else None,
    )


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


_answers = msgspec.json.Decoder(_Answer)


class InfluxClient:
    """One server. Use `open` before anything else and `close` at the end."""

    def __init__(self, address: InfluxAddress) -> None:
        self._address = address
        self._session: aiohttp.ClientSession | None = None
        self.version = ""

    async def open(self) -> None:
        """Connect, learn the version and, on 1.x, make the database. StoreUnavailable where the server does not answer."""
        self._session = aiohttp.ClientSession(
            self._address.url, headers=_authorization(self._address), timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)
        )
        try:
            self.version = await self._ping()
            if self.version.lstrip("v").startswith("1."):
                await self.query([f"CREATE DATABASE {quote(self._address.database)}"])
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def write(self, lines: Sequence[str]) -> None:
        """Returns when the server has the lines on disk (204). WriteRefused, or StoreUnavailable."""
        params = {"db": self._address.database, "precision": "ns"}
        body = "\n".join(lines).encode()
        try:
            async with self._live().post("/write", params=params, data=body) as answer:
                if answer.status < 300:
                    return
                detail = (await answer.text(errors="replace"))[:500]
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unavailable(error) from error
        if answer.status in _PERMANENT and not any(limit in detail for limit in _LIMITS):
            raise WriteRefused(answer.status, detail.strip())
        raise StoreUnavailable(f"influxdb answered {answer.status}: {detail.strip()}", _rest_s(answer.headers))

    async def query(self, statements: Sequence[str]) -> list[list[Series]]:
        """The series of each statement. StoreUnavailable where the server does not answer or refuses a statement."""
        form = {"db": self._address.database, "epoch": "ns", "q": ";".join(statements)}
        try:
            async with self._live().post("/query", data=form) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unavailable(error) from error
        try:
            told = _answers.decode(body)
        except msgspec.MsgspecError as error:
            raise StoreUnavailable(f"influxdb answered {answer.status}: {body[:200]!r}") from error
        wrong = told.error or next((result.error for result in told.results if result.error), "")
        if wrong or answer.status >= 300:
            raise StoreUnavailable(f"influxdb answered {answer.status}: {wrong}")
        return [result.series for result in told.results]

    async def _ping(self) -> str:
        try:
            async with self._live().get("/ping") as answer:
                if answer.status >= 300:
                    raise StoreUnavailable(f"influxdb answered ping with {answer.status}")
                return answer.headers.get("X-Influxdb-Version", "")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unavailable(error) from error

    def _live(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise StoreUnavailable("influxdb: the store is not open")
        return self._session


def quote(name: str) -> str:
    """An InfluxQL identifier."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _rest_s(headers: Mapping[str, str]) -> float:
    """What the server asks for in whole seconds; a date, which the standard allows as well, is not waited for."""
    asked = headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_REST_S) if asked.isdecimal() else 0.0


def _unavailable(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"influxdb: {error.__class__.__name__}: {error}")


def _authorization(address: InfluxAddress) -> dict[str, str]:
    try:
        if address.token_file is not None:
            return {"Authorization": f"Token {address.token_file.read_text(encoding='utf-8').strip()}"}
        if address.username:
            password = address.password_file.read_text(encoding="utf-8").strip() if address.password_file else ""
            return {"Authorization": "Basic " + b64encode(f"{address.username}:{password}".encode()).decode()}
    except OSError as error:
        raise StoreUnavailable(f"influxdb: cannot read {error.filename}: {error.strerror}") from error
    return {}
