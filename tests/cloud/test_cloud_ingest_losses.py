"""Statements of loss that follow one another: every record that is lost or moved has its row, whatever came before."""

import pytest
from cloud_bench import Bench
from cloud_records import T0

from cloud.relational.tables import losses
from telemetry.reason import Reason
from telemetry.records import Lane, LossRecord
from telemetry.wire import EventsBatch


def loss(low: int, high: int, reason: Reason, *, open_end: bool = False) -> LossRecord:
    return LossRecord(
        lane=Lane.READINGS,
        epoch="e0",
        seq_from=low,
        seq_to=high,
        bytes=0,
        time_from_ns=0,
        time_to_ns=T0,
        reason=reason,
        open_end=open_end,
    )


@pytest.mark.parametrize(
    "later",
    [
        pytest.param([loss(2, 5, Reason.RENUMBERED)], id="one that begins there"),
        pytest.param([loss(6, 9, Reason.CORRUPT), loss(2, 5, Reason.RENUMBERED)], id="one that closes up to another"),
    ],
)
async def test_an_open_end_hides_no_statement_that_begins_where_it_stands(bench: Bench, later: list[LossRecord]) -> None:
    first = [loss(1, 1, Reason.RENUMBERED), loss(1, 1, Reason.CORRUPT, open_end=True)]
    bench.say(EventsBatch(gateway="gw-1", epoch="e1", first_seq=1, events=[*first, *later]))
    await bench.acked(2 + len(later), Lane.EVENTS)
    rows = sorted((row["seq_from"], row["seq_to"], row["open_end"]) for row in await bench.rows(losses))
    held = [(low, high) for low, high, _ in rows if low <= high]
    assert held == sorted([(1, 1), *((each.seq_from, each.seq_to) for each in later)])
    assert [is_open for *_, is_open in rows].count(True) == 1
