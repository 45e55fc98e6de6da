"""InfluxDB 2.x and 3.x as their documentation describes them, each a thin door before a real 1.x that does the work.

They were never compared with the real ones. What they know: docs.influxdata.com, "InfluxDB v1 compatibility API", "Manage
DBRP mappings", "Delete data", "Use compatibility APIs and client libraries to write data" (3 Core), "Create a database".
"""

import contextlib
import json
import re
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

TOKEN = "t0ken-of-the-city"  # noqa: S105 - of a server that lives for a test
ORG = "0123456789abcdef"
_REFUSED = re.compile(r"\b(DELETE|DROP|INTO|CREATE)\b", re.IGNORECASE)


@dataclass
class Door:
    """What both have: the token, what was asked, and the 1.x behind. Names of databases behind carry the door's own prefix."""

    real: str
    session: aiohttp.ClientSession
    prefix: str
    asked: list[str] = field(default_factory=list)
    schemes: set[str] = field(default_factory=set)
    url: str = ""

    def allowed(self, request: web.Request) -> bool:
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        self.schemes.add(scheme)
        if scheme == "Basic":
            return not request.path.startswith("/api/") and b64decode(rest).decode().partition(":")[2] == TOKEN
        return scheme in {"Token", "Bearer"} and rest == TOKEN

    async def forward(self, path: str, content: Mapping[str, str], body: str | None = None) -> tuple[int, str]:
        more: dict[str, Any] = {"params": content, "data": body} if body is not None else {"data": content}
        async with self.session.post(self.real + path, **more) as answer:
            return answer.status, await answer.text()

    async def make(self, name: str) -> None:
        await self.forward("/query", {"q": f'CREATE DATABASE "{self.prefix}{name}"'})


@dataclass
class Two(Door):
    """InfluxDB 2.7: buckets, mappings, /api/v2/write, /api/v2/delete; /write and /query need a mapping; /query only reads."""

    buckets: dict[str, str] = field(default_factory=dict)
    mappings: list[dict[str, Any]] = field(default_factory=list)
    may_delete: bool = True

    async def ping(self, _: web.Request) -> web.Response:
        return web.Response(status=204, headers={"X-Influxdb-Version": "v2.7.6", "X-Influxdb-Build": "OSS"})

    async def v2(self, request: web.Request) -> web.Response:  # noqa: PLR0911 - one for each route
        name = request.path.removeprefix("/api/v2/")
        self.asked.append(f"{request.method} {name}")
        if not self.allowed(request):
            return _fault(401, "unauthorized", "unauthorized access")
        match request.method, name:
            case "GET", "orgs":
                known = request.query.get("org") == "city"
                return web.json_response({"orgs": [{"id": ORG, "name": "city"}] if known else []})
            case "GET", "buckets":
                return web.json_response(
                    {"buckets": [_bucket(n, i) for n, i in self.buckets.items() if n == request.query["name"]]}
                )
            case "POST", "buckets":
                told = await request.json()
                self.buckets[told["name"]] = f"{len(self.buckets) + 1:016x}"
                await self.make(told["name"])
                return web.json_response(_bucket(told["name"], self.buckets[told["name"]]), status=201)
            case "GET", "dbrps":
                return web.json_response({"content": self._mapped(request.query["db"])})
            case "POST", "dbrps":
                told = await request.json()
                self.mappings.append({**told, "id": f"{len(self.mappings) + 99:016x}", "orgID": ORG, "virtual": False})
                return web.json_response(self.mappings[-1], status=201)
            case "POST", "write":
                return await self._write(request, request.query["bucket"])
            case "POST", "delete":
                return await self._delete(request)
        return _fault(404, "not found", "path not found")

    async def write(self, request: web.Request) -> web.Response:
        self.asked.append("POST /write")
        bucket = self._bucket_of(request.query["db"])
        if not self.allowed(request):
            return _fault(401, "unauthorized", "unauthorized access")
        return await self._write(request, bucket)

    async def query(self, request: web.Request) -> web.Response:
        form = await request.post()
        text, bucket = str(form["q"]), self._bucket_of(str(form["db"]))
        if not self.allowed(request):
            return _fault(401, "unauthorized", "unauthorized access")
        if bucket not in self.buckets:
            return web.json_response({"error": f"database not found: {form['db']}"}, status=404)
        if _REFUSED.search(text):
            return web.json_response({"results": [{"error": "not implemented"}]})
        status, told = await self.forward("/query", {"db": self.prefix + bucket, "q": text, "epoch": str(form.get("epoch", ""))})
        return web.Response(status=status, text=told, content_type="application/json")

    def _mapped(self, database: str) -> list[dict[str, Any]]:
        own = [mapping for mapping in self.mappings if mapping["database"] == database]
        virtual = {"id": "1", "database": database, "retention_policy": "autogen", "default": True, "orgID": ORG, "virtual": True}
        return own or [{**virtual, "bucketID": i} for name, i in self.buckets.items() if name == database]

    def _bucket_of(self, database: str) -> str:
        ids = [mapping["bucketID"] for mapping in self._mapped(database) if mapping["default"]]
        return next((name for name, i in self.buckets.items() if i in ids), "")

    async def _write(self, request: web.Request, bucket: str) -> web.Response:
        if bucket not in self.buckets:
            return _fault(404, "not found", f'bucket "{bucket}" not found')
        lines = await request.text()
        if not lines:
            return _fault(400, "invalid", "writing requires points")
        status, told = await self.forward("/write", {"db": self.prefix + bucket, "precision": "ns"}, lines)
        if status < 300:
            return web.Response(status=204)
        words = f"failure writing points to database: {json.loads(told)['error']}"
        return _fault(422, "unprocessable entity", words)

    async def _delete(self, request: web.Request) -> web.Response:
        if not self.may_delete:
            return _fault(403, "forbidden", "insufficient permissions for delete")
        span = await request.json()
        measurement = re.fullmatch(r'_measurement="(\w+)"', span["predicate"])
        assert measurement, span
        where = f"time >= '{span['start']}' AND time < '{span['stop']}'"
        statement = f"DELETE FROM {measurement[1]} WHERE {where}"  # noqa: S608 - a test's own words
        await self.forward("/query", {"db": self.prefix + request.query["bucket"], "q": statement})
        return web.Response(status=204)


