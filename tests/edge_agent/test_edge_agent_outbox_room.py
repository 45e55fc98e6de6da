"""Bytes are bounded: what goes first, what survives of old readings, and that every drop is declared."""

import math
from contextlib import closing
from pathlib import Path

import pytest
from edge_agent_parts import T0, reading, readings
from hypothesis import given
from hypothesis import strategies as st
from outbox_parts import EVENTS, READINGS, ack, assert_accounts, held, losses, numbers, open_, result

from edge_agent.outbox.file import OversizedError
from edge_agent.outbox.spans import count
from edge_agent.outbox.thin import WINDOW_NS, survivors
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Flaw, LossRecord, Quality, Reading, Value


def told(second: float, values: dict[str, Value], device: str = "d1", **flaws: Flaw) -> Reading:
    when = T0 - T0 % WINDOW_NS + round(second * SECOND_NS)
    return Reading(device=device, profile="p", profile_version=1, time_ns=when, received_ns=when, values=values, flaws=flaws)


def apart(n: int) -> Reading:
    """Readings of which each has a window of its own: none of them is dull."""
    return reading(400.0 * n, {"voltage_v": 220.0})


def test_of_a_window_the_extremes_of_each_metric_and_the_last_reading_survive() -> None:
    said = [told(n, {"a": math.sin(n), "b": float(-abs(n - 100)), "mode": "on"}) for n in range(300)]
    kept = survivors(said)
    assert len(kept) <= 5
    assert kept[-1] is said[-1]
    for metric in ("a", "b"):
        values = [each.values[metric] for each in said]
        assert {min(values), max(values)} <= {each.values[metric] for each in kept}  # type: ignore[type-var]


NUMBER = st.one_of(st.integers(-5, 5), st.floats(-5, 5), st.booleans(), st.none(), st.just(math.nan), st.text(max_size=2))
READING = st.builds(
    lambda second, a, b, device, flaw: told(second, {"a": a, "b": b}, device, **({"a": flaw} if flaw else {})),
    st.integers(0, 900),
    NUMBER,
    NUMBER,
    st.sampled_from(["d1", "d2"]),
    st.sampled_from([None, Flaw(Quality.BAD, Reason.OUT_OF_RANGE), Flaw(Quality.UNCERTAIN, Reason.LATE)]),
)


