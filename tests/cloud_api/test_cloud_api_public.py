"""The public pages over real stores: without a login, without JavaScript, and honest about what nobody knows."""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from cloud_api_world import CHEAP, NOW_NS, World, world
from sqlalchemy import func, select

from cloud.accounts.accounts import Accounts
from cloud.accounts.roles import AccountRole, Grant
from cloud.public.config import SAMPLE, PublicConfig, read_toilets
from cloud.relational.engine import reading, writing
from cloud.relational.tables import cases, devices, evidence
from telemetry.clock import SECOND_NS
from telemetry.records import Reading
from telemetry.wire import group_readings

NODE = "toilet-node-0001"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


async def seat(city: World, seq: int, time_ns: int, **values: Any) -> None:
    """The node at the door of the temple says something."""
    reading_ = Reading(
        device=NODE, profile="toilet_node_serial", profile_version=1, time_ns=time_ns, received_ns=time_ns, values=values
    )
    await city.services.series.write([group_readings("gw-1", "e1", seq, [reading_])])


async def furnish(city: World) -> None:
    """Register the node; three stalls are free, one is taken, the air is fair."""
    async with writing(city.services.engine) as conn:
        await conn.execute(
            devices.insert().values(
                id=NODE, gateway="gw-1", profile="toilet_node_serial", profile_version=1, kind="toilet_sensor", name="",
                component_code="", longitude=120.6, latitude=31.3, first_seen_ns=1, last_reading_ns=NOW_NS,
            )
        )  # fmt: skip
    stalls = {f"cubicle_{n}_occupied": n == 2 for n in (1, 2, 3, 4)}
    await seat(city, 500, NOW_NS, nh3_ppm=0.5, h2s_ppm=0.0, temperature_c=21.5, **stalls)


def config(**more: int) -> PublicConfig:
    return PublicConfig(toilets=read_toilets(SAMPLE), **more)


@pytest_asyncio.fixture
async def town(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, public=config()) as city:
        await furnish(city)
        yield city


async def page(city: World, path: str, status: int = 200, **headers: str) -> str:
    async with city.session.get(city.exact(path), headers=headers) as answer:
        assert answer.status == status
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "script-src" not in answer.headers["Content-Security-Policy"]
        text = await answer.text()
        # What the content policy would refuse is not there to begin with.
        assert "style=" not in text
        assert not re.search(r"<script(?! src=\"/toilets/assets/)", text)
        return text


async def send(city: World, **fields: Any) -> aiohttp.ClientResponse:
    form = aiohttp.FormData()
    for name, value in fields.items():
        if isinstance(value, bytes):
            form.add_field(name, io.BytesIO(value), filename="门.png", content_type="image/png")
        else:
            form.add_field(name, value)
    form.add_field("website", "") if "website" not in fields else None
    headers = {"Origin": city.base}
    return await city.session.post("/toilets/xuanmiao/report?lang=zh", data=form, headers=headers, allow_redirects=False)


async def case_count(city: World) -> int:
    async with reading(city.services.engine) as conn:
        return int(await conn.scalar(select(func.count()).select_from(cases).where(cases.c.source == "citizen")) or 0)


async def test_the_finder_says_which_is_open_how_far_it_is_and_what_is_free(town: World) -> None:
    text = await page(town, "/toilets?near=120.6229,31.3127&lang=zh")
    first, second = text.split('<li class="')[1:]
    assert "玄妙观公厕" in first
    assert "空位 3/4" in first
    assert "100 米，步行约 2 分钟" in first
    assert "良" in first
    assert "轮椅可达 · 第三卫生间 · 婴儿护理台" in first
    assert "平江路公厕" in second
    assert "未装厕位传感器" in second


async def test_what_was_asked_stays_in_the_form_and_in_the_other_language(town: World) -> None:
    text = await page(town, "/toilets?near=120.6,31.3&wheelchair=1&lang=en")
    assert 'value="120.6,31.3"' in text
    assert 'name="wheelchair" value="1" checked' in text
    assert "near=120.6%2C31.3&amp;wheelchair=1&amp;lang=zh" in text
    assert "Pingjiang" not in text


