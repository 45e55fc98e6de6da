"""The whole cloud with a real broker and real stores: what a gateway says over MQTT is acknowledged, kept and shown."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import aiomqtt
import pytest
from cloud_records import T0, S, batch, reading

from cloud.config import ApiConfig, CloudConfig
from cloud.notify.config import ChannelConfig, ChannelKind
from cloud.run import Cloud
from telemetry.clock import SystemClock
from telemetry.records import Cause, Lane, Origin, Priority, Transition
from telemetry.topics import Channel, channel
from telemetry.wire import Ack, DeviceDeclaration, EventsBatch, Hello, LaneSpan, Message, decode_ack, encode

pytestmark = pytest.mark.integration
_databases = itertools.count(1)


class Gateway:
    """The edge's side of the wire, by hand."""

    def __init__(self, client: aiomqtt.Client, name: str = "gw-1") -> None:
        self.client = client
        self.name = name

    async def say(self, what: Channel, message: Message) -> None:
        await self.client.publish(channel(self.name, what), encode(message), qos=1)

    async def hello(self) -> None:
        declared = [DeviceDeclaration(device="cover-1", profile="cover_nbiot", profile_version=1, kind="manhole_cover")]
        lanes = dict.fromkeys(Lane, LaneSpan(1, 1))
        await self.say(
            Channel.HELLO,
            Hello(gateway=self.name, epoch="e1", boot_id="b", agent_version="1", sent_ns=T0, lanes=lanes, devices=declared),
        )

    async def ack(self, lane: Lane, cumulative: int) -> Ack:
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            ack = decode_ack(message.payload, lambda data, _: data)
            if (ack.lane, ack.cumulative) == (lane, cumulative):
                return ack
        raise AssertionError("the broker went away")


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Gateway]:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("gw/gw-1/down/ack", qos=1)
        yield Gateway(client)


@contextlib.asynccontextmanager
async def running(config: CloudConfig) -> AsyncIterator[Cloud]:
    cloud = Cloud(config)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(cloud.run())
        async with asyncio.timeout(20):
            await cloud.ready.wait()
        yield cloud
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([task])


@pytest.fixture(params=["duckdb", "influx"])
def config(request: pytest.FixtureRequest, tmp_path: Path, start_mosquitto: Callable[[], int]) -> CloudConfig:
    series = ""
    if request.param == "influx":
        series = f"influx:{request.getfixturevalue('influx_url')}/run{next(_databases)}"
    return CloudConfig(
        data_dir=tmp_path / "data",
        broker=f"mqtt://127.0.0.1:{start_mosquitto()}",
        series=series,
        api=ApiConfig(port=0),
        channels=(ChannelConfig(name="crew", kind=ChannelKind.WEBHOOK, url="http://127.0.0.1:1/", timeout_s=1),),
    )


def opened(now_ns: int) -> EventsBatch:
    step = Transition(
        alarm=f"cover-1/cover_opened/{now_ns}",
        origin=Origin.EDGE,
        n=1,
        device="cover-1",
        rule="cover_opened",
        profile="cover_nbiot",
        profile_version=1,
        cause=Cause.RAISE,
        priority=Priority.CRITICAL,
        event_time_ns=now_ns,
        recorded_ns=now_ns,
        actor="edge",
    )
    return EventsBatch(gateway="gw-1", epoch="e1", first_seq=1, events=[step])


async def fetched(cloud: Cloud, path: str) -> Any:
    host, port = cloud.http
    async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}{path}") as answer:
        assert answer.status == 200, await answer.text()
        return json.loads(await answer.text())


async def test_what_a_gateway_says_is_acknowledged_kept_and_shown(config: CloudConfig) -> None:
    port = int(config.broker.rpartition(":")[2])
    async with running(config) as cloud, connected(port) as gateway, asyncio.timeout(20):
        await gateway.hello()
        await gateway.ack(Lane.READINGS, 0)
        await gateway.say(Channel.READINGS, batch(*(reading(at_ns=T0 + i * S) for i in range(5))))
        assert (await gateway.ack(Lane.READINGS, 5)).credit > 0
        await gateway.say(Channel.EVENTS, opened(SystemClock().wall_ns()))
        await gateway.ack(Lane.EVENTS, 1)
        counts = await cloud.counts()
        assert (counts.stored_readings, counts.transitions, counts.cases_opened) == (5, 1, 1)
        [case] = (await fetched(cloud, "/api/cases"))["items"]
        assert case["device"] == "cover-1"
        assert (await fetched(cloud, "/api/counts"))["stored_readings"] == 5
    assert (await cloud.counts()).stored_readings == 5


async def test_a_restarted_cloud_knows_what_it_had(config: CloudConfig) -> None:
    port = int(config.broker.rpartition(":")[2])
    async with connected(port) as gateway, asyncio.timeout(40):
        async with running(config):
            await gateway.hello()
            await gateway.say(Channel.READINGS, batch(reading()))
            await gateway.ack(Lane.READINGS, 1)
        async with running(config) as cloud:
            # Without a hello: the broker kept the gateway's connection, so the gateway knows nothing of the restart.
            await gateway.say(Channel.READINGS, batch(reading(), reading(at_ns=T0 + S)))
            await gateway.ack(Lane.READINGS, 2)
            assert (await cloud.counts()).stored_readings == 2
            latest = await fetched(cloud, "/api/devices/cover-1/latest")
            assert [metric["value"] for metric in latest["metrics"] if metric["metric"] == "level_cm"] == [1.5]


async def test_a_gateway_that_shouts_nonsense_does_not_disturb_the_others(config: CloudConfig) -> None:
    port = int(config.broker.rpartition(":")[2])
    async with running(config) as cloud, connected(port) as gateway, asyncio.timeout(20):
        for i in range(50):
            await gateway.client.publish("gw/gw-9/up/readings", bytes([i]) * i, qos=0)
            await gateway.client.publish("gw/../up/hello", b"x", qos=0)
        await gateway.hello()
        await gateway.say(Channel.READINGS, batch(reading()))
        await gateway.ack(Lane.READINGS, 1)
        assert (await cloud.counts()).refused == 50
