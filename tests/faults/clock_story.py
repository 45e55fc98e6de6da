"""A gateway whose clock is wrong, a cloud of a page that knows the time, and what became of everything said."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from device_profiles.model import Above, AlarmRule, AnyCondition, Profile, Reporting, Stale
from device_profiles.quantities import Metric, MetricType, Text
from device_profiles.wires import Wire
from edge_agent import agent as agent_module
from edge_agent.agent import Agent
from edge_agent.config import AgentConfig, DeviceConfig, LinkConfig, OutboxLimits, UplinkLimits
from edge_agent.drivers.base import LinkHealth
from edge_agent.heard import Heard, Inlet, Verdict
from edge_agent.link_kinds import CoapOptions, DriverName
from edge_agent.uplink.compression import decompress
from edge_agent.uplink.link import Link, LinkDownError
from edge_agent.uplink.uplink import Uplink, UplinkSettings
from firmware_bridge.values import Decoded
from telemetry.clock import SECOND_NS, ManualClock
from telemetry.records import ClockQuality, Command, CommandResult, Event, Lane, Outcome, Priority, Reading, Transition
from telemetry.topics import Channel
from telemetry.wire import (
    Ack,
    ClockNote,
    GatewayStatus,
    Hello,
    decode_events,
    decode_hello,
    decode_readings,
    decode_status,
    encode,
    spans,
)

__all__ = ["NOW", "YEAR_S", "PageCloud", "Story"]

NOW = 1_780_000_000 * SECOND_NS
YEAR_S = 365 * 86_400
_NOTHING = Text(zh="无", en="none")


def _rule(name: str, when: AnyCondition, on_delay_s: float = 0.0) -> AlarmRule:
    return AlarmRule(
        name=name,
        when=when,
        priority=Priority.HIGH,
        title=_NOTHING,
        cause=_NOTHING,
        consequence=_NOTHING,
        response=_NOTHING,
        on_delay_s=on_delay_s,
        off_delay_s=0.0,
        latch=False,
    )


PROBE = Profile(
    name="probe",
    version=1,
    kind="probe",
    title=_NOTHING,
    source="the tests",
    metrics={
        name: Metric(name=name, type=kind, unit="1", title=_NOTHING, low=None, high=None)
        for name, kind in (("level", MetricType.FLOAT), ("count", MetricType.INTEGER))
    },
    wire=Wire(),
    reporting=Reporting(interval_s=1),
    alarms={"high": _rule("high", Above(metric="level", limit=100), 5), "silent": _rule("silent", Stale(after_s=30))},
    matters={},
)


class PageCloud:
    """Keeps every record by its number with the clock note that it came with, and says what time it is."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.now_ns = now_ns
        self.reachable = True
        self.hellos: list[Hello] = []
        self.statuses: list[GatewayStatus] = []
        self.readings: dict[tuple[str, int], tuple[Reading, ClockNote | None]] = {}
        self.events: dict[tuple[str, int], tuple[Event, ClockNote | None]] = {}
        self.changed_under_its_number: list[tuple[Lane, int]] = []
        self._down: list[asyncio.Queue[bytes | None]] = []

    def cut(self) -> None:
        """Break every connection; none comes about until `reachable` is set again."""
        self.reachable = False
        for queue in self._down:
            queue.put_nowait(None)

    @asynccontextmanager
    async def connect(self, will: bytes) -> AsyncIterator[Link]:
        if not self.reachable:
            raise LinkDownError("no road to the cloud")
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._down.append(queue)
        try:
            yield _PageLink(self, queue)
        finally:
            self._down.remove(queue)

    def take(self, what: Channel, payload: bytes) -> list[Ack]:
        match what:
            case Channel.HELLO:
                hello = decode_hello(payload, decompress)
                self.hellos.append(hello)
                return [self._ack(hello.gateway, hello.epoch, lane, answers=hello.sent_ns) for lane in Lane]
            case Channel.EVENTS:
                events = decode_events(payload, decompress)
                for n, event in enumerate(events.events):
                    self._keep(self.events, Lane.EVENTS, (events.epoch, events.first_seq + n), (event, events.clock))
                return [self._ack(events.gateway, events.epoch, Lane.EVENTS)]
            case Channel.READINGS:
                batch = decode_readings(payload, decompress)
                for offset, reading in (row for group in batch.groups for row in group.readings()):
                    self._keep(self.readings, Lane.READINGS, (batch.epoch, batch.first_seq + offset), (reading, batch.clock))
                return [self._ack(batch.gateway, batch.epoch, Lane.READINGS)]
            case _:
                self.statuses.append(decode_status(payload, decompress))
                return []

    def _keep(self, kept: dict[tuple[str, int], Any], lane: Lane, key: tuple[str, int], record: Any) -> None:
        if kept.setdefault(key, record) != record:
            self.changed_under_its_number.append((lane, key[1]))

    def _ack(self, gateway: str, epoch: str, lane: Lane, answers: int = 0) -> Ack:
        kept = self.events if lane is Lane.EVENTS else self.readings
        have = spans(seq for of, seq in kept if of == epoch)
        first = [high for low, high in have if low == 1]
        return Ack(
            gateway=gateway,
            epoch=epoch,
            lane=lane,
            cumulative=first[0] if first else 0,
            ranges=[pair for pair in have if pair[0] > 1],
            credit=100_000,
            server_ns=self.now_ns(),
            answers=answers,
        )


