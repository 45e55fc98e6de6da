"""Times at the desk: what is stamped how, what a clock that is put right does to delays, and the present said once more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from edge_agent_parts import profile, rule

from device_profiles.model import Above, Profile, Reporting, Stale
from edge_agent.alarms.state import DeviceState, RuleState
from edge_agent.committer import Committer, Entry
from edge_agent.config import DeviceConfig, OutboxLimits
from edge_agent.desk import Desk
from edge_agent.heard import Heard, Verdict
from edge_agent.outbox.clocks import ClockStamp
from edge_agent.outbox.outbox import Outbox, OversizedError
from edge_agent.pipeline import Memory
from edge_agent.pipeline.reclock import sane
from edge_agent.timekeeper import Timekeeper
from firmware_bridge.values import Decoded
from telemetry.clock import SECOND_NS, ManualClock
from telemetry.reason import Reason
from telemetry.records import (
    Cause,
    ClockQuality,
    CommandResult,
    Event,
    Lane,
    Outcome,
    Quality,
    Reading,
    Transition,
    Value,
)

NOW = 1_780_000_000 * SECOND_NS
YEAR_S = 365 * 86_400
PROBE = profile(rule("high", Above(metric="level", limit=100), on=10), rule("silent", Stale(after_s=30)))


class Kernel:
    def __init__(self, *, says: bool) -> None:
        self.says = says

    def vouches(self) -> bool:
        return self.says


class Rig:
    """A desk with an outbox of its own on a machine whose wall clock is off."""

    def __init__(self, folder: Path, wrong_s: float, kernel: bool, of: Profile) -> None:
        self.folder = folder
        self.profile = of
        self.machine = ManualClock(NOW + round(wrong_s * SECOND_NS), 1000 * SECOND_NS)
        self.true_offset = NOW - self.machine.monotonic_ns()
        self.kernel = Kernel(says=kernel)
        self.committed: list[tuple[list[Reading], list[Event], list[ClockStamp]]] = []

    @asynccontextmanager
    async def running(self, boot_id: str = "boot-1") -> AsyncIterator["Rig"]:
        self.keeper = Timekeeper(self.machine, self.kernel, boot_id)
        limits = OutboxLimits(commit_s=0.01, linger_ms=1, max_bytes=10_000_000, events_max_bytes=1_000_000, reserve_bytes=0)
        self.outbox = await Outbox.open(self.folder, "gw1", limits, self.keeper, stamp=self.keeper.stamp)
        commit = self.outbox.commit

        async def noted(readings, events=(), states=None, *, stamps=None) -> None:  # type: ignore[no-untyped-def]
            await commit(readings, events, states, stamps=stamps)
            self.committed.append((list(readings), list(events), list(stamps or ())))

        self.outbox.commit = noted  # type: ignore[method-assign]
        self.committer = Committer(self.outbox, limits)
        self.desk = Desk(self.keeper, {"probe": self.profile}, self.committer)
        self.keeper.attach(self.outbox, self.desk.refuse)
        self.desk.restore(await self.outbox.states())
        self.desk.enrol([DeviceConfig(id=name, profile="probe", address=name) for name in ("d1", "d2")])
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.committer.run())
                try:
                    yield self
                finally:
                    self.committer.stop()
        finally:
            await self.outbox.close()

    @property
    def true_ns(self) -> int:
        return self.machine.monotonic_ns() + self.true_offset

    async def say(
        self, level: Value, *, told_ns: int | None = None, received_ns: int | None = None, device: str = "d1"
    ) -> Verdict:
        received_ns = self.keeper.wall_ns() if received_ns is None else received_ns
        decoded = Decoded(values={"level": level}, time_ns=told_ns)
        return await self.desk.accept(Heard(device=device, profile=self.profile, received_ns=received_ns, decoded=decoded))

    async def wait(self, seconds: float) -> None:
        self.machine.advance(seconds)
        await self.keeper.tick()
        await self.desk.watch_silence()

    async def cloud_says(self) -> None:
        await self.keeper.learn(self.true_ns, 0)

    @property
    def readings(self) -> list[tuple[Reading, ClockStamp]]:
        return [
            (reading, stamp)
            for readings, _, stamps in self.committed
            for reading, stamp in zip(readings, stamps[: len(readings)], strict=True)
        ]

    @property
    def transitions(self) -> list[tuple[Transition, ClockStamp]]:
        return [
            (event, stamp)
            for readings, events, stamps in self.committed
            for event, stamp in zip(events, stamps[len(readings) :], strict=True)
            if isinstance(event, Transition)
        ]

    def true_time(self, time_ns: int, stamp: ClockStamp) -> int:
        """What the cloud makes of a time of the gateway's own."""
        return time_ns - stamp.offset_ns + self.true_offset if stamp.quality is ClockQuality.UNSYNCED else time_ns


