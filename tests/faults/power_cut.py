"""Power cuts by the hundred thousand: the outbox must come up with everything that the agent was told.

Each seed is one story of the real store, written to a folder in memory while every operation of its files is recorded.
At each operation the power fails: what may be left on the disk is built in another folder and opened by the product's
own code, and a ledger of what the agent was told until then judges it. Run it by hand:

    python tests/faults/power_cut.py --cuts 100000 --seed 1 --jobs 2

Every line names its seeds; one seed gives the same cuts each time.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from random import Random

import apsw
import msgspec
from disk_image import Disk, Mark, Op, Recorder, chance_of
from outbox_story import GATEWAY, START_NS, DishonestError, Ledger, Problem, Story, look

from edge_agent.config import OutboxLimits
from edge_agent.outbox.salvage import open_store
from edge_agent.outbox.store import Store

__all__ = ["Outcome", "cut_story", "record", "workshop"]

STEPS = 120
_DEEP = 0.02
"""The share of the cuts after which the store is also checked page by page, written to, closed and opened again."""
_LATER_NS = START_NS + 10**15


class Outcome(msgspec.Struct):
    """What came of the cuts of some seeds: how many, after how many something was lost or wrong, and the first few of those."""

    cuts: int = 0
    lost: int = 0
    corrupt: int = 0
    problems: list[str] = []

    def add(self, other: "Outcome") -> None:
        """Sum up."""
        self.cuts += other.cuts
        self.lost += other.lost
        self.corrupt += other.corrupt
        self.problems = [*self.problems, *other.problems][:10]


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder that no disk is behind, where the machine has one."""
    memory = Path("/dev/shm")  # noqa: S108 - memory, and a folder of one's own in it
    with tempfile.TemporaryDirectory(prefix="citynerve-cut-", dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def record(folder: Path, seed: int, steps: int = STEPS, synchronous: str = "") -> tuple[list[Op], OutboxLimits]:
    """The operations of one story, and the limits that its store had."""
    folder.mkdir()
    recorder = Recorder(folder)
    with recorder.recording(f"overheard-{seed}"):
        story = Story(folder, chance_of(seed), recorder.mark, vfs=f"overheard-{seed}")
        story.synchronous = synchronous
        story.run(steps)
    return recorder.ops, story.limits


def cut_story(seed: int, steps: int = STEPS, synchronous: str = "") -> Outcome:
    """Record the story of a seed and let the power fail at each of its operations."""
    outcome, chance = Outcome(), chance_of(f"cuts of {seed}")
    disk, ledger = Disk(), Ledger()
    with workshop() as folder:
        ops, limits = record(folder / "live", seed, steps, synchronous)
        (folder / "found").mkdir()
        for at, op in enumerate(ops):
            disk.play(op)
            try:
                if isinstance(op, Mark):
                    ledger.hear(op.note)
            except DishonestError as error:
                outcome.corrupt += 1
                outcome.problems.append(f"seed {seed}, operation {at} of {len(ops)}, without a cut: {error}")
                break
            problems = _cut(folder / "found", disk, ledger, limits, chance)
            outcome.cuts += 1
            outcome.lost += any(problem.kind == "lost" for problem in problems)
            outcome.corrupt += any(problem.kind == "corrupt" for problem in problems)
            if problems:
                first = problems[0]
                outcome.problems.append(f"seed {seed}, operation {at} of {len(ops)}: {first.detail} ({len(problems)} problems)")
    return outcome


def _cut(folder: Path, disk: Disk, ledger: Ledger, limits: OutboxLimits, chance: Random) -> list[Problem]:
    for name, content in disk.after_cut(chance).items():
        handle = os.open(folder / name, os.O_CREAT | os.O_WRONLY)
        os.write(handle, content)
        os.close(handle)
    try:
        return _open_and_judge(folder, ledger, limits, deep=chance.random() < _DEEP)
    except (apsw.Error, OSError, ValueError, KeyError, TypeError) as error:
        return [Problem("corrupt", f"does not come up: {error!r}")]
    finally:
        for path in folder.iterdir():
            path.unlink()


def _open_and_judge(folder: Path, ledger: Ledger, limits: OutboxLimits, *, deep: bool) -> list[Problem]:
    store = open_store(folder, GATEWAY, limits, _LATER_NS)
    try:
        problems = ledger.judge(look(store))
        if deep:
            problems += _look_deep(store)
        else:
            store._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    finally:
        store.close()
    if deep:
        store = open_store(folder, GATEWAY, limits, _LATER_NS)
        try:
            problems += ledger.judge(look(store))
        finally:
            store.close()
    return problems


def _look_deep(store: Store) -> list[Problem]:
    found = store._db.execute("PRAGMA integrity_check").get
    store.commit([], [], {}, _LATER_NS)
    return [] if found == "ok" else [Problem("corrupt", f"integrity_check: {found}")]


def cut_many(cuts: int, first_seed: int, jobs: int) -> Outcome:
    """Seeds from the first one on until there were enough cuts, on several processors; tells its progress."""
    total, began, told = Outcome(), time.monotonic(), 0.0
    seed = first_seed
    with ProcessPoolExecutor(jobs, initializer=_hush) as pool:
        running = set[Future[Outcome]]()
        while running or total.cuts < cuts:
            while len(running) < jobs and total.cuts < cuts:
                running.add(pool.submit(cut_story, seed))
                seed += 1
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                total.add(future.result())
            spent = time.monotonic() - began
            if spent - told > 5 or not running:
                told = spent
                _tell(total, first_seed, seed - 1, spent)
    return total


def _hush() -> None:
    logging.disable(logging.CRITICAL)


def _tell(total: Outcome, first_seed: int, last_seed: int, spent: float) -> None:
    print(  # noqa: T201 - a program
        f"seeds {first_seed}..{last_seed}  cuts {total.cuts}  {total.cuts / spent:.0f}/s  {spent:.0f} s  "
        f"lost {total.lost}  corrupt {total.corrupt}",
        flush=True,
    )


def main() -> int:
    """The command line; 1 where anything was lost or corrupt."""
    parser = argparse.ArgumentParser(description="Cut the power while the outbox writes, and judge what comes up again.")
    parser.add_argument("--cuts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    arguments = parser.parse_args()
    total = cut_many(arguments.cuts, arguments.seed, arguments.jobs)
    for problem in total.problems:
        print(problem)  # noqa: T201
    return 1 if total.lost or total.corrupt else 0


if __name__ == "__main__":
    sys.exit(main())