@dataclass
class Three(Door):
    """InfluxDB 3 Core: databases by /api/v3/configure/database, partial writes by line number, no deletion at all."""

    databases: set[str] = field(default_factory=set)
    tags: dict[str, list[str]] = field(default_factory=dict)

    async def ping(self, request: web.Request) -> web.Response:
        if not self.allowed(request):
            return web.Response(status=401)
        return web.json_response({"version": "3.4.1", "revision": "d4b2a1", "process_id": "x"})

    async def configure(self, request: web.Request) -> web.Response:
        self.asked.append("POST configure/database")
        name = (await request.json())["db"]
        self.databases.add(name)
        await self.make(name)
        return web.Response(status=200)

    async def write(self, request: web.Request) -> web.Response:
        self.asked.append(f"POST {request.path}")
        database = request.query.get("db") or request.query["bucket"]
        lines = (await request.text()).splitlines()
        if not self.allowed(request):
            return web.Response(status=401)
        if not lines:
            return web.json_response({"error": "write buffer error: empty write"}, status=400)
        wrong = []
        for number, line in enumerate(lines, 1):
            table, *tags = [part.partition("=")[0] for part in line.partition(" ")[0].split(",")]
            if self.tags.setdefault(f"{database}.{table}", tags) != tags:
                wrong.append({"original_line": line, "line_number": number, "error_message": "the tag set of a table is fixed"})
                continue
            status, told = await self.forward("/write", {"db": self.prefix + database, "precision": "ns"}, line)
            if status >= 300:
                words = f"invalid field value in line protocol: {json.loads(told)['error']}"
                wrong.append({"original_line": line, "line_number": number, "error_message": words})
        if not wrong:
            return web.Response(status=204)
        return web.json_response({"error": "partial write of line protocol occurred", "data": wrong[:100]}, status=400)

    async def query(self, request: web.Request) -> web.Response:
        form = await request.post()
        text = str(form["q"])
        if not self.allowed(request):
            return web.Response(status=401)
        if form["db"] not in self.databases:
            return web.json_response({"error": f"database not found: {form['db']}"}, status=404)
        if _REFUSED.search(text) or re.search(r"\bS(LIMIT|OFFSET)\b", text):
            return web.json_response({"error": "This feature is not implemented: InfluxQL"}, status=400)
        content = {"db": f"{self.prefix}{form['db']}", "q": text, "epoch": str(form.get("epoch", ""))}
        status, told = await self.forward("/query", content)
        return web.Response(status=status, text=told, content_type="application/json")


@contextlib.asynccontextmanager
async def serving(made: Two | Three) -> AsyncIterator[None]:
    """The door, open at its `url`."""
    app = web.Application()
    app.router.add_get("/ping", made.ping)
    app.router.add_post("/write", made.write)
    app.router.add_post("/query", made.query)
    if isinstance(made, Two):
        app.router.add_route("*", "/api/v2/{name}", made.v2)
    else:
        app.router.add_post("/api/v2/write", made.write)
        app.router.add_post("/api/v3/configure/database", made.configure)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}"
    try:
        yield
    finally:
        await runner.cleanup()


def _bucket(name: str, known: str) -> dict[str, Any]:
    return {"id": known, "name": name, "orgID": ORG, "retentionRules": []}


def _fault(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message}, status=status)
