"""Damaged outboxes: what comes up out of a folder in which bits flipped, pages were cut off, files went missing.

`Sample` is a small outbox with everything in it that an outbox may hold, as the files of its folder. `comes_up` opens
what was made of it by the product's own code, reads it to its end, writes to it, closes it and does it all again.
`judge` says what a sceptic objects to: a record that is neither there nor declared lost, one that is not what was
committed, a memory nobody had, an outbox that is rebuilt each time.

    python tests/faults/damage.py --stride 1        every byte of the sample, one after the other
"""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import apsw
from outbox_story import GATEWAY, START_NS, Key, Place, declares, decode, key_of
from power_cut import workshop

from edge_agent.config import OutboxLimits
from edge_agent.outbox.outbox import Block, Outbox
from edge_agent.outbox.salvage import open_store
from telemetry.clock import ManualClock
from telemetry.records import CommandResult, Event, Lane, LossRecord, Outcome, Reading
from telemetry.wire import Ack

__all__ = ["Found", "Sample", "comes_up", "flipped", "judge", "sample"]

LIMITS = OutboxLimits(max_bytes=10_000_000, events_max_bytes=1_000_000, keep_bytes=2_000, reserve_bytes=0)
COUNTER = 41
AFTER_EVENTS = 1000
AFTERWARDS = frozenset(f"c-{AFTER_EVENTS + at}" for at in range(1000))
"""Commits of those who look whether the outbox still takes any."""


class Sample(NamedTuple):
    """An outbox that a power cut or an orderly end left behind, and what its agent was told of it."""

    epoch: str
    files: Mapping[str, bytes]
    records: Mapping[Place, Reading | Event]
    """Committed and not acknowledged."""
    acked: frozenset[Key]
    """Acknowledged; an outbox that has forgotten so may send them once more."""
    states: Mapping[str, bytes]
    """What was last remembered of each device."""
    earlier_states: frozenset[bytes]
    """What was, before."""


class Found(NamedTuple):
    """What came up."""

    epoch: str
    delivered: dict[Key, Reading | Event]
    losses: list[LossRecord]
    states: dict[str, bytes]
    counter_kept: bool
    """Whether an old command's counter is still refused."""
    set_aside: int
    """Copies of damaged files in the folder."""


def sample(*, closed: bool, readings_each: int = 4, blocks: int = 6) -> Sample:
    """Blocks of readings, a few events, states, a command's counter, an acknowledged beginning.

    `closed` in order, so that everything is in the database; or as a power cut leaves it, most of it in the log.
    """
    with workshop() as folder:
        store = open_store(folder, GATEWAY, LIMITS, START_NS)
        told: list[Reading | Event] = []
        states, earlier = {"d-0": b"first of all", "d-1": b"what it was"}, list[bytes]()
        for block in range(blocks):
            readings = [_reading(block * readings_each + at) for at in range(readings_each)]
            events: list[Event] = [_event(block)] if block % 2 else []
            if block:
                earlier.append(states["d-0"])
                states["d-0"] = b"state %d" % block
            store.commit(readings, events, states, START_NS)
            told += [*readings, *events]
        store.advance_counter(COUNTER)
        store.ack(Ack(gateway=GATEWAY, epoch=store.epoch, lane=Lane.READINGS, cumulative=readings_each))
        epoch = store.epoch
        if closed:
            store.close()
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}
        if not closed:
            store.close()
    records: dict[Place, Reading | Event] = {}
    for lane, kind in ((Lane.READINGS, Reading), (Lane.EVENTS, CommandResult)):
        numbered = enumerate((record for record in told if isinstance(record, kind)), 1)
        records |= {Place(epoch, lane, seq): record for seq, record in numbered}
    acked = {place for place in records if place.lane is Lane.READINGS and place.seq <= readings_each}
    unacked = {place: record for place, record in records.items() if place not in acked}
    return Sample(epoch, files, unacked, frozenset(key_of(records[place]) for place in acked), states, frozenset(earlier))


def _reading(at: int) -> Reading:
    values = {"level_cm": at / 4, "temperature_c": 20 + at}
    return Reading(
        device=f"d-{at % 2}", profile="p", profile_version=1, time_ns=START_NS + at, received_ns=START_NS, values=values
    )


def _event(at: int) -> CommandResult:
    return CommandResult(id=f"c-{at}", device="d-0", outcome=Outcome.DONE, time_ns=START_NS + at)


async def comes_up(folder: Path) -> Found:
    """Open, read to the end, commit, close."""
    outbox = await Outbox.open(folder, GATEWAY, LIMITS, ManualClock())
    try:
        delivered = {}
        for _ in range(4):  # whatever is found broken begins a new epoch, and is read from its start
            epoch = outbox.epoch
            delivered = await _read(outbox)
            if outbox.epoch == epoch:
                break
        states = await outbox.states()
        kept = not await outbox.advance_counter(COUNTER)
        await outbox.commit([], [_event(AFTER_EVENTS + len(delivered))])
        return Found(
            epoch=outbox.epoch,
            delivered=delivered,
            losses=[record for record in delivered.values() if isinstance(record, LossRecord)],
            states=states,
            counter_kept=kept,
            set_aside=_set_aside(folder),
        )
    finally:
        await outbox.close()


