"""The uplink over a narrow road in virtual time: what goes first, what goes again, and what never waits."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from edge_agent_parts import T0, CloudBooks, readings
from edge_agent_road import HEADERS, Road, Station, running, station, virtually, when

from edge_agent.outbox.outbox import Outbox
from edge_agent.uplink.compression import decompress
from edge_agent.uplink.share import Source
from telemetry.records import CommandResult, Lane, Outcome, Reading
from telemetry.topics import Channel
from telemetry.wire import decode_events

KBIT = 1000.0

Scene = Callable[[Station], Awaitable[None]]


def play(folder: Path, road: Road, scene: Scene, **settings: object) -> None:
    """One scene with a station whose uplink does not run yet."""

    async def run() -> None:
        async with station(folder, road, **settings) as there:
            await scene(there)

    virtually(run())


def result(name: str) -> CommandResult:
    return CommandResult(id=name, device="d1", outcome=Outcome.DONE, time_ns=T0)


def noisy(count: int, seed: int = 3) -> list[Reading]:
    """Readings that do not compress to nothing."""
    chance = random.Random(seed)  # noqa: S311 - chance that can be repeated
    return [
        Reading(
            device=f"d{chance.randrange(200)}",
            profile="probe",
            profile_version=3,
            time_ns=T0 + chance.randrange(10**15),
            received_ns=T0 + chance.randrange(10**15),
            values={"level": chance.random() * 500, "speed_kmh": chance.random(), "count": chance.randrange(10**9)},
        )
        for _ in range(count)
    ]


async def fill(outbox: Outbox, count: int, each: int = 2000) -> None:
    for start in range(0, count, each):
        await outbox.commit(noisy(min(each, count - start), seed=start))


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


# What never waits.


@pytest.mark.parametrize(
    ("bits_s", "rate_bits_s"),
    [
        pytest.param(64 * KBIT, 64_000, id="64 kbit/s, and the agent knows it"),
        pytest.param(64 * KBIT, 0, id="64 kbit/s, and the agent has to find out"),
        pytest.param(64 * KBIT, 1_000_000, id="64 kbit/s, and the agent believes in more"),
        pytest.param(32 * KBIT, 0, id="32 kbit/s"),
        pytest.param(2000 * KBIT, 0, id="2 Mbit/s"),
    ],
)
def test_alarms_do_not_wait_behind_a_backlog(tmp_path: Path, bits_s: float, rate_bits_s: int) -> None:
    """A long history, an alarm every few seconds: 99 of 100 are there within 10 seconds, as is the slowest."""
    road = Road(CloudBooks(), bits_s=bits_s, way_s=0.1)
    raised: dict[str, float] = {}
    waited: list[float] = []

    def note(what: Channel, payload: bytes) -> None:
        if what is Channel.EVENTS:
            now = asyncio.get_running_loop().time()
            waited.extend(now - raised[event.id] for event in decode_events(payload, decompress).events if event.id in raised)

    async def scene(there: Station) -> None:
        road.seen = note
        await fill(there.outbox, 20_000)
        chance = random.Random(5)  # noqa: S311 - chance that can be repeated
        loop = asyncio.get_running_loop()
        async with running(there):
            for n in range(60):
                await asyncio.sleep(chance.uniform(0.2, 3))
                raised[str(n)] = loop.time()
                await there.outbox.commit([], [result(str(n))])
            await when(lambda: len(waited) >= 60)
            if bits_s < 100 * KBIT:
                assert there.outbox.accounts[Lane.READINGS].depth > 1000, "there was no backlog to wait behind"

    play(tmp_path, road, scene, rate_bits_s=rate_bits_s)
    assert percentile(waited, 0.99) <= 10
    assert max(waited) <= 10


def test_a_narrow_link_is_used_up_to_its_width(tmp_path: Path) -> None:
    """Being careful with alarms must not cost much of the link."""
    road = Road(CloudBooks(), bits_s=64 * KBIT, way_s=0.1)

    async def scene(there: Station) -> None:
        await fill(there.outbox, 20_000)
        async with running(there):
            await asyncio.sleep(100)
            used = sum(size + HEADERS for _, _, size in road.arrivals)
            assert used * 8 >= 0.95 * 100 * road.bits_s

    play(tmp_path, road, scene)


def test_new_readings_keep_their_share_while_history_drains(tmp_path: Path) -> None:
    """More comes in than the link carries: history gets its two fifths of it, and the present its three."""
    road = Road(CloudBooks(), bits_s=64 * KBIT, way_s=0.1)

    async def scene(there: Station) -> None:
        await fill(there.outbox, 20_000)
        async with running(there):
            for n in range(60):
                await there.outbox.commit(noisy(500, seed=1000 + n))
                await asyncio.sleep(1)
            sent = there.uplink.counts.bytes_of
            assert 0.5 <= sent[Source.LIVE] / (sent[Source.LIVE] + sent[Source.HISTORY]) <= 0.65

    play(tmp_path, road, scene)


def test_the_present_is_there_within_seconds_of_the_welcome(tmp_path: Path) -> None:
    """The snapshot is committed after the welcome, lies above history and is not kept waiting by it."""
    road = Road(CloudBooks(), bits_s=64 * KBIT, way_s=0.1)

    async def scene(there: Station) -> None:
        async def snapshot() -> int:
            there.snapshots.append(asyncio.get_running_loop().time())
            await there.outbox.commit(readings(200))
            return 200

        there.uplink._snapshot = snapshot
        await fill(there.outbox, 20_000)
        async with running(there):
            await when(lambda: there.uplink.counts.snapshots == 1, 5)
            await when(lambda: there.road.cloud.done(Lane.READINGS, there.outbox.epoch).covers(20_001, 20_200), 10)
            assert there.outbox.accounts[Lane.READINGS].depth > 10_000
            road.cut()
            await when(lambda: there.uplink.counts.connections == 2)
            await asyncio.sleep(60)
            assert len(there.snapshots) == 1, "not again within ten minutes"

    play(tmp_path, road, scene)


def test_a_small_backlog_needs_no_snapshot_and_keeps_its_order(tmp_path: Path) -> None:
    road = Road(CloudBooks())

    async def scene(there: Station) -> None:
        await fill(there.outbox, 900, each=100)
        async with running(there):
            await there.drained(10)
        assert there.snapshots == []
        firsts = [first for lane, first, _ in road.cloud.arrivals if lane is Lane.READINGS]
        assert firsts == sorted(firsts)

    play(tmp_path, road, scene)


def test_after_a_long_outage_history_waits_by_chance_and_the_rest_does_not(tmp_path: Path) -> None:
    road = Road(CloudBooks())

    async def scene(there: Station) -> None:
        async with running(there):
            await when(lambda: there.uplink.connected)
            road.is_up = False
            road.cut()
            await fill(there.outbox, 3000)
            await asyncio.sleep(400)
            road.is_up = True
            await when(lambda: there.uplink.connected)
            await there.outbox.commit(readings(10), [result("now")])
            began = asyncio.get_running_loop().time()
            epoch = there.outbox.epoch
            await when(lambda: road.cloud.cumulative(Lane.EVENTS, epoch) == 1, 3)
            await when(lambda: road.cloud.done(Lane.READINGS, epoch).covers(3001, 3010), 3)
            assert road.cloud.cumulative(Lane.READINGS, epoch) == 0
            await there.drained(310)
            assert 5 < asyncio.get_running_loop().time() - began < 305

    play(tmp_path, road, scene, history_jitter_s=300.0)


# What goes again.


def test_everything_goes_once_over_a_sound_road(tmp_path: Path) -> None:
    road = Road(CloudBooks(), bits_s=500 * KBIT)

    async def scene(there: Station) -> None:
        await fill(there.outbox, 5000)
        await there.outbox.commit([], [result(str(n)) for n in range(20)])
        async with running(there):
            await there.drained()
        assert there.uplink.counts.retransmissions == 0

    play(tmp_path, road, scene)
    times = Counter((lane, seq) for lane, first, last in road.cloud.arrivals for seq in range(first, last + 1))
    assert set(times.values()) == {1}


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_lost_on_the_way_all_is_settled_once_the_road_is_sound(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - chance that can be repeated
    road = Road(CloudBooks(credit=chance.choice([700, 5000])), bits_s=chance.choice([64, 500, 10_000]) * KBIT, seed=seed)
    road.lose_up, road.lose_acks = chance.uniform(0, 0.4), chance.uniform(0, 0.5)
    road.shuffle_s = chance.choice([0, 3])

    async def scene(there: Station) -> None:
        async with running(there):
            for n in range(40):
                await there.outbox.commit(noisy(chance.randrange(1, 400), seed=n), [result(f"{n}")])
                if chance.random() < 0.1:
                    road.cut()
                await asyncio.sleep(chance.uniform(0, 5))
            road.lose_up = road.lose_acks = road.shuffle_s = 0.0
            await there.drained(300)
        account = there.outbox.accounts[Lane.READINGS]
        assert account.acked == account.next_seq - 1
        assert road.cloud.cumulative(Lane.READINGS, there.outbox.epoch) == account.acked
        assert road.cloud.cumulative(Lane.EVENTS, there.outbox.epoch) == 40

    play(tmp_path, road, scene)


def test_one_lost_batch_goes_again_alone_while_new_ones_keep_coming(tmp_path: Path) -> None:
    """Progress elsewhere must not hide that a batch never arrived."""
    road = Road(CloudBooks())

    async def scene(there: Station) -> None:
        async with running(there):
            await when(lambda: there.uplink.counts.acks >= 2)
            for n in range(60):
                road.lose_up = 1.0 if n == 5 else 0.0
                await there.outbox.commit(readings(10))
                await asyncio.sleep(1)
            await when(there.empty, 5)
            assert there.uplink.counts.retransmissions == 1

    play(tmp_path, road, scene)
    assert len([1 for lane, _, _ in road.cloud.arrivals if lane is Lane.READINGS]) == 60


def test_a_silent_road_is_given_up_within_half_a_minute(tmp_path: Path) -> None:
    road = Road(CloudBooks())

    async def scene(there: Station) -> None:
        async with running(there):
            await when(lambda: there.uplink.counts.acks >= 2)
            road.silent = True
            began = asyncio.get_running_loop().time()
            await there.outbox.commit(readings(10))
            await when(lambda: not there.uplink.connected, 30)
            assert asyncio.get_running_loop().time() - began < 25
            assert "acknowledged nothing" in there.uplink.last_error
            road.silent = False
            await there.drained(30)

    play(tmp_path, road, scene)


def test_an_idle_road_stays_up_and_books_are_compared_every_ten_minutes(tmp_path: Path) -> None:
    road = Road(CloudBooks())

    async def scene(there: Station) -> None:
        async with running(there):
            await asyncio.sleep(3590)
            assert there.uplink.counts.connections == 1
            assert len(road.cloud.hellos) == 6

    play(tmp_path, road, scene)


# What the cloud cannot take, or has no more.


def test_one_poisoned_reading_of_five_hundred_is_found_by_halves(tmp_path: Path) -> None:
    cloud = CloudBooks()
    cloud.poison = {777}
    road = Road(cloud)

    async def scene(there: Station) -> None:
        for n in range(4):
            await there.outbox.commit(readings(500, first=500 * n))
        async with running(there):
            await there.drained(60)
        account = there.outbox.accounts[Lane.READINGS]
        assert (account.acked, account.quarantined, account.lost) == (1999, 1, 0)
        assert there.uplink.counts.refused_batches == 9  # 500 halved until one is left: the logarithm, rounded up
        assert there.uplink.counts.retransmissions == 0
        assert not there.uplink._windows[Lane.READINGS]._cuts

    play(tmp_path, road, scene)
    assert cloud.quarantines == {777}
    assert len(cloud.readings) == 1999
    assert len(cloud.arrivals) == 4 + 18


@pytest.mark.parametrize("reconnects", [False, True], ids=["while the connection lasts", "before the next connection"])
def test_a_cloud_restored_from_an_old_copy_gets_again_what_is_kept(tmp_path: Path, reconnects: bool) -> None:
    """Only the answer to a hello may take back; a late word of the cloud that is no more changes nothing."""
    road = Road(CloudBooks())

    async def scene(there: Station) -> None:
        epoch, window = there.outbox.epoch, there.uplink._windows[Lane.READINGS]
        async with running(there):
            for n in range(5):
                await there.outbox.commit(readings(100, first=100 * n))
            await there.drained(30)
            old = road.cloud._ack("gw1", epoch, Lane.READINGS)
            road.cloud.forget(Lane.READINGS, epoch, above=200)
            if reconnects:
                road.cut()
            await there.outbox.commit(readings(5))
            await when(lambda: there.uplink.counts.rewinds == 1, 60)
            road.answer(old)
            await when(lambda: road.cloud.cumulative(Lane.READINGS, epoch) == 505, 60)
            await there.drained(30)
            assert window.cumulative == 505
        assert there.outbox.accounts[Lane.READINGS].acked == 505
        assert there.uplink.counts.rewinds == 1

    play(tmp_path, road, scene)


def test_a_cloud_that_forgot_only_what_lay_above_its_watermark_gets_that_again(tmp_path: Path) -> None:
    road = Road(CloudBooks(), bits_s=64 * KBIT)

    async def scene(there: Station) -> None:
        epoch = there.outbox.epoch
        await fill(there.outbox, 3000)
        async with running(there):
            await when(lambda: there.uplink.counts.acks >= 2)
            await there.outbox.commit(readings(100))
            await when(lambda: road.cloud.done(Lane.READINGS, epoch).covers(3001, 3100), 20)
            await asyncio.sleep(1)
            road.cloud.forget(Lane.READINGS, epoch, above=road.cloud.cumulative(Lane.READINGS, epoch))
            road.cut()
            await there.drained(300)
        assert there.uplink.counts.rewinds == 1
        assert road.cloud.cumulative(Lane.READINGS, epoch) == 3100

    play(tmp_path, road, scene)


def test_an_answer_that_comes_twice_takes_nothing_back(tmp_path: Path) -> None:
    """Also while the cloud's next word would be believed whatever its clock says."""
    road = Road(CloudBooks())

    async def scene(there: Station) -> None:
        async with running(there):
            await when(lambda: there.uplink.counts.acks >= 2)
            answer = road.cloud._ack("gw1", there.outbox.epoch, Lane.READINGS, answers=road.cloud.hellos[0].sent_ns)
            await there.outbox.commit(readings(500))
            await there.drained(30)
            road.lose_acks = 1.0
            await there.outbox.commit(readings(5))
            await when(lambda: len(road.cloud.hellos) == 2, 30)
            road.lose_acks = 0.0
            road.answer(answer)
            await there.drained(30)
            assert there.uplink.counts.rewinds == 0

    play(tmp_path, road, scene)