@given(st.lists(READING, min_size=1))
def test_thinning_loses_no_extreme_no_kind_of_flaw_and_no_last_word(said: list[Reading]) -> None:
    kept = survivors(said)
    assert [each for each in said if any(each is other for other in kept)] == kept
    for device in ("d1", "d2"):
        for window in range(4):
            whole, left = (
                [r for r in some if r.device == device and r.time_ns // WINDOW_NS == _first(said) + window]
                for some in (said, kept)
            )
            for name in ("a", "b"):
                assert _extremes(left, name) == _extremes(whole, name)
                assert {r.flaws.get(name) for r in left if name in r.flaws} == {
                    r.flaws.get(name) for r in whole if name in r.flaws
                }
            assert max((r.time_ns for r in left), default=0) == max((r.time_ns for r in whole), default=0)


def _first(said: list[Reading]) -> int:
    return min(each.time_ns for each in said) // WINDOW_NS


def _extremes(some: list[Reading], name: str) -> list[float]:
    values = [value for r in some if isinstance(value := r.values[name], int | float) and not math.isnan(value)]
    return [min(values), max(values)] if values else []


def test_old_readings_are_thinned_before_any_is_dropped_and_keep_their_own_times(tmp_path: Path) -> None:
    with closing(open_(tmp_path, 60_000)) as store:
        peak = 0
        for n in range(60):
            some = [reading((100 * n + k) / 100, {"voltage_v": 999.0 if 100 * n + k == 777 else 220.0}) for k in range(100)]
            store.commit(some, [], {}, T0 + n)
            peak = max(peak, sum(account.bytes for account in store.lanes.values()))
        assert peak <= 60_000
        declared = losses(store)
        assert {loss.reason for loss in declared} == {Reason.THINNED}
        assert numbers(declared)[0][0] == 1
        assert count(numbers(declared)) == store.lanes[READINGS].lost
        left = list(held(store, READINGS).values())
        assert reading(7.77, {"voltage_v": 999.0}) in left
        assert len(left) < 6000
        assert_accounts(store)


def test_what_was_thinned_is_not_thinned_again_and_at_last_the_oldest_go(tmp_path: Path) -> None:
    with closing(open_(tmp_path, 40_000)) as store:
        store.commit([], [result("precious")], {}, T0)
        for n in range(150):
            store.commit([apart(50 * n + k) for k in range(50)], [], {}, T0)
        declared = losses(store)
        assert {loss.reason for loss in declared} == {Reason.OUTBOX_FULL}
        assert numbers(declared) == ((1, store.lanes[READINGS].lost),)
        assert min(held(store, READINGS)) == store.lanes[READINGS].lost + 1
        assert min(loss.bytes for loss in declared) >= 40_000 // 16
        assert result("precious") in held(store, EVENTS).values()
        assert_accounts(store)


def test_what_is_only_kept_goes_before_anything_that_is_needed(tmp_path: Path) -> None:
    with closing(open_(tmp_path, 50_000, keep_bytes=50_000)) as store:
        store.commit(readings(800), [], {}, T0)
        ack(store, cumulative=800)
        assert store.lanes[READINGS].kept_bytes > 20_000
        for n in range(10):
            store.commit(readings(100, first=1000 + 100 * n), [], {}, T0)
        assert store.lanes[READINGS].lost == 0
        assert store.lanes[READINGS].depth == 1000
        assert sum(account.bytes + account.kept_bytes for account in store.lanes.values()) <= 50_000
        assert_accounts(store)


def test_no_more_is_kept_than_asked_for_and_the_oldest_goes_first(tmp_path: Path) -> None:
    with closing(open_(tmp_path, keep_bytes=2000)) as store:
        for n in range(50):
            store.commit(readings(10, first=10 * n), [], {}, T0)
            ack(store, cumulative=10 * n + 10)
            assert store.lanes[READINGS].kept_bytes <= 2000
        assert 400 < store.spans()[READINGS].first_kept < 500
        assert_accounts(store)


@pytest.mark.parametrize("storm", [READINGS, EVENTS], ids=["readings", "events"])
def test_a_storm_in_one_lane_does_not_push_the_other_below_its_share(tmp_path: Path, storm: str) -> None:
    with closing(open_(tmp_path, 320_000, events_max_bytes=80_000)) as store:
        quiet = EVENTS if storm == READINGS else READINGS

        def add(lane: str) -> None:
            first = store.lanes[READINGS].next_seq
            readings_ = [apart(first + n) for n in range(100)] if lane == READINGS else []
            store.commit(readings_, [result(f"{n}") for n in range(100)] if lane == EVENTS else [], {}, T0)

        while store.lanes[quiet].bytes < (60_000 if quiet is EVENTS else 200_000):
            add(quiet)
        for _ in range(200):
            add(storm)
        assert store.lanes[storm].lost > 5000
        assert store.lanes[quiet].lost == 0
        assert_accounts(store)


def test_events_may_use_what_readings_leave_and_say_again_what_their_dropped_ones_declared(tmp_path: Path) -> None:
    with closing(open_(tmp_path, 50_000, events_max_bytes=10_000)) as store:
        store.commit(readings(10), [], {}, T0)
        store._db.execute("UPDATE block SET payload = zeroblob(bytes) WHERE key > 1 << 61")
        assert held(store, READINGS) == {}
        for n in range(100):
            store.commit([], [result(f"{n}-{i}" + "x" * 40) for i in range(20)], {}, T0)
        assert store.lanes[EVENTS].bytes > 40_000
        assert store.lanes[EVENTS].lost > 100
        assert numbers(losses(store)) == ((1, 10),)
        assert numbers(losses(store, EVENTS)) == ((1, store.lanes[EVENTS].lost),)
        assert_accounts(store)


@pytest.mark.parametrize("many", [1, 3])
def test_a_record_that_no_block_can_hold_is_refused_before_anything_is_numbered(tmp_path: Path, many: int) -> None:
    huge = reading(0, {f"m{n}": "x" * 1024 for n in range(70)})
    with closing(open_(tmp_path)) as store:
        store.commit(readings(5), [], {}, T0)
        before = store.lanes
        with pytest.raises(OversizedError, match="want at most 65536") as refused:
            store.commit([*readings(many - 1), huge], [], {}, T0)
        assert refused.value.reason is Reason.OVERSIZED
        assert store.lanes == before
        store.commit(readings(1), [], {}, T0)
        assert_accounts(store)


def test_the_last_thousand_declared_losses_are_told_newest_first(tmp_path: Path) -> None:
    with closing(open_(tmp_path)) as store:
        one = LossRecord(
            lane=READINGS, epoch="e", seq_from=1, seq_to=1, bytes=0, time_from_ns=0, time_to_ns=1, reason=Reason.CORRUPT
        )
        for n in range(3):
            store.commit([], [one] * 400, {}, T0 + n)
        found = store.losses(2000)
        assert len(found) == 1000
        assert [found[0].at_ns, found[-1].at_ns] == [T0 + 2, T0]
        assert (found[0].seq, found[0].record) == (1200, one)
