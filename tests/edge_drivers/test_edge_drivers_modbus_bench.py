"""What the measurement of polling counts, and one small run of it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import modbus
from benchmarks.modbus_agents import OurGateway
from benchmarks.modbus_field import Told, missed

SECOND = 1_000_000_000


def told(device: int, *seconds: float) -> list[Told]:
    return [Told(device, number, round(at * SECOND)) for number, at in enumerate(seconds, 1)]


@pytest.mark.parametrize(
    ("times", "lost"),
    [
        pytest.param((0.2, 1.2, 2.2, 3.2, 4.2), 0, id="each in its time"),
        pytest.param((0.2, 1.6, 2.1, 3.2, 4.2), 0, id="one late, the next in time again"),
        pytest.param((0.2, 1.2, 3.2, 4.2), 1, id="one missing in the middle"),
        pytest.param((3.2, 4.2), 2, id="late to begin with"),
        pytest.param((), 4, id="never asked"),
    ],
)
def test_polls_that_were_due_and_did_not_come_are_missed(times: tuple[float, ...], lost: int) -> None:
    assert missed(told(1, *times), 1, 1.0, 0, 5 * SECOND) == lost


def test_a_time_is_its_own_polls_where_no_other_poll_is_nearer() -> None:
    polls = told(1, 1.0, 2.0, 3.0)
    said = {(1, 1): round(1.02 * SECOND), (1, 2): round(2.9 * SECOND), (1, 3): 3 * SECOND}
    errors_ms, own = modbus._times(polls, polls, said)
    assert errors_ms == pytest.approx([20, 900, 0])
    assert own == pytest.approx(66.67)


@pytest.mark.integration
async def test_in_a_small_run_every_reading_arrives_with_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, need_server: Callable[[str, str], str]
) -> None:
    need_server("mosquitto", "mosquitto")
    monkeypatch.setattr(modbus, "_WARM_S", 1.0)
    monkeypatch.setattr(modbus, "_SETTLE_S", 2.0)
    field = modbus._Field(ports=2, units=2, bus_units=2, period_s=0.5)
    async with asyncio.timeout(60):
        figures = await modbus._measure(OurGateway(tmp_path, 0.5), tmp_path, field, 3.0)
    assert figures.devices == 6
    assert figures.read >= 6 * 4
    assert figures.arrived == figures.read
    # A machine that is busy with other tests may cost a poll or two; nothing that was read is lost for that.
    assert figures.missed <= 3
    assert figures.own_times_pct >= 90.0
    assert figures.rss_mb > 10