def test_a_fenced_epoch_is_given_up_and_not_more_than_once_a_minute(tmp_path: Path) -> None:
    road = Road(CloudBooks())

    async def scene(there: Station) -> None:
        epochs = [there.outbox.epoch]
        road.cloud.fenced.add(epochs[0])
        await there.outbox.commit(readings(50))
        async with running(there):
            await when(lambda: there.outbox.epoch != epochs[0], 10)
            await there.drained(30)
            for _ in range(3):
                epochs.append(there.outbox.epoch)
                road.cloud.fenced.add(epochs[-1])
                began = asyncio.get_running_loop().time()
                await there.outbox.commit(readings(1))
                await when(lambda: there.outbox.epoch != epochs[-1], 90)
                await there.drained(30)
            assert asyncio.get_running_loop().time() - began > 50
        assert there.uplink.counts.renewals == 4

    play(tmp_path, road, scene)


def test_nothing_leaves_before_the_clouds_time_was_heard(tmp_path: Path) -> None:
    road = Road(CloudBooks(), way_s=0.5)

    async def scene(there: Station) -> None:
        async def think(server_ns: int, rtt_ns: int) -> None:
            await there.note_time(server_ns, rtt_ns)
            await asyncio.sleep(2)

        there.uplink._on_cloud_time = think
        await there.outbox.commit(readings(5), [result("a")])
        async with running(there):
            await there.drained(30)
        (heard_s, server_ns, rtt_ns), *more = there.cloud_times
        assert not more
        assert T0 < server_ns < T0 + 10
        assert abs(rtt_ns - 1_000_000_000) < 50_000_000
        assert min(at for at, what, _ in road.arrivals if what in {Channel.EVENTS, Channel.READINGS}) > heard_s + 2

    play(tmp_path, road, scene)


