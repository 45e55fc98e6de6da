"""Photos over HTTP, through the whole application, and a line that breaks in the middle."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from cloud.api.app import build_app
from cloud.api.headers import MAX_BODY_BYTES
from cloud.api.server import listen, serve
from cloud.api.services import Services
from cloud.cases.desk import Desk
from cloud.counts import CloudCounts
from cloud.evidence import MAX_PHOTO_BYTES, EvidenceFolder
from cloud.feed import Feed
from cloud.relational.engine import make_engine, reading
from cloud.relational.tables import evidence as photos
from cloud.relational.tables import metadata
from cloud.series.duckdb_store import DuckStore
from telemetry.clock import ManualClock

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 800
SCRIPT = b"<script>alert(1)</script>" + b" " * 200_000


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


class Door:
    """The application on a loopback port."""

    def __init__(self, session: aiohttp.ClientSession, port: int, folder: Path, app: FastAPI) -> None:
        self.session = session
        self.port = port
        self.folder = folder
        self._app = app

    def keeps(self, evidence: EvidenceFolder | None) -> None:
        """From now on photos go there."""
        self._app.state.services = replace(self._app.state.services, evidence=evidence)

    async def post(self, data: bytes, **headers: str) -> tuple[int, dict[str, object]]:
        said = {"Content-Type": "image/jpeg", **headers}
        async with self.session.post("/api/evidence?actor=li.wei", data=data, headers=said) as answer:
            return answer.status, await answer.json(content_type=None)

    async def uploaded_by(self) -> list[str]:
        async with reading(self._app.state.services.engine) as conn:
            return list((await conn.scalars(select(photos.c.uploaded_by))).all())


async def counts() -> CloudCounts:
    return CloudCounts()


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    folder, stop, ready = tmp_path / "evidence", asyncio.Event(), asyncio.Event()
    engine = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'cloud.db'}")
    async with engine.begin() as conn:
        await conn.run_sync(metadata.create_all)
    services = Services(
        engine=engine,
        series=DuckStore(tmp_path / "series.duckdb"),
        desk=Desk(catalog={}),
        feed=Feed(),
        clock=ManualClock(),
        counts=counts,
        evidence=EvidenceFolder(folder),
        stop=stop,
    )
    app = build_app(services)
    bound = listen("127.0.0.1", 0)
    port = bound.getsockname()[1]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(app, bound, stop, ready.set))
        await ready.wait()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield Door(session, port, folder, app)
        stop.set()
    await engine.dispose()


async def test_a_photo_comes_back_as_it_was_and_is_kept_for_ever(door: Door) -> None:
    status, kept = await door.post(JPEG)
    assert (status, kept["size"]) == (200, len(JPEG))
    assert len(JPEG) > MAX_BODY_BYTES
    async with door.session.get(f"/api/evidence/{kept['id']}") as answer:
        assert await answer.read() == JPEG
        head = answer.headers
    assert head["Content-Type"] == "image/jpeg"
    assert head["Cache-Control"] == "private, max-age=31536000, immutable"
    assert head["X-Content-Type-Options"] == "nosniff"
    assert head["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert head["Content-Disposition"] == f'inline; filename="{str(kept["id"])[:12]}.jpg"'
    assert await door.uploaded_by() == ["li.wei"]


async def test_a_line_that_breaks_in_the_middle_leaves_nothing_and_the_next_attempt_is_whole(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    head = f"POST /api/evidence HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(JPEG)}\r\n\r\n"
    writer.write(head.encode() + JPEG[: len(JPEG) // 2])
    await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    assert await reader.read() == b""
    async with asyncio.timeout(10):
        while not door.folder.is_dir() or names(door.folder):  # noqa: ASYNC110 - nobody announces that it gave up
            await asyncio.sleep(0.005)
    assert await door.uploaded_by() == []
    status, kept = await door.post(JPEG)
    assert status == 200
    assert names(door.folder) == [kept["id"]]


async def test_what_is_called_a_photo_and_is_none_gets_an_answer_even_where_much_of_it_is_still_to_come(door: Door) -> None:
    status, problem = await door.post(SCRIPT)
    assert (status, problem["reason"]) == (422, "invalid")
    assert "want a JPEG, PNG or WebP" in str(problem["detail"])


async def test_a_photo_too_large_is_refused_by_its_length_and_while_it_comes(door: Door) -> None:
    async def drip() -> AsyncIterator[bytes]:
        for _ in range(MAX_PHOTO_BYTES // 1_000_000 + 2):
            yield JPEG[:20] + bytes(1_000_000)

    async with door.session.post(
        "/api/evidence", headers={"Content-Length": str(MAX_PHOTO_BYTES + 1), "Connection": "close"}, data=b""
    ) as answer:
        assert answer.status == 413
    async with door.session.post("/api/evidence", data=drip()) as answer:
        assert (answer.status, (await answer.json(content_type=None))["reason"]) == (413, "oversized")
    assert names(door.folder) == []


async def test_a_full_folder_answers_503_and_the_account_says_how_often(door: Door) -> None:
    door.keeps(EvidenceFolder(door.folder, most_bytes=100))
    status, problem = await door.post(JPEG)
    assert (status, problem["reason"]) == (503, "store_unavailable")
    async with door.session.get("/api/evidence") as answer:
        assert await answer.json() == {"photos": 0, "bytes": 0, "most_bytes": 100, "refused": {"store_unavailable": 1}}


@pytest.mark.parametrize("name", ["0" * 64, "..%2f..%2fcloud.db", "A" * 64, "0" * 63])
async def test_an_id_that_is_none_leads_nowhere(door: Door, name: str) -> None:
    async with door.session.get(f"/api/evidence/{name}") as answer:
        assert answer.status in {404, 422}
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Cache-Control"] == "no-store"


async def test_another_sites_page_may_not_send_a_photo(door: Door) -> None:
    status, problem = await door.post(JPEG, Origin="https://elsewhere.example")
    assert (status, problem["reason"]) == (403, "not_allowed")


async def test_a_cloud_without_a_folder_for_photos_says_so(door: Door) -> None:
    door.keeps(None)
    status, problem = await door.post(JPEG)
    assert (status, problem["reason"]) == (503, "store_unavailable")
