"""Killed between the two stores: what a new process makes of what is left, and what comes again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cloud.ingest.crash import CrashPlan, CrashPoint

PROGRAM = """
import asyncio, sys
from pathlib import Path
from cloud_bench import Bench, Moody, hello, three
from cloud.relational.engine import make_engine, reading
from cloud.relational.migrate import migrate

async def main(folder):
    engine = make_engine(f"sqlite+aiosqlite:///{folder / 'cloud.db'}")
    await migrate(engine)
    series = Moody(folder / "series.duckdb")
    await series.open()
    bench = Bench(engine, series)
    async with reading(engine) as conn:
        await bench.registry.load(conn)
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(bench.ingest.run())
        bench.say(hello("cover-1"))
        await bench.until(lambda: len(bench.acks) == 2)
        print("before", await series.count(), max(ack.cumulative for ack in bench.acks), flush=True)
        bench.say(three())
        await bench.acked(3)
        print("after", await series.count(), (await bench.account())["stored"], flush=True)
        work.cancel()
    await series.close()
    await engine.dispose()

asyncio.run(main(Path(sys.argv[1])))
"""


def run(folder: Path, crash_at: str) -> subprocess.CompletedProcess[str]:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}:{here.parents[1]}", "CITYNERVE_CRASH_AT": crash_at}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("point", "left"),
    [
        pytest.param(CrashPoint.AFTER_SERIES, "before 3 0", id="values are stored and nothing knows of them"),
        pytest.param(CrashPoint.BEFORE_COMMIT, "before 3 0", id="the transaction was not committed"),
        pytest.param(CrashPoint.AFTER_COMMIT, "before 3 3", id="all is committed and nobody was told"),
    ],
)
def test_what_is_left_by_a_crash_is_made_whole_by_what_comes_again(tmp_path: Path, point: CrashPoint, left: str) -> None:
    crashed = run(tmp_path, point.value)
    assert crashed.returncode == -signal.SIGKILL, crashed.stderr
    assert crashed.stdout == "before 0 0\n"
    again = run(tmp_path, "")
    assert again.stdout.splitlines() == [left, "after 3 3"], again.stderr


def test_a_point_that_does_not_exist_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYNERVE_CRASH_AT", "at_lunch")
    with pytest.raises(ValueError, match="at_lunch"):
        CrashPlan.from_environment()


def test_a_crash_without_a_point_does_nothing() -> None:
    for point in CrashPoint:
        CrashPlan().at(point)
