"""The outbox when system calls are killed, refused, delayed, or lie: by strace, at exact calls on its own files."""

import asyncio
import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest
import tracing
from kills import Campaign
from kills_town import GATEWAY, SOME, caught_up, heard, town
from outbox_story import Ledger, Problem, look
from syscalls_story import notes_of, reopened
from tracing import WRITING, Call, Traced, traced

from edge_agent.outbox.salvage import DAMAGE, renew_store
from edge_agent.status import ask

STORY = str(Path(__file__).with_name("syscalls_story.py"))

Point = tuple[str, int]
"""The name of a call, and the how manieth of that name."""

pytestmark = [pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def _strace() -> None:
    if reason := tracing.may_trace():
        pytest.skip(reason)


class Bench:
    """Stories, told again and again in the same folder, so that their calls are the same each time."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self._folder = folder
        self._notes = folder / "notes"
        self._paths: list[Path] = []

    def learn(self, how: str, calls: Sequence[str] = WRITING) -> list[Call]:
        """Tell a story undisturbed: which calls it makes on which files of the outbox."""
        told = self._run(how, [], [], calls)
        assert told.status == 0, told.stderr
        names = {Path(part) for call in told.calls for part in _names(call.arguments, self.data)}
        self._paths = sorted({*self._paths, *names, self.data})
        return [call for call in told.calls if any(_names(call.arguments, self.data))]

    def tell(self, how: str, *inject: str, anew: bool = True) -> Traced:
        """Tell it with faults; `anew` in an empty folder."""
        if anew:
            self.empty()
        return self._run(how, self._paths, list(inject), WRITING)

    def empty(self) -> None:
        """Nothing was ever told."""
        for path in self.data.glob("*"):
            path.unlink()
        self._notes.unlink(missing_ok=True)

    def keep(self) -> None:
        """Put what is there aside, as it is, for `put_back`."""
        for name in ("data", "notes"):
            subprocess.run(["cp", "-r", str(self._folder / name), str(self._folder / f"{name}.kept")], check=True)

    def put_back(self) -> None:
        """As it was when `keep` was called."""
        self.empty()
        for path in (self._folder / "data.kept").iterdir():
            shutil.copy(path, self.data)
        shutil.copy(self._folder / "notes.kept", self._notes)

    def _run(self, how: str, paths: list[Path], inject: list[str], calls: Sequence[str]) -> Traced:
        log = self._folder / "calls"
        return traced([STORY, how, str(self.data), str(self._notes)], paths, log, inject=inject, calls=calls)

    def judged(self) -> list[Problem]:
        """What a sceptic says of the outbox that the next agent finds."""
        ledger = Ledger()
        for note in notes_of(self._notes):
            ledger.hear(note)
        store = reopened(self.data)
        try:
            try:
                return ledger.judge(look(store))
            except DAMAGE:
                # Found only when it is looked for, and mended then, as the agent does.
                store = renew_store(store, 0)
                return ledger.judge(look(store))
        finally:
            store.close()


def _names(arguments: str, data: Path) -> Iterator[str]:
    for quote in ('"', "<", ">"):
        for part in arguments.split(quote):
            name = part.partition(">")[0].removesuffix(" (deleted)")
            if name.startswith(f"{data}/"):
                yield name


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def every(points: Sequence[Point], request: pytest.FixtureRequest, sample: int) -> Sequence[Point]:
    """All of the points where that was asked for, otherwise a sample from one end to the other."""
    if request.config.getoption("--every-call", default=False):
        return points
    return points[:: max(1, len(points) // sample)]


def points_of(calls: Sequence[Call], *names: str) -> list[Point]:
    """Each call of these names, as (name, number)."""
    counted = tracing.count(calls)
    return [(name, number) for name in sorted(names or counted) for number in range(1, counted[name] + 1)]


def test_killed_at_any_call_that_writes_the_outbox_keeps_what_was_told(bench: Bench, request: pytest.FixtureRequest) -> None:
    calls = bench.learn("store")
    points = points_of(calls)
    assert {"pwrite64", "fdatasync"} <= {name for name, _ in points}
    for name, number in every(points, request, 20):
        told = bench.tell("store", f"{name}:signal=SIGKILL:when={number}")
        assert told.killed, f"{name} {number}: {told.stderr}"
        assert not bench.judged(), f"killed at {name} {number}"


def test_killed_while_it_mends_a_broken_outbox_mends_it_the_next_time(bench: Bench, request: pytest.FixtureRequest) -> None:
    bench.learn("store")
    break_page(bench.data / "outbox.db")
    bench.keep()
    calls = bench.learn("return")
    for name, number in every(points_of(calls), request, 5):
        bench.put_back()
        told = bench.tell("return", f"{name}:signal=SIGKILL:when={number}", anew=False)
        assert told.killed, f"{name} {number}: {told.stderr}"
        assert bench.tell("return", anew=False).status == 0
        assert not lost(bench.judged()), f"killed at {name} {number}"


def break_page(path: Path) -> None:
    """Spoil the middle page of a database file."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 4096 // 2 * 4096
    data[middle : middle + 4096] = b"\x5a" * 4096
    path.write_bytes(data)


def lost(problems: list[Problem]) -> list[Problem]:
    """Those that say that something is gone without a word."""
    return [problem for problem in problems if problem.kind == "lost"]


def points_after_opening(bench: Bench, name: str) -> list[Point]:
    """Each call of this name in the story `outbox`, but those that make the store: without one no agent starts."""
    first = tracing.count(bench.learn("open"))[name]
    bench.empty()
    return points_of(bench.learn("outbox"), name)[first:]


def test_a_disk_that_is_full_at_one_write_is_asked_again(bench: Bench, request: pytest.FixtureRequest) -> None:
    for name, number in every(points_after_opening(bench, "pwrite64")[:-10], request, 4):
        told = bench.tell("outbox", f"{name}:error=ENOSPC:when={number}")
        assert told.injected, f"{name} {number}: {told.stderr}"
        assert told.status == 0, told.stderr
        assert not bench.judged(), f"full at {name} {number}"


def test_after_a_sync_that_failed_the_file_is_opened_anew_before_anything_is_told(
    bench: Bench, request: pytest.FixtureRequest
) -> None:
    for name, number in every(points_after_opening(bench, "fdatasync")[:-3], request, 4):
        told = bench.tell("outbox", f"{name}:error=EIO:when={number}")
        assert told.status == 0, told.stderr
        after = told.calls[told.calls.index(told.injected[0]) + 1 :]
        assert any(call.name == "openat" and "outbox.db" in call.arguments for call in after), "the same handle was used on"
        assert not bench.judged(), f"failed at {name} {number}"


def test_a_read_that_fails_stops_nothing_and_loses_nothing(bench: Bench, request: pytest.FixtureRequest) -> None:
    calls = bench.learn("store")
    last = tracing.count(calls)["fdatasync"] - 2
    bench.tell("store", f"fdatasync:signal=SIGKILL:when={last}")  # what is left is a log to be read back, too
    bench.keep()
    reads = bench.learn("return", ("pread64",))
    for name, number in every(points_of(reads, "pread64"), request, 6):
        bench.put_back()
        told = bench.tell("return", f"{name}:error=EIO:when={number}", anew=False)
        assert told.injected, f"{name} {number}: {told.stderr}"
        # Where the very opening fails each time, the next start finds all of it.
        assert told.status == 0 or bench.tell("return", anew=False).status == 0, told.stderr
        assert not lost(bench.judged()), f"failed at {name} {number}"


@pytest.mark.parametrize("lie", ["a write that ended early", "a write that never happened"])
def test_a_disk_that_lies_about_a_write_is_found_out(bench: Bench, request: pytest.FixtureRequest, lie: str) -> None:
    points = points_after_opening(bench, "pwrite64")
    bench.empty()
    written = [call for call in bench.learn("outbox") if call.name == "pwrite64"]
    for name, number in every(points, request, 4):
        claimed = "7" if "early" in lie else written[number - 1].result.split()[0]
        told = bench.tell("outbox", f"{name}:retval={claimed}:when={number}")
        assert told.injected, f"{name} {number}: {told.stderr}"
        # The next agent reads everything: what is gone it declares, and what is broken it mends.
        back = bench.tell("return", anew=False)
        assert back.status == 0, back.stderr
        assert not lost(bench.judged()), f"lied at {name} {number}"


# The agent itself, while it runs: strace takes hold of it, and lets go of it again.


@contextlib.asynccontextmanager
async def interfered(crew: Campaign, *inject: str) -> AsyncIterator[None]:
    """Calls of the agent on its outbox are interfered with for as long as the context lasts."""
    folder, pid = crew.ships.edge_folder(GATEWAY), crew.ships.pid(GATEWAY)
    paths = [folder / f"outbox.{end}" for end in ("db", "db-wal", "lock", "mark", "epoch", "reserve")]
    command = tracing.tracer(paths, folder.parent / "calls", inject=inject)
    tracer = await asyncio.create_subprocess_exec(*command, "-p", str(pid))
    try:
        async with asyncio.timeout(20):
            while not all(is_traced(thread) for thread in Path(f"/proc/{pid}/task").iterdir()):  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.02)
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        await tracer.wait()


