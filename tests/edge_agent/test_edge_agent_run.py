"""The whole agent: drivers that misbehave, orders from the cloud, a kill in the middle, a clean end."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import apsw
import pytest
from edge_agent_parts import SmallCloud, profile, rule, until
from typer.testing import CliRunner

from citynerve.commands.edge import app
from device_profiles.model import Above, Profile, Reporting, Stale
from edge_agent import agent as agent_module
from edge_agent.agent import Agent
from edge_agent.attempt import attempt
from edge_agent.config import AgentConfig, DeviceConfig, LinkConfig, OutboxLimits
from edge_agent.drivers.base import LinkHealth
from edge_agent.heard import Heard, Inlet, Verdict
from edge_agent.link_kinds import CoapOptions, DriverName
from edge_agent.outbox.outbox import OutboxError
from edge_agent.outbox.store import Store
from edge_agent.refusals import OTHERS, Refusals
from edge_agent.status import ask
from firmware_bridge.values import Decoded
from telemetry.clock import Clock, ManualClock, SystemClock
from telemetry.reason import Reason
from telemetry.records import Cause, Command, CommandResult, Lane, Outcome, Transition, Value

PROBE = profile(rule("high", Above(metric="level", limit=100)), rule("silent", Stale(after_s=30)))
CALM = profile(reporting=Reporting(interval_s=1, on_change=True))


class ScriptedDriver:
    """A driver whose `run` is the test's own; it carries out every command it is given."""

    def __init__(self, link: LinkConfig, script: Callable[["ScriptedDriver", Inlet], Awaitable[None]]) -> None:
        self.name = link.name
        self.started = asyncio.Event()
        self.ports: tuple[tuple[str, int], ...] = ()
        self.runs = 0
        self.inlet: Inlet | None = None
        self.orders: list[Command] = []
        self.on_command: Callable[[Command], CommandResult] | None = None
        self._script = script

    async def run(self, inlet: Inlet) -> None:
        self.runs += 1
        self.inlet = inlet
        self.started.set()
        await self._script(self, inlet)

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        self.orders.append(command)
        if self.on_command is not None:
            return self.on_command(command)
        return CommandResult(id=command.id, device=device.id, outcome=Outcome.DONE, time_ns=time.time_ns())

    def health(self) -> LinkHealth:
        return LinkHealth(link=self.name, driver="scripted", up=True)

    async def say(self, values: Mapping[str, Value], device: str = "d1", of: Profile = PROBE) -> Verdict:
        assert self.inlet is not None
        decoded = Decoded(values=dict(values))
        now_ns = self.inlet.clock.wall_ns()
        return await self.inlet.accept(Heard(device=device, profile=of, received_ns=now_ns, decoded=decoded))


async def wait_for_ever(driver: ScriptedDriver, inlet: Inlet) -> None:
    await asyncio.Event().wait()


async def fail(driver: ScriptedDriver, inlet: Inlet) -> None:
    raise RuntimeError("a fault in the driver")


def link(name: str, *devices: str) -> LinkConfig:
    return LinkConfig(
        name=name,
        driver=DriverName.COAP,
        devices=tuple(DeviceConfig(id=device, profile="probe", address=device) for device in devices),
        options=CoapOptions(),
    )