@pytest.mark.parametrize(
    "query", ["near=here", "near=%F0%9F%9A%BD", "near=%ED%A0%80", "near=%00", "lang=fr&open=2", "near=999,9"]
)
async def test_whatever_is_asked_there_is_a_page(town: World, query: str) -> None:
    assert "Public toilets" in await page(town, f"/toilets?{query}", **{"Accept-Language": "en"})


async def test_a_stall_that_is_not_heard_is_unknown_and_never_free(town: World) -> None:
    assert "空位 3/4" in await page(town, "/toilets?lang=zh")
    town.clock.advance(151)  # 2.5 heartbeats of its profile
    assert "厕位状态未知" in await page(town, "/toilets?lang=zh")
    shown = json.loads(await (await town.session.get("/toilets/xuanmiao/now.json")).text())
    assert {stall["state"] for stall in shown["stalls"]} == {"unknown"}
    assert shown["nh3_ppm"] is None
    assert shown["grade"] == "unknown"
    screen = await page(town, "/toilets/xuanmiao/screen?lang=zh")
    assert screen.count(">未知</text>") == 4
    assert "无人</text>" not in screen


async def test_a_device_that_is_no_longer_registered_says_nothing(town: World) -> None:
    async with writing(town.services.engine) as conn:
        await conn.execute(devices.delete().where(devices.c.id == NODE))
    assert "厕位状态未知" in await page(town, "/toilets?lang=zh")


