"""CoAP over loopback UDP with aiocoap's own client as the device."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import cbor2
import edge_drivers_peers as peers
import pytest
from aiocoap import Context, Message
from aiocoap.numbers import codes

from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, make_driver
from edge_agent.heard import Verdict
from edge_agent.link_kinds import CoapOptions, DriverName
from telemetry.clock import SECOND_NS, SystemClock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason

COVER = DeviceConfig(id="cover-1", profile="cover", address="8600001")
SAID = {"dev": "8600001", "level": 12.5, "open": True, "ts": 1_750_000_000}


def coap_link(port: int = 0) -> Driver:
    link = LinkConfig(name="nb", driver=DriverName.COAP, devices=(COVER,), options=CoapOptions(port=port))
    return make_driver(link, {"cover": peers.coap_profile()}, SystemClock())


@pytest.fixture
async def device() -> AsyncIterator[Context]:
    context = await Context.create_client_context(transports=["simple6"])
    yield context
    await context.shutdown()


async def post(device: Context, driver: Driver, payload: bytes, content_format: int | None = 50, path: str = "t/up") -> Message:
    host, port = driver.ports[0]
    request = Message(code=codes.POST, payload=payload, uri=f"coap://{host}:{port}/{path}", content_format=content_format)
    return await asyncio.wait_for(device.request(request).response, 5)


@pytest.mark.parametrize(
    ("payload", "content_format"),
    [
        pytest.param(json.dumps(SAID).encode(), 50, id="JSON"),
        pytest.param(cbor2.dumps(SAID), 60, id="CBOR"),
        pytest.param(json.dumps(SAID).encode(), None, id="no content format is read as JSON"),
        pytest.param(json.dumps(SAID | {"dev": 8600001}).encode(), 50, id="an identity written as a number"),
    ],
)
async def test_a_document_is_answered_after_its_commit(device, payload, content_format) -> None:
    inlet, driver = peers.Notebook(), coap_link()
    async with peers.running(driver, inlet):
        answer = await post(device, driver, payload, content_format)
    assert answer.code == codes.CHANGED
    (heard,) = inlet.heard
    assert heard.device == "cover-1"
    assert heard.decoded.values == {"water_level_cm": 12.5, "cover_open": True}
    assert heard.decoded.time_ns == 1_750_000_000 * SECOND_NS
    assert heard.frames == (RawFrame("cbor" if content_format == 60 else "json", payload),)
    assert heard.source


@pytest.mark.parametrize(
    ("payload", "content_format", "code", "reason"),
    [
        pytest.param(b'{"dev": "8600001", ', 50, codes.BAD_REQUEST, Reason.NOT_JSON, id="JSON that is not"),
        pytest.param(b"\xff\xff\xff", 60, codes.BAD_REQUEST, Reason.NOT_CBOR, id="CBOR that is not"),
        pytest.param(b"", 50, codes.BAD_REQUEST, Reason.NOT_JSON, id="nothing"),
        pytest.param(b"<xml/>", 41, codes.BAD_REQUEST, Reason.UNKNOWN_MESSAGE, id="another format"),
        pytest.param(b'{"dev": "7", "level": 1}', 50, codes.FORBIDDEN, Reason.UNKNOWN_DEVICE, id="nobody we know"),
        pytest.param(b"[1, 2]", 50, codes.FORBIDDEN, Reason.UNKNOWN_DEVICE, id="a document that says no name"),
    ],
)
async def test_a_bad_document_is_refused_with_its_reason(device, payload, content_format, code, reason) -> None:
    inlet, driver = peers.Notebook(), coap_link()
    async with peers.running(driver, inlet):
        answer = await post(device, driver, payload, content_format)
        good = await post(device, driver, json.dumps(SAID).encode())
    assert answer.code == code
    assert answer.payload.startswith(reason.encode())
    assert inlet.reasons() == {reason}
    assert good.code == codes.CHANGED


async def test_a_wrong_value_costs_only_itself(device) -> None:
    inlet, driver = peers.Notebook(), coap_link()
    async with peers.running(driver, inlet):
        answer = await post(device, driver, json.dumps(SAID | {"level": "deep"}).encode())
    assert answer.code == codes.CHANGED
    assert inlet.heard[0].decoded.values == {"water_level_cm": None, "cover_open": True}


async def test_an_unknown_path_is_not_found(device) -> None:
    inlet, driver = peers.Notebook(), coap_link()
    async with peers.running(driver, inlet):
        assert (await post(device, driver, b"{}", path="elsewhere")).code == codes.NOT_FOUND


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.HELD_BACK, codes.CHANGED), (Verdict.REFUSED, codes.UNPROCESSABLE_ENTITY)])
async def test_the_verdict_is_the_answer(device, verdict, code) -> None:
    inlet, driver = peers.Notebook(), coap_link()
    inlet.verdict = verdict
    async with peers.running(driver, inlet):
        assert (await post(device, driver, json.dumps(SAID).encode())).code == code


async def test_one_slow_commit_does_not_stall_the_others(device) -> None:
    inlet, driver = peers.Notebook(), coap_link()
    inlet.gate = asyncio.Event()
    async with peers.running(driver, inlet):
        first = asyncio.ensure_future(post(device, driver, json.dumps(SAID).encode()))
        await peers.eventually(lambda: inlet.under_way == 1)
        assert (await post(device, driver, b"no")).code == codes.BAD_REQUEST
        assert not first.done(), "not answered before it is committed"
        inlet.gate.set()
        assert (await first).code == codes.CHANGED


async def test_a_busy_agent_asks_the_device_to_come_back(device, monkeypatch) -> None:
    monkeypatch.setattr("edge_agent.drivers.coap._MOST_UNDER_WAY", 1)
    inlet, driver = peers.Notebook(), coap_link()
    inlet.gate = asyncio.Event()
    async with peers.running(driver, inlet):
        first = asyncio.ensure_future(post(device, driver, json.dumps(SAID).encode()))
        await peers.eventually(lambda: inlet.under_way == 1)
        assert (await post(device, driver, json.dumps(SAID).encode())).code == codes.SERVICE_UNAVAILABLE
        inlet.gate.set()
        assert (await first).code == codes.CHANGED
    assert driver.health().overflows == 1


def confirmable(message_id: int, payload: bytes) -> bytes:
    """A CoAP POST by hand (RFC 7252, clause 3): CON, token 4b, Uri-Path t and up, Content-Format 50."""
    return bytes([0x41, 0x02]) + message_id.to_bytes(2, "big") + b"\x4b" + b"\xb1t\x02up" + b"\x11\x32" + b"\xff" + payload


async def test_a_retransmission_is_answered_again_but_read_once() -> None:
    inlet, driver = peers.Notebook(), coap_link()
    async with peers.running(driver, inlet):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node:
            node.setblocking(False)
            node.connect(driver.ports[0])
            loop = asyncio.get_running_loop()
            answers = []
            for _ in range(2):
                await loop.sock_sendall(node, confirmable(0x1234, json.dumps(SAID).encode()))
                answers.append(await asyncio.wait_for(loop.sock_recv(node, 1500), 5))
    # ACK, 2.04, the request's message id and token
    assert answers == [bytes.fromhex("6144 1234 4b")] * 2
    assert len(inlet.heard) == 1


async def test_garbage_datagrams_are_survived(device) -> None:
    inlet, driver = peers.Notebook(), coap_link()
    async with peers.running(driver, inlet):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as shouter:
            for size in range(200):
                shouter.sendto(bytes(range(size)), driver.ports[0])
        assert (await post(device, driver, json.dumps(SAID).encode())).code == codes.CHANGED
    assert inlet.reasons() == {Reason.BAD_START}


async def test_a_taken_port_is_told_and_tried_again(device) -> None:
    inlet = peers.Notebook()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        driver = coap_link(taken.getsockname()[1])
        task = asyncio.ensure_future(driver.run(inlet))
        await peers.eventually(lambda: inlet.refused)
        assert inlet.reasons() == {Reason.UNREACHABLE}
        assert not driver.health().up
    await peers.eventually(lambda: driver.health().up)
    assert (await post(device, driver, json.dumps(SAID).encode())).code == codes.CHANGED
    task.cancel()
    await asyncio.wait([task])