class Bench:
    """Makes agents whose links are scripted drivers."""

    def __init__(self, folder: Path, port: int, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.port = port
        self.scripts: dict[str, Callable[[ScriptedDriver, Inlet], Awaitable[None]]] = {}
        self.profile = PROBE
        patch.setattr(agent_module, "make_driver", self._make)
        patch.setattr(agent_module, "load_catalog", lambda *_: {"probe": self.profile})

    def _make(self, config: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> ScriptedDriver:
        return ScriptedDriver(config, self.scripts.get(config.name, wait_for_ever))

    @asynccontextmanager
    async def running(self, *links: LinkConfig, clock: Clock | None = None) -> AsyncIterator[Agent]:
        config = AgentConfig(
            gateway="gw1",
            data_dir=self.folder,
            broker=f"mqtt://127.0.0.1:{self.port}",
            links=links,
            retransmit_s=1.0,
            outbox=OutboxLimits(),
        )
        agent = Agent(config, clock or SystemClock())
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(agent.run())
            await agent.ready.wait()
            for driver in agent.drivers.values():
                await driver.started.wait()
            try:
                yield agent
            finally:
                began = time.monotonic()
                task.cancel()
        assert time.monotonic() - began < 5


def driver_of(agent: Agent, name: str = "one") -> ScriptedDriver:
    driver = agent.drivers[name]
    assert isinstance(driver, ScriptedDriver)
    return driver


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """With a broker that is not there."""
    return Bench(tmp_path, 1, monkeypatch)


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mosquitto_port: int) -> Bench:
    return Bench(tmp_path, mosquitto_port, monkeypatch)


async def test_a_verdict_comes_after_the_commit(bench: Bench) -> None:
    async with bench.running(link("one", "d1")) as agent:
        assert await driver_of(agent).say({"level": 5.0}) is Verdict.COMMITTED
        assert agent.counts().backlog == 1
        assert await driver_of(agent).say({"level": "deep"}) is Verdict.REFUSED
        assert await driver_of(agent).say({"level": 5.0}, device="stranger") is Verdict.REFUSED
        counts = agent.counts()
    assert (counts.heard, counts.committed, counts.held_back) == (3, 1, 0)
    assert counts.refused == {Reason.WRONG_TYPE: 1, Reason.UNKNOWN_DEVICE: 1}


async def test_waiting_devices_share_a_commit(bench: Bench) -> None:
    async with bench.running(link("one", "d1")) as agent:
        driver = driver_of(agent)
        async with asyncio.TaskGroup() as tasks:
            for n in range(1000):
                tasks.create_task(driver.say({"level": float(n % 50)}))
    with_blocks = apsw.Connection(str(bench.folder / "outbox.db"))
    assert with_blocks.execute("SELECT count(*) FROM block").get <= 6
    with_blocks.close()


async def test_a_reading_that_is_no_news_is_held_back(bench: Bench) -> None:
    bench.profile = CALM
    async with bench.running(link("one", "d1")) as agent:
        verdicts = [await driver_of(agent).say({"level": 5.0}, of=CALM) for _ in range(3)]
    assert verdicts == [Verdict.COMMITTED, Verdict.HELD_BACK, Verdict.HELD_BACK]
    assert agent.counts().held_back == 2


async def test_a_driver_that_fails_stops_no_other_and_is_started_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "Backoff", lambda *_: type("Now", (), {"next_s": lambda _: 0.01})())
    bench.scripts["bad"] = fail
    async with bench.running(link("one", "d1"), link("bad", "d2")) as agent:
        await until(lambda: driver_of(agent, "bad").runs >= 3)
        assert await driver_of(agent).say({"level": 5.0}) is Verdict.COMMITTED
        assert driver_of(agent).runs == 1
        assert agent.driver_restarts["bad"] >= 2


async def test_a_driver_that_stops_waiting_takes_nothing_back(bench: Bench) -> None:
    async with bench.running(link("one", "d1")) as agent:
        task = asyncio.get_running_loop().create_task(driver_of(agent).say({"level": 120.0}))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: agent.counts().committed == 1)
        assert agent.counts().transitions == 1


async def test_an_alarm_is_raised_once_over_restarts(bench: Bench) -> None:
    for _ in range(3):
        async with bench.running(link("one", "d1")) as agent:
            await driver_of(agent).say({"level": 120.0})
    assert agent.counts().backlog == 4
    async with bench.running(link("one", "d1")) as agent:
        await driver_of(agent).say({"level": 1.0})
        assert agent.counts().transitions == 1


async def test_silence_is_noticed_by_the_gateways_clock(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "_TICK_S", 0.02)
    clock = ManualClock()
    async with bench.running(link("one", "d1"), clock=clock) as agent:
        await driver_of(agent).say({"level": 1.0})
        clock.advance(29)
        await asyncio.sleep(0.1)
        assert agent.counts().transitions == 0
        clock.advance(2)
        await until(lambda: agent.counts().transitions == 1)
        await driver_of(agent).say({"level": 1.0})
        assert agent.counts().transitions == 2


