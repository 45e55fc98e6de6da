"""The channels by HTTP: what came of their messages, and a test message that really goes out."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from cloud_api_world import World
from test_cloud_api_accounts import ADMIN, OPERATOR, logged_in

from cloud.notify.config import ChannelConfig, ChannelKind


@pytest.fixture
async def heard() -> AsyncIterator[tuple[str, list[str]]]:
    """A webhook's other end: its address and what was posted to it."""
    posted: list[str] = []

    async def take(request: web.Request) -> web.Response:
        posted.append(await request.text())
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}/hook", posted
    await runner.cleanup()


def with_channel(city: World, channel: ChannelConfig) -> None:
    desk = msgspec.structs.replace(city.services.desk, channels=(channel,))
    object.__setattr__(city.services, "desk", desk)


async def test_channels_are_shown_with_what_came_of_their_messages(city: World) -> None:
    admin = await logged_in(city, "chief", ADMIN)
    [hook] = (await city.get("/api/channels", **admin))["items"]
    assert (hook["name"], hook["kind"], hook["day"]["sent"] + hook["day"]["failed"] + hook["waiting"]) == ("hook", "webhook", 1)
    assert "127.0.0.1" not in str(hook)


async def test_a_test_message_reaches_the_other_end(city: World, heard: tuple[str, list[str]]) -> None:
    url, posted = heard
    with_channel(city, ChannelConfig(name="hook", kind=ChannelKind.WEBHOOK, url=url))
    admin = await logged_in(city, "chief", ADMIN)
    answer = await city.post("/api/channels/hook/test", {}, **admin)
    assert [one["ok"] for one in answer["items"]] == [True]
    assert len(posted) == 1
    assert '"test"' in posted[0]


async def test_what_goes_wrong_is_told_in_both_languages_and_without_the_secret(city: World, tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("http://127.0.0.1:9/hook?key=very-secret-key")
    with_channel(city, ChannelConfig(name="hook", kind=ChannelKind.WEBHOOK, url_file=str(secret)))
    admin = await logged_in(city, "chief", ADMIN)
    answer = await city.post("/api/channels/hook/test", {}, **admin)
    [told] = answer["items"]
    assert not told["ok"]
    assert told["zh"]
    assert told["en"]
    assert "very-secret-key" not in str(answer)
    secret.unlink()
    await city.post("/api/channels/hook/test", {}, status=409, **admin)


async def test_only_who_may_change_settings_sends_one(city: World) -> None:
    await logged_in(city, "chief", ADMIN)
    operator = await logged_in(city, "li.wei", OPERATOR)
    await city.post("/api/channels/hook/test", {}, status=403, **operator)
    await city.get("/api/channels", status=403, **operator)
    admin = await logged_in(city, "chief2", ADMIN)
    await city.post("/api/channels/none/test", {}, status=404, **admin)
    await city.post("/api/channels/hook/test", {"person": "nobody"}, status=404, **admin)
