"""Bad links between a gateway and its broker: nothing is lost, nothing arrives twice, and the gateway says what is wrong.

The outbox, the uplink, the broker and the whole cloud are the real ones; the link is `simulators.faults`. A total outage
of days (F27) is covered by the simulation, a forged broker (F35) by its own tests.
"""

import asyncio
import itertools
import random
import socket
import statistics
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from links_road import Gateway, OpenCloud, gateway_at, until

from benchmarks.servers import free_port, serving
from cloud.config import ApiConfig, CloudConfig
from device_profiles.shelf import load_catalog
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import make_driver
from edge_agent.heard import Heard, Inlet, Verdict
from edge_agent.link_kinds import CoapOptions, DriverName
from simulators.bad_datagrams import DatagramProxy, Weather
from simulators.devices.base import Surroundings
from simulators.devices.cover.cover import Cover
from simulators.faults import FaultyProxy, Impairment, Mode
from simulators.relay import Direction
from simulators.scenario import DeviceSpec, Kind
from telemetry.clock import SECOND_NS, SystemClock
from telemetry.reason import Reason

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

SILENT = Impairment(mode=Mode.SWALLOW)
DOWN = Impairment(mode=Mode.RESET)


@asynccontextmanager
async def cloud_at(broker_port: int, folder: Path) -> AsyncIterator[OpenCloud]:
    config = CloudConfig(data_dir=folder, broker=f"mqtt://127.0.0.1:{broker_port}", api=ApiConfig(port=0))
    cloud = OpenCloud(config)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(cloud.run())
        async with asyncio.timeout(30):
            await cloud.ready.wait()
        yield cloud
        running.cancel()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(mosquitto_port: int, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OpenCloud]:
    async with cloud_at(mosquitto_port, tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


async def test_a_link_that_goes_silent_is_noticed_said_and_given_up(
    cloud: OpenCloud, mosquitto_port: int, tmp_path: Path
) -> None:
    """F28, both directions: what went into the silence goes again over the next connection."""
    async with gateway_at(mosquitto_port, tmp_path, "silent", Impairment(rate_bits_s=400_000)) as gateway, gateway.running():
        await gateway.commit(3000)
        await until(lambda: gateway.acked > 0)
        await gateway.proxy.change(SILENT)
        await gateway.alarm()
        await until(lambda: not gateway.uplink.connected, 6)
        assert "acknowledged nothing" in gateway.uplink.last_error
        gateway.proxy.reset()
        await gateway.proxy.change()
        await gateway.arrived(cloud)
        assert gateway.proxy.counts.swallowed_bytes > 0


async def test_what_the_cloud_has_but_could_not_say_is_not_stored_twice(
    cloud: OpenCloud, mosquitto_port: int, tmp_path: Path
) -> None:
    """F28, one direction: every batch arrives and every answer is lost; the batches come again and change nothing."""
    async with gateway_at(mosquitto_port, tmp_path, "unanswered") as gateway, gateway.running():
        await gateway.commit(200)
        await until(lambda: gateway.empty)
        await gateway.proxy.change(SILENT, Direction.OUT)
        await gateway.commit(1000)
        await gateway.alarm()
        await until(lambda: not gateway.uplink.connected, 6)
        acked = gateway.acked
        gateway.proxy.reset()
        await gateway.proxy.change()
        assert await cloud.points(gateway.device) > acked == 200
        await gateway.arrived(cloud)


async def test_what_stood_still_and_comes_after_all_is_not_stored_twice(
    cloud: OpenCloud, mosquitto_port: int, tmp_path: Path
) -> None:
    """F28, a stall that ends: batches of a connection that was given up long ago arrive beside their own repeats."""
    async with gateway_at(mosquitto_port, tmp_path, "stalled", Impairment(rate_bits_s=400_000)) as gateway, gateway.running():
        await gateway.commit(3000)
        await until(lambda: gateway.acked > 0)
        await gateway.proxy.change(Impairment(mode=Mode.HOLD))
        await gateway.alarm()
        await until(lambda: not gateway.uplink.connected, 6)
        await gateway.proxy.change()
        await gateway.arrived(cloud)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_link_that_breaks_at_any_byte_only_costs_time(
    cloud: OpenCloud, mosquitto_port: int, tmp_path: Path, seed: int
) -> None:
    """F29: each connection is reset somewhere between its 500th and its 40,000th byte, in the middle of whatever it says."""
    bad = Impairment(reset_after=(500, 40_000))
    async with gateway_at(mosquitto_port, tmp_path, f"broken-{seed}", bad) as gateway, gateway.running():
        await gateway.commit(4000)
        await gateway.alarm()
        await gateway.arrived(cloud, 40)
        assert gateway.proxy.counts.reset >= 3


async def test_a_lossy_link_brings_alarms_through_while_old_readings_wait(
    cloud: OpenCloud, mosquitto_port: int, tmp_path: Path
) -> None:
    """F30. What TCP makes of lost packets is emulated, not the loss: each chunk may stand still for as long as repeats
    of it would take, and now and then a connection breaks."""
    lossy = Impairment(rate_bits_s=1_000_000, delay_s=0.02, jitter_s=0.3)
    async with gateway_at(mosquitto_port, tmp_path, "lossy", lossy) as gateway, gateway.running():
        await gateway.commit(8000, block=500)
        for turn in range(3):
            await asyncio.sleep(0.3)
            if turn == 1:
                gateway.proxy.reset()
            await alarm_comes(gateway, cloud, within_s=10)
        await gateway.proxy.change()
        await gateway.arrived(cloud)


async def alarm_comes(gateway: Gateway, cloud: OpenCloud, within_s: float) -> float:
    """Raise an alarm; the seconds until it is in the cloud's log."""
    alarm = await gateway.alarm()
    async with asyncio.timeout(within_s):
        while alarm not in await cloud.alarms(gateway.device):  # noqa: ASYNC110 - a test looks from outside
            await asyncio.sleep(0.05)
    return asyncio.get_running_loop().time() - gateway.raised[alarm]


@pytest.mark.slow
async def test_an_alarm_overtakes_a_large_backlog_on_a_link_of_64_kbit_per_second(
    cloud: OpenCloud, mosquitto_port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """F31: p99 at most ten seconds, whether the gateway was told the link's speed or has to find it out; and history and
    new readings move on meanwhile."""
    results = await asyncio.gather(
        alarms_over_a_slow_link(cloud, mosquitto_port, tmp_path, "told", rate_bits_s=64_000),
        alarms_over_a_slow_link(cloud, mosquitto_port, tmp_path, "untold", rate_bits_s=0),
    )
    with capsys.disabled():
        for name, (waits, history, behind) in zip(("told its rate", "not told"), results, strict=True):
            p50, most = statistics.median(waits), max(waits)
            sys.stdout.write(
                f"\n64 kbit/s, {name}: {len(waits)} alarms, p50 {p50:.2f} s, p99 {most:.2f} s; "
                f"{history} readings went meanwhile, {behind} still wait\n"
            )
    for waits, history, behind in results:
        assert len(waits) >= 15
        assert max(waits) <= 10
        assert history > 1000
        assert behind > 10_000  # there was a backlog to overtake all the time


async def alarms_over_a_slow_link(
    cloud: OpenCloud, broker_port: int, folder: Path, name: str, *, rate_bits_s: int
) -> tuple[list[float], int, int]:
    """Seconds that each alarm took, readings that went meanwhile, and readings that still wait."""
    slow = Impairment(rate_bits_s=64_000, delay_s=0.05)
    changes = {"rate_bits_s": rate_bits_s, "retransmit_s": 10.0}
    async with gateway_at(broker_port, folder, name, slow, changes=changes) as gateway:
        await gateway.commit(80_000, block=500)
        async with gateway.running():
            await until(lambda: gateway.acked > 0)
            chance, coming = random.Random(name), []  # noqa: S311 - not in step with anything
            async with asyncio.TaskGroup() as tasks:
                for _ in range(16):
                    await asyncio.sleep(chance.uniform(0.8, 2.4))
                    await gateway.commit(5)
                    coming.append(tasks.create_task(alarm_comes(gateway, cloud, within_s=30)))
            acked = gateway.acked
        return [alarm.result() for alarm in coming], acked, gateway.committed - acked


async def test_a_long_way_with_jitter_is_only_long(cloud: OpenCloud, mosquitto_port: int, tmp_path: Path) -> None:
    """F32, eight times faster than life: 0.25 s each way and up to 0.15 s more, against a patience of 1.5 s."""
    far = Impairment(delay_s=0.25, jitter_s=0.15)
    async with gateway_at(mosquitto_port, tmp_path, "far", far, changes={"retransmit_s": 1.5}) as gateway, gateway.running():
        await gateway.commit(2000)
        await gateway.alarm()
        await gateway.arrived(cloud)
        assert gateway.uplink.counts.connections == 1


class Listening(Inlet):
    """Writes down what a driver hears."""

    clock = SystemClock()

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    async def accept(self, heard: Heard) -> Verdict:
        self.heard.append(heard)
        return Verdict.COMMITTED

    def refuse(self, source: str, reason: Reason, detail: str, raw: bytes = b"") -> None:
        raise AssertionError((source, reason, detail, raw))

    def admit(self, device: DeviceConfig) -> None:
        raise AssertionError(device)


async def test_datagrams_that_are_lost_late_doubled_and_shuffled_are_readings_once_each() -> None:
    """F32 on the devices' side, over UDP: a cover on a bad NB-IoT cell. What it sends again after its patience is over may
    be heard again, with the same time and number; what the cell itself doubles may not."""
    catalog, inlet = load_catalog(), Listening()
    device = DeviceConfig(id="cover-1", profile="cover_nbiot", address="861234567890123")
    link = LinkConfig(name="nb", driver=DriverName.COAP, devices=(device,), options=CoapOptions(host="127.0.0.1", port=0))
    driver = make_driver(link, catalog, inlet.clock)
    spec = DeviceSpec(
        id="cover-1",
        kind=Kind.COVER,
        profile="cover_nbiot",
        address=device.address,
        link="nb",
        longitude=0,
        latitude=0,
        interval_s=0.2,
    )
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(driver.run(inlet))]
        await driver.started.wait()
        cell = DatagramProxy(driver.ports[0], Weather(drop=0.15, duplicate=0.3, reorder=0.3, jitter_s=0.02, late_s=0.05), seed=7)
        where = await cell.start()
        around = Surroundings(clock=inlet.clock, seed=1, born_ns=inlet.clock.wall_ns())
        cover = Cover(spec, catalog["cover_nbiot"], around, lambda: where, ack_timeout_s=0.2)
        running += [tasks.create_task(cell.run()), tasks.create_task(cover.run())]
        await until(lambda: cover.account.confirmed >= 20)
        for task in running:
            task.cancel()
    await cell.stop()
    numbers = [int(str(heard.decoded.values["frame_counter"])) for heard in inlet.heard]
    assert min(cell.counts.dropped, cell.counts.duplicated, cell.counts.reordered) > 3
    assert cover.account.overflow == 0
    assert set(range(1, cover.account.confirmed + 1)) <= set(numbers)
    assert len(numbers) - len(set(numbers)) <= cover.account.resent


async def test_a_link_that_flaps_still_makes_progress(cloud: OpenCloud, mosquitto_port: int, tmp_path: Path) -> None:
    """F33, ten times faster than life: 0.7 s up, 0.7 s down, and too slow to drain in one go."""
    up = Impairment(rate_bits_s=300_000, delay_s=0.005)
    async with gateway_at(mosquitto_port, tmp_path, "flapping", up) as gateway, gateway.running(), asyncio.TaskGroup() as tasks:
        await gateway.commit(8000)
        flapping = tasks.create_task(gateway.proxy.play(itertools.cycle([(0.7, up), (0.7, DOWN)])))
        reached = []
        for _ in range(2):
            await asyncio.sleep(4.2)
            reached.append(gateway.acked)
        assert 0 < reached[0] < reached[1], reached
        flapping.cancel()
        await gateway.proxy.change()
        await gateway.arrived(cloud)
        assert gateway.uplink.counts.connections >= 3


async def test_a_black_hole_for_large_segments_is_said_and_costs_nothing(
    cloud: OpenCloud, mosquitto_port: int, tmp_path: Path
) -> None:
    """F36: small messages pass, so the link looks alive, and a batch never arrives."""
    hole = Impairment(most_bytes=1000)
    async with gateway_at(mosquitto_port, tmp_path, "hole", hole) as gateway, gateway.running():
        await gateway.commit(2000)
        await until(lambda: gateway.proxy.counts.black_holes > 0 and "acknowledged nothing" in gateway.uplink.last_error)
        await gateway.proxy.change()
        await gateway.arrived(cloud)


async def test_a_gateway_whose_address_changes_is_not_held_up_by_its_old_connection(
    cloud: OpenCloud, mosquitto_port: int, tmp_path: Path
) -> None:
    """F37: the broker still holds the connection from the old address when the gateway comes from a new one."""
    async with gateway_at(mosquitto_port, tmp_path, "moved", Impairment(rate_bits_s=400_000)) as gateway, gateway.running():
        await gateway.commit(8000)
        await until(lambda: gateway.acked > 0)
        await gateway.proxy.change(SILENT)  # the old way is dead, and nobody tells the broker
        gateway.proxy._listener.shut()
        assert gateway.proxy._listener._shut is not None
        gateway.proxy._listener._shut.close()
        async with FaultyProxy(("127.0.0.1", mosquitto_port), port=gateway.proxy.address[1]) as another:
            await gateway.arrived(cloud)
            assert another.counts.connections >= 1


async def test_a_name_that_does_not_resolve_is_said_and_found_when_it_does(
    cloud: OpenCloud, mosquitto_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F34: a resolver that fails, then one that takes its time, then one that answers; the agent's loop never waits."""
    resolve, answers = socket.getaddrinfo, False

    def resolver(host: str, *rest: object, **named: object) -> object:
        if host != "broker.city.example":
            return resolve(host, *rest, **named)  # type: ignore[arg-type]
        if not answers:
            import time

            time.sleep(0.5)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve("127.0.0.1", *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    broker = {"broker": f"mqtt://broker.city.example:{mosquitto_port}"}
    async with gateway_at(mosquitto_port, tmp_path, "nameless", changes=broker) as gateway, gateway.running():
        await gateway.commit(100)
        loop, longest_s = asyncio.get_running_loop(), 0.0
        while "name resolution" not in gateway.uplink.last_error:
            before_s = loop.time()
            await asyncio.sleep(0.01)
            longest_s = max(longest_s, loop.time() - before_s)
        assert longest_s < 0.4
        assert gateway.empty is False
        answers = True
        await gateway.arrived(cloud)


async def test_what_a_broker_drops_for_a_slow_cloud_comes_again(tmp_path: Path, need_server: Callable[[str, str], str]) -> None:
    """F40: the broker answers a gateway and forgets what does not fit into its queue; only the cloud's own word counts."""
    port, config = free_port(), tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 10\nmax_inflight_messages 5\n")
    with serving([need_server("mosquitto", "mosquitto"), "-c", str(config)], port):
        async with FaultyProxy(("127.0.0.1", port)) as slow, cloud_at(slow.address[1], tmp_path / "cloud") as cloud:
            await slow.change(Impairment(rate_bits_s=400_000))
            async with gateway_at(port, tmp_path, "fast") as gateway, gateway.running():
                await gateway.commit(4000, block=50)
                await gateway.alarm()
                await until(lambda: gateway.uplink.counts.retransmissions > 0)
                await slow.change()
                await gateway.arrived(cloud)


async def test_two_gateways_of_one_name_do_not_throw_each_other_out_for_ever(
    cloud: OpenCloud, mosquitto_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F41: a disk was copied, or a name given twice. Each connection ends the other's; that must not become a loop. What
    both have said is told apart by their epochs, so that in the end all of it is there."""
    monkeypatch.setattr("edge_agent.uplink.fence._RENEWAL_PAUSE_NS", 2 * SECOND_NS)
    changes = {"reconnect_first_s": 0.1, "reconnect_most_s": 3.0}
    async with (
        gateway_at(mosquitto_port, tmp_path, "twin-1", identity="twins", changes=changes) as one,
        gateway_at(mosquitto_port, tmp_path, "twin-2", identity="twins", changes=changes) as other,
    ):
        await one.commit(300)
        await other.commit(300)
        async with one.running(), other.running():
            await asyncio.sleep(5)
            connections = one.uplink.counts.connections + other.uplink.counts.connections
            renewals = one.uplink.counts.renewals + other.uplink.counts.renewals
        assert connections <= 24
        assert renewals <= 6
        for alone in (one, other):
            async with alone.running():
                await until(lambda alone=alone: alone.empty)
            assert await cloud.points(alone.device) == 300