async def test_a_second_agent_on_the_same_folder_is_refused(bench: Bench) -> None:
    async with bench.running(link("one", "d1")):
        other = Agent(AgentConfig(gateway="gw1", data_dir=bench.folder, broker="mqtt://127.0.0.1:1"))
        with pytest.raises(OutboxError, match="another agent"):
            await other.run()


async def test_a_full_disk_makes_devices_wait_and_loses_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, failing = Store.commit, [True, True]

    def sometimes(self: Store, *args: object, **options: object) -> object:
        if failing:
            failing.pop()
            raise apsw.FullError("database or disk is full")
        return commit(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "commit", sometimes)
    async with bench.running(link("one", "d1")) as agent:
        assert await driver_of(agent).say({"level": 5.0}) is Verdict.COMMITTED
        assert agent.status().commit_failures == 2


async def test_the_status_is_answered_on_the_socket(bench: Bench) -> None:
    async with bench.running(link("one", "d1", "d2")) as agent:
        await driver_of(agent).say({"level": 120.0})
        await driver_of(agent).say({"level": "deep"})
        answer = await ask(bench.folder)
    assert (answer.gateway, answer.epoch) == ("gw1", agent.counts().epoch)
    assert answer.lanes[Lane.READINGS].backlog == 1
    assert answer.devices["d1"] is not None
    assert answer.devices["d2"] is None
    assert [refusal.reason for refusal in answer.refusals] == [Reason.WRONG_TYPE]
    assert len(answer.alarms) == 1
    assert answer.links[0].health.link == "one"
    with pytest.raises(OSError, match=r".+"):
        await ask(bench.folder)


async def test_a_folder_with_a_long_name_still_has_a_socket(bench: Bench) -> None:
    bench.folder = bench.folder / ("long" * 40)
    async with bench.running(link("one", "d1")):
        assert (await ask(bench.folder)).gateway == "gw1"


def order(counter: int, **changes: Any) -> Command:
    fields: dict[str, object] = {
        "id": f"c{counter}",
        "gateway": "gw1",
        "device": "d1",
        "action": "on",
        "args": {},
        "actor": "someone",
        "counter": counter,
        "issued_ns": time.time_ns(),
        "ttl_s": 60,
    }
    return Command(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        pytest.param({}, Outcome.DONE, None, id="a sound one is carried out"),
        pytest.param({"device": "d9"}, Outcome.REFUSED, Reason.UNKNOWN_DEVICE, id="an unknown device"),
        pytest.param({"ttl_s": 1, "issued_ns": 1}, Outcome.EXPIRED, Reason.EXPIRED, id="one that is too old"),
        pytest.param({"counter": 0}, Outcome.REFUSED, Reason.DUPLICATE, id="a counter that is not above the last"),
    ],
)
async def test_an_order_has_one_answer(
    online: Bench, changes: dict[str, object], outcome: Outcome, reason: Reason | None
) -> None:
    command = order(**({"counter": 1} | changes))
    cloud = SmallCloud(online.port)
    async with cloud.running(), online.running(link("one", "d1")) as agent:
        await until(lambda: bool(cloud.hellos))
        await cloud.command(command)
        await until(lambda: bool(cloud.events))
        acted = len(driver_of(agent).orders)
    (answer,) = cloud.events.values()
    assert isinstance(answer, CommandResult)
    assert (answer.id, answer.outcome, answer.reason) == (command.id, outcome, reason)
    assert acted == (1 if outcome is Outcome.DONE else 0)


@pytest.mark.integration
async def test_a_repeated_order_is_carried_out_and_answered_once(online: Bench) -> None:
    """MQTT may deliver a message twice; an order of another id with a counter already used is a replay, and is told so."""
    cloud = SmallCloud(online.port)
    async with cloud.running(), online.running(link("one", "d1")) as agent:
        await until(lambda: bool(cloud.hellos))
        for command in (order(5), order(5), order(5, id="replay"), order(6)):
            await cloud.command(command)
        await until(lambda: len(cloud.events) == 3)
        assert [command.counter for command in driver_of(agent).orders] == [5, 6]
    answers = {event.id: event.outcome for event in cloud.events.values() if isinstance(event, CommandResult)}
    assert answers == {"c5": Outcome.DONE, "replay": Outcome.REFUSED, "c6": Outcome.DONE}