@asynccontextmanager
async def rig(folder: Path, *, wrong_s: float = 0, kernel: bool = False, of: Profile = PROBE) -> AsyncIterator[Rig]:
    async with Rig(folder, wrong_s, kernel, of).running() as it:
        yield it


async def test_a_reading_carries_the_stamp_of_the_clock_that_it_was_heard_by(tmp_path: Path) -> None:
    async with rig(tmp_path, wrong_s=-20 * YEAR_S) as it:
        await it.say(1.0)
        await it.cloud_says()
        await it.wait(1)
        await it.say(2.0)
        (first, one), (second, two) = it.readings
    assert (one.quality, two.quality) == (ClockQuality.UNSYNCED, ClockQuality.CLOUD)
    assert it.true_time(first.time_ns, one) == NOW
    assert second.time_ns == NOW + SECOND_NS


async def test_bytes_that_came_before_the_clock_was_put_right_have_their_true_time(tmp_path: Path) -> None:
    async with rig(tmp_path, wrong_s=5 * YEAR_S) as it:
        received = it.keeper.wall_ns()
        await it.wait(2)
        await it.cloud_says()
        await it.say(1.0, received_ns=received)
        ((reading, stamp),) = it.readings
    assert stamp.quality is ClockQuality.CLOUD
    assert reading.received_ns == NOW


@pytest.mark.parametrize("wrong_s", [-55 * YEAR_S, -YEAR_S, YEAR_S])
async def test_a_gateway_without_the_time_believes_its_devices(tmp_path: Path, wrong_s: int) -> None:
    async with rig(tmp_path, wrong_s=wrong_s) as it:
        assert await it.say(1.0, told_ns=NOW) is Verdict.COMMITTED
        ((reading, _),) = it.readings
        assert reading.time_ns == NOW
        assert reading.flaws == {}
        assert it.desk.refusals.totals() == {}


@pytest.mark.parametrize(
    ("told_ns", "reason"),
    [
        pytest.param(0, Reason.IMPLAUSIBLE_TIME, id="1970 is no time in any case"),
        pytest.param(2**63, Reason.FUTURE_TIME, id="a time that no record can hold is none"),
    ],
)
async def test_a_device_that_has_no_time_either_gets_the_gateways(tmp_path: Path, told_ns: int, reason: Reason) -> None:
    async with rig(tmp_path, wrong_s=-YEAR_S) as it:
        await it.say(1.0, told_ns=told_ns)
        ((reading, stamp),) = it.readings
        assert it.true_time(reading.time_ns, stamp) == NOW
        assert reading.quality("level") is Quality.UNCERTAIN
        assert it.desk.refusals.totals() == {reason.value: 1}


@pytest.mark.parametrize("wrong_s", [-55 * YEAR_S, -YEAR_S, 4 * YEAR_S])
@pytest.mark.parametrize("synced_after", [0, 3, 9, 12])
async def test_a_delay_is_as_long_as_it_should_be_however_the_clock_is_set(
    tmp_path: Path, wrong_s: int, synced_after: int
) -> None:
    """On-delay of ten seconds: neither early, because the clock leapt ahead, nor late, because it went back."""
    async with rig(tmp_path, wrong_s=wrong_s) as it:
        raised_after = None
        for second in range(20):
            if second == synced_after:
                await it.cloud_says()
            await it.say(120.0)
            if it.transitions and raised_after is None:
                raised_after = second
            await it.wait(1)
        ((step, stamp),) = it.transitions
        assert raised_after == 10
        assert step.cause is Cause.RAISE
        assert abs(it.true_time(step.event_time_ns, stamp) - (NOW + 10 * SECOND_NS)) < SECOND_NS
        assert Reason.LATE not in it.desk.refusals.by_reason


async def test_an_alarm_that_returns_and_comes_again_is_another_one(tmp_path: Path) -> None:
    """Also where the first one was named by a clock four years ahead: its name must not be given to the second."""
    async with rig(tmp_path, wrong_s=4 * YEAR_S, of=profile(rule("high", Above(metric="level", limit=100)))) as it:
        await it.say(120.0)
        await it.wait(1)
        await it.cloud_says()
        for level in (1.0, 120.0, 1.0, 120.0):
            await it.say(level)
            await it.wait(1)
        steps = [step for step, _ in it.transitions]
    assert [step.cause for step in steps] == [Cause.RAISE, Cause.RETURN] * 2 + [Cause.RAISE]
    assert [step.n for step in steps] == [1, 2, 1, 2, 1]
    assert len({step.alarm for step in steps}) == 3
    assert [step.event_time_ns for step in steps[1:]] == [NOW + n * SECOND_NS for n in range(1, 5)]