# What else a gateway meets.


def test_a_link_that_is_up_for_seven_seconds_and_down_for_seven_still_drains_the_backlog(tmp_path: Path) -> None:
    road = Road(CloudBooks(), bits_s=64 * KBIT, way_s=0.1)

    async def scene(there: Station) -> None:
        await fill(there.outbox, 4000)

        async def flap() -> None:
            while True:
                await asyncio.sleep(7)
                road.is_up = False
                road.cut()
                await asyncio.sleep(7)
                road.is_up = True

        async with asyncio.TaskGroup() as tasks, running(there):
            flapping = tasks.create_task(flap())
            await there.drained(600)
            flapping.cancel()

    play(tmp_path, road, scene)


def test_another_client_of_the_same_name_is_not_fought_over_without_end(tmp_path: Path) -> None:
    """A broker ends the older of two connections of one name: both must become slower at taking it back."""
    road = Road(CloudBooks())

    async def scene(there: Station) -> None:
        async with running(there):
            for _ in range(600):
                if there.uplink.connected:
                    road.cut()
                await asyncio.sleep(1)
        assert 10 < there.uplink.counts.connections < 60

    play(tmp_path, road, scene)


def test_a_first_connection_with_a_long_backlog_waits_by_chance_like_the_others(tmp_path: Path) -> None:
    road = Road(CloudBooks())

    async def scene(there: Station) -> None:
        await fill(there.outbox, 6000)
        async with running(there):
            await when(lambda: there.uplink.counts.acks >= 2)
            await asyncio.sleep(3)
            assert road.cloud.arrivals == []
            road.cut()  # neither does another connection help
            await asyncio.sleep(3)
            assert road.cloud.arrivals == []
            await there.drained(310)

    play(tmp_path, road, scene, history_jitter_s=300.0)