@pytest.mark.integration
async def test_a_driver_that_fails_over_an_order_is_the_orders_result(online: Bench) -> None:
    cloud = SmallCloud(online.port)
    async with cloud.running(), online.running(link("one", "d1")) as agent:

        def broken(command: Command) -> CommandResult:
            raise RuntimeError("a fault in the driver")

        driver_of(agent).on_command = broken
        await until(lambda: bool(cloud.hellos))
        await cloud.command(order(1))
        await until(lambda: bool(cloud.events))
        assert await driver_of(agent).say({"level": 1.0}) is Verdict.COMMITTED
    (answer,) = cloud.events.values()
    assert isinstance(answer, CommandResult)
    assert (answer.outcome, answer.reason) == (Outcome.UNKNOWN, Reason.INTERRUPTED)


@pytest.mark.integration
async def test_from_a_device_to_the_clouds_word_and_an_empty_outbox(online: Bench) -> None:
    cloud = SmallCloud(online.port)
    async with cloud.running(), online.running(link("one", "d1")) as agent:
        await driver_of(agent).say({"level": 50.0})
        await driver_of(agent).say({"level": 120.0})
        async with asyncio.timeout(10):
            await agent.drained()
        counts = agent.counts()
    assert (counts.acked, counts.backlog, counts.transitions) == (3, 0, 1)
    assert [row.values["level"] for row in cloud.readings.values()] == [50.0, 120.0]
    (step,) = cloud.events.values()
    assert isinstance(step, Transition)
    assert (step.cause, step.device) == (Cause.RAISE, "d1")


@pytest.mark.integration
async def test_a_device_let_in_by_a_listener_is_declared_before_its_readings(online: Bench) -> None:
    cloud = SmallCloud(online.port)
    async with cloud.running(), online.running(link("one", "d1")) as agent:
        inlet = driver_of(agent).inlet
        assert inlet is not None
        await until(lambda: bool(cloud.hellos))
        inlet.admit(DeviceConfig(id="guest", profile="probe", address="1"))
        assert await driver_of(agent).say({"level": 1.0}, device="guest") is Verdict.COMMITTED
        await until(lambda: bool(cloud.readings))
        assert {device.device for device in cloud.hellos[-1].devices} == {"d1", "guest"}


@pytest.mark.integration
async def test_a_device_once_let_in_is_declared_after_a_restart(online: Bench) -> None:
    """Its readings may still be in the outbox, and a cloud that never heard of it would refuse them."""
    port, online.port = online.port, 1
    async with online.running(link("one", "d1")) as agent:
        inlet = driver_of(agent).inlet
        assert inlet is not None
        inlet.admit(DeviceConfig(id="guest", profile="probe", address="1", name="a guest"))
        await driver_of(agent).say({"level": 120.0}, device="guest")
    online.port = port
    cloud = SmallCloud(port)
    async with cloud.running(), online.running(link("one", "d1")) as agent:
        await until(lambda: bool(cloud.readings))
        assert ("guest", "a guest") in {(device.device, device.name) for device in cloud.hellos[0].devices}
        assert await driver_of(agent).say({"level": 120.0}, device="guest") is Verdict.COMMITTED
        assert agent.counts().transitions == 0


