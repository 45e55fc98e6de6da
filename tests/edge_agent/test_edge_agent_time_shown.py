"""What a person on the gateway is shown of its outbox and its clock, in both languages."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from citynerve.commands.edge import app
from citynerve.commands.edge_text import clock_lines, outbox_lines, size, span, when
from edge_agent.config import OutboxLimits
from edge_agent.desk import DeskCounts
from edge_agent.outbox.losses import LossNote
from edge_agent.outbox.salvage import open_store
from edge_agent.status import AgentStatus, LaneStatus, LossStatus, StatusSocket
from edge_agent.timekeeper import ClockStatus, Jump, Voucher
from edge_agent.uplink.uplink import UplinkCounts
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import ClockQuality, Lane, LossRecord, Reading

T = 1_780_000_000 * SECOND_NS
CONFIG = 'gateway = "gw1"\ndata_dir = "data"\nbroker = "mqtt://127.0.0.1:1"\n[outbox]\nmax_bytes = 100000000\n'
RECORD = LossRecord(
    lane=Lane.READINGS,
    epoch="e1",
    seq_from=11,
    seq_to=1010,
    bytes=5000,
    time_from_ns=T - 100 * SECOND_NS,
    time_to_ns=T,
    reason=Reason.OUTBOX_FULL,
)
LOSS = LossStatus.of(LossNote(seq=3, at_ns=T, record=RECORD))
CLOCK = ClockStatus(
    quality=ClockQuality.CLOUD,
    voucher=Voucher.CLOUD,
    boot_id="b",
    offset_ns=T,
    offset_known=True,
    machine_ahead_ns=-31_536_000 * SECOND_NS,
    cloud_ahead_ns=1_000_000,
    disputed=False,
    jumps=2,
    last_jump=Jump(at_ns=T, by_ns=-2 * SECOND_NS, vouched=False),
)


def lane(**changes: int) -> LaneStatus:
    counts = {"next_seq": 2001, "cumulative": 900, "acked": 900, "quarantined": 1, "lost": 1000, "backlog": 99, "bytes": 2048}
    return LaneStatus(**(counts | changes), kept_bytes=4096, oldest_ns=T - 3700 * SECOND_NS)


def agent(**changes: object) -> AgentStatus:
    fields: dict[str, object] = {
        "gateway": "gw1",
        "epoch": "e1",
        "now_ns": T,
        "uplink_connected": True,
        "uplink_error": "",
        "uplink": UplinkCounts(),
        "links": [],
        "devices": {"d1": T - 5 * SECOND_NS},
        "alarms": [],
        "lanes": {Lane.EVENTS: lane(), Lane.READINGS: lane()},
        "oldest_unacked_ns": T,
        "outbox_max_bytes": 100_000_000,
        "losses": [LOSS],
        "clock": CLOCK,
        "counts": DeskCounts(),
        "commit_failures": 0,
        "waited_for_room": 0,
        "refusals": [],
    }
    return AgentStatus(**(fields | changes))  # type: ignore[arg-type]


async def shown(folder: Path, status: AgentStatus, *command: str) -> str:
    """What a command prints while an agent with this status runs."""
    (folder / "edge.toml").write_text(CONFIG)
    (folder / "data").mkdir()
    socket = asyncio.create_task(StatusSocket(folder / "data", lambda: status, cast("Any", None)).run())
    try:
        while not (folder / "data" / "agent.sock").exists():  # noqa: ASYNC110 - a test looks from outside
            await asyncio.sleep(0.01)
        answer = await asyncio.to_thread(CliRunner().invoke, app, [*command, str(folder / "edge.toml")])
    finally:
        socket.cancel()
        await asyncio.gather(socket, return_exceptions=True)
    assert answer.exit_code == 0, answer.output
    return answer.output


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        pytest.param(
            "en",
            [
                "4.0 KiB of 95.4 MiB (0.0%) wait for the cloud, 8.0 KiB are acknowledged and kept",
                "900 acknowledged + 1 quarantined + 1,000 declared lost + 99 waiting = 2,000; the next is 2,001: every record",
                "1 h 1 min ago",
                "readings 11 to 1,010: outbox_full",
            ],
            id="in English",
        ),
        pytest.param(
            "zh",
            ["已确认 900 + 已隔离 1 + 声明丢失 1,000 + 待确认 99 = 2,000", "每条记录都有去处", "outbox_full"],
            id="in Chinese",
        ),
    ],
)
async def test_the_outbox_of_a_running_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lang: str, words: list[str]
) -> None:
    monkeypatch.setenv("CITYNERVE_LANG", lang)
    output = await shown(tmp_path, agent(), "outbox")
    for word in words:
        assert word in output


async def test_the_outbox_of_a_running_agent_as_json(tmp_path: Path) -> None:
    answer = json.loads(await shown(tmp_path, agent(), "outbox", "--json"))
    assert (answer["epoch"], answer["max_bytes"], answer["now_ns"]) == ("e1", 100_000_000, T)
    assert answer["lanes"]["readings"]["acked"] == 900
    assert answer["lanes"]["readings"]["oldest_ns"] == T - 3700 * SECOND_NS
    (loss,) = answer["losses"]
    assert (loss["lane"], loss["seq_from"], loss["seq_to"], loss["reason"]) == ("readings", 11, 1010, "outbox_full")


def test_the_outbox_that_no_agent_has_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYNERVE_LANG", "en")
    (tmp_path / "edge.toml").write_text(CONFIG)
    store = open_store(tmp_path / "data", "gw1", OutboxLimits(reserve_bytes=0), T)
    values = {"level": 1.0}
    reading = Reading(device="d1", profile="probe", profile_version=1, time_ns=T, received_ns=T, values=values)
    store.commit([reading] * 3, [], {}, T)
    epoch = store.epoch
    store.close()
    output = CliRunner().invoke(app, ["outbox", str(tmp_path / "edge.toml")]).output
    assert f"epoch {epoch}" in output
    assert "0 acknowledged + 0 quarantined + 0 declared lost + 3 waiting = 3; the next is 4: every record" in output
    assert f"oldest: {when(T)}" in output
    answer = json.loads(CliRunner().invoke(app, ["outbox", "--json", str(tmp_path / "edge.toml")]).output)
    assert [answer["lanes"][name]["oldest_ns"] for name in Lane] == [None, T]


def test_an_account_that_does_not_add_up_is_said_to_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYNERVE_LANG", "en")
    lines = list(outbox_lines({Lane.EVENTS: lane(backlog=98)}, [], epoch="e1", max_bytes=1000, now_ns=T))
    assert any("THE ACCOUNT IS WRONG" in line for line in lines)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_state_of_the_clock_has_words(monkeypatch: pytest.MonkeyPatch, lang: str) -> None:
    monkeypatch.setenv("CITYNERVE_LANG", lang)
    from msgspec.structs import replace

    seen = set()
    for quality in ClockQuality:
        for voucher in Voucher:
            for disputed in (True, False):
                seen.add("\n".join(clock_lines(replace(CLOCK, quality=quality, voucher=voucher, disputed=disputed))))
    assert len(seen) == len(ClockQuality) * len(Voucher) * 2
    assert "?" in "\n".join(clock_lines(replace(CLOCK, cloud_ahead_ns=None, last_jump=None)))


async def test_the_status_says_who_vouches_for_the_clock_and_when_it_jumped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CITYNERVE_LANG", "en")
    output = await shown(tmp_path, agent(), "status")
    assert "clock   corrected by the cloud's, the cloud vouches for it; the true time of this boot is known" in output
    assert "ahead by -31536000.000 s, the cloud's by +0.001 s" in output
    assert "jumped 2 times" in output
    assert "by -2.000 s: nobody vouched for it" in output


@pytest.mark.parametrize(
    ("show", "value", "expected"),
    [
        pytest.param(size, 0, "0 B", id="nothing"),
        pytest.param(size, 1023, "1023 B", id="bytes"),
        pytest.param(size, 1536, "1.5 KiB", id="kibibytes"),
        pytest.param(size, 5 * 1024**4, "5120.0 GiB", id="more than there is a unit for"),
        pytest.param(span, 0, "0 s", id="no time"),
        pytest.param(span, 61 * SECOND_NS, "1 min 1 s", id="a minute"),
        pytest.param(span, 90_061 * SECOND_NS, "1 d 1 h", id="a day"),
        pytest.param(span, -5 * SECOND_NS, "-5 s", id="a time that is still to come"),
    ],
)
def test_numbers_people_can_read(show: Callable[[int], str], value: int, expected: str) -> None:
    assert show(value) == expected


def test_a_time_has_its_zone() -> None:
    assert when(T)[-6] in "+-"