@pytest.mark.parametrize("by_s", [-50 * YEAR_S, -3600, -2, 2, 3600, 50 * YEAR_S])
@pytest.mark.parametrize("kernel", [True, False])
async def test_a_jump_neither_makes_a_device_silent_nor_alive(tmp_path: Path, by_s: int, kernel: bool) -> None:
    async with rig(tmp_path, kernel=kernel) as it:
        await it.say(1.0)
        await it.wait(15)
        it.machine.set_wall(it.machine.wall_ns() + by_s * SECOND_NS)
        await it.wait(14)
        assert it.transitions == []
        await it.wait(2)
        await asyncio.sleep(0.05)
        assert {step.device for step, _ in it.transitions} == {"d1", "d2"}


async def test_a_state_judged_by_a_clock_far_ahead_suppresses_nothing_after_a_reboot(tmp_path: Path) -> None:
    at_once = profile(rule("high", Above(metric="level", limit=100)))
    async with Rig(tmp_path, 4 * YEAR_S, kernel=False, of=at_once).running() as it:
        for level in (1.0, 120.0, 1.0):
            await it.say(level)
            await it.wait(1)
    it.machine = ManualClock(NOW, 5 * SECOND_NS)
    it.committed.clear()
    async with it.running("boot-2"):
        await it.say(120.0)
        assert [step.cause for step, _ in it.transitions] == [Cause.RAISE]
        assert it.transitions[0][0].event_time_ns == NOW
        assert Reason.LATE not in it.desk.refusals.by_reason


async def test_a_reboot_into_1970_suppresses_nothing_before_the_clock_is_set(tmp_path: Path) -> None:
    async with Rig(tmp_path, 0, kernel=True, of=PROBE).running() as it:
        await it.say(1.0)
    it.machine, it.kernel.says = ManualClock(60 * SECOND_NS, 5 * SECOND_NS), False
    it.true_offset = NOW
    it.committed.clear()
    async with it.running("boot-2"):
        for _ in range(12):
            await it.say(120.0)
            await it.wait(1)
        ((step, stamp),) = it.transitions
        assert it.true_time(step.event_time_ns, stamp) == NOW + 15 * SECOND_NS


async def test_a_device_that_once_told_a_time_far_ahead_is_judged_again_once_the_clock_is_set(tmp_path: Path) -> None:
    async with rig(tmp_path, of=profile(rule("high", Above(metric="level", limit=100)))) as it:
        await it.say(1.0, told_ns=NOW + 20 * YEAR_S * SECOND_NS)
        await it.cloud_says()
        await it.say(120.0, told_ns=NOW + SECOND_NS)
        assert [step.cause for step, _ in it.transitions] == [Cause.RAISE]


def test_a_state_within_five_minutes_of_the_present_is_left_alone() -> None:
    memory = Memory(alarms=DeviceState(judged_ns=NOW, rules={"high": RuleState(pending_ns=NOW, moved_ns=NOW)}))
    assert sane(memory, PROBE, NOW - 300 * SECOND_NS, own_time=True) is memory
    pulled = sane(memory, PROBE, NOW - 301 * SECOND_NS, own_time=True)
    assert pulled.alarms.judged_ns == NOW - 301 * SECOND_NS
    assert sane(memory, PROBE, NOW - 301 * SECOND_NS, own_time=False) is memory


async def test_different_things_of_one_instant_stay_apart_when_the_clock_is_set_in_between(tmp_path: Path) -> None:
    async with rig(tmp_path, wrong_s=-YEAR_S, of=profile()) as it:
        for level in (1.0, 2.0):
            await it.say(level)
        await it.cloud_says()
        for level in (3.0, 1.0, 4.0):
            await it.say(level)
        times = [it.true_time(reading.time_ns, stamp) - NOW for reading, stamp in it.readings]
    assert times == [0, 1, 2, 0, 3]