def _set_aside(folder: Path) -> int:
    return sum(path.name.startswith("outbox.damaged") for path in folder.iterdir())


async def _read(outbox: Outbox) -> dict[Key, Reading | Event]:
    delivered: dict[Key, Reading | Event] = {}
    for lane in (Lane.READINGS, Lane.EVENTS):
        after = 0
        while block := await _next(outbox, lane, after):
            _, records = decode(lane, block.payload)
            open_seqs = {seq for low, high in block.open for seq in range(low, high + 1)}
            for seq, record in records:
                if seq in open_seqs:
                    delivered[key_of(record)] = record
            after = block.last_seq
    return delivered


async def _next(outbox: Outbox, lane: Lane, after_seq: int) -> Block | None:
    """What the uplink gets at the worst: an error that the next question does not meet again."""
    for _ in range(3):
        with suppress(apsw.Error):
            return await outbox.next_block(lane, after_seq)
    return await outbox.next_block(lane, after_seq)


def judge(told: Sample, first: Found, second: Found) -> Iterator[str]:
    """What is wrong with what came up at once, and when it was opened once more."""
    yield from _judge_records(told, first)
    for device, data in first.states.items():
        # What a rebuilt outbox remembers is true, but may not be the last that was.
        if data != told.states.get(device) and not (data in told.earlier_states and first.epoch != told.epoch):
            yield f"{device}: remembers {data!r}, want {told.states.get(device)!r}"
    if first.epoch == told.epoch and (first.states != told.states or not first.counter_kept):
        yield f"forgot {told.states.keys() - first.states.keys()} or the counter, and is the same epoch"
    if (second.epoch, second.set_aside) != (first.epoch, first.set_aside):
        yield "was built anew once more"
    if first.delivered.keys() - second.delivered.keys():
        yield f"{first.delivered.keys() - second.delivered.keys()} were there once"


def _judge_records(told: Sample, found: Found) -> Iterator[str]:
    for place, record in told.records.items():
        delivered = found.delivered.get(key_of(record))
        if delivered is None:
            if not any(declares(loss, place) for loss in found.losses):
                yield f"{place} is neither there nor declared lost"
        elif delivered != record:
            yield f"{place} is {delivered}, was {record}"
    known = {key_of(record) for record in told.records.values()} | told.acked
    for key, record in found.delivered.items():
        if key not in known and not isinstance(record, LossRecord) and key not in AFTERWARDS:
            yield f"nobody ever said {record}"


def restore(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder hold these files and no others."""
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)


async def try_out(folder: Path, told: Sample, files: Mapping[str, bytes]) -> list[str]:
    """What is wrong with an outbox that comes up out of these files."""
    restore(folder, files)
    try:
        first, second = await comes_up(folder), await comes_up(folder)
        if first.epoch == told.epoch != second.epoch:
            # What is broken was only met the second time.
            first, second = second, await comes_up(folder)
    except (apsw.Error, OSError, ValueError, KeyError, TypeError) as error:
        return [f"does not come up: {error!r}"]
    return list(judge(told, first, second))


def flipped(content: bytes, at: int, by: int = 0xFF) -> bytes:
    """One byte changed."""
    return content[:at] + bytes((content[at] ^ by,)) + content[at + 1 :]


async def flip_each(told: Sample, name: str, offsets: range, by: int = 0xFF) -> list[str]:
    """Change one byte after the other of one file, each in a fresh copy; what was wrong, with the byte's offset."""
    wrong: list[str] = []
    with workshop() as folder:
        for at in offsets:
            files = {**told.files, name: flipped(told.files[name], at, by)}
            wrong += [f"{name}, byte {at} ^ {by:#x}: {problem}" for problem in await try_out(folder, told, files)]
    return wrong


def main() -> int:
    """The command line; 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description="Flip bytes of a small outbox, one at a time, and judge what comes up.")
    parser.add_argument("--stride", type=int, default=1, help="every how manieth byte")
    parser.add_argument("--by", type=lambda text: int(text, 0), default=0xFF, help="the bits that flip")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    wrong: list[str] = []
    for closed in (True, False):
        told = sample(closed=closed)
        for name, content in told.files.items():
            began, before = time.monotonic(), len(wrong)
            wrong += asyncio.run(flip_each(told, name, range(0, len(content), arguments.stride), arguments.by))
            spent = time.monotonic() - began
            print(f"{name}, {len(content)} bytes: {len(wrong) - before} wrong, {spent:.0f} s", flush=True)  # noqa: T201
    for problem in wrong[:20]:
        print(problem)  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
