"""What the InfluxDB at hand can do, found out once at the start by asking it, not by trusting its version number.

                      1.x           2.x                         3.x
    write             /write        /api/v2/write or /write     /api/v2/write or /write
    read              /query        /query, by a DBRP mapping   /query
    make the database CREATE        bucket and mapping          /api/v3/configure/database
    delete            DELETE        /api/v2/delete              none: the database's own retention period

Only 1.x was at hand when this was written; 2.x and 3.x are as docs.influxdata.com has them ("Manage DBRP mappings",
"InfluxDB v1 compatibility API", "Use compatibility APIs", "Create a database", "Delete data").
"""

import logging
from enum import StrEnum
from typing import Any, Final

import aiohttp
import msgspec

from cloud.series.influx_address import InfluxAddress, unavailable
from cloud.series.influx_setup import set_up
from cloud.series.store import StoreUnavailable

__all__ = ["Capabilities", "Deletes", "WritePath", "probe"]

_log = logging.getLogger(__name__)

# A nanosecond at which nothing was ever measured: a delete that proves the right to delete, and deletes nothing.
_NOTHING: Final = {
    "start": "1970-01-01T00:00:00Z",
    "stop": "1970-01-01T00:00:00.000000001Z",
    "predicate": '_measurement="citynerve_probe"',
}


class WritePath(StrEnum):
    """Where line protocol goes."""

    V1 = "/write"
    V2 = "/api/v2/write"


class Deletes(StrEnum):
    """How old values are deleted."""

    QUERY = "/query"
    API = "/api/v2/delete"
    NONE = "its own retention period only"


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a server has; `major` is 0 for one that does not say its version."""

    version: str
    major: int
    write: WritePath
    deletes: Deletes


async def probe(session: aiohttp.ClientSession, address: InfluxAddress) -> Capabilities:
    """Ask everything, and make the database where it is not there. StoreUnavailable says what is missing, and what to do."""
    version = await _version(session)
    digits = version.lstrip("v").partition(".")[0]
    major = int(digits) if digits.isdecimal() else 0
    if major == 1:
        await _create(session, address)
    elif major == 2 and address.token_file is not None:
        await set_up(address)
    await _check_query(session, address, major)
    found = Capabilities(
        version=version,
        major=major,
        write=await _write_path(session, address, major),
        deletes=await _deletes(session, address, major),
    )
    _log.info(
        "influxdb %s: writes by %s, reads by /query, deletes by %s",
        version or "of no version",
        found.write,
        found.deletes,
        extra={"event": "series.influx_probed", "version": version, "write": found.write, "deletes": found.deletes},
    )
    return found


async def _version(session: aiohttp.ClientSession) -> str:
    """By /ping, whose header 1.x and 2.x set; some builds of 3.x say it in its body, others only at /health."""
    for path in ("/ping", "/health"):
        status, headers, body = await _ask(session, "GET", path)
        if status in {401, 403}:
            raise StoreUnavailable(f"influxdb answered {path} with {status}: it wants a token or a password that it knows")
        if status >= 300 and path == "/ping":
            raise StoreUnavailable(f"influxdb answered ping with {status}")
        told = headers.get("X-Influxdb-Version") or _member(body, "version")
        if told:
            return str(told)
    return ""


async def _create(session: aiohttp.ClientSession, address: InfluxAddress) -> None:
    name = address.database.replace("\\", "\\\\").replace('"', '\\"')
    status, _, body = await _ask(session, "POST", "/query", data={"q": f'CREATE DATABASE "{name}"'})
    if status >= 300:
        raise StoreUnavailable(f"influxdb answered {status} to CREATE DATABASE: {_words(body)}")


async def _check_query(session: aiohttp.ClientSession, address: InfluxAddress, major: int) -> None:
    """Whether /query answers for the database; on 3.x the database is made where it is not there yet."""
    wrong = await _query_fault(session, address)
    if wrong and major == 3 and "not found" in wrong:
        status, _, body = await _ask(session, "POST", "/api/v3/configure/database", json={"db": address.database})
        if status >= 300 and status != 409:
            made = f"influxdb3 create database {address.database}"
            raise StoreUnavailable(
                f"influxdb: no database {address.database}, and making it gave {status}: {_words(body)}; {made}"
            )
        wrong = await _query_fault(session, address)
    if wrong:
        hint = "; want a DBRP mapping of it to a bucket (docs/data.md)" if major == 2 else ""
        raise StoreUnavailable(f"influxdb: /query does not answer for database {address.database}: {wrong}{hint}")


async def _query_fault(session: aiohttp.ClientSession, address: InfluxAddress) -> str:
    form = {"db": address.database, "q": "SHOW MEASUREMENTS"}
    status, _, body = await _ask(session, "POST", "/query", data=form)
    results = _member(body, "results")
    first = results[0] if isinstance(results, list) and results and isinstance(results[0], dict) else {}
    if status < 300 and isinstance(results, list) and "error" not in first:
        return ""
    return f"{status}: {first.get('error') or _words(body)}"


async def _write_path(session: aiohttp.ClientSession, address: InfluxAddress, major: int) -> WritePath:
    """The first path that is there. Nothing is written: an empty body is told from a path that nobody serves."""
    by_token = major != 1 and address.token_file is not None  # /api/v2 knows no name and password
    for path in (WritePath.V2, WritePath.V1) if by_token else (WritePath.V1,):
        status, headers, body = await _ask(session, "POST", path, params=write_params(path, address), data=b"")
        if status in {401, 403}:
            raise StoreUnavailable(f"influxdb: not allowed to write to {address.bucket_name}: {status}: {_words(body)}")
        if status not in {404, 405, 501}:
            return path
        if "json" in headers.get("Content-Type", "") and _member(body, "error" if path is WritePath.V1 else "code"):
            raise StoreUnavailable(f"influxdb: cannot write to {address.bucket_name}: {status}: {_words(body)}")
    raise StoreUnavailable("influxdb: it serves neither /api/v2/write nor /write; is this the address of an InfluxDB?")


def write_params(path: WritePath, address: InfluxAddress) -> dict[str, str]:
    """What goes behind the question mark of a write."""
    if path is WritePath.V1:
        return {"db": address.database, "precision": "ns"}
    org = {"org": address.org} if address.org else {}
    return {"bucket": address.bucket_name, "precision": "ns", **org}


async def _deletes(session: aiohttp.ClientSession, address: InfluxAddress, major: int) -> Deletes:
    if major == 1:
        return Deletes.QUERY
    if major != 2 or address.token_file is None:
        return Deletes.NONE
    status, _, _ = await _ask(session, "POST", Deletes.API, params=delete_params(address), json=_NOTHING)
    return Deletes.API if status < 300 else Deletes.NONE


def delete_params(address: InfluxAddress) -> dict[str, str]:
    """What goes behind the question mark of /api/v2/delete."""
    return {"bucket": address.bucket_name, **({"org": address.org} if address.org else {})}


async def _ask(session: aiohttp.ClientSession, method: str, path: str, **content: Any) -> tuple[int, Any, bytes]:
    try:
        async with session.request(method, path, **content) as answer:
            return answer.status, answer.headers, await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise unavailable(error) from error


def _member(body: bytes, name: str) -> Any:
    try:
        document = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return None
    return document.get(name) if isinstance(document, dict) else None


def _words(body: bytes) -> str:
    """The server's own, short."""
    told = _member(body, "error") or _member(body, "message")
    return str(told or body.decode(errors="replace")).strip()[:300]