async def test_the_reporting_policy_holds_back_as_before_once_the_clock_went_back(tmp_path: Path) -> None:
    calm = profile(reporting=Reporting(interval_s=1, on_change=True, heartbeat_s=600))
    async with rig(tmp_path, wrong_s=3 * YEAR_S, of=calm) as it:
        assert await it.say(5.0) is Verdict.COMMITTED
        await it.cloud_says()
        for _ in range(5):
            await it.wait(1)
            assert await it.say(5.0) is Verdict.HELD_BACK


async def test_when_a_device_was_heard_is_told_in_the_time_that_holds_now(tmp_path: Path) -> None:
    async with rig(tmp_path, wrong_s=-YEAR_S) as it:
        await it.say(1.0)
        await it.wait(10)
        await it.cloud_says()
        assert it.desk.last_heard() == {"d1": NOW, "d2": None}


async def test_a_commands_result_has_its_true_time(tmp_path: Path) -> None:
    async with rig(tmp_path, wrong_s=-YEAR_S) as it:
        result = CommandResult(id="c1", device="d1", outcome=Outcome.DONE, time_ns=it.keeper.wall_ns())
        await it.wait(1)
        await it.cloud_says()
        await it.desk.record("d1", result)
        (event,) = it.committed[-1][1]
        assert isinstance(event, CommandResult)
        assert event.time_ns == NOW


# The present, once more.


async def test_a_snapshot_is_the_latest_reading_of_each_device_with_its_own_stamp(tmp_path: Path) -> None:
    async with rig(tmp_path, wrong_s=-YEAR_S, of=profile()) as it:
        await it.say(1.0)
        await it.say(2.0, told_ns=NOW - 50, device="d2")
        await it.say(3.0, told_ns=NOW - 90, device="d2")
        await it.wait(1)
        await it.say(4.0)
        await it.wait(1)
        await it.cloud_says()
        said = it.readings
        before = it.outbox.accounts[Lane.READINGS].next_seq
        it.committed.clear()
        assert await it.desk.snapshot() == 2
        assert it.readings == [said[3], said[1]]
        assert it.outbox.accounts[Lane.READINGS].next_seq == before + 2
        counts = it.desk.counts
        assert (counts.snapshots, counts.heard, counts.committed) == (2, 4, 4)


async def test_a_snapshot_of_nothing_is_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        assert await it.desk.snapshot() == 0


async def test_what_was_held_back_is_not_in_a_snapshot(tmp_path: Path) -> None:
    calm = profile(reporting=Reporting(interval_s=1, on_change=True, heartbeat_s=600, deadband={"level": 5.0}))
    async with rig(tmp_path, of=calm) as it:
        await it.say(5.0)
        assert await it.say(6.0) is Verdict.HELD_BACK
        it.committed.clear()
        await it.desk.snapshot()
        assert [reading.values for reading, _ in it.readings] == [{"level": 5.0}]


# A record that no block can hold.


async def test_a_reading_too_large_for_the_outbox_is_refused_alone(tmp_path: Path) -> None:
    async with rig(tmp_path, of=profile(rule("high", Above(metric="level", limit=100)))) as it:
        commit = it.outbox.commit

        async def choosy(readings, events=(), states=None, *, stamps=None) -> None:  # type: ignore[no-untyped-def]
            if any(reading.device == "d1" for reading in readings):
                raise OversizedError("a reading of 70000 bytes: want at most 65536")
            await commit(readings, events, states, stamps=stamps)

        it.outbox.commit = choosy  # type: ignore[method-assign]
        verdicts = await asyncio.gather(it.say(120.0), it.say(50.0, device="d2"), it.say(2.0))
        assert verdicts == [Verdict.REFUSED, Verdict.COMMITTED, Verdict.REFUSED]
        assert it.desk.refusals.totals() == {Reason.OVERSIZED.value: 2}
        assert [step.cause for step, _ in it.transitions] == [Cause.RAISE, Cause.RETURN], "its alarms are stored all the same"
        counts = it.desk.counts
        assert (counts.heard, counts.committed, counts.refused) == (3, 1, 2)


async def test_the_clock_is_remembered_beside_the_devices(tmp_path: Path) -> None:
    async with Rig(tmp_path, -YEAR_S, kernel=False, of=PROBE).running() as it:
        await it.cloud_says()
        it.desk.remember_clock()
        it.desk.remember_clock()
    assert len(it.committed) == 1
    it.machine.advance(5)
    async with it.running():
        assert it.keeper.wall_ns() == NOW + 5 * SECOND_NS
        assert it.keeper.stamp.quality is ClockQuality.CLOUD


def test_an_entry_needs_a_stamp() -> None:
    with pytest.raises(TypeError, match="stamp"):
        Entry(device="d1")  # type: ignore[call-arg]
