"""The agent's own time: who vouches for it, and what a clock that jumps can and cannot do."""

import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.adjtimex import KernelClock, believes
from edge_agent.outbox.clocks import ClockStamp
from edge_agent.timekeeper import BUILT_NS, Timekeeper, Voucher
from telemetry.clock import SECOND_NS, ManualClock
from telemetry.reason import Reason
from telemetry.records import ClockQuality

SYNCED, CLOUD, UNSYNCED = ClockQuality.SYNCED, ClockQuality.CLOUD, ClockQuality.UNSYNCED
NOW = 1_780_000_000 * SECOND_NS
DAY = 86_400
YEAR = 365 * DAY


class Kernel:
    def __init__(self, says: bool = False) -> None:
        self.says = says

    def vouches(self) -> bool:
        return self.says


class Book:
    """What the outbox would be told."""

    def __init__(self) -> None:
        self.stamps: list[ClockStamp] = []
        self.fixed: dict[str, int] = {}
        self.failures = 0

    def set_stamp(self, stamp: ClockStamp) -> None:
        self.stamps.append(stamp)

    async def fix_clock(self, boot_id: str, offset_ns: int) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("disk full")
        self.fixed.setdefault(boot_id, offset_ns)


class World:
    """True time, and a machine whose wall clock is off by `wrong_s` seconds."""

    def __init__(self, *, wrong_s: float = 0.0, kernel: bool = False, up_s: float = 100.0) -> None:
        self.machine = ManualClock(NOW + round(wrong_s * SECOND_NS), round(up_s * SECOND_NS))
        self.kernel = Kernel(kernel)
        self.true_offset = NOW - self.machine.monotonic_ns()
        self.refusals: list[tuple[str, Reason, str]] = []
        self.restart()

    def restart(self, *, boot_id: str = "boot-1") -> None:
        self.book = Book()
        self.keeper = Timekeeper(self.machine, self.kernel, boot_id)
        self.keeper.attach(self.book, lambda *refusal: self.refusals.append(refusal))

    @property
    def true_ns(self) -> int:
        return self.machine.monotonic_ns() + self.true_offset

    @property
    def error_s(self) -> float:
        """The agent's time minus the true one."""
        return (self.keeper.wall_ns() - self.true_ns) / SECOND_NS

    async def run(self, seconds: int, step_s: float = 1.0) -> None:
        for _ in range(round(seconds / step_s)):
            self.machine.advance(step_s)
            await self.keeper.tick()

    async def jump(self, seconds: float) -> None:
        """The machine's wall clock is set by so much; the true time goes on."""
        self.machine.set_wall(self.machine.wall_ns() + round(seconds * SECOND_NS))
        await self.run(1)

    async def cloud_says(self, rtt_s: float = 0.05, off_s: float = 0.0) -> None:
        rtt_ns = round(rtt_s * SECOND_NS)
        await self.keeper.learn(self.true_ns - rtt_ns // 2 + round(off_s * SECOND_NS), rtt_ns)

    @property
    def state(self) -> tuple[ClockQuality, Voucher]:
        status = self.keeper.status()
        return status.quality, status.voucher


@pytest.mark.parametrize(
    ("wrong_s", "kernel", "cloud", "expected", "error_s"),
    [
        pytest.param(0, True, None, (SYNCED, Voucher.KERNEL), 0, id="a disciplined clock is believed"),
        pytest.param(0, False, None, (UNSYNCED, Voucher.NOBODY), 0, id="without a witness nothing is"),
        pytest.param(0.4, False, 0.0, (SYNCED, Voucher.CLOUD), 0.4, id="the cloud agrees with the machine"),
        pytest.param(-YEAR, False, 0.0, (CLOUD, Voucher.CLOUD), 0, id="the machine is a year behind"),
        pytest.param(+YEAR, False, 0.0, (CLOUD, Voucher.CLOUD), 0, id="the machine is a year ahead"),
        pytest.param(2, False, 0.0, (CLOUD, Voucher.CLOUD), 0, id="the machine is two seconds ahead"),
        pytest.param(299, True, 0.0, (SYNCED, Voucher.KERNEL), 299, id="kernel and cloud differ by less than five minutes"),
        pytest.param(400, True, 0.0, (UNSYNCED, Voucher.NOBODY), 400, id="kernel and cloud contradict one another"),
        pytest.param(-2 * YEAR, True, None, (UNSYNCED, Voucher.NOBODY), -2 * YEAR, id="synced to a time before the release"),
        pytest.param(-2 * YEAR, True, 0.0, (CLOUD, Voucher.CLOUD), 0, id="synced to a time before the release, with a cloud"),
        pytest.param(0, False, -2.0 * YEAR, (UNSYNCED, Voucher.NOBODY), 0, id="a cloud before the release says nothing"),
    ],
)
async def test_who_vouches(
    wrong_s: float, kernel: bool, cloud: float | None, expected: tuple[ClockQuality, Voucher], error_s: float
) -> None:
    world = World(wrong_s=wrong_s, kernel=kernel)
    await world.run(3)
    if cloud is not None:
        await world.cloud_says(off_s=cloud)
    assert world.state == expected
    assert world.error_s == pytest.approx(error_s, abs=0.001)
    assert world.keeper.stamp == ClockStamp("boot-1", expected[0], world.keeper.wall_ns() - world.machine.monotonic_ns())


async def test_a_disputed_clock_keeps_its_own_time_and_is_told_until_it_is_settled() -> None:
    world = World(kernel=True)
    await world.run(2)
    await world.cloud_says(off_s=YEAR)
    assert world.keeper.status().disputed
    before = world.keeper.wall_ns()
    await world.run(10)
    assert world.keeper.wall_ns() == before + 10 * SECOND_NS
    assert world.state == (UNSYNCED, Voucher.NOBODY)
    await world.cloud_says()
    assert not world.keeper.status().disputed
    assert world.state == (SYNCED, Voucher.KERNEL)


async def test_a_disputed_clock_fixes_nothing_that_may_have_been_sent_already() -> None:
    world = World(kernel=False, wrong_s=5 * YEAR)
    world.kernel.says = True
    await world.cloud_says()
    assert world.keeper.status().disputed
    world.kernel.says = False
    await world.run(2)
    assert world.state == (CLOUD, Voucher.CLOUD)
    assert world.error_s == pytest.approx(0, abs=0.001)
    assert world.book.fixed == {}


async def test_a_jump_moves_no_time_that_somebody_has_vouched_for() -> None:
    world = World(kernel=True)
    await world.run(5)
    world.kernel.says = False
    for seconds in (YEAR, -2 * YEAR, 30, 1.5):
        await world.jump(seconds)
        assert world.error_s == 0
    assert world.state == (SYNCED, Voucher.PAST)
    assert [(source, reason) for source, reason, _ in world.refusals] == [("clock", Reason.CLOCK_UNSYNCED)] * 4
    status = world.keeper.status()
    assert status.jumps == 4
    assert status.last_jump is not None
    assert (status.last_jump.by_ns, status.last_jump.vouched) == (1.5 * SECOND_NS, False)
    assert len(world.book.stamps) == 1


async def test_a_jump_is_told_once() -> None:
    world = World(kernel=False)
    await world.jump(3600)
    await world.run(60)
    assert len(world.refusals) == 1


async def test_a_jump_that_the_kernel_vouches_for_is_followed() -> None:
    world = World(kernel=True, wrong_s=90)
    await world.run(5)
    await world.jump(-90)
    assert world.error_s == 0
    assert world.state == (SYNCED, Voucher.KERNEL)
    assert world.refusals == []
    assert world.keeper.status().jumps == 1


async def test_before_anybody_vouches_each_jump_is_a_segment_of_its_own() -> None:
    world = World(kernel=False, wrong_s=-20 * YEAR)
    await world.run(5)
    await world.jump(5 * YEAR)
    await world.jump(-YEAR)
    offsets = [stamp.offset_ns - world.true_offset for stamp in world.book.stamps]
    assert offsets == [years * YEAR * SECOND_NS for years in (-20, -15, -16)]
    assert {stamp.quality for stamp in world.book.stamps} == {UNSYNCED}
    await world.cloud_says()
    assert world.book.fixed == {"boot-1": world.true_offset}


async def test_a_clock_that_is_slewed_is_followed_and_never_jumps() -> None:
    """The fastest that time daemons slew: chrony's default is a twelfth of a second each second."""
    world = World(kernel=True, wrong_s=-3)
    for _ in range(40):
        world.machine.set_wall(world.machine.wall_ns() + 83_333_333)
        await world.run(1)
        machine_error_s = (world.machine.wall_ns() - world.true_ns) / SECOND_NS
        assert world.error_s == pytest.approx(machine_error_s, abs=0.006)
    assert world.keeper.status().jumps == 0


@pytest.mark.parametrize("synced_at", [0, 7, 10, 13])
async def test_a_sawtooth_of_two_seconds_moves_nothing_after_the_first_sync(synced_at: int) -> None:
    world = World(kernel=False)
    for second in range(120):
        if second % 10 == 0:
            await world.jump(2 if second % 20 == 0 else -2)
        if second in {synced_at, 50, 95}:
            await world.cloud_says()
        if second > synced_at:
            assert abs(world.error_s) < 1
        await world.run(1)
    assert len(world.book.stamps) <= synced_at // 10 + 6
    assert len(world.refusals) == 12


async def test_a_hello_each_minute_begins_no_new_segments() -> None:
    world = World(kernel=False, wrong_s=YEAR)
    await world.cloud_says(rtt_s=0.2)
    segments = len(world.book.stamps)
    for n in range(100):
        await world.run(60, step_s=30)
        await world.cloud_says(rtt_s=0.1 + n % 7 * 0.3, off_s=(n % 5 - 2) / 20)
    assert len(world.book.stamps) == segments
    assert abs(world.error_s) < 0.5


async def test_a_slow_answer_is_bounded_by_half_its_round_trip_and_a_quick_one_puts_it_right() -> None:
    world = World(kernel=False, wrong_s=YEAR)
    await world.keeper.learn(world.true_ns, 8 * SECOND_NS)
    assert abs(world.error_s) <= 4
    await world.cloud_says(rtt_s=0.05)
    assert abs(world.error_s) <= 0.025
    await world.keeper.learn(world.true_ns + YEAR * SECOND_NS, 61 * SECOND_NS)
    assert abs(world.error_s) <= 0.025


async def test_the_true_offset_is_written_once_and_again_after_a_disk_that_refused() -> None:
    world = World(kernel=False, wrong_s=YEAR)
    world.book.failures = 1
    await world.cloud_says()
    assert world.book.fixed == {}
    await world.run(1)
    fixed = dict(world.book.fixed)
    assert fixed == {"boot-1": world.true_offset}
    await world.cloud_says(off_s=30)
    assert world.book.fixed == fixed


async def test_a_time_without_a_witness_is_good_for_a_day_and_then_flagged_but_kept() -> None:
    world = World(kernel=True)
    await world.run(5)
    world.kernel.says = False
    await world.run(DAY - 10, step_s=600)
    assert world.state == (SYNCED, Voucher.PAST)
    await world.run(1200, step_s=600)
    assert world.state == (UNSYNCED, Voucher.NOBODY)
    await world.jump(YEAR)
    assert world.error_s == 0
    world.machine.set_wall(world.true_ns)
    world.kernel.says = True
    await world.run(1)
    assert world.state == (SYNCED, Voucher.KERNEL)


async def test_after_a_restart_in_the_same_boot_the_agents_time_goes_on() -> None:
    world = World(kernel=False, wrong_s=-YEAR)
    await world.cloud_says()
    memory = world.keeper.memory()
    assert memory is not None
    assert world.keeper.memory() is None
    await world.jump(17)
    world.restart()
    assert world.state == (UNSYNCED, Voucher.NOBODY)
    world.keeper.recall(memory)
    assert world.state == (CLOUD, Voucher.PAST)
    assert world.error_s == 0
    world.restart(boot_id="boot-2")
    world.keeper.recall(memory)
    assert world.state == (UNSYNCED, Voucher.NOBODY)


async def test_a_time_before_one_that_was_vouched_for_is_not_believed_without_the_cloud() -> None:
    world = World(kernel=True)
    memory = world.keeper.memory()
    assert memory is not None
    world.machine.set_wall(world.true_ns - 30 * DAY * SECOND_NS)
    world.restart(boot_id="boot-2")
    world.keeper.recall(memory)
    await world.run(3)
    assert world.state == (UNSYNCED, Voucher.NOBODY)
    assert world.book.fixed == {}
    await world.cloud_says(off_s=-30 * DAY)
    assert world.state == (SYNCED, Voucher.KERNEL)


async def test_what_was_remembered_is_renewed_every_ten_minutes() -> None:
    world = World(kernel=True)
    told = 0
    for _ in range(3600):
        await world.run(1)
        told += world.keeper.memory() is not None
    assert told == 6


def test_nonsense_is_not_recalled() -> None:
    with pytest.raises(msgspec.MsgspecError):
        World().keeper.recall(b"nonsense")


async def test_the_cloud_is_asked_once_an_hour_while_the_kernel_does_not_vouch() -> None:
    world = World(kernel=False)
    asked = 0
    for _ in range(36):
        await world.run(600, step_s=600)
        asked += world.keeper.asks()
    assert asked == 6
    world.kernel.says = True
    await world.run(7200, step_s=600)
    assert not world.keeper.asks()


async def test_a_time_read_before_the_clock_was_put_right_is_brought_along() -> None:
    world = World(kernel=False, wrong_s=-YEAR)
    await world.run(5)
    received = world.keeper.wall_ns()
    true = world.true_ns
    await world.run(1)
    await world.cloud_says()
    assert world.keeper.present(received) == true
    assert world.keeper.present(world.keeper.wall_ns()) == world.keeper.wall_ns()


async def test_an_uptime_of_years_overflows_nothing() -> None:
    world = World(kernel=False, wrong_s=YEAR, up_s=400 * DAY)
    await world.cloud_says()
    assert world.error_s == 0
    world.machine.advance(30 * YEAR)
    await world.run(3)
    assert world.state == (UNSYNCED, Voucher.NOBODY)
    await world.cloud_says()
    assert world.error_s == 0
    assert world.keeper.wall_ns() < 2**63


@given(
    st.booleans(),
    st.lists(
        st.one_of(
            st.tuples(st.just("jump"), st.sampled_from([-YEAR, -3600, -2, 2, 3600, YEAR, 50 * YEAR])),
            st.tuples(st.just("run"), st.integers(1, 200)),
            st.tuples(st.just("cloud"), st.floats(0, 0.5)),
        ),
        max_size=30,
    ),
)
async def test_once_vouched_for_the_time_is_right_within_a_second_or_flagged(starts_right: bool, story: list[Any]) -> None:
    """A kernel that never vouches, a cloud that tells the truth, and a wall clock set at random."""
    world = World(wrong_s=0 if starts_right else -20 * YEAR)
    heard = False
    for what, value in story:
        if what == "jump" and world.machine.wall_ns() + value * SECOND_NS > 0:
            await world.jump(value)
        elif what == "run":
            await world.run(value, step_s=value)
        elif what == "cloud":
            await world.cloud_says(rtt_s=value)
            heard = True
        assert (world.keeper.stamp.quality is not UNSYNCED) == heard
        if heard:
            assert abs(world.error_s) <= 1
    assert world.book.fixed.keys() == ({"boot-1"} if heard else set())


def timex(status: int) -> bytes:
    return struct.pack("@iLLLLi", 0, 0, 0, 0, 0, status).ljust(208, b"\0")


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [
        pytest.param(0, 0x2001, True, id="a daemon disciplines it"),
        pytest.param(1, 0x0011, True, id="a leap second is announced"),
        pytest.param(5, 0x0040, False, id="nobody disciplines it"),
        pytest.param(5, 0x0001, False, id="an error of the clock"),
        pytest.param(-1, 0, False, id="the call is not allowed"),
    ],
)
def test_what_the_kernel_says(answer: int, status: int, expected: bool) -> None:
    assert believes(answer, timex(status)) is expected


def test_the_kernel_can_be_asked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KernelClock().vouches() in {True, False}
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert KernelClock().vouches() is False


def test_the_release_is_older_than_now() -> None:
    assert BUILT_NS < NOW
