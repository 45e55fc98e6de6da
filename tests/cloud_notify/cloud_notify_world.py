"""The outbox in a real store, and the vendors' servers on loopback ports with their own rules."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.feed import Feed
from cloud.notify.config import ChannelConfig
from cloud.notify.outbox import enqueue
from cloud.notify.sender import Sender
from cloud.relational.engine import make_engine, reading, writing
from cloud.relational.tables import cases, devices, metadata, notifications
from telemetry.clock import SECOND_NS, SystemClock

SECRET = "SEC5f0c1dbe77"  # noqa: S105 - a secret of these tests
KEY = "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa"
OPENED_NS = 1_763_647_200 * SECOND_NS + 123_000_000

CASE: dict[str, Any] = {
    "id": 7, "device": "cover-1", "matter": "cover_displaced", "gbt_code": "0101", "department": "市政设施处",
    "title_zh": "井盖移位", "title_en": "Cover displaced", "priority": "critical", "state": "open", "longitude": 113.2644,
    "latitude": 23.1291, "opened_ns": OPENED_NS, "due_ns": OPENED_NS + 3600 * SECOND_NS, "closed_ns": None, "assignee": "",
    "version": 1,
}  # fmt: skip


@contextlib.asynccontextmanager
async def outbox(folder: Path) -> AsyncIterator[AsyncEngine]:
    """A store with one device and one case in it; opened again it is the same one."""
    engine = make_engine(f"sqlite+aiosqlite:///{folder / 'cloud.db'}")
    try:
        await furnish(engine)
        yield engine
    finally:
        await engine.dispose()


async def furnish(engine: AsyncEngine) -> None:
    """The tables, one device and one case, unless they are there."""
    async with engine.begin() as conn:
        await conn.run_sync(metadata.create_all)
    async with writing(engine) as conn:
        if await conn.scalar(select(cases.c.id)) is None:
            await conn.execute(
                devices.insert().values(
                    id="cover-1", gateway="gw-1", profile="cover_nbiot", profile_version=1, kind="manhole_cover",
                    name="中山路 3 号井", first_seen_ns=1,
                )
            )  # fmt: skip
            await conn.execute(cases.insert().values(CASE))


async def put(engine: AsyncEngine, channels: list[ChannelConfig], occasion: str = "alarm-1", step: str = "opened") -> int:
    async with writing(engine) as conn:
        now_ns = SystemClock().wall_ns()
        return await enqueue(conn, case=CASE, step=step, occasion=occasion, channels=channels, now_ns=now_ns)


async def rows(engine: AsyncEngine) -> list[dict[str, Any]]:
    async with reading(engine) as conn:
        return [dict(row) for row in (await conn.execute(select(notifications).order_by(notifications.c.id))).mappings()]


@contextlib.asynccontextmanager
async def sending(engine: AsyncEngine, channels: list[ChannelConfig], feed: Feed | None = None) -> AsyncIterator[Sender]:
    """A sender at work until the block ends."""
    sender = Sender(engine, channels, SystemClock(), feed or Feed(), base_url="https://city.example/", poll_s=0.02)
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(sender.run())
        yield sender
        work.cancel()


async def until(engine: AsyncEngine, fits: Callable[[list[dict[str, Any]]], bool], seconds: float = 10) -> list[dict[str, Any]]:
    """The rows once they fit."""
    async with asyncio.timeout(seconds):
        while not fits(found := await rows(engine)):  # noqa: ASYNC110 - rows have no event to wait for
            await asyncio.sleep(0.01)
    return found


@dataclass
class Vendors:
    """The robots' servers: each checks what the real one checks and answers as it does."""

    url: str = ""
    taken: list[tuple[str, Any]] = field(default_factory=list)
    seen: int = 0
    script: list[web.Response] = field(default_factory=list)
    hang: bool = False

    async def answer(self, request: web.Request) -> web.Response:
        self.seen += 1
        if self.hang:
            await request.read()
            await asyncio.sleep(30)
        if self.script:
            return self.script.pop(0)
        vendor = request.match_info["vendor"]
        body = await request.read()
        fault = getattr(self, f"_{vendor}")(request, body)
        if fault is None:
            self.taken.append((vendor, json.loads(body)))
        return self._reply(vendor, fault)

    def _reply(self, vendor: str, fault: tuple[int, str] | None) -> web.Response:
        code, text = fault or (0, "ok")
        if vendor == "webhook":
            return web.Response(status=code or 204, text=text if code else "")
        names = ("code", "msg") if vendor == "feishu" else ("errcode", "errmsg")
        return web.json_response(dict(zip(names, (code, text), strict=True)))

    def _webhook(self, request: web.Request, body: bytes) -> tuple[int, str] | None:
        signed = request.headers["X-Citynerve-Timestamp"].encode() + b"." + body
        wanted = "sha256=" + hmac.digest(SECRET.encode(), signed, "sha256").hex()
        return None if request.headers["X-Citynerve-Signature"] == wanted else (401, "wrong signature")

    def _wecom(self, request: web.Request, body: bytes) -> tuple[int, str] | None:
        if request.query.get("key") != KEY:
            return 93000, f"invalid webhook url {request.url}, hint: [1]"
        return (45002, "content too long") if len(json.loads(body)["text"]["content"].encode()) > 2048 else None

    def _dingtalk(self, request: web.Request, body: bytes) -> tuple[int, str] | None:
        del body
        if request.query.get("access_token") != KEY:
            return 300001, "token is not exist"
        stamp = request.query["timestamp"]
        digest = hmac.new(SECRET.encode(), (stamp + "\n" + SECRET).encode(), hashlib.sha256).digest()
        fits = len(stamp) == 13 and request.query["sign"] == base64.b64encode(digest).decode()
        return None if fits else (310000, "sign not match")

    def _feishu(self, request: web.Request, body: bytes) -> tuple[int, str] | None:
        document = json.loads(body)
        if request.match_info["rest"] != KEY:
            return 19001, "param invalid: incoming webhook access token invalid"
        stamp = document["timestamp"]
        digest = hmac.new((stamp + "\n" + SECRET).encode(), b"", hashlib.sha256).digest()
        fits = len(stamp) == 10 and document["sign"] == base64.b64encode(digest).decode()
        return None if fits else (19021, "sign match fail or timestamp is not within one hour from current time")