async def test_a_change_is_on_the_screen_within_two_seconds_and_no_change_costs_no_bytes(town: World) -> None:
    async with town.session.get("/toilets/xuanmiao/now.json") as answer:
        tag = answer.headers["ETag"]
        assert (await answer.json())["stalls"][0] == {
            "name": "1", "section": "men", "state": "free", "good_until": (NOW_NS + 150 * SECOND_NS) // 1_000_000,
        }  # fmt: skip
    town.clock.advance(1)
    async with town.session.get("/toilets/xuanmiao/now.json", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 304
        assert answer.headers["X-Made"] == str((NOW_NS + SECOND_NS) // 1_000_000)
        assert await answer.read() == b""
    await seat(town, 501, NOW_NS + SECOND_NS, cubicle_1_occupied=True)
    town.clock.advance(0.5)
    async with town.session.get("/toilets/xuanmiao/now.json", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 200
        assert (await answer.json())["stalls"][0]["state"] == "taken"


async def test_many_screens_look_at_the_stores_once_in_half_a_second(town: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    latest = town.services.series.latest

    async def counted(names: Any) -> Any:
        asked.append(len(names))
        return await latest(names)

    monkeypatch.setattr(town.services.series, "latest", counted)
    town.clock.advance(10)
    await asyncio.gather(*(town.session.get("/toilets/xuanmiao/now.json") for _ in range(20)))
    assert asked == [1]


async def test_a_report_with_a_photo_is_a_citizens_case_at_the_toilet(town: World) -> None:
    answer = await send(town, matter="toilet_odour", text="2 号间堵了", photo=PNG)
    assert answer.status == 303
    assert "2 号间" not in answer.headers["Location"]
    number = int(re.search(r"reported=(\d+)", answer.headers["Location"])[1])  # type: ignore[index]
    assert f"编号 {number}" in await page(town, answer.headers["Location"])
    shown = await town.get(f"/api/cases/{number}")
    assert (shown["source"], shown["matter"], shown["description"]) == ("citizen", "toilet_odour", "2 号间堵了")
    assert (shown["longitude"], shown["latitude"]) == (120.6229, 31.3136)
    assert shown["address"].startswith("玄妙观公厕")
    [photo] = shown["steps"][0]["photos"]
    async with town.session.get(f"/api/evidence/{photo}") as kept:
        assert await kept.read() == PNG
    assert town.woken


async def test_the_same_report_again_is_the_same_case(town: World) -> None:
    first = await send(town, matter="toilet_odour", text="臭")
    again = await send(town, matter="toilet_odour", text="臭")
    assert "again=1" in again.headers["Location"]
    assert re.findall(r"reported=(\d+)", again.headers["Location"]) == re.findall(r"reported=(\d+)", first.headers["Location"])
    assert await case_count(town) == 1


REFUSED = [
    pytest.param({"text": "臭"}, "请选择一个问题", id="no matter"),
    pytest.param({"matter": "cover_missing", "text": ""}, "请选择一个问题", id="a matter of something else"),
    pytest.param({"matter": "toilet_odour", "text": "臭" * 1001}, "超过 1000 字", id="a text that is too long"),
]


@pytest.mark.parametrize(("fields", "said"), REFUSED)
async def test_a_report_that_is_wrong_is_told_and_nothing_typed_is_lost(town: World, fields: dict[str, str], said: str) -> None:
    answer = await send(town, **fields)
    assert answer.status == 422
    text = await answer.text()
    assert said in text
    assert fields["text"] in text
    assert await case_count(town) == 0


async def test_a_program_that_fills_in_every_field_makes_no_case(town: World) -> None:
    answer = await send(town, matter="toilet_odour", text="buy now", website="https://spam.example", photo=PNG)
    assert answer.status == 303
    assert await case_count(town) == 0
    async with reading(town.services.engine) as conn:
        assert await conn.scalar(select(func.count()).select_from(evidence)) == 0


async def test_one_address_reports_three_times_a_minute(town: World) -> None:
    answers = [await send(town, matter="toilet_odour", text=str(n)) for n in range(4)]
    assert [answer.status for answer in answers] == [303, 303, 303, 429]
    assert int(answers[-1].headers["Retry-After"]) <= 21
    town.clock.advance(21)
    assert (await send(town, matter="toilet_odour", text="5")).status == 303


async def test_photos_of_strangers_do_not_fill_the_crews_folder(tmp_path: Path) -> None:
    async with world(tmp_path, public=config(photos_per_day=1)) as city:
        await furnish(city)
        await send(city, matter="toilet_odour", text="1", photo=PNG)
        second = await send(city, matter="toilet_service", text="2", photo=PNG + b"2")
        assert "照片没有保存：今天的照片已收满" in await page(city, second.headers["Location"])
        assert await case_count(city) == 2
        city.clock.advance(86_401)
        third = await send(city, matter="toilet_equipment", text="3", photo=PNG + b"3")
        assert "photo=" not in third.headers["Location"]


async def test_what_is_no_photo_does_not_lose_the_report(town: World) -> None:
    answer = await send(town, matter="toilet_odour", text="臭", photo=b"<svg onload=alert(1)>")
    assert "不是 JPEG、PNG 或 WebP 图片" in await page(town, answer.headers["Location"])
    assert await case_count(town) == 1


async def test_a_report_larger_than_a_photo_may_be_is_refused(town: World) -> None:
    answer = await send(town, matter="toilet_odour", text="臭", photo=PNG + bytes(9 * 1024 * 1024))
    assert answer.status == 413
    assert await case_count(town) == 0


async def test_another_sites_page_cannot_report(town: World) -> None:
    data, headers = {"matter": "toilet_odour"}, {"Origin": "https://evil.example"}
    async with town.session.post("/toilets/xuanmiao/report", data=data, headers=headers) as answer:
        assert answer.status == 403


async def test_what_was_typed_is_shown_as_text_everywhere(town: World) -> None:
    answer = await send(town, text="</textarea><script>alert(1)</script>")
    text = await answer.text()
    assert "&lt;/textarea&gt;&lt;script&gt;" in text
    assert "<script>" not in text
    assert "<b>" not in await page(town, "/toilets/xuanmiao?reported=%3Cb%3E1")


async def test_the_pages_are_outside_the_login_and_the_rest_is_not(town: World) -> None:
    await Accounts(town.services.engine, town.clock, CHEAP).add("zhang", "lamp cover toilet drain", (Grant(AccountRole.ADMIN),))
    assert (await town.session.get("/api/devices")).status == 401
    for path in ("/toilets", "/toilets/xuanmiao", "/toilets/xuanmiao/screen"):
        await page(town, path)
    assert (await send(town, matter="toilet_odour", text="臭")).status == 303


NOWHERE = ["none", "none/screen", "none/now.json", "assets/words.toml", "assets/x.css"]


@pytest.mark.parametrize("path", NOWHERE)
async def test_what_is_not_there_is_a_404_with_a_way_back(town: World, path: str) -> None:
    assert 'href="/toilets?lang=zh"' in await page(town, f"/toilets/{path}", 404)


async def test_without_a_file_of_toilets_there_is_no_page(tmp_path: Path) -> None:
    async with world(tmp_path) as city:
        assert (await city.session.get("/toilets")).status == 404
