"""Outbox, uplink, broker and ingest as one protocol, in simulated time: whatever happens to it, promises are kept.

Seeds draw what goes wrong and when (`sim_run.py`); Hypothesis looks for a history of its own and makes it short. Both are
held against the reference model (`model.py`).
"""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from model import Fates, Loss, Model, Number
from sim_loop import VirtualLoop
from sim_run import FAMILIES, run
from sim_world import World, opened

from edge_agent.config import OutboxLimits
from edge_agent.outbox.salvage import open_store
from telemetry.records import Lane, Reading
from telemetry.wire import Ack

RUN = Path(__file__).with_name("sim_run.py")
SEEDS = 140


def by_command_line(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """As a person runs it, so that the seed of a failure can be run again by the same words."""
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.run([sys.executable, RUN, *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.timeout(600)
def test_no_seed_breaks_a_promise_and_every_fault_and_every_answer_to_one_happens() -> None:
    done = by_command_line("--seeds", str(SEEDS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "never happened: nothing" in done.stdout


def test_the_same_seeds_give_the_same_runs_to_the_byte() -> None:
    first, second = (by_command_line("--seeds", "4", "--from", "7", "--jobs", jobs, "--traces") for jobs in ("1", "2"))
    traces = [line for line in first.stdout.splitlines() if line.startswith("seed")]
    assert len(set(traces)) == 4
    assert traces == [line for line in second.stdout.splitlines() if line.startswith("seed")]


def test_where_nothing_goes_wrong_nothing_is_repeated_lost_or_late() -> None:
    verdict = run(1, without=FAMILIES)
    assert verdict.broken == ""
    assert verdict.promised > 100
    assert set(verdict.seen) <= {"parts"}
    assert verdict.virtual_s < 300


# Stories of their own, each once found by a seed.


def tell(story: Callable[[World], Awaitable[None]]) -> World:
    """Run a story from a first contact on to where nothing is owed any more."""

    async def whole(world: World) -> None:
        world.cloud.start()
        world.edge.start()
        await asyncio.sleep(1.0)
        await story(world)
        world.calm()
        await world.settle()
        world.judge()

    with opened("a story") as world:
        world.loop.run_until_complete(whole(world))
    return world


def test_many_alarms_that_waited_go_out_with_the_rest_and_not_with_the_next_connection() -> None:
    async def story(world: World) -> None:
        world.cut_line()
        for _ in range(60):
            world.alarm()
            await asyncio.sleep(1.0)
        world.heal_line()
        await asyncio.sleep(70.0)
        assert world.edge.outbox is not None
        assert world.edge.outbox.accounts[Lane.EVENTS].depth == 0

    tell(story)


def test_records_made_on_an_old_copy_of_the_disk_are_not_taken_for_those_that_had_their_numbers() -> None:
    async def story(world: World) -> None:
        world.hear(7)
        await asyncio.sleep(2.0)
        world.keep_image()
        world.hear(23)
        await asyncio.sleep(2.0)
        world.cut_line()
        world.roll_back(down_s=0.5)
        for count in (5, 9, 17):  # batches that end elsewhere, and more of them than there were
            await asyncio.sleep(2.0)
            world.hear(count)
        await asyncio.sleep(2.0)
        world.heal_line()

    seen = tell(story).seen
    assert (seen["lost to a copy"], seen["renewals"]) == (0, 1)


def test_two_machines_that_take_turns_with_one_outbox_both_keep_what_they_heard() -> None:
    async def story(world: World) -> None:
        world.hear(7)
        await asyncio.sleep(2.0)
        world.clone()
        for count in (5, 9, 17, 3, 11):
            await asyncio.sleep(1.5)
            world.hear(count)

    seen = tell(story).seen
    assert seen["taken over"] >= 1
    assert (seen["lost to a copy"], seen["renewals"] >= 1) == (0, True)


def reading(n: int, device: str = "cover-1") -> Reading:
    at_ns = 10**18 + n
    values = {"x": n}
    made = Reading(device="d", profile="p", profile_version=1, time_ns=at_ns, received_ns=at_ns, values=values)
    msgspec.structs.force_setattr(made, "device", device)  # whatever its length
    return made


def test_a_restored_cloud_that_says_more_than_was_heard_may_have_forgotten_what_is_beyond(tmp_path: Path) -> None:
    store = open_store(tmp_path, "gw-1", OutboxLimits(), 1)
    for start in (1, 11, 21):
        store.commit([reading(n) for n in range(start, start + 10)], (), {}, 1)
    store.ack(Ack(gateway="gw-1", epoch=store.epoch, lane=Lane.READINGS, cumulative=0, ranges=[(11, 30)]))
    store.rewind(Lane.READINGS, 20)
    assert store.first_unacked(Lane.READINGS) == 1
    assert store.lanes[Lane.READINGS].depth == 20
    store.close()


def test_readings_that_nobody_can_read_do_not_stop_a_full_outbox(tmp_path: Path) -> None:
    store = open_store(tmp_path, "gw-1", OutboxLimits(max_bytes=4_000), 1)
    for start in range(1, 400, 10):
        store.commit([reading(n, "x" * 70 if n % 7 == 0 else "cover-1") for n in range(start, start + 10)], (), {}, 1)
    account = store.lanes[Lane.READINGS]
    assert (account.lost > 0, account.bytes <= 4_000) == (True, True)
    store.close()


# The machinery itself.


def test_virtual_time_jumps_and_work_of_an_executor_keeps_its_order() -> None:
    loop = VirtualLoop(random.Random(1))  # noqa: S311 - a simulation
    done: list[int] = []

    async def work() -> float:
        await asyncio.gather(*(loop.run_in_executor(None, done.append, n) for n in range(3)))
        await asyncio.sleep(3600)
        return loop.time()

    assert loop.run_until_complete(work()) > 3600
    assert sorted(done) == [0, 1, 2]
    loop.close()


def test_what_would_hang_for_ever_is_an_error() -> None:
    loop = VirtualLoop(random.Random(1))  # noqa: S311 - a simulation
    with pytest.raises(RuntimeError, match="hang for ever"):
        loop.run_until_complete(loop.create_future())
    loop.close()


A, B = ("reading", "d", 1), ("reading", "d", 2)


@pytest.mark.parametrize(
    ("fates", "kept"),
    [
        pytest.param(Fates({A: 1}, set(), []), True, id="stored"),
        pytest.param(Fates({A: 7}, set(), []), False, id="stored as something else"),
        pytest.param(Fates({}, {Number("e", "readings", 5)}, []), True, id="in quarantine"),
        pytest.param(Fates({}, set(), [Loss("e", "readings", 4, 6, "outbox_full")]), True, id="declared lost"),
        pytest.param(Fates({}, set(), [Loss("e", "readings", 4, 6, "")]), False, id="lost without a reason"),
        pytest.param(Fates({}, set(), [Loss("e", "readings", 4, 6, "renumbered")]), False, id="moved, and then nowhere"),
        pytest.param(Fates({}, set(), [Loss("f", "readings", 4, 6, "corrupt")]), False, id="another epoch's loss"),
        pytest.param(Fates({B: 2}, set(), []), False, id="nothing at all"),
    ],
)
def test_the_model_knows_when_a_promise_is_kept(fates: Fates, kept: bool) -> None:
    model = Model()
    model.numbered(A, Number("e", "readings", 5))
    model.promise(A, 1)
    assert (model.broken(fates) == []) is kept


# A history of its own.


class Protocol(RuleBasedStateMachine):
    """Each rule is something that happens; in the end everything is repaired, and nothing may be owed."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.world: World = self.stack.enter_context(opened("protocol"))
        self._inside(self.world.cloud.start, self.world.edge.start)
        self.pass_time(1.0)

    def _inside(self, *deeds: Callable[[], object]) -> None:
        async def do() -> None:
            for deed in deeds:
                deed()

        self.world.loop.run_until_complete(do())

    @rule(count=st.integers(1, 30))
    def hear(self, count: int) -> None:
        self._inside(lambda: self.world.hear(count))

    @rule()
    def raise_or_return_an_alarm(self) -> None:
        self._inside(self.world.alarm)

    @rule()
    def hear_poison(self) -> None:
        self._inside(lambda: self.world.hear(1, poison=True))

    @rule()
    def hear_what_nobody_can_read(self) -> None:
        self._inside(self.world.hear_unreadable)

    @rule(seconds=st.sampled_from((0.05, 0.5, 3.0, 12.0, 60.0)))
    def pass_time(self, seconds: float) -> None:
        self.world.loop.run_until_complete(asyncio.sleep(seconds))
        self.world.check()

    @rule(silent=st.booleans())
    def break_the_line(self, silent: bool) -> None:
        self._inside(self.world.silence_line if silent else self.world.cut_line)

    @rule()
    def mend_the_line(self) -> None:
        self._inside(self.world.heal_line)

    @rule(share=st.sampled_from((0.0, 0.3)))
    def let_the_broker_forget(self, share: float) -> None:
        self.world.broker.forgets = share

    @rule()
    def wipe_the_broker(self) -> None:
        self._inside(self.world.wipe_broker)

    @rule()
    def kill_the_agent(self) -> None:
        self._inside(self.world.kill_agent)

    @rule(keep=st.sampled_from((0.0, 0.5, 0.9)))
    def cut_the_power(self, keep: float) -> None:
        self._inside(lambda: self.world.cut_power(keep=keep))

    @rule(operations=st.integers(1, 12))
    def cut_the_power_within(self, operations: int) -> None:
        self._inside(lambda: self.world.cut_power_within(operations))

    @rule()
    def copy_the_disk(self) -> None:
        self._inside(self.world.keep_image)

    @rule()
    def roll_the_disk_back(self) -> None:
        self._inside(self.world.roll_back)

    @rule()
    def clone_the_gateway(self) -> None:
        self._inside(self.world.clone)

    @rule(free=st.sampled_from((0, 3_000)))
    def fill_the_disk(self, free: int) -> None:
        self._inside(lambda: self.world.fill_disk(free))

    @rule()
    def free_the_disk(self) -> None:
        self._inside(self.world.free_disk)

    @rule()
    def refuse_to_sync(self) -> None:
        self._inside(self.world.fail_syncs)

    @rule(steps=st.integers(0, 40))
    def kill_the_cloud(self, steps: int) -> None:
        self._inside(lambda: self.world.kill_cloud(steps))

    @rule()
    def back_the_cloud_up(self) -> None:
        self._inside(self.world.cloud.save)

    @rule()
    def restore_the_cloud(self) -> None:
        self._inside(self.world.restore_cloud)

    @rule(away=st.booleans())
    def take_the_series_store_away(self, away: bool) -> None:
        self.world.cloud.series.away = away

    @rule(locked=st.booleans())
    def lock_the_database(self, locked: bool) -> None:
        self._inside(lambda: self.world.lock_database(locked))

    def teardown(self) -> None:
        with self.stack:
            self._inside(self.world.calm)
            self.world.loop.run_until_complete(self.world.settle())
            self.world.judge()


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(max_examples=40, stateful_step_count=25, derandomize=True)