@contextlib.asynccontextmanager
async def vendors() -> AsyncIterator[Vendors]:
    """All four on one port, by path."""
    made = Vendors()
    app = web.Application()
    app.router.add_post("/{vendor}/{rest:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


@dataclass
class Mailbox:
    """A mail server that speaks just enough SMTP (RFC 5321) to take or refuse one mail."""

    port: int = 0
    mails: list[tuple[str, list[str], str]] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender, recipients = "", []
        writer.write(b"220 mail.test ESMTP\r\n")
        while line := (await reader.readline()).decode().strip():
            verb = line.split(" ", 1)[0].upper()
            answer = self.answers.get(verb, "250 OK")
            if verb == "MAIL":
                sender = line.partition("<")[2].partition(">")[0]
            elif verb == "RCPT":
                refused = self.answers.get(line.partition("<")[2].partition(">")[0])
                answer = refused or answer
                recipients += [] if answer[0] != "2" else [line.partition("<")[2].partition(">")[0]]
            elif verb == "DATA" and "DATA" not in self.answers:
                writer.write(b"354 go on\r\n")
                text = (await reader.readuntil(b"\r\n.\r\n")).decode()
                self.mails.append((sender, recipients, text))
            elif verb == "QUIT":
                answer = "221 bye"
            writer.write(answer.encode() + b"\r\n")
            await writer.drain()
            if verb == "QUIT":
                break
        writer.close()


@contextlib.asynccontextmanager
async def mailbox() -> AsyncIterator[Mailbox]:
    """A mail server on a loopback port."""
    made = Mailbox()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made
