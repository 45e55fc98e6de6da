"""The comparison with a peer counts rightly: the devices' account, the rule for a kill, the tables."""

import asyncio
from pathlib import Path

import pytest

from benchmarks.peers.field import REGISTERS, Field
from benchmarks.peers.tables import as_markdown
from benchmarks.peers.world import Fault, Row, last_before

READ_TEN = bytes([3, 0, 0, 0, len(REGISTERS)])


async def ask(port: int, unit: int, pdu: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\0\1\0\0" + (len(pdu) + 1).to_bytes(2) + bytes([unit]) + pdu)
    head = await reader.readexactly(7)
    answer = await reader.readexactly(int.from_bytes(head[4:6]) - 1)
    writer.close()
    assert (head[:4], head[6]) == (b"\0\1\0\0", unit)
    return answer


async def test_each_read_of_a_unit_has_a_number_of_its_own_and_is_noted() -> None:
    field = Field(units=2)
    port = await field.start()
    answers = [await ask(port, unit, READ_TEN) for unit in (1, 2, 1)]
    assert [int.from_bytes(answer[2:4]) for answer in answers] == [1, 1, 2]
    assert [int.from_bytes(answers[0][at : at + 2]) for at in range(4, 22, 2)] == list(REGISTERS[1:])
    assert list(field.told) == [(1, 1), (2, 1), (1, 2)]
    assert await ask(port, 1, bytes([3, 0, 4, 0, 2])) == bytes([3, 4, 0, 10, 0, 11])  # without register 0: no reading
    assert (len(field.told), field.requests) == (3, 4)
    field.stop()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("unit", "pdu"), [(3, READ_TEN), (1, bytes([3, 0, 0, 0, 99])), (1, bytes([6, 0, 0, 0, 1]))], ids=["unit", "range", "function"]
)
async def test_what_a_unit_does_not_have_is_an_exception_and_no_reading(unit: int, pdu: bytes) -> None:
    field = Field(units=2)
    answer = await ask(await field.start(), unit, pdu)
    assert answer[0] & 0x80
    assert not field.told
    field.stop()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("survived", "gone", "counted"),
    [
        pytest.param([1, 2, 8], [8.5, 9, 9.9], 3, id="what came last was in the process"),
        pytest.param([1, 2, 9], [8.5, 9.5], 1, id="a hole before what survived is a loss"),
        pytest.param([1, 2], [3, 4, 6.9, 8, 9], 2, id="what had waited for longer is a loss"),
        pytest.param([1, 2, 9, 11], [12, 13], 0, id="what was read after the kill is a loss"),
        pytest.param([], [9], 1, id="nothing survived"),
    ],
)
def test_what_counts_as_in_the_process_at_a_kill(survived: list[float], gone: list[float], counted: int) -> None:
    offered = {(1, n): at for n, at in enumerate([*survived, *gone])}
    lost = {told: at for told, at in offered.items() if at in gone}
    assert last_before(10.0, offered, lost) == counted


def row(gateway: str, fault: Fault, missing: int, run: int = 1, under_way: int = 0) -> Row:
    return Row(
        gateway=gateway,
        fault=fault,
        run=run,
        offered=100,
        arrived=100 - missing - under_way,
        missing=missing,
        under_way=under_way,
        duplicates=2,
        requests_per_s=40,
        cpu_pct=9.5,
        rss_mb=54,
    )


def test_the_tables_show_every_run_and_what_was_in_the_process() -> None:
    rows = [
        row("a", Fault.STALL, 7),
        row("b", Fault.STALL, 0),
        row("a", Fault.STALL, 9, run=2),
        row("b", Fault.STALL, 0, run=2),
        row("a", Fault.KILL, 1, under_way=20),
    ]
    text = as_markdown(rows)
    assert "| silent stall, then reset | 7 / 9 | 0 / 0 |" in text
    assert "| kill -9 while connected | a | 100 | 79 | 1 (20) | 2 | 40 | 9.5 | 54 |" in text


def test_every_version_of_the_peer_is_pinned() -> None:
    lines = (Path(__file__).parents[2] / "benchmarks" / "peers" / "requirements.txt").read_text("utf-8").splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    assert all(line.count("==") == 1 for line in pinned)
    assert "pymodbus==3.9.2" in pinned
