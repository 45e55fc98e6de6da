"""Refused lines: kept once, numbered, bounded, whole after a power cut; and which of a write's lines a server meant."""

import json
import logging
from pathlib import Path

import pytest
from cloud_records import T0, S, batch, reading

from cloud.series.dead_letters import DeadLetters
from cloud.series.influx_http import parse_address
from cloud.series.influx_lines import lines
from cloud.series.influx_partial import blamed, field_types
from cloud.series.influx_store import InfluxStore
from telemetry.reason import Reason


def put(letters: DeadLetters, seq: int, line: str = "reading,device=a m=1i 1", gateway: str = "gw-1") -> None:
    letters.put(at_ns=T0 + seq, gateway=gateway, epoch="e1", seq=seq, reason=Reason.WRONG_TYPE, detail="because", line=line)


def test_letters_come_newest_first_page_by_page(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead-letters")
    assert letters.page().items == []
    for seq in range(1, 8):
        put(letters, seq, line=f'reading,device=井 m="a\nb{seq}" 1')
    first = letters.page(limit=3)
    assert ([letter.n for letter in first.items], first.next, first.written, first.forgotten) == ([7, 6, 5], 5, 7, 0)
    assert first.items[0].line == 'reading,device=井 m="a\nb7" 1'
    assert [letter.n for letter in letters.page(first.next, 3).items] == [4, 3, 2]
    last = letters.page(2, 3)
    assert ([letter.n for letter in last.items], last.next) == ([1], None)


def test_the_same_reading_is_one_letter_also_when_ingest_writes_it_again(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    for _ in range(3):
        put(letters, 1)
    put(letters, 1, gateway="gw-2")
    assert [letter.gateway for letter in letters.page().items] == ["gw-2", "gw-1"]


def test_numbers_go_on_after_a_restart_and_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    put(DeadLetters(tmp_path), 1)
    [file] = tmp_path.glob("*.jsonl")
    with file.open("ab") as torn:
        torn.write(b'{"n":2,"at_ns":17')
    assert [letter.n for letter in DeadLetters(tmp_path).page().items] == [1]
    put(DeadLetters(tmp_path), 2)
    assert [(letter.n, letter.seq) for letter in DeadLetters(tmp_path).page().items] == [(2, 2), (1, 1)]


def test_a_full_folder_forgets_the_oldest_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    letters = DeadLetters(tmp_path, most_bytes=8_000)
    with caplog.at_level(logging.WARNING, "cloud"):
        for seq in range(1, 101):
            put(letters, seq, line="x" * 200)
    page = letters.page(limit=1000)
    assert page.written == 100
    assert page.forgotten == 100 - len(page.items) > 0
    assert [letter.n for letter in page.items] == list(range(100, page.forgotten, -1))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 8_000 + 4 * 400
    assert "are forgotten" in caplog.text


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    letters = DeadLetters(tmp_path / "file" / "folder")
    for seq in range(3):
        put(letters, seq)
    assert letters.unwritten == 3
    assert caplog.text.count("dead letters cannot be written") == 1


def test_the_types_of_a_line_are_read_as_they_were_written() -> None:
    told = reading(values={"f": 1.0, "i": 2, "b": True, "s": 'a=1i,"x" \\', "a,b c=d": False, "n": None})
    [(_, line)] = lines(batch(told))
    assert field_types(line) == {
        "f": "float", "i": "integer", "b": "boolean", "s": "string", "a,b c=d": "boolean", "n.none": "string",
    }  # fmt: skip


def conflict(dropped: int) -> str:
    types = "is type string, already exists as type integer"
    words = f'partial write: field type conflict: input field "m" on measurement "reading" {types} dropped={dropped}'
    return json.dumps({"error": words})


MIXED = ["reading,device=a m=1i 1", 'reading,device=a m="x" 2', "reading,device=a m=2.5 3", 'reading,device=a m="y",n=1i 4']


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        pytest.param(conflict(2), {1, 3}, id="all of that type, and as many as were dropped"),
        pytest.param(conflict(3), set(), id="more were dropped than have that type: halving finds them"),
        pytest.param(f"partial write: unable to parse '{MIXED[2]}': why dropped=0", {2}, id="named by its text"),
        pytest.param('{"error":"partial write","data":[{"line_number":4,"error_message":"no"}]}', {3}, id="named by its number"),
        pytest.param('{"error":"x","data":[{"line_number":9},{"line_number":"1"},5]}', set(), id="numbers that are none of ours"),
        pytest.param("<html>no</html>", set(), id="an answer of somebody else"),
        pytest.param('["a list"]', set(), id="no object"),
    ],
)
def test_which_lines_an_answer_names(answer: str, meant: set[int]) -> None:
    assert set(blamed(answer, MIXED)) == meant


@pytest.mark.integration
async def test_a_real_server_refuses_many_of_a_large_write_in_two_goes(influx_url: str, tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    store = InfluxStore(parse_address(f"{influx_url}/letters"), letters=letters)
    await store.open()
    await store.write([batch(reading(values={"m": 1}))])
    writes = 0
    write = store._client.write

    async def counted(texts: list[str]) -> None:
        nonlocal writes
        writes += 1
        await write(texts)

    store._client.write = counted  # type: ignore[method-assign, assignment] # counts on the way
    odd = {i for i in range(1, 1001) if i % 7 == 0}
    mixed = [reading(at_ns=T0 + i * S, values={"m": "x" if i in odd else i}) for i in range(1, 1001)]
    refused = await store.write([batch(*mixed)])
    assert {row.seq for row in refused} == odd
    assert {letter.seq for letter in letters.page(limit=1000).items} == odd
    assert len((await store.range("cover-1", ["m"], 0, 2**62, 2000))["m"]) == 1001 - len(odd)
    assert writes == 2
    await store.close()
