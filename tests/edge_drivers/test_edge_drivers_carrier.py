"""The receiver of carriers' pushes, before plain HTTP requests."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import edge_drivers_peers as peers
import pytest

from device_profiles.quantities import MetricType
from device_profiles.shelf import load_catalog
from device_profiles.wires import Wire
from device_profiles.wires.carrier import CarrierWire
from device_profiles.wires.items import ItemField
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, make_driver
from edge_agent.heard import Verdict
from edge_agent.link_kinds import CarrierOptions, DriverName
from firmware_bridge.carriers.onenet import signed_push, verification_query
from telemetry.clock import SystemClock
from telemetry.reason import Reason

TOKEN = "a-token+of/ours"  # noqa: S105 (made for the tests)
COVER = DeviceConfig(id="cover-1", profile="cover_onenet", address="2016617")
AIR = DeviceConfig(id="air-1", profile="air", address="867726031076062")
AT = 1795142400000
AIR_PROFILE = peers.profile(
    "air",
    Wire(carrier=CarrierWire(items=(ItemField(metric="nh3_ppm", item="nh3"), ItemField(metric="door_open", item="state.door")))),
    peers.metric("nh3_ppm", unit="[ppm]"),
    peers.metric("door_open", MetricType.BOOLEAN),
)
CATALOG = {**load_catalog(), "air": AIR_PROFILE}


def carrier_link(folder: Path, platform: str = "onenet", token: str | None = TOKEN, *devices: DeviceConfig) -> Driver:
    secret = folder / "token"
    if token is not None:
        secret.write_text(token + "\n")
    options = CarrierOptions(port=0, platform=platform, secret_file=None if token is None else secret)
    listening = LinkConfig(name="push", driver=DriverName.CARRIER, devices=devices or (COVER, AIR), options=options)
    return make_driver(listening, CATALOG, SystemClock())


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
        yield session


def point(ds_id: str, value: object, device: int = 2016617, at: int = AT) -> dict[str, object]:
    return {"type": 1, "dev_id": device, "ds_id": ds_id, "at": at, "value": value}


def url(driver: Driver, path: str = "/push") -> str:
    host, port = driver.ports[0]
    return f"http://{host}:{port}{path}"


async def post(http: aiohttp.ClientSession, driver: Driver, body: bytes, path: str = "/push") -> int:
    async with http.post(url(driver, path), data=body) as answer:
        return answer.status


async def test_onenet_is_answered_200_after_the_commit(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    inlet, driver = peers.Notebook(), carrier_link(tmp_path)
    inlet.gate = asyncio.Event()
    said = [point("3200_0_5500", True), point("3300_0_5700", 47.5), point("3303_0_5700", 8, at=AT + 1000)]
    async with peers.running(driver, inlet):
        answered = asyncio.ensure_future(post(http, driver, signed_push(said, TOKEN, "n1")))
        await peers.eventually(lambda: inlet.under_way == 2)
        assert not answered.done()
        inlet.gate.set()
        assert await answered == 200
    assert [(heard.decoded.time_ns, heard.decoded.values) for heard in inlet.of("cover-1")] == [
        (AT * 1_000_000, {"cover_open": True, "tilt_deg": 47.5}),
        ((AT + 1000) * 1_000_000, {"temperature_c": 8.0}),
    ]
    assert not any(heard.frames for heard in inlet.heard), "a platform hands on values, not what the device sent"


async def test_onenet_checks_the_address_before_it_pushes(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    inlet, driver = peers.Notebook(), carrier_link(tmp_path)
    async with peers.running(driver, inlet):
        async with http.get(f"{url(driver)}?{verification_query(TOKEN, 'n', 'hello+you')}") as answer:
            assert (answer.status, await answer.text()) == (200, "hello+you")
        async with http.get(f"{url(driver)}?{verification_query('another', 'n', 'hello')}") as answer:
            assert answer.status == 401
    assert inlet.reasons() == {Reason.NOT_AUTHENTICATED}


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        pytest.param(
            signed_push([point("3200_0_5500", value=True)], "another", "n"), 401, Reason.NOT_AUTHENTICATED, id="signature"
        ),
        pytest.param(b'{"msg":{}}', 400, Reason.MISSING, id="no signature"),
        pytest.param(b"{", 400, Reason.NOT_JSON, id="no JSON"),
        pytest.param(b"[" * 70_000, 413, Reason.OVERSIZED, id="a body without end"),
        pytest.param(signed_push([point("3200_0_5500", 1, 999)], TOKEN, "n"), 404, Reason.UNKNOWN_DEVICE, id="nobody's device"),
        pytest.param(signed_push([{"type": 9}], TOKEN, "n"), 400, Reason.UNKNOWN_MESSAGE, id="another kind of message"),
        pytest.param(signed_push("AES of something", TOKEN, "n"), 400, Reason.UNSUPPORTED_ENCRYPTION, id="encrypted"),
    ],
)
async def test_what_is_not_taken_is_not_answered_200(http, tmp_path, body, status, reason) -> None:
    inlet, driver = peers.Notebook(), carrier_link(tmp_path)
    async with peers.running(driver, inlet):
        assert await post(http, driver, body) == status
    assert inlet.reasons() == {reason}
    assert not inlet.heard
    assert TOKEN not in str(inlet.refused)


async def test_a_push_without_readings_has_nothing_to_commit_and_one_that_is_refused_is_pushed_again(http, tmp_path) -> None:
    inlet, driver = peers.Notebook(), carrier_link(tmp_path)
    async with peers.running(driver, inlet):
        life = {"type": 2, "dev_id": 2016617, "status": 1, "login_type": 10, "at": AT}
        assert await post(http, driver, signed_push(life | {"status": 0}, TOKEN, "n")) == 200
        assert driver.health().absent == ("cover-1",)
        assert await post(http, driver, signed_push(life, TOKEN, "n")) == 200
        assert driver.health().absent == ()
        assert await post(http, driver, signed_push([point("9999_0_1", 1)], TOKEN, "n")) == 200
        inlet.verdict = Verdict.REFUSED
        assert await post(http, driver, signed_push([point("3303_0_5700", 1)], TOKEN, "n")) == 422
        inlet.verdict = Verdict.HELD_BACK
        both = [point("3303_0_5700", 1), point("3303_0_5700", 1, 999)]
        assert await post(http, driver, signed_push(both, TOKEN, "n")) == 200
    assert inlet.reasons() == {Reason.UNKNOWN_DEVICE}


async def test_ctwing_pushes_named_properties_to_an_address_that_is_the_secret(http, tmp_path) -> None:
    inlet, driver = peers.Notebook(), carrier_link(tmp_path, "ctwing", "s3cret", AIR)
    said = {
        "messageType": "dataReport",
        "deviceId": "10000001",
        "IMEI": AIR.address,
        "timestamp": AT,
        "topic": "v1/up/ad19prof",
        "payload": {"serviceId": 1, "serviceData": {"nh3": 0.5, "state": {"door": True}, "other": 1}},
    }
    async with peers.running(driver, inlet):
        assert await post(http, driver, json.dumps(said).encode(), "/push/s3cret") == 200
        assert await post(http, driver, json.dumps(said).encode(), "/push/guess") == 401
        assert await post(http, driver, json.dumps(said).encode()) == 401
        assert await post(http, driver, json.dumps(said).encode(), "/elsewhere") == 404
        raw = said | {"payload": {"APPdata": "AQID"}}
        assert await post(http, driver, json.dumps(raw).encode(), "/push/s3cret") == 400
        async with http.get(url(driver, "/push/s3cret")) as answer:
            assert answer.status == 405
    (heard,) = inlet.heard
    assert (heard.device, heard.decoded.time_ns) == ("air-1", AT * 1_000_000)
    assert heard.decoded.values == {"nh3_ppm": 0.5, "door_open": True}
    assert inlet.reasons() == {Reason.NOT_AUTHENTICATED, Reason.NOT_FOUND, Reason.UNKNOWN_MESSAGE}


async def test_a_busy_receiver_says_so_and_bounds_its_connections(http, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("edge_agent.drivers.carrier.pushes._MOST_UNDER_WAY", 1)
    monkeypatch.setattr("edge_agent.drivers.carrier.driver._MOST_CONNECTIONS", 2)
    inlet, driver = peers.Notebook(), carrier_link(tmp_path)
    inlet.gate = asyncio.Event()
    body = signed_push([point("3303_0_5700", 1)], TOKEN, "n")
    async with peers.running(driver, inlet):
        first = asyncio.ensure_future(post(http, driver, body))
        await peers.eventually(lambda: inlet.under_way == 1)
        async with http.post(url(driver), data=body) as second:
            assert second.status == 503
            with pytest.raises(aiohttp.ClientError):
                async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(3)) as third:
                    await post(third, driver, body)
        inlet.gate.set()
        assert await first == 200
    assert driver.health().overflows >= 2


async def test_a_body_that_does_not_come_is_given_up_and_one_that_breaks_off_is_counted(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("edge_agent.drivers.carrier.pushes._BODY_S", 0.1)
    inlet, driver = peers.Notebook(), carrier_link(tmp_path)
    head = b"POST /push HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
    async with peers.running(driver, inlet):
        reader, writer = await asyncio.open_connection(*driver.ports[0])
        writer.write(head + b"12")
        assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
        monkeypatch.setattr("edge_agent.drivers.carrier.pushes._BODY_S", 5)
        _, writer = await asyncio.open_connection(*driver.ports[0])
        writer.write(head + b"12")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()
        await asyncio.sleep(0.05)
    assert Reason.TIMEOUT in inlet.reasons()


async def test_a_connection_that_asks_for_nothing_is_closed_and_one_that_was_answered_stays(http, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("edge_agent.drivers.carrier.driver._FIRST_S", 0.1)
    inlet, driver = peers.Notebook(), carrier_link(tmp_path)
    async with peers.running(driver, inlet):
        reader, writer = await asyncio.open_connection(*driver.ports[0])
        assert await post(http, driver, signed_push([point("3303_0_5700", 1)], TOKEN, "n")) == 200
        assert await asyncio.wait_for(reader.read(), 3) == b""
        writer.close()
        await writer.wait_closed()
        assert len(http.connector._conns) == 1  # the platform's own, kept open
        assert await post(http, driver, signed_push([point("3303_0_5700", 2)], TOKEN, "n")) == 200
    assert inlet.reasons() == {Reason.TIMEOUT}


async def test_a_missing_token_is_told_and_looked_for_again(http, tmp_path) -> None:
    inlet = peers.Notebook()
    driver = carrier_link(tmp_path, "onenet", "")
    task = asyncio.ensure_future(driver.run(inlet))
    await peers.eventually(lambda: inlet.refused)
    assert inlet.reasons() == {Reason.UNREACHABLE}
    (tmp_path / "token").write_text(TOKEN)
    await peers.eventually(lambda: driver.health().up)
    assert await post(http, driver, signed_push([point("3303_0_5700", 1)], TOKEN, "n")) == 200
    task.cancel()
    await asyncio.wait([task])
