"""Wrong clocks, end to end: a whole agent with its outbox, a wall clock that is set at will, a cloud that knows the time.

F23 years ahead, years behind, 1970 at boot, back later. F24 a sawtooth of two seconds. F25 an uptime of 400 days. F26, without
TLS: the agent connects whatever its clock says.
"""

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import aiomqtt
import pytest
from clock_story import NOW, YEAR_S, Story

from edge_agent.status import AgentStatus, ask
from edge_agent.timekeeper import Voucher
from telemetry.clock import SECOND_NS, SystemClock
from telemetry.reason import Reason
from telemetry.records import ClockQuality, Lane, Reading
from telemetry.topics import Channel, all_gateways, channel, parse
from telemetry.wire import Ack, Hello, decode_hello, encode


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    return Story(tmp_path, monkeypatch)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a test looks from outside
            await asyncio.sleep(0.01)


def refusals(story: Story, reason: Reason) -> int:
    assert story.agent is not None
    return story.agent.counts().refused.get(reason, 0)


@pytest.mark.parametrize("vouched_before", [pytest.param(True, id="synced at first"), pytest.param(False, id="never synced")])
@pytest.mark.parametrize(
    "wrong_s",
    [
        pytest.param(YEAR_S, id="a year ahead"),
        pytest.param(-YEAR_S, id="a year behind"),
        pytest.param(-NOW // SECOND_NS + 100, id="1970"),
    ],
)
@pytest.mark.parametrize("back_later", [pytest.param(True, id="and back later"), pytest.param(False, id="for good")])
async def test_f23_a_clock_that_leaps_while_the_cloud_is_out_of_reach(
    story: Story, wrong_s: int, vouched_before: bool, back_later: bool
) -> None:
    story.cloud.reachable, story.kernel.says = False, vouched_before
    async with story.boot("boot-1") as agent:
        await story.seconds(5)
        story.kernel.says = False
        story.off_by(wrong_s)
        await story.seconds(3)
        await story.seconds(10, level=120)
        if back_later:
            story.off_by(0)
        await story.seconds(8, level=120)
        await story.seconds(5)
        story.cloud.reachable = True
        await story.drained()
        await story.seconds(5)
        await story.seconds(8, level=120)
        await story.drained()
        assert refusals(story, Reason.CLOCK_UNSYNCED) == 1 + back_later
        assert refusals(story, Reason.LATE) == 0
        assert refusals(story, Reason.FUTURE_TIME) == 0
        assert agent.counts().lost_declared == 0
    story.nothing_is_lost_or_doubled()
    story.times_are_right_or_flagged(0.001)
    assert story.errors_s(flagged=True) == []
    for device in ("plain", "clock"):
        assert story.raises(device, "high") == story.raised
    (silent,) = story.raises("mute", "silent")
    assert silent == NOW + 30 * SECOND_NS


async def test_f23_1970_at_boot_and_the_clock_is_set_before_the_cloud_is_reached(story: Story) -> None:
    story.cloud.reachable = False
    story.machine.set_wall(60 * SECOND_NS)
    async with story.boot("boot-1") as agent:
        await story.seconds(10)
        story.off_by(0)
        story.kernel.says = True
        await story.seconds(10)
        assert agent.status().clock.voucher is Voucher.KERNEL
        story.cloud.reachable = True
        await story.drained()
    story.nothing_is_lost_or_doubled()
    story.times_are_right_or_flagged(0.001)
    assert story.errors_s(flagged=True) == []


async def test_f23_a_boot_that_never_learned_the_time_is_flagged_and_its_devices_own_times_are_kept(story: Story) -> None:
    story.cloud.reachable = False
    story.machine.set_wall(60 * SECOND_NS)
    async with story.boot("boot-1"):
        await story.seconds(12)
    story.reboot(story.true_ns)
    story.cloud.reachable = True
    async with story.boot("boot-2"):
        await story.seconds(8)
        await story.drained()
    story.nothing_is_lost_or_doubled()
    story.times_are_right_or_flagged(0.001)
    flagged = story.errors_s(flagged=True)
    assert len(flagged) == 24
    assert sorted(flagged)[12:] == [0.0] * 12, "what the device that has a clock said"
    assert max(sorted(flagged)[:12]) < -YEAR_S


async def test_f23_an_agent_that_is_restarted_keeps_the_time_that_it_had(story: Story) -> None:
    async with story.boot("boot-1"):
        story.off_by(-YEAR_S)
        await story.seconds(5)
        await story.drained()
        await asyncio.sleep(1.2)
    story.cloud.reachable = False
    story.off_by(YEAR_S)
    async with story.boot("boot-1") as agent:
        await story.seconds(10)
        assert agent.status().clock.voucher is Voucher.PAST
        story.cloud.reachable = True
        await story.drained()
    story.nothing_is_lost_or_doubled()
    story.times_are_right_or_flagged(0.001)


async def test_f23_a_kernel_and_a_cloud_that_contradict_one_another_are_both_told(story: Story) -> None:
    """The kernel claims a synchronised clock that is a year ahead: nothing is rewritten, everything is flagged."""
    story.kernel.says = True
    story.machine.set_wall(story.true_ns + YEAR_S * SECOND_NS)
    story.cloud.reachable = False
    async with story.boot("boot-1") as agent:
        await story.seconds(5)
        story.cloud.reachable = True
        await story.drained()
        await story.seconds(5)
        agent._running().uplink.announce()
        await story.drained()
        await until(lambda: story.cloud.hellos[-1].clock is ClockQuality.UNSYNCED)
        await until(lambda: story.cloud.statuses[-1].clock is ClockQuality.UNSYNCED)
        assert agent.status().clock.disputed
    story.nothing_is_lost_or_doubled()
    plain = [error for error in story.errors_s(flagged=True) if error]
    assert plain == [pytest.approx(YEAR_S)] * 5


async def test_f24_a_sawtooth_of_two_seconds(story: Story) -> None:
    """Two seconds ahead, two seconds back, every ten seconds, over connections that come and go."""
    story.cloud.reachable = False
    async with story.boot("boot-1") as agent:
        for tooth in range(14):
            story.off_by(2 if tooth % 2 else 0)
            await story.seconds(5, level=120 if tooth % 4 == 1 else 1)
            if tooth in {3, 8, 11}:
                story.cloud.reachable = True
                await story.drained()
            elif tooth in {6, 10}:
                story.cloud.cut()
            await story.seconds(5, level=120 if tooth % 4 == 1 else 1)
        await story.drained()
        assert agent.counts().lost_declared == 0
        assert refusals(story, Reason.LATE) == 0
        assert refusals(story, Reason.CLOCK_UNSYNCED) >= 10
    story.nothing_is_lost_or_doubled()
    story.times_are_right_or_flagged()
    assert story.errors_s(flagged=True) == []
    assert [len(story.raises(device, "high")) for device in ("plain", "clock")] == [len(story.raised)] * 2
    assert len(story.raises("mute", "silent")) == 1
    for device in ("plain", "clock"):
        by_number = [(seq, row.time_ns) for (_, seq), (row, _) in sorted(story.cloud.readings.items()) if row.device == device]
        assert all(one[1] < two[1] for one, two in itertools.pairwise(by_number)), "the live state goes back"


async def test_f25_an_uptime_of_four_hundred_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story(tmp_path, monkeypatch, up_s=400 * 86_400)
    story.off_by(-YEAR_S)
    async with story.boot("boot-1") as agent:
        await story.seconds(5)
        await story.drained()
        story.cloud.cut()
        story.machine.advance(400 * 86_400)
        await story.seconds(5)
        assert agent.status().clock.quality is ClockQuality.UNSYNCED, "after 400 days alone nobody vouches for a crystal"
        story.cloud.reachable = True
        await story.drained()
        await story.seconds(5)
        await story.drained()
    story.nothing_is_lost_or_doubled()
    story.times_are_right_or_flagged(0.001)


@pytest.mark.parametrize("wrong_s", [-NOW // SECOND_NS + 5, 30 * YEAR_S])
async def test_f26_the_agent_connects_whatever_its_clock_says_and_says_how_it_stands(story: Story, wrong_s: int) -> None:
    """Without TLS: a certificate's dates are not looked at here."""
    story.off_by(wrong_s)
    async with story.boot("boot-1") as agent:
        await until(lambda: agent.status().clock.voucher is Voucher.CLOUD)
        assert story.cloud.hellos[0].clock is ClockQuality.UNSYNCED
        await until(lambda: story.cloud.statuses[-1].clock is ClockQuality.CLOUD)
        assert abs(story.cloud.statuses[-1].at_ns - story.true_ns) < SECOND_NS


async def test_the_present_said_once_more_falls_on_itself_though_the_clock_was_wrong(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage the latest reading of each device goes first; in the store it must be the same point as before."""
    monkeypatch.setattr("edge_agent.uplink.uplink._BIG_BACKLOG", 20)
    story.cloud.reachable = False
    story.off_by(-YEAR_S)
    async with story.boot("boot-1") as agent:
        await story.seconds(20)
        story.cloud.reachable = True
        await story.drained()
        await until(lambda: agent.counts().snapshots == 2)
        await story.drained()
    points: dict[tuple[str, int], list[Reading]] = {}
    for reading, _ in story.cloud.readings.values():
        points.setdefault((reading.device, reading.time_ns), []).append(reading)
    assert len(points) == len(story.said) == 40
    twice = [found for found in points.values() if len(found) == 2]
    assert sorted(one.device for one, _ in twice) == ["clock", "plain"]
    assert all(one == two and story.said[one.device, one.values["count"]] == NOW + 20 * SECOND_NS for one, two in twice)


# A real process in a time namespace of its own.

_CONFIG = """
gateway = "gw-old"
data_dir = "data"
broker = "mqtt://127.0.0.1:{port}"

[[links]]
name = "counters"
driver = "mqtt"
broker = "mqtt://127.0.0.1:{port}"

[[links.devices]]
id = "counter-01"
profile = "toilet_counter_mqtt"
address = "wc-old"
"""
_DAYS_400 = ["unshare", "--time", "--monotonic", str(400 * 86_400), "--boottime", str(400 * 86_400), "--fork", "--kill-child"]


@pytest.fixture
def time_namespace() -> None:
    try:
        subprocess.run([*_DAYS_400, "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no time namespace can be made here: {error}")


@pytest.mark.integration
@pytest.mark.usefixtures("time_namespace")
async def test_f25_a_real_agent_four_hundred_days_after_its_machines_start(tmp_path: Path, mosquitto_port: int) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(_CONFIG.format(port=mosquitto_port))
    program = [*_DAYS_400, sys.executable, "-m", "citynerve", "edge", "run", str(config)]
    hellos: list[Hello] = []
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*program, stderr=log)
    try:
        async with aiomqtt.Client("127.0.0.1", mosquitto_port) as broker, asyncio.timeout(40), asyncio.TaskGroup() as tasks:
            await broker.subscribe(all_gateways(Channel.HELLO), qos=1)
            cloud = tasks.create_task(_answer_hellos(broker, hellos))
            await _status(tmp_path, lambda status: status.clock.voucher is not Voucher.NOBODY)
            for inside in range(5):
                document = {"ts": SystemClock().wall_ns() // 10**6, "total": {"in": 7, "out": 0}, "inside": inside, "today": 1}
                await broker.publish("toilet/wc-old/count", json.dumps(document), qos=1)
                await asyncio.sleep(0.1)
            answer = await _status(tmp_path, lambda status: status.counts.committed == 5)
            cloud.cancel()
    finally:
        process.kill()
        await process.wait()
    assert answer.clock.quality is not ClockQuality.UNSYNCED
    up_days = (answer.now_ns - answer.clock.offset_ns) / SECOND_NS / 86_400
    assert 400 <= up_days < 800
    assert abs(answer.now_ns - SystemClock().wall_ns()) < 60 * SECOND_NS
    assert "Traceback" not in (tmp_path / "log").read_text()


async def _status(folder: Path, wanted: Callable[[AgentStatus], bool]) -> AgentStatus:
    """The agent's status as soon as it is what is wanted."""
    while True:
        with suppress(OSError):
            if wanted(status := await ask(folder / "data")):
                return status
        await asyncio.sleep(0.1)


async def _answer_hellos(broker: aiomqtt.Client, hellos: list[Hello]) -> None:
    """A cloud that takes nothing, but knows the time."""
    decompress: Callable[[bytes, int], bytes] = lambda data, _: data  # noqa: E731 - a hello this short is not compressed
    async for message in broker.messages:
        found = parse(str(message.topic))
        assert found is not None
        if found[0] != "gw-old":
            continue
        hello = decode_hello(bytes(message.payload), decompress)
        hellos.append(hello)
        for lane in Lane:
            ack = Ack(
                gateway=hello.gateway,
                epoch=hello.epoch,
                lane=lane,
                cumulative=0,
                server_ns=SystemClock().wall_ns(),
                answers=hello.sent_ns,
            )
            await broker.publish(channel(hello.gateway, Channel.ACK), encode(ack), qos=1)
