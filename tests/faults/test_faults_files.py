"""Damaged, cut off, missing and old files under the outbox (F04, F18, F19, F21), and a rescue that is itself cut short.

Whatever is found: the outbox comes up by itself, every record is either as it was committed or declared lost, and what
was rebuilt once is not rebuilt again. `tests/faults/damage.py` flips every byte; here it is every so manieth.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from damage import LIMITS, Sample, comes_up, flip_each, flipped, judge, restore, sample, try_out
from disk_image import Disk, Recorder, SyncNames, chance_of
from outbox_story import GATEWAY, START_NS
from power_cut import workshop

from edge_agent.outbox.salvage import open_store

PAGE_BYTES = 4096
FLIPS = 300
"""Bytes flipped in each file of each sample."""


@pytest.fixture
def memory() -> Iterator[Path]:
    with workshop() as folder:
        yield folder


@pytest.fixture(scope="module", params=[True, False], ids=["closed in order", "cut off in the middle"])
def told(request: pytest.FixtureRequest) -> Sample:
    return sample(closed=request.param)


@pytest.fixture(scope="module")
def closed() -> Sample:
    return sample(closed=True)


async def test_an_outbox_that_nobody_touched_comes_up_whole(told: Sample, memory: Path) -> None:
    assert await try_out(memory, told, told.files) == []


@pytest.mark.parametrize("name", ["outbox.db", "outbox.db-wal", "outbox.epoch", "outbox.mark"])
async def test_f18_a_flipped_byte_is_noticed_or_harmless(told: Sample, name: str) -> None:
    if name not in told.files:
        pytest.skip(f"this outbox has no {name}")
    stride = max(1, len(told.files[name]) // FLIPS)
    start = random.randrange(stride)  # noqa: S311 - another share of the bytes each time; the message names the byte
    wrong = await flip_each(told, name, range(start, len(told.files[name]), stride))
    assert wrong == []


async def test_f18_a_block_that_claims_the_number_of_another_is_not_read_for_ever(closed: Sample) -> None:
    """The key of a row, from 3 to 1: the table then holds two rows of one key."""
    content = closed.files["outbox.db"]
    places = [at for at in range(len(content) - 2) if content[at] == 3 and content[at + 1] in {11, 12}]
    assert places, "a key before a record's header of as many bytes"
    wrong = [problem for at in places for problem in await flip_each(closed, "outbox.db", range(at, at + 1), by=2)]
    assert wrong == []


def _cut_off(files: Mapping[str, bytes], name: str, step: int) -> Iterator[dict[str, bytes]]:
    """A file that ends too early, and one whose tail was never written."""
    content = files[name]
    for end in range(0, len(content), step):
        yield {**files, name: content[:end]}
        yield {**files, name: content[:end] + bytes(len(content) - end)}


@pytest.mark.parametrize("name", ["outbox.db", "outbox.db-wal"])
@pytest.mark.parametrize("step", [PAGE_BYTES, PAGE_BYTES * 3 // 2 + 1], ids=["at each page", "anywhere"])
async def test_f19_a_file_that_was_cut_off_or_zeroed(told: Sample, name: str, step: int, memory: Path) -> None:
    if name not in told.files:
        pytest.skip(f"this outbox has no {name}")
    wrong = [problem for files in _cut_off(told.files, name, step) for problem in await try_out(memory, told, files)]
    assert wrong == []


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(("outbox.db-wal",), id="the log is missing"),
        pytest.param(("outbox.db",), id="the database is missing"),
        pytest.param(("outbox.db", "outbox.db-wal"), id="database and log are missing"),
        pytest.param(("outbox.db", "outbox.db-wal", "outbox.mark"), id="only the epoch's file is left"),
        pytest.param(("outbox.epoch",), id="the epoch's file is missing"),
        pytest.param(("outbox.mark",), id="the mark is missing"),
        pytest.param(("outbox.epoch", "outbox.mark"), id="only the database is left"),
    ],
)
async def test_f19_f21_missing_files(told: Sample, gone: tuple[str, ...], memory: Path) -> None:
    files = {name: data for name, data in told.files.items() if name not in gone}
    assert await try_out(memory, told, files) == []


@pytest.mark.parametrize("name", ["outbox.epoch", "outbox.mark", "outbox.reserve", "outbox.lock", "outbox.epoch.new"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 300, b"\xff\xfe\0 neither text nor anything else" * 20], ids=["empty", "zeros", "junk"]
)
async def test_f04_the_other_files_may_hold_anything(told: Sample, name: str, content: bytes, memory: Path) -> None:
    assert await try_out(memory, told, {**told.files, name: content}) == []


# A rescue that is cut short.

DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "the file's header": lambda content: bytes(100) + content[100:],
    "a page in the middle": lambda content: (
        content[: len(content) // 2] + bytes(PAGE_BYTES) + content[len(content) // 2 + PAGE_BYTES :]
    ),
    "a flipped byte of a fact": lambda content: flipped(content, content.index(b"outbox") + 20),
    "the second half": lambda content: content[: len(content) // 2],
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("power", [False, True], ids=["by a kill", "by a power cut"])
async def test_f19_a_rescue_may_be_cut_short_at_any_step(closed: Sample, damage: str, power: bool, memory: Path) -> None:
    live, found = memory / "live", memory / "found"
    live.mkdir()
    found.mkdir()
    restore(live, {**closed.files, "outbox.db": DAMAGES[damage](closed.files["outbox.db"])})
    recorder = Recorder(live)
    with recorder.recording("rescue"):
        open_store(live, GATEWAY, LIMITS, START_NS, vfs="rescue").close()
    disk, wrong, last = Disk(), list[str](), dict[str, bytes]()
    began = recorder.ops.index(SyncNames())
    for at, op in enumerate(recorder.ops):
        disk.play(op)
        if at < began:
            continue
        files = {name: bytes(content) for name, content in disk.after_cut(chance_of(at)).items()} if power else disk.untouched()
        if files and files != last:
            last = files
            restore(found, files)
            first = await comes_up(found)
            wrong += [f"after operation {at}, {op}: {problem}"[:400] for problem in judge(closed, first, await comes_up(found))]
    assert wrong == []
