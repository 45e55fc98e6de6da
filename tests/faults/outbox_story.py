"""One outbox's life for the power cuts, and the ledger of a sceptic who wrote down what the agent was told meanwhile.

The story is a seeded run of the real store: commits, acknowledgements of every kind, drops for want of room, commands,
checkpoints, restarts, new epochs. The ledger is told before a step what it is about, and after it what the store then
says of itself; at any instant it can judge whether a store that comes up again is an honest one.
"""

import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import NamedTuple
from unittest import mock

import apsw

from edge_agent.config import OutboxLimits
from edge_agent.outbox.clocks import ClockStamp
from edge_agent.outbox.file import LaneAccount
from edge_agent.outbox.salvage import open_store, renew_store
from edge_agent.outbox.spans import Spans
from edge_agent.outbox.store import Store, split_key
from edge_agent.uplink.compression import decompress
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import ClockQuality, CommandResult, Event, Lane, LossRecord, Outcome, Reading
from telemetry.wire import Ack, decode_events, decode_readings

__all__ = ["GATEWAY", "About", "DishonestError", "Ledger", "Story", "Told", "View", "look"]

GATEWAY = "gw-cut"
START_NS = 1_750_000_000 * SECOND_NS

Key = Hashable
"""What makes a record itself, whatever its number is."""


class Place(NamedTuple):
    """The number of a record."""

    epoch: str
    lane: Lane
    seq: int


class View(NamedTuple):
    """What a store says of itself."""

    epoch: str
    accounts: Mapping[Lane, LaneAccount]
    held: dict[Key, Place]
    counts: Mapping[Lane, int]
    """How many records of a lane are held."""
    twice: list[Key]
    losses: list[LossRecord]
    states: dict[str, bytes]
    counter: int


class About(NamedTuple):
    """What the agent is about to ask of the store."""

    records: Mapping[Key, Reading | Event] = MappingProxyType({})
    states: Mapping[str, bytes] = MappingProxyType({})
    counter: int = 0
    ack: Ack | None = None
    renews: bool = False
    """A new epoch begins."""
    rewinds: bool = False
    """What was acknowledged may be held again."""


class Told(NamedTuple):
    """A step returned; this is what the store said right then."""

    view: View


class Problem(NamedTuple):
    """What a sceptic objects to."""

    kind: str
    """`lost`: a record that was told is gone. `corrupt`: the store says something that is not so."""
    detail: str


class DishonestError(Exception):
    """The store was wrong while it ran, and no power failed."""


def key_of(record: Reading | Event) -> Key:
    """What makes a record itself: the story makes no two readings of one time and no two results of one command."""
    match record:
        case Reading():
            return record.time_ns
        case LossRecord():
            return ("loss", record.lane, record.epoch, record.seq_from, record.seq_to, record.reason)
        case CommandResult():
            return record.id
        case _:
            return (record.alarm, record.origin, record.n)


class _Batch(NamedTuple):
    places: dict[Key, Place]
    losses: list[LossRecord]


_read: dict[bytes, _Batch] = {}
"""The images of one story hold the same payloads over and over; emptied when it has grown."""


def _batch(lane: Lane, payload: bytes) -> _Batch:
    known = _read.get(payload)
    if known is None:
        if len(_read) > 20_000:
            _read.clear()
        epoch, records = decode(lane, payload)
        losses = [record for _, record in records if isinstance(record, LossRecord)]
        known = _read[payload] = _Batch({key_of(record): Place(epoch, lane, seq) for seq, record in records}, losses)
    return known


def decode(lane: Lane, payload: bytes) -> tuple[str, list[tuple[int, Reading | Event]]]:
    """Epoch, and each record with its number, of a stored batch."""
    if lane is Lane.EVENTS:
        events = decode_events(payload, decompress)
        return events.epoch, list(enumerate(events.events, events.first_seq))
    batch = decode_readings(payload, decompress)
    return batch.epoch, [(batch.first_seq + at, row) for group in batch.groups for at, row in group.readings()]


def _may_be_said_again(key: Key) -> bool:
    """A hole is declared at each going back of the cloud, which may have forgotten that it was told."""
    return isinstance(key, tuple) and Reason.MISSING in key