def is_traced(thread: Path) -> bool:
    """Whether a thread is in somebody's hands."""
    return "TracerPid:\t0\n" not in (thread / "status").read_text("ascii")


@pytest.mark.integration
async def test_slow_flash_slows_answers_down_and_nothing_else(tmp_path: Path, need_server: Callable[[str, str], str]) -> None:
    need_server("mosquitto", "mosquitto")
    async with town(tmp_path) as crew:
        async with interfered(crew, "fdatasync:delay_enter=700000"):
            for _ in range(8):
                began = time.monotonic()
                await ask(crew.ships.edge_folder(GATEWAY))
                assert time.monotonic() - began < 3, "the event loop waited for the disk"
                began = time.monotonic()
                await crew.relays[GATEWAY].next_answer()  # every other one tells of an alarm
                assert time.monotonic() - began < 10, "an answer is a few syncs away, not a queue of them"
        await caught_up(crew)


@pytest.mark.integration
async def test_a_disk_that_goes_read_only_answers_nobody_says_why_and_goes_on_after(
    tmp_path: Path, need_server: Callable[[str, str], str]
) -> None:
    need_server("mosquitto", "mosquitto")
    async with town(tmp_path) as crew:
        async with interfered(crew, f"{','.join(WRITING)}:error=EROFS"):
            await asyncio.sleep(2)
            before = crew.relays[GATEWAY].answered
            await asyncio.sleep(4)
            assert crew.relays[GATEWAY].answered == before, "answered without a disk to write to"
            status = await ask(crew.ships.edge_folder(GATEWAY))
            assert "Read-only file system" in status.commit_error
        await heard(crew, SOME)
        assert not (await ask(crew.ships.edge_folder(GATEWAY))).commit_error
