"""The basemap comes from this server alone, whatever it is made of."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web
from fastapi import FastAPI

from cloud.api.basemap import install
from cloud.api.server import listen, serve
from cloud.atlas.config import MapConfig, read_map
from device_profiles.mistakes import Findings
from device_profiles.toml_table import read_toml


class Answer(NamedTuple):
    """What came back."""

    status: int
    content: bytes
    headers: Mapping[str, str]


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


@contextlib.asynccontextmanager
async def page(config: MapConfig, folder: Path) -> AsyncIterator[Callable[..., Awaitable[Answer]]]:
    """Asks the basemap of an application of its own."""
    app, stop, ready = FastAPI(), asyncio.Event(), asyncio.Event()
    install(app, config, folder)
    bound = listen("127.0.0.1", 0)
    base = f"http://127.0.0.1:{bound.getsockname()[1]}"
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(app, bound, stop, ready.set))
        await ready.wait()
        async with aiohttp.ClientSession(base) as session:

            async def ask(path: str, **headers: str) -> Answer:
                async with session.get(path, headers=headers) as response:
                    return Answer(response.status, await response.read(), response.headers)

            yield ask
        stop.set()


@contextlib.asynccontextmanager
async def elsewhere(asked: list[str], content: bytes, status: int = 200) -> AsyncIterator[str]:
    """Another server's tiles."""

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.Response(body=content, status=status)

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_file_of_tiles_is_served_in_ranges(tmp_path: Path) -> None:
    file = tmp_path / "city.pmtiles"
    file.write_bytes(bytes(range(256)))
    async with page(MapConfig(pmtiles=file), tmp_path / "cache") as ask:
        part = await ask("/basemap/map.pmtiles", Range="bytes=16-19")
        assert (part.status, part.content) == (206, bytes([16, 17, 18, 19]))
        assert part.headers["Content-Range"] == "bytes 16-19/256"
        file.unlink()
        assert (await ask("/basemap/map.pmtiles")).status == 404


async def test_a_tile_from_elsewhere_is_fetched_once_with_the_key_that_no_page_sees(tmp_path: Path) -> None:
    key, asked = tmp_path / "key", list[str]()
    key.write_text("s3cret\n", encoding="utf-8")
    async with elsewhere(asked, PNG) as server:
        config = MapConfig(xyz=server + "/{z}/{x}/{y}.png?key={key}", key_file=key)
        async with page(config, tmp_path / "cache") as ask:
            for _ in range(2):
                answer = await ask("/basemap/3/4/5")
                assert (answer.status, answer.content) == (200, PNG)
                assert answer.headers["Content-Type"] == "image/png"
            assert (await ask("/basemap/3/8/0")).status == 404
    assert asked == ["/3/4/5.png?key=s3cret"]


@pytest.mark.parametrize(
    ("content", "status", "answered"),
    [(PNG, 404, 404), (PNG, 500, 502), (b"<html>no</html>", 200, 502), (PNG + bytes(1 << 20), 200, 502)],
    ids=["there is none", "it is broken", "a page instead of a picture", "a picture that is too large"],
)
async def test_what_is_no_tile_is_not_passed_on(tmp_path: Path, content: bytes, status: int, answered: int) -> None:
    async with (
        elsewhere([], content, status) as server,
        page(MapConfig(xyz=server + "/{z}/{x}/{y}"), tmp_path / "cache") as ask,
    ):
        assert (await ask("/basemap/0/0/0")).status == answered
    assert list((tmp_path / "cache").iterdir()) == []


async def test_the_cache_keeps_to_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.api.basemap._SWEEP_AFTER", 1)
    picture = PNG + bytes(600_000)
    async with (
        elsewhere([], picture) as server,
        page(MapConfig(xyz=server + "/{z}/{x}/{y}", cache_mb=1), tmp_path / "cache") as ask,
    ):
        for x in range(3):
            assert (await ask(f"/basemap/2/{x}/0")).content == picture
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == ["2-2-0"]


async def test_without_a_basemap_there_is_no_route(tmp_path: Path) -> None:
    async with page(MapConfig(), tmp_path / "cache") as ask:
        assert (await ask("/basemap/0/0/0")).status == 404
    assert not (tmp_path / "cache").exists()


def read(tmp_path: Path, text: str) -> tuple[MapConfig, list[str]]:
    file = tmp_path / "cloud.toml"
    file.write_text(text, encoding="utf-8")
    findings = Findings(str(file))
    config = read_map(read_toml(file, findings).table("map"), tmp_path)
    return config, [str(each) for each in findings.in_order()]


def test_the_configuration_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.pmtiles").write_bytes(b"")
    config, wrong = read(tmp_path, '[map]\ncrs = "gcj02"\nbasemap = "pmtiles:a.pmtiles"\napproval = "GS(2026)1号"\n')
    assert wrong == []
    assert (config.crs, config.kind, config.pmtiles, config.approval) == (
        "gcj02",
        "pmtiles",
        tmp_path / "a.pmtiles",
        "GS(2026)1号",
    )
    assert read(tmp_path, "")[0] == MapConfig()


@pytest.mark.parametrize(
    "text",
    [
        'basemap = "pmtiles:gone.pmtiles"',
        'basemap = "xyz:ftp://a/{z}/{x}/{y}"',
        'basemap = "xyz:https://a/{z}/{x}.png"',
        'basemap = "xyz:https://{host}/{z}/{x}/{y}"',
        'basemap = "xyz:https://a/{z}/{x}/{y}?key={key}"',
        'crs = "mars"',
        'colour = "red"',
    ],
)
def test_a_mistake_in_the_configuration_is_told(tmp_path: Path, text: str) -> None:
    assert len(read(tmp_path, f"[map]\n{text}\n")[1]) == 1