class _PageLink:
    def __init__(self, cloud: PageCloud, queue: "asyncio.Queue[bytes | None]") -> None:
        self._cloud = cloud
        self._queue = queue

    async def publish(self, what: Channel, payload: bytes, *, retain: bool = False) -> None:
        await asyncio.sleep(0)
        if not self._cloud.reachable:
            raise LinkDownError("the road to the cloud is gone")
        for ack in self._cloud.take(what, payload):
            self._queue.put_nowait(encode(ack))

    async def heard(self) -> AsyncIterator[tuple[Channel, bytes]]:
        while (payload := await self._queue.get()) is not None:
            yield Channel.ACK, payload
        raise LinkDownError("the road to the cloud is gone")


class _Mouth:
    """A driver that says what the test tells it to."""

    ports: tuple[tuple[str, int], ...] = ()

    def __init__(self, link: LinkConfig) -> None:
        self.name = link.name
        self.inlet: Inlet | None = None

    async def run(self, inlet: Inlet) -> None:
        self.inlet = inlet
        await asyncio.Event().wait()

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        return CommandResult(id=command.id, device=device.id, outcome=Outcome.DONE, time_ns=1)

    def health(self) -> LinkHealth:
        return LinkHealth(link=self.name, driver="mouth", up=True)


class Kernel:
    """Says what the test tells it to."""

    def __init__(self) -> None:
        self.says = False

    def vouches(self) -> bool:
        return self.says