def look(store: Store) -> View:
    """Reads a store to its last record, past its own way out."""
    held, losses, twice = dict[Key, Place](), list[LossRecord](), list[Key]()
    counts = dict.fromkeys(Lane, 0)
    for key, last_seq, payload in store._db.execute("SELECT key, last_seq, payload FROM block ORDER BY key"):
        lane, first_seq = split_key(key)
        book = store._ledger.books[lane]
        if last_seq <= book.account.cumulative:
            continue
        places, declared = _batch(lane, payload)
        if book.done or first_seq <= book.account.cumulative:
            open_seqs = _members(book.open_in(first_seq, last_seq))
            places = {name: place for name, place in places.items() if place.seq in open_seqs}
            declared = [loss for loss in declared if key_of(loss) in places]
        if not held.keys().isdisjoint(places):
            twice += [key for key in held.keys() & places.keys() if not _may_be_said_again(key)]
        held |= places
        losses += declared
        counts[lane] += len(places)
    return View(store.epoch, store.lanes, held, counts, twice, losses, store.states(), store.counter)


def _members(spans: Spans) -> set[int]:
    return {seq for low, high in spans for seq in range(low, high + 1)}


class Ledger:
    """What the agent was told, and from it what a store that comes up again has to say."""

    def __init__(self) -> None:
        self.epoch = ""
        self._renewing = False
        self._rewinding = False
        self._must: dict[Key, Place] = {}
        """Records whose commit was told, and for which nobody else has taken over."""
        self._may: dict[Key, Reading | Event] = {}
        """Every record that was ever handed over."""
        self._places: dict[Place, Key] = {}
        """Every number that was ever told."""
        self._acked: set[Place] = set()
        self._next: dict[tuple[str, Lane], int] = {}
        self._states: dict[str, bytes] = {}
        self._coming: Mapping[str, bytes] = {}
        self._counter = (0, 0)

    def hear(self, note: About | Told) -> None:
        """Write down what was said."""
        if isinstance(note, About):
            self._expect(note)
        else:
            self._note(note.view)

    def _expect(self, about: About) -> None:
        self._may.update(about.records)
        self._coming = about.states
        self._counter = (self._counter[0], max(about.counter, self._counter[0]))
        self._renewing, self._rewinding = about.renews, about.rewinds
        if about.ack is not None and about.ack.epoch == self.epoch:
            self._acked |= {place for place in self._must.values() if covers(about.ack, place)}
            self._must = {key: place for key, place in self._must.items() if place not in self._acked}

    def _note(self, view: View) -> None:
        problems = self.judge(view)
        again = self._acked.intersection(view.held.values())
        if again and not self._rewinding:
            problems.append(Problem("corrupt", f"acknowledged, and held all the same: {list(again)[:5]}"))
        if problems:
            raise DishonestError("; ".join(problem.detail for problem in problems[:5]))
        self._acked -= again
        self._must = view.held
        self._places |= {place: key for key, place in view.held.items()}
        self._next |= {(view.epoch, lane): account.next_seq for lane, account in view.accounts.items()}
        self._states, self._coming = view.states, {}
        self._counter = (view.counter, view.counter)
        self.epoch, self._renewing, self._rewinding = view.epoch, False, False

    def judge(self, view: View) -> list[Problem]:
        """What is wrong with what a store says of itself, now."""
        return [
            *self._epochs(view),
            *self._losses(view),
            *self._held(view),
            *self._accounts(view),
            *self._memories(view),
        ]

    def _epochs(self, view: View) -> Iterator[Problem]:
        if self.epoch and view.epoch != self.epoch and not self._renewing:
            yield Problem("corrupt", f"epoch {view.epoch}, was told {self.epoch}: the store was built anew")

    def _losses(self, view: View) -> Iterator[Problem]:
        renumbered = dict.fromkeys(Lane, 0)
        for key in self._must.keys() - view.held.keys():
            place = self._must[key]
            if any(declares(loss, place) for loss in view.losses):
                continue
            if place.epoch != view.epoch and any(renumbers(loss, place) for loss in view.losses):
                renumbered[place.lane] += 1
            else:
                yield Problem("lost", f"{place}: its commit was told, and it is neither there nor declared lost")
        for lane, count in renumbered.items():
            # Under its new number it may have had to make room at once; nobody can tell which number that was.
            if count > view.accounts[lane].lost:
                yield Problem("lost", f"{lane}: {count} renumbered records are gone, {view.accounts[lane].lost} are declared")
        for loss in view.losses:
            bounds = (self._next.get((loss.epoch, loss.lane), 0), view.accounts[loss.lane].next_seq)
            if loss.epoch == view.epoch and loss.seq_to >= max(bounds):
                yield Problem("corrupt", f"{loss}: declares what was never given out")

    def _held(self, view: View) -> Iterator[Problem]:
        for twice in view.twice:
            yield Problem("corrupt", f"{view.held[twice]}: is there twice")
        # What is where it was told to be was looked at when it was told.
        news = [(key, place) for key, place in view.held.items() if self._must.get(key) is not place]
        for key, place in news:
            if key not in self._may and not (isinstance(key, tuple) and key[0] == "loss"):
                yield Problem("corrupt", f"{place}: nobody ever said {key!r}")
            if self._places.get(place, key) != key:
                yield Problem("corrupt", f"{place}: was told to be {self._places[place]!r}, is {key!r}")
        for loss in view.losses:
            if self._must.get(key_of(loss)) is not view.held[key_of(loss)]:
                news = list(view.held.items())
        for _, place in news:
            if any(declares(loss, place) for loss in view.losses if loss.epoch == place.epoch):
                yield Problem("corrupt", f"{place}: is declared lost, and is there")

    def _accounts(self, view: View) -> Iterator[Problem]:
        for lane, account in view.accounts.items():
            if account.depth != view.counts[lane]:
                yield Problem("corrupt", f"{lane}: {account} says {account.depth} are held, {view.counts[lane]} are")
            if view.epoch == self.epoch and account.next_seq < self._next[view.epoch, lane]:
                yield Problem("lost", f"{lane}: next is {account.next_seq}, {self._next[view.epoch, lane]} was told")

    def _memories(self, view: View) -> Iterator[Problem]:
        for device in view.states.keys() | self._states.keys():
            known = (self._states.get(device), self._coming.get(device, self._states.get(device)))
            if view.states.get(device) not in known:
                yield Problem("corrupt", f"{device}: remembered {view.states.get(device)!r}, want one of {known}")
        if not self._counter[0] <= view.counter <= self._counter[1]:
            yield Problem("corrupt", f"the counter of commands is {view.counter}, want {self._counter}")


