"""The Open311 door in the whole application, asked without a socket."""

import asyncio
import contextlib
import hashlib
import json
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import msgspec
from fastapi import FastAPI

from cloud.api.app import build_app
from cloud.api.open311 import PATH, install
from cloud.api.services import Services
from cloud.cases.desk import Desk
from cloud.counts import CloudCounts
from cloud.feed import Feed
from cloud.open311.catalogue import load_entries
from cloud.open311.config import Open311Config
from cloud.open311.keys import ApiKey
from cloud.relational.engine import make_engine
from cloud.relational.tables import metadata
from cloud.series.duckdb_store import DuckStore
from telemetry.clock import SECOND_NS, ManualClock

NOW_NS = 1_763_647_200 * SECOND_NS  # 2025-11-20T14:00:00Z
SECRET = "Hq2n5v8y"  # noqa: S105 - a test's own
NARROW = "Zx8m1c4t"
HERE = {"lat": "23.12", "long": "113.26"}


def _key(name: str, secret: str, **more: Any) -> ApiKey:
    return ApiKey(name=name, sha256=hashlib.sha256(secret.encode()).hexdigest(), **more)


CONFIG = Open311Config(
    contact="12319",
    key_service="https://city.example/keys",
    entries=load_entries(),
    keys=(_key("app", SECRET, per_minute=1000), _key("lamps", NARROW, services=frozenset({"lamp_out"}))),
    reports_per_minute=1000,
    reads_per_minute=10_000,
    changed="2025-11-01T00:00:00Z",
)


class BrokenError(RuntimeError):
    """A fault of the server, made by a test."""


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json; charset=utf-8"
        return json.loads(self.body)

    def xml(self) -> ET.Element:
        assert self.headers["content-type"] == "text/xml; charset=utf-8"
        assert self.body.startswith(b"<?xml version='1.0' encoding='utf-8'?>")
        return ET.fromstring(self.body)  # noqa: S314 - our own


@dataclass
class Door:
    """The application, and what is behind it."""

    app: FastAPI
    services: Services
    clock: ManualClock
    woken: list[int] = field(default_factory=list)

    async def ask(
        self, method: str, path: str, body: bytes = b"", client: str = "203.0.113.7", chunks: int = 1, **headers: str
    ) -> Answer:
        """One request; `path` below /open311/v2 as it stands on the wire."""
        split = urlsplit(f"http://city.example{PATH}{path}")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": _unquoted(split.path), "raw_path": split.path.encode(), "query_string": split.query.encode(),
            "root_path": "", "client": (client, 1), "server": ("city.example", 80),
            "headers": [(b"host", b"city.example"), *((name.replace("_", "-").encode(), value.encode())
                                                      for name, value in headers.items())],
        }  # fmt: skip
        size = -(-len(body) // chunks) or 1
        parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
        sent: list[Any] = []

        async def receive() -> Any:
            await asyncio.sleep(0)
            part = parts.pop(0) if parts else b""
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: Any) -> None:
            sent.append(message)

        with contextlib.suppress(BrokenError):  # an application says it again to its server, which logs it
            await self.app(scope, receive, send)
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], told, b"".join(message.get("body", b"") for message in sent[1:]))

    async def get(self, path: str, status: int = 200, **headers: str) -> Answer:
        answer = await self.ask("GET", path, **headers)
        assert answer.status == status, answer.body
        return answer

    async def report(
        self, status: int = 200, form: str = "json", headers: Mapping[str, str] | None = None, **fields: str
    ) -> Answer:
        """A report of a missing cover by the key `app`, but for what `fields` say otherwise; an empty one is not sent."""
        sent = {"api_key": SECRET, "service_code": "cover_displaced", "attribute[condition]": "missing", **fields}
        body = urlencode({name: value for name, value in sent.items() if value}).encode()
        about = {"content_type": "application/x-www-form-urlencoded; charset=utf-8", **(headers or {})}
        answer = await self.ask("POST", f"/requests.{form}", body, **about)
        assert answer.status == status, answer.body
        return answer


def _unquoted(path: str) -> str:
    """As a server gives it to an application (bytes that are no UTF-8 as replacement characters)."""
    return unquote(path, errors="replace")


async def _counts() -> CloudCounts:
    return CloudCounts()


@contextlib.asynccontextmanager
async def door(folder: Path, **changes: Any) -> AsyncIterator[Door]:
    """The door with the configuration above, changed."""
    clock, woken = ManualClock(NOW_NS), list[int]()
    engine = make_engine(f"sqlite+aiosqlite:///{folder / 'cloud.db'}")
    try:
        async with engine.begin() as conn:
            await conn.run_sync(metadata.create_all)
        services = Services(
            engine=engine, series=DuckStore(folder / "series.duckdb"), desk=Desk(), feed=Feed(size=100), clock=clock,
            counts=_counts, notify=lambda: woken.append(1),
        )  # fmt: skip
        app = build_app(services)
        install(app, services, msgspec.structs.replace(CONFIG, **changes))
        yield Door(app, services, clock, woken)
    finally:
        await engine.dispose()