class Story:
    """One gateway over boots and jumps. Devices: `plain` tells no time, `clock` tells the true one, `mute` says nothing.

    Each second `plain` and `clock` say a reading whose `count` names it; `said` has the true time of each.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, *, up_s: int = 50) -> None:
        self._folder = folder
        self.machine = ManualClock(NOW, up_s * SECOND_NS)
        self.true_offset = NOW - self.machine.monotonic_ns()
        self.kernel = Kernel()
        self.cloud = PageCloud(lambda: self.true_ns)
        self.said: dict[tuple[str, int], int] = {}
        self.raised: list[int] = []
        """The true times at which the alarm of `plain` and `clock` has to be raised."""
        self.agent: Agent | None = None
        self._high_s = 0
        self._patch = patch
        patch.setattr(agent_module, "make_driver", lambda link, *_: _Mouth(link))
        patch.setattr(agent_module, "load_catalog", lambda *_: {"probe": PROBE})
        patch.setattr(agent_module, "Uplink", partial(Uplink, connect=self.cloud.connect))
        patch.setattr(
            agent_module,
            "UplinkSettings",
            partial(UplinkSettings, reconnect_first_s=0.01, reconnect_most_s=0.02, hello_again_s=0.2),
        )

    @asynccontextmanager
    async def boot(self, name: str) -> AsyncIterator[Agent]:
        """Let the agent run in a boot of this name."""
        self._patch.setattr(agent_module, "_boot_id", lambda: name)
        devices = tuple(DeviceConfig(id=device, profile="probe", address=device) for device in ("plain", "clock", "mute"))
        config = AgentConfig(
            gateway="gw1",
            data_dir=self._folder,
            broker="mqtt://127.0.0.1:1",
            links=(LinkConfig(name="mouth", driver=DriverName.COAP, devices=devices, options=CoapOptions()),),
            outbox=OutboxLimits(commit_s=0.005, linger_ms=1, reserve_bytes=0),
            uplink=UplinkLimits(history_jitter_s=0),
            status_s=0.05,
        )
        self.agent = Agent(config, self.machine, self.kernel)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.agent.run())
            await self.agent.ready.wait()
            await asyncio.sleep(0)
            try:
                yield self.agent
            finally:
                running.cancel()

    def reboot(self, wall_ns: int) -> None:
        """The machine starts anew, between two `boot`s: a wall clock of its own, the monotonic one from the beginning."""
        true_ns = self.true_ns
        self.machine.set_wall(wall_ns)
        self.machine = ManualClock(wall_ns, 3 * SECOND_NS)
        self.true_offset = true_ns - self.machine.monotonic_ns()

    @property
    def true_ns(self) -> int:
        return self.machine.monotonic_ns() + self.true_offset

    def off_by(self, seconds: float) -> None:
        """Set the wall clock so much away from the true time."""
        self.machine.set_wall(self.true_ns + round(seconds * SECOND_NS))

    async def seconds(self, count: int, level: float = 1.0) -> None:
        """Let so many seconds pass; each device that speaks says one reading in each."""
        assert self.agent is not None
        mouth = self.agent.drivers["mouth"]
        assert isinstance(mouth, _Mouth)
        assert mouth.inlet is not None
        for _ in range(count):
            self.machine.advance(1)
            await self.agent.clock.tick()
            await self._watch_silence()
            self._high_s = self._high_s + 1 if level > 100 else 0
            if self._high_s == 6:
                self.raised.append(self.true_ns)
            async with asyncio.TaskGroup() as tasks:
                for device, told_ns in (("plain", None), ("clock", self.true_ns)):
                    tasks.create_task(self._say(mouth.inlet, device, told_ns, level))

    async def _watch_silence(self) -> None:
        assert self.agent is not None
        parts = self.agent._parts
        assert parts is not None
        await parts.desk.watch_silence()

    async def _say(self, inlet: Inlet, device: str, told_ns: int | None, level: float) -> None:
        count = len(self.said)
        self.said[device, count] = self.true_ns
        decoded = Decoded(values={"level": level, "count": count}, time_ns=told_ns)
        heard = Heard(device=device, profile=PROBE, received_ns=inlet.clock.wall_ns(), decoded=decoded)
        assert await inlet.accept(heard) is Verdict.COMMITTED

    async def drained(self) -> None:
        """Let everything go out."""
        assert self.agent is not None
        async with asyncio.timeout(20):
            await self.agent.drained()

    # What must hold.

    def nothing_is_lost_or_doubled(self) -> None:
        """Each reading said is at the cloud once, under one number and with one content."""
        counts = [(reading.device, reading.values["count"]) for reading, _ in self.cloud.readings.values()]
        assert sorted(counts) == sorted(self.said)
        assert self.cloud.changed_under_its_number == []
        times = {(reading.device, reading.time_ns) for reading, _ in self.cloud.readings.values()}
        assert len(times) == len(self.said), "two readings of one device would take one another's place in the store"

    def errors_s(self, *, flagged: bool = False) -> list[float]:
        """The times of readings minus the true ones: of those that are flagged as coming from a clock not set, or the others."""
        return [
            (reading.time_ns - self.said[reading.device, _count(reading)]) / SECOND_NS
            for reading, note in self.cloud.readings.values()
            if _is_flagged(note) is flagged
        ]

    def times_are_right_or_flagged(self, within_s: float = 1.0) -> None:
        """Of readings and of transitions."""
        assert all(abs(error_s) <= within_s for error_s in self.errors_s())
        for step, note in self.transitions:
            if not _is_flagged(note) and step.rule == "high":
                assert min(abs(step.event_time_ns - true_ns) for true_ns in self.said.values()) <= within_s * SECOND_NS

    @property
    def transitions(self) -> list[tuple[Transition, ClockNote | None]]:
        return [(event, note) for event, note in self.cloud.events.values() if isinstance(event, Transition)]

    def raises(self, device: str, rule: str) -> list[int]:
        """When the cloud heard that an alarm was raised."""
        found = [step for step, _ in self.transitions if (step.device, step.rule, step.cause) == (device, rule, "raise")]
        assert len({step.alarm for step in found}) == len(found)
        return sorted(step.event_time_ns for step in found)


def _count(reading: Reading) -> int:
    count = reading.values["count"]
    assert isinstance(count, int)
    return count


def _is_flagged(note: ClockNote | None) -> bool:
    return note is not None and note.quality is ClockQuality.UNSYNCED