def test_an_end_takes_a_second_at_most_whatever_the_road_does(tmp_path: Path) -> None:
    road = Road(CloudBooks())

    async def scene(there: Station) -> None:
        async with running(there):
            await when(lambda: there.uplink.counts.acks >= 2)
            road.silent = True
            await there.outbox.commit(readings(10))
            await asyncio.sleep(1)
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began <= 1

    play(tmp_path, road, scene)


def test_the_same_chance_gives_the_same_run(tmp_path: Path) -> None:
    def run(folder: Path) -> list[tuple[float, Channel, int]]:
        road = Road(CloudBooks(), bits_s=200 * KBIT, seed=11)
        road.lose_up = road.lose_acks = 0.2
        road.shuffle_s = 1.0

        async def scene(there: Station) -> None:
            await fill(there.outbox, 3000)
            async with running(there):
                for n in range(20):
                    await there.outbox.commit(noisy(50, seed=n), [result(str(n))])
                    await asyncio.sleep(1)
                    if n == 10:
                        road.cut()
                await there.drained()

        play(folder, road, scene)
        return [(at, what, 0 if what is Channel.HELLO else size) for at, what, size in road.arrivals]

    first, second = run(tmp_path / "a"), run(tmp_path / "b")
    assert [what for _, what, _ in first] == [what for _, what, _ in second]
    assert [at for at, _, _ in first] == pytest.approx([at for at, _, _ in second], abs=0.05)
