"""A life of the outbox in a process of its own, for system calls that fail: `syscalls_story.py HOW FOLDER NOTES`.

HOW is one of four lives. `store` uses the blocking store, to be killed at any call. `outbox` uses it the agent's way and
goes on after what a disk says; `open` is no more than the beginning of that. `return` is an agent that comes back to what
there is and reads all of it. NOTES is written outside the data folder: what the sceptic's ledger is to hear, each note on
its own before the next thing happens.
"""

import asyncio
import pickle
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import BinaryIO, TypeVar

import apsw
from outbox_story import GATEWAY, About, Story, Told, key_of, look

from edge_agent.config import OutboxLimits
from edge_agent.outbox.outbox import Outbox
from edge_agent.outbox.salvage import open_store
from edge_agent.outbox.store import Store
from telemetry.clock import ManualClock
from telemetry.records import Event, Lane
from telemetry.wire import Ack

__all__ = ["LIMITS", "SEED", "notes_of", "reopened"]

SEED, STEPS = 7, 40
LIMITS = OutboxLimits(max_bytes=40_000, events_max_bytes=12_000, keep_bytes=8_000, reserve_bytes=64 * 1024)
_MOST_TRIES = 20

_T = TypeVar("_T")


def notes_of(path: Path) -> list[About | Told]:
    """What was written down, in order; a note that was being written when the process died was never told."""
    notes: list[About | Told] = []
    with path.open("rb") as file:
        while True:
            try:
                notes.append(pickle.load(file))  # noqa: S301 - our own notes
            except (EOFError, pickle.UnpicklingError):
                return notes


def reopened(folder: Path) -> Store:
    """The outbox of a process that has died, as the next agent opens it."""
    return open_store(folder, GATEWAY, LIMITS, 0)


def _story(folder: Path, say: Callable[[About | Told], None]) -> Story:
    story = Story(folder, Random(SEED), say, "unix")  # noqa: S311 - a story must be repeatable
    story.limits = LIMITS
    return story


def _sayer(file: BinaryIO) -> Callable[[About | Told], None]:
    def say(note: About | Told) -> None:
        if isinstance(note, About):
            note = note._replace(records=dict(note.records), states=dict(note.states))
        file.write(pickle.dumps(note))
        file.flush()

    return say


async def _through_outbox(folder: Path, say: Callable[[About | Told], None], steps: int = STEPS) -> None:
    """Commits, acknowledgements and reading, each tried again when the disk says no, as the agent does."""
    story = _story(folder, say)
    clock = ManualClock(wall_ns=1)
    outbox = await _insist(lambda: Outbox.open(folder, GATEWAY, LIMITS, clock))
    say(Told(look(outbox._store)))
    for step in range(steps):
        readings = [story._reading() for _ in range(1 + step % 5)]
        events: list[Event] = [story._event() for _ in range(step % 3 == 0)]
        say(About(records={key_of(record): record for record in [*readings, *events]}))
        await _insist(lambda readings=readings, events=events: outbox.commit(readings, events))
        say(Told(look(outbox._store)))
        if step % 4 == 3:
            block = await _insist(lambda: outbox.next_block(Lane.READINGS, 0))
            assert block is not None
            ack = Ack(gateway=GATEWAY, epoch=outbox.epoch, lane=Lane.READINGS, cumulative=block.last_seq)
            say(About(ack=ack))
            await _insist(lambda ack=ack: outbox.ack(ack))
            say(Told(look(outbox._store)))
    await _insist(outbox.close)


async def _come_back(folder: Path, say: Callable[[About | Told], None]) -> None:
    """Open what there is, read every batch, and go on with a commit; a broken file may have to become another epoch."""
    story = _story(folder, say)
    story._tick = 1_000_000  # none of these times was there before
    say(About(renews=True))
    outbox = await _insist(lambda: Outbox.open(folder, GATEWAY, LIMITS, ManualClock(wall_ns=1)))
    for lane in Lane:
        after = 0
        while block := await _insist(lambda lane=lane, after=after: outbox.next_block(lane, after)):
            after = block.last_seq
    reading = story._reading()
    say(About(records={key_of(reading): reading}, renews=True))
    await _insist(lambda: outbox.commit([reading]))
    await _insist(outbox.close)


async def _insist(work: Callable[[], Awaitable[_T]]) -> _T:
    for _ in range(_MOST_TRIES):
        try:
            return await work()
        except (apsw.Error, OSError) as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            await asyncio.sleep(0.01)
    raise RuntimeError(f"{_MOST_TRIES} times in a row")


LIVES = {"outbox": _through_outbox, "open": partial(_through_outbox, steps=0), "return": _come_back}


def main(how: str, folder: Path, notes: Path) -> None:
    """Run the story of that name."""
    with notes.open("ab") as file:
        if how == "store":
            _story(folder, _sayer(file)).run(STEPS)
        else:
            asyncio.run(LIVES[how](folder, _sayer(file)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