def covers(ack: Ack, place: Place) -> bool:
    """Whether an acknowledgement calls a record done."""
    ranges = [(1, ack.cumulative), *ack.ranges, *((seq, seq) for seq, _ in ack.quarantined)]
    return ack.lane is place.lane and ack.epoch == place.epoch and any(low <= place.seq <= high for low, high in ranges)


def declares(loss: LossRecord, place: Place) -> bool:
    """Whether a loss record says that this record is gone: not that it got another number."""
    return loss.reason is not Reason.RENUMBERED and _speaks_of(loss, place)


def renumbers(loss: LossRecord, place: Place) -> bool:
    """Whether a loss record says that this record has another number now."""
    return loss.reason is Reason.RENUMBERED and _speaks_of(loss, place)


def _speaks_of(loss: LossRecord, place: Place) -> bool:
    if (loss.lane, loss.epoch) != (place.lane, place.epoch):
        return False
    return loss.seq_from <= place.seq and (loss.open_end or place.seq <= loss.seq_to)


class Story:
    """A seeded run of the real store. `say` takes each note of the ledger's at the instant it becomes true."""

    def __init__(self, folder: Path, chance: Random, say: Callable[[About | Told], None], vfs: str) -> None:
        self._folder = folder
        self._chance = chance
        self._say = say
        self._vfs = vfs
        room = chance.choice((6_000, 20_000, 80_000))
        reserve = chance.choice((0, 16_384))
        self.limits = OutboxLimits(max_bytes=room, events_max_bytes=room // 3, keep_bytes=room // 4, reserve_bytes=reserve)
        self._journal_pages = chance.choice((4, 16, 64, 1000))
        self.synchronous = ""
        """Another setting than the product's own, to see that the harness notices."""
        self._tick = 0
        self._counter = 0
        self._boots = 0

    def run(self, steps: int) -> None:
        """Open, take `steps` steps, and leave the store as the power cut finds it: still open."""
        with mock.patch("uuid.uuid4", self._uuid4):
            store = self._open()
            self._say(Told(look(store)))
            try:
                for _ in range(steps):
                    step = self._chance.choices(list(STEPS), list(STEPS.values()))[0]
                    store = step(self, store)
                    self._say(Told(look(store)))
            finally:
                store.close()

    def _uuid4(self) -> uuid.UUID:
        return uuid.UUID(int=self._chance.getrandbits(128), version=4)

    def _open(self) -> Store:
        self._boots += 1
        stamp = ClockStamp(f"boot-{self._boots}", self._chance.choice(list(ClockQuality)), self._chance.randrange(10**9))
        return self._tuned(open_store(self._folder, GATEWAY, self.limits, self._now(), stamp=stamp, vfs=self._vfs))

    def _tuned(self, store: Store) -> Store:
        store._journal_pages = self._journal_pages
        if self.synchronous:
            store._db.execute(f"PRAGMA synchronous = {self.synchronous}")
        return store

    def _now(self) -> int:
        self._tick += 1
        return START_NS + self._tick * SECOND_NS

    # The steps.

    def commit(self, store: Store) -> Store:
        """Readings, mostly few; sometimes events and what is remembered of devices."""
        many = 200 if self._chance.random() < 0.05 else 12
        readings = [self._reading() for _ in range(self._chance.randint(0, many))]
        events: list[Event] = [self._event() for _ in range(self._chance.choice((0, 0, 0, 1, 3)))]
        states = {f"d-{self._chance.randrange(4)}": self._chance.randbytes(20) for _ in range(self._chance.choice((0, 1, 2)))}
        self._say(About(records={key_of(record): record for record in [*readings, *events]}, states=states))
        store.commit(readings, events, states, self._now())
        return store

    def _reading(self) -> Reading:
        time_ns, device = self._now(), self._chance.randrange(4)
        values = {f"metric_{at}": self._chance.randrange(10_000) / 100 for at in range(1 + device)}
        return Reading(
            device=f"d-{device}",
            profile=f"p-{device % 2}",
            profile_version=1,
            time_ns=time_ns,
            received_ns=time_ns,
            values=values,
        )

    def _event(self) -> Event:
        time_ns = self._now()
        return CommandResult(
            id=f"c-{time_ns}", device="d-0", outcome=Outcome.DONE, time_ns=time_ns, detail="x" * self._chance.randrange(60)
        )

    def ack(self, store: Store) -> Store:
        """The cloud's word: cumulative, ranges above it, some quarantined; sometimes late or of another epoch."""
        lane = self._chance.choice((Lane.EVENTS, Lane.READINGS, Lane.READINGS))
        account = store.lanes[lane]
        known = account.cumulative
        cumulative = self._chance.randint(max(known - 5, 0), min(account.next_seq - 1, known + 60))
        seqs = range(cumulative + 2, account.next_seq)
        picked = sorted(self._chance.sample(seqs, min(len(seqs), self._chance.choice((0, 0, 2, 4)))))
        ranges = list(zip(picked[::2], picked[1::2], strict=False))
        doubtful = [seq for seq in range(max(cumulative - 3, 1), cumulative + 1) if self._chance.random() < 0.1]
        ack = Ack(
            gateway=GATEWAY,
            epoch=store.epoch if self._chance.random() < 0.95 else "another",
            lane=lane,
            cumulative=cumulative,
            ranges=ranges,
            quarantined=[(seq, Reason.OUT_OF_RANGE) for seq in doubtful],
        )
        self._say(About(ack=ack))
        store.ack(ack)
        return store

    def command(self, store: Store) -> Store:
        """A command's counter is remembered before the command is acted on; sometimes it is a replay."""
        self._counter += self._chance.choice((0, 1, 5))
        self._say(About(counter=self._counter))
        store.advance_counter(self._counter)
        return store

    def checkpoint(self, store: Store) -> Store:
        """As the idle agent does, and as SQLite does by itself."""
        self._say(About())
        mode = self._chance.choice((apsw.SQLITE_CHECKPOINT_PASSIVE, apsw.SQLITE_CHECKPOINT_FULL, apsw.SQLITE_CHECKPOINT_TRUNCATE))
        store._db.wal_checkpoint(mode=mode)
        return store

    def restart(self, store: Store) -> Store:
        """The agent ends in order and comes up again."""
        self._say(About())
        store.close()
        return self._open()

    def rewind(self, store: Store) -> Store:
        """The cloud was restored from a copy and knows less than it did."""
        lane = self._chance.choice(list(Lane))
        self._say(About(rewinds=True))
        store.rewind(lane, max(0, store.lanes[lane].cumulative - self._chance.randrange(40)), self._now())
        return store

    def fix_clock(self, store: Store) -> Store:
        """The true offset of this boot or of an earlier one becomes known."""
        self._say(About())
        store.fix_clock(f"boot-{self._chance.randint(0, self._boots)}", self._chance.randrange(10**12))
        return store

    def renew(self, store: Store) -> Store:
        """A new epoch, into which everything held is carried over."""
        self._say(About(renews=True))
        return self._tuned(renew_store(store, self._now()))


STEPS: Mapping[Callable[[Story, Store], Store], int] = {
    Story.commit: 60,
    Story.ack: 25,
    Story.command: 4,
    Story.checkpoint: 5,
    Story.restart: 3,
    Story.rewind: 2,
    Story.fix_clock: 1,
    Story.renew: 1,
}
"""How often the story takes which step, of a hundred or so."""