def test_the_table_of_refusals_is_bounded_and_the_log_is_calm(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    refusals = Refusals(clock)
    for _ in range(100):
        refusals.add("d1", Reason.BAD_CHECKSUM, "x" * 10_000, bytes(10_000))
    assert len(caplog.records) == 1
    for n in range(3000):
        refusals.add(f"peer{n}", Reason.BAD_START, "")
    assert len(refusals.worst(10_000)) <= 1001
    assert refusals.worst(1)[0].source == OTHERS
    assert refusals.totals() == {"bad_checksum": 100, "bad_start": 3000}
    shown = next(refusal for refusal in refusals.worst(10_000) if refusal.source == "d1")
    assert len(shown.detail) < 300
    assert len(shown.raw_hex) < 200
    caplog.clear()
    clock.advance(61)
    refusals.add("d1", Reason.BAD_CHECKSUM, "")
    assert caplog.records[0].__dict__["since_last_logged"] == 100


CONFIG = """
gateway = "gw-killed"
data_dir = "data"
broker = "mqtt://127.0.0.1:{port}"
retransmit_s = 1.0

[[links]]
name = "counters"
driver = "mqtt"
broker = "mqtt://127.0.0.1:{port}"

[[links.devices]]
id = "counter-01"
profile = "toilet_counter_mqtt"
address = "wc-killed"
"""


@asynccontextmanager
async def agent_process(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`citynerve edge run`, once it answers on its socket."""
    with (config.parent / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "citynerve", "edge", "run", str(config), stderr=log)
    try:
        async with asyncio.timeout(20):
            while not await answers(config.parent / "data"):
                assert process.returncode is None, (config.parent / "log").read_text()
                await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def answers(folder: Path) -> bool:
    try:
        return bool(await ask(folder))
    except OSError:
        return False


@pytest.mark.integration
async def test_killed_and_started_again_the_agent_goes_on(tmp_path: Path, mosquitto_port: int) -> None:
    """The real command with a real driver: killed -9 twice while a device speaks, then ended by SIGTERM within five seconds."""
    config = tmp_path / "edge.toml"
    config.write_text(CONFIG.format(port=mosquitto_port))
    cloud = SmallCloud(mosquitto_port)
    async with cloud.running(), aiomqtt.Client("127.0.0.1", mosquitto_port) as device:
        for cycle in range(3):
            async with agent_process(config) as process:
                heard = len(cloud.readings)
                async with asyncio.timeout(20):
                    while len(cloud.readings) < heard + 3:
                        now_ms = time.time_ns() // 1_000_000
                        document = {"ts": now_ms, "total": {"in": 7, "out": 0}, "inside": cycle, "today": now_ms % 1000}
                        await device.publish("toilet/wc-killed/count", json.dumps(document), qos=1)
                        await asyncio.sleep(0.05)
                shown = await asyncio.to_thread(CliRunner().invoke, app, ["status", str(config)])
                assert "device  counter-01: heard" in shown.output
                assert "cloud   connected" in shown.output
                shown = await asyncio.to_thread(CliRunner().invoke, app, ["outbox", "--json", str(config)])
                assert json.loads(shown.output)["lanes"]["readings"]["acked"] >= 1
                if cycle == 2:
                    began = time.monotonic()
                    process.terminate()
                    assert await process.wait() == 0
                    assert time.monotonic() - began < 5
    (epoch,) = {hello.epoch for hello in cloud.hellos}
    assert cloud.cumulative(Lane.READINGS, epoch) == len(cloud.readings)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_the_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    from edge_agent.notify import notify

    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert notify("READY=1")
        assert manager.recv(100) == b"READY=1"


async def test_a_loop_that_retries_ends_although_its_attempt_failed_just_then() -> None:
    tries = 0

    async def fail_when_cancelled() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise OSError("the link broke just then")

    async def session() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail_when_cancelled())

    async def stubborn() -> None:
        nonlocal tries
        while True:
            tries += 1
            with contextlib.suppress(ExceptionGroup):
                await attempt(session())

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    assert tries == 1


async def test_a_loop_that_retries_goes_on_after_a_child_of_its_attempt_failed() -> None:
    """Before Python 3.13 the failing child leaves a cancellation on the count of the task that awaited the group."""
    tries = 0

    async def session() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(60))
            group.create_task(fail())

    async def fail() -> None:
        raise OSError("the link broke")

    while tries < 3:
        tries += 1
        with contextlib.suppress(ExceptionGroup):
            await attempt(session())
        await asyncio.sleep(0)
