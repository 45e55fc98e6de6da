"""A gateway, a broker and a cloud on virtual time, with everything that may happen to them, and what must hold.

Every fault is a method; `calm` ends them all. `check` looks at what must hold at any instant, `settle` lets time pass until
nothing is owed any more, and `judge` compares the end with the reference model.
"""

import asyncio
import hashlib
import json
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from unittest import mock

import msgspec
from model import Fates, Key, Loss, Model, Number
from sim_cloud import POISON, CloudHost
from sim_disk import SimDisk
from sim_edge import COMPARE_S, DEVICES, EdgeHost
from sim_loop import SimClock, VirtualLoop
from sim_net import Broker

from edge_agent.config import OutboxLimits
from edge_agent.outbox.blocks import Row, split_key
from edge_agent.outbox.damaged import DAMAGE
from edge_agent.outbox.file import BASE, WIDTH
from edge_agent.outbox.ledger import Ledger
from edge_agent.outbox.spans import count, difference
from edge_agent.outbox.store import Store
from edge_agent.uplink.compression import decompress
from telemetry.clock import SECOND_NS
from telemetry.records import Cause, Event, Lane, Origin, Priority, Reading, Transition
from telemetry.wire import Ack, WireError, decode_events, decode_readings

__all__ = ["RESERVE_BYTES", "BrokenPromiseError", "World", "opened"]

_PATIENCE_S = 300.0
"""Virtual time within which everything must be out once the faults have stopped."""

RESERVE_BYTES = 16_384
_SMALL = {
    "edge_agent.outbox.ledger.MAX_BLOCK_RECORDS": 12,
    "edge_agent.uplink.uplink._BIG_BACKLOG": 60,
    "edge_agent.uplink.window.SMALL_BACKLOG": 25,
    "edge_agent.uplink.window._MANY_RANGES": 6,
    "cloud.ingest.account.MOST_RANGES": 12,
}
"""Limits that a run of some minutes would never come near."""


class BrokenPromiseError(AssertionError):
    """Something that must hold does not; `check` names it."""

    def __init__(self, check: str, detail: str) -> None:
        super().__init__(f"{check}: {detail}")
        self.check = check


class World:
    """Made and closed inside `opened`; its methods are called on its loop."""

    def __init__(self, chance: random.Random, loop: VirtualLoop, folder: Path, limits: OutboxLimits) -> None:
        self.chance = chance
        self.loop = loop
        self.model = Model()
        self.seen: Counter[str] = Counter()
        self.problems: list[BrokenPromiseError] = []
        self._trace = hashlib.blake2b(digest_size=16)
        self.broker = Broker(chance, self.note, self.saw)
        self.cloud = CloudHost(folder / "cloud", self.broker, SimClock(loop), chance, self.saw, self._on_ack)
        self.edge, self.copy = (self._host(folder / name, limits) for name in ("edge", "copy"))
        self._serial = 0
        self._open_alarms: list[Transition] = []
        self._keys: dict[Number, list[Key]] = {}
        self._acked: dict[tuple[str, str], int] = {}
        self._epochs: dict[Path, str] = {}
        self._learned: dict[Path, dict[Lane, int]] = {}
        self._audited: dict[Path, object] = {}
        self._images: list[dict[str, bytes]] = []
        self._replaced: set[Path] = set()
        loop.after_work = self._worked
        loop.set_exception_handler(self._on_error)

    def _host(self, folder: Path, limits: OutboxLimits) -> EdgeHost:
        disk = SimDisk(folder, self.chance)
        host = EdgeHost(disk, self.broker, SimClock(self.loop), self.chance, limits, self.saw)
        host.on_ready = self._ready
        return host

    # The trace.

    def note(self, what: str, who: str, topic: str, payload: bytes) -> None:
        """One line of the trace."""
        self._trace.update(f"{self.loop.now:.9f} {what} {who} {topic} {len(payload)}\n".encode())
        self._trace.update(payload)

    def saw(self, what: str) -> None:
        """Something worth happening has happened."""
        self.seen[what] += 1
        self.note("saw", what, "", b"")

    def trace(self) -> str:
        """The fingerprint of everything that has happened."""
        return self._trace.hexdigest()

    # What devices do.

    def hear(self, count: int, *, poison: bool = False, stranger: bool = False) -> None:
        """Some readings, each with a number of its own; one of poison is refused by the series store."""
        for host in self._hosts():
            for _ in range(count):
                reading = self._reading(host, "stranger" if stranger else self.chance.choice(DEVICES))
                if poison:
                    reading = msgspec.structs.replace(reading, values={**reading.values, "note": POISON})
                self._hand_in(host, reading)

    def hear_unreadable(self) -> None:
        """Some readings, one of which is so long a name's that no cloud can read the batch that it is in."""
        self.saw("unreadable")
        for host in self._hosts():
            for place in range(5):
                reading = self._reading(host, self.chance.choice(DEVICES))
                if place == 2:
                    msgspec.structs.force_setattr(reading, "device", "x" * 70)
                self._hand_in(host, reading)

    def alarm(self) -> None:
        """An alarm is raised, or one that was raised returns."""
        for host in self._hosts():
            if self._open_alarms and self.chance.random() < 0.5:
                raised = self._open_alarms.pop(self.chance.randrange(len(self._open_alarms)))
                step = self._step(host, raised.device, raised.alarm, raised.n + 1, Cause.RETURN)
            else:
                self._serial += 1
                device = self.chance.choice(DEVICES)
                step = self._step(host, device, f"{device}/cover_opened/{self._serial}", 1, Cause.RAISE)
                self._open_alarms.append(step)
            host.hear(None, (step,), partial(self.model.promise, _key(step), step.cause))

    def _hosts(self) -> list[EdgeHost]:
        return [host for host in (self.edge, self.copy) if host.running and host.clock is not None]

    def _hand_in(self, host: EdgeHost, reading: Reading) -> None:
        host.hear(reading, (), lambda: self.model.promise(_key(reading), reading.values["x"]))

    def _reading(self, host: EdgeHost, device: str) -> Reading:
        self._serial += 1
        at_ns = self._now_ns(host) + self._serial
        return Reading(
            device=device,
            profile="cover_nbiot",
            profile_version=1,
            time_ns=at_ns,
            received_ns=at_ns,
            values={"x": self._serial},
        )

    def _step(self, host: EdgeHost, device: str, alarm: str, n: int, cause: Cause) -> Transition:
        at_ns = self._now_ns(host)
        return Transition(
            alarm=alarm,
            origin=Origin.EDGE,
            n=n,
            device=device,
            rule="cover_opened",
            profile="cover_nbiot",
            profile_version=1,
            cause=cause,
            priority=Priority.CRITICAL,
            event_time_ns=at_ns,
            recorded_ns=at_ns,
            actor="edge",
        )

    @staticmethod
    def _now_ns(host: EdgeHost) -> int:
        assert host.clock is not None
        return host.clock.wall_ns()

    # What happens to the gateway.

    def stop_agent(self, down_s: float = 1.0) -> None:
        """It ends as it should, as before an update."""
        self._fell("agent stopped", down_s)
        self.edge.stop()

    def kill_agent(self, down_s: float = 1.0) -> None:
        """kill -9: the disk keeps everything."""
        self._fell("agent killed", down_s)
        self.edge.crash(1.0)

    def cut_power(self, down_s: float = 1.0, keep: float | None = None) -> None:
        """The power fails: what was not synced is kept in part."""
        self._fell("power cut", down_s)
        self.edge.crash(self.chance.choice((0.0, 0.5, 0.9)) if keep is None else keep)

    def cut_power_within(self, operations: int, down_s: float = 5.0) -> None:
        """The power fails in the middle of a disk operation to come."""
        self._fell("power cut in a commit", down_s)
        self.edge.disk.keep = self.chance.choice((0.0, 0.5, 0.9, 1.0))
        self.edge.disk.cut_in = operations

    def keep_image(self) -> None:
        """Somebody makes a copy of the gateway's disk."""
        if self.edge.running:
            self._images.append(self.edge.disk.image())

    def roll_back(self, down_s: float = 2.0) -> None:
        """The gateway's disk is replaced by an earlier copy of it."""
        if self._images:
            self._fell("disk rolled back", down_s)
            self._put_image(self.edge, self.chance.choice(self._images))

    def clone(self) -> None:
        """A second gateway runs on a copy of the first one's disk, under the same name."""
        if not self.copy.running and self.edge.running:
            self.saw("cloned")
            self._put_image(self.copy, self.edge.disk.image())
            self.copy.start()

    def _put_image(self, host: EdgeHost, image: dict[str, bytes]) -> None:
        host.crash(1.0)
        host.disk.power_on()
        host.disk.off = True
        host.disk.restore(image)
        self._replaced.add(host.disk.folder)

    def rot(self, down_s: float = 2.0) -> None:
        """Bits of the database flip while the gateway is off."""
        self._fell("bits flipped", down_s)
        self.edge.crash(1.0)
        self.edge.disk.power_on()
        self.edge.disk.off = True
        self.edge.disk.rot()

    def fill_disk(self, free: int = 0) -> None:
        """Nothing more can be written but `free` bytes."""
        self.saw("disk full")
        self.edge.disk.fill(free)

    def free_disk(self) -> None:
        self.edge.disk.free = None

    def fail_syncs(self, count: int = 1) -> None:
        """The disk refuses to sync."""
        self.saw("sync failed")
        self.edge.disk.failing_syncs = count

    def turn_clock(self, seconds: float) -> None:
        """The gateway's wall clock jumps."""
        self.saw("clock turned")
        self.edge.machine.wrong_ns += round(seconds * SECOND_NS)

    def lose_time_source(self, synced: bool = False) -> None:
        """From now on the kernel does not vouch for the clock, or it does again."""
        self.edge.kernel.synced = synced
        if synced:
            self.edge.machine.wrong_ns = 0

    def _fell(self, what: str, down_s: float) -> None:
        self.saw(what)
        self.loop.call_later(down_s, self.edge.start)

    # What happens on the way.

    def cut_line(self, down_s: float | None = None) -> None:
        self.saw("line cut")
        self.broker.cut(self.edge.line)
        if down_s is not None:
            self.loop.call_later(down_s, self.heal_line)

    def silence_line(self, down_s: float | None = None) -> None:
        self.saw("half-open")
        self.edge.line.silent = True
        if down_s is not None:
            self.loop.call_later(down_s, self.heal_line)

    def heal_line(self) -> None:
        self.edge.line.up, self.edge.line.silent = True, False

    def wipe_broker(self) -> None:
        self.broker.wipe()

    # What happens to the cloud.

    def kill_cloud(self, steps: int = 0, down_s: float = 2.0) -> None:
        """It dies now or some steps later, and is back after a while."""
        self.saw("cloud killed")
        self.cloud.kill(steps)
        self.loop.call_later(down_s, self._restart_cloud)

    def _restart_cloud(self) -> None:
        if self.cloud.process is not None and self.cloud.process.dies_in is not None:
            self.cloud.kill()  # it had not come that far
        self.cloud.start()

    def restore_cloud(self) -> None:
        """Both stores are replaced by an earlier copy."""
        self.cloud.kill()
        if self.cloud.restore():
            self.saw("cloud restored")
            self._acked.clear()
        self.loop.call_later(1.0, self.cloud.start)

    def lock_database(self, locked: bool) -> None:
        """Somebody else holds the relational store."""
        self.saw("database away")
        if self.cloud.process is not None:
            self.cloud.process.database_away = locked

    # The end of all faults.

    def calm(self) -> None:
        """Everything is repaired; what is lost stays lost."""
        cloud = self.cloud
        for line in (self.edge.line, self.copy.line, cloud.line):
            line.up, line.silent, line.drops, line.doubles, line.reorders, line.breaks = True, False, 0.0, 0.0, 0.0, 0.0
        self.broker.forgets = 0.0
        disk = self.edge.disk
        disk.free, disk.failing_syncs, disk.cut_in = None, 0, None
        self.lose_time_source(synced=True)
        cloud.series.away = False
        if cloud.process is not None:
            cloud.process.dies_in, cloud.process.database_away = None, False
        cloud.start()

    async def settle(self) -> None:
        """Let time pass until nothing is owed; BrokenPromiseError where that takes too long."""
        if self.copy.running:
            self.edge.crash(1.0)
            await self._drain(self.copy)
            self.copy.crash(1.0)
        self.edge.start()
        await self._drain(self.edge)
        if self.seen["cloud restored"]:
            # One that was restored just now is found out when the books are compared.
            await asyncio.sleep(COMPARE_S + 10.0)
            await self._drain(self.edge)
        await asyncio.sleep(5.0)
        self.check()

    async def _drain(self, host: EdgeHost) -> None:
        until = self.loop.now + _PATIENCE_S
        while not _drained(host):
            self.check()
            if self.loop.now > until:
                state = (
                    f"{dict(host.outbox.accounts)}, {host.uplink and host.uplink.counts}" if host.outbox else "it does not run"
                )
                raise BrokenPromiseError("liveness", f"not drained {_PATIENCE_S:.0f} s after the last fault: {state}")
            await asyncio.sleep(1.0)

    # What must hold.

    def check(self) -> None:
        """Raise the first thing that went wrong."""
        if self.problems:
            raise self.problems[0]
        for program, error in (("agent", self.edge.failure), ("copied agent", self.copy.failure), ("cloud", self.cloud.failure)):
            if error is not None:
                raise BrokenPromiseError("keeps running", f"the {program} ended: {error!r}") from error
        if self.cloud.series.went_back:
            raise BrokenPromiseError("live state", f"went back: {self.cloud.series.went_back}")

    def judge(self) -> None:
        """Compare the end with the model."""
        fates = self._fates()
        broken = []
        for key in self.model.broken(fates):
            if self._contested(key):
                self.saw("lost to a copy")
            elif self._forgotten(key):
                self.saw("gone with an old epoch")
            else:
                broken.append(key)
        if broken:
            told = [(key, self.model.numbers.get(key)) for key in broken[:3]]
            raise BrokenPromiseError("kept promise", f"{len(broken)} of {len(self.model.promised)} lost: {told}")
        self._judge_effects()
        self._judge_accounts()
        # A hello that was overtaken on its way looks like one of an older copy: no broker does that, and it costs an epoch.
        reasons = ("cloned", "disk rolled back", "bits flipped", "reordered")
        if self.seen["new epoch"] and not any(self.seen[reason] for reason in reasons):
            raise BrokenPromiseError("same epoch", f"{self.seen['new epoch']} new ones, and nothing calls for one")
        self.seen.update(f"lost: {loss.reason}" for loss in fates.losses)

    def _judge_effects(self) -> None:
        """A reading has one place in the series store, and of an alarm there is one case at most."""
        places = Counter(value for (_, metric, _), value in self.cloud.series.values.items() if metric == "x")
        doubled = [value for value, count in places.items() if count > 1]
        # Of a clock that nobody set, a copy of the disk knows less than the disk, and says so.
        copied = (self.seen["cloned"] or self.seen["disk rolled back"]) and self.seen["clock turned"]
        if doubled and not copied:
            raise BrokenPromiseError("effect once", f"readings {doubled[:5]} are stored at several times")
        for (device, metric, at_ns), value in self.cloud.series.values.items():
            point = self.cloud.series.latest.get(device).get(metric)
            if (device, at_ns) in self.cloud.series.untimed:
                continue  # what the gateway knew of its clock had rotted: such a time is kept, and never believed
            if not self.seen["clock turned"] and (point is None or point.time_ns < at_ns):
                raise BrokenPromiseError("live state", f"{device} shows {point}, and {value} came at {at_ns}")

    def _judge_accounts(self) -> None:
        columns = "epoch, lane, watermark, ranges, stored, quarantined, lost, moved"
        for epoch, lane, watermark, ranges, *parts in self.cloud.rows(f"SELECT {columns} FROM lanes"):  # noqa: S608
            done = watermark + sum(high - low + 1 for low, high in json.loads(ranges))
            if sum(parts) != done:
                raise BrokenPromiseError(
                    "cloud account", f"{lane} of {epoch}: stored, quarantined, lost, moved {parts}, not {done}"
                )
            [(rows,)] = self.cloud.rows("SELECT count(*) FROM quarantine WHERE epoch = ? AND lane = ?", epoch, lane)
            query = "SELECT coalesce(sum(seq_to - seq_from + 1), 0) FROM losses WHERE epoch = ? AND lane = ?"
            [(gone,)] = self.cloud.rows(query, epoch, lane)
            if (rows, gone) != (parts[1], parts[2] + parts[3]):
                detail = f"{rows} in quarantine, {gone} in the losses, the account says {parts}"
                raise BrokenPromiseError("cloud account", f"{lane} of {epoch}: {detail}")

    def _fates(self) -> Fates:
        stored: dict[Key, object] = {
            ("reading", device, value): value
            for (device, metric, _), value in self.cloud.series.values.items()
            if metric == "x" and isinstance(value, int)
        }
        steps = self.cloud.rows("SELECT alarm, n, cause FROM transitions")
        stored |= {("event", alarm, n): Cause(cause) for alarm, n, cause in steps}
        quarantined = {Number(*row) for row in self.cloud.rows("SELECT epoch, lane, seq FROM quarantine")}
        rows = self.cloud.rows("SELECT epoch, lane, seq_from, seq_to, open_end, reason FROM losses")
        losses = [
            Loss(epoch, lane, low, float("inf") if open_end else high, why) for epoch, lane, low, high, open_end, why in rows
        ]
        return Fates(stored, quarantined, losses)

    def _on_ack(self, ack: Ack) -> None:
        """What an acknowledgement says must be in both stores by now, before it leaves."""
        query = "SELECT watermark, ranges FROM lanes WHERE epoch = ? AND lane = ?"
        found = self.cloud.rows(query, ack.epoch, ack.lane.value)
        held = [(0, found[0][0]), *json.loads(found[0][1])] if found else [(0, 0)]
        for low, high in [(1, ack.cumulative), *ack.ranges]:
            if low <= high and not any(a <= low and high <= b for a, b in held):
                self._fail("durable before ack", f"{ack.lane} {low} to {high} acknowledged, committed are {held}")
        lane = (ack.epoch, ack.lane.value)
        fates: Fates | None = None
        for seq in range(self._acked.get(lane, 0) + 1, ack.cumulative + 1):
            for key in self._keys.get(Number(*lane, seq), ()):
                fates = fates or self._fates()
                if key not in self.model.promised or key in self.model.excused or self._answered(key, fates):
                    continue
                if not self._contested(key):
                    self._fail("durable before ack", f"{key}, number {seq} of {lane}, has no effect yet")
        self._acked[lane] = max(self._acked.get(lane, 0), ack.cumulative)

    def _answered(self, key: Key, fates: Fates) -> bool:
        """Whether a record is done, or only moved: it is then in the outbox under another number."""
        moved = any(loss.covers(number) for number in self.model.numbers.get(key, ()) for loss in fates.losses)
        return moved or self.model.done(key, fates)

    def _contested(self, key: Key) -> bool:
        """Whether a copy of the disk gave the number of this record to another one: they cannot both be kept for certain."""
        copied = self.seen["cloned"] or self.seen["disk rolled back"]
        return bool(copied) and any(len(self._keys[number]) > 1 for number in self.model.numbers.get(key, ()))

    def _forgotten(self, key: Key) -> bool:
        """Whether a cloud that was restored lost what had been acknowledged in an epoch that is over: nobody keeps that."""
        present = set(self._epochs.values())
        return bool(self.seen["cloud restored"]) and not any(it.epoch in present for it in self.model.numbers.get(key, ()))

    def _fail(self, check: str, detail: str) -> None:
        self.problems.append(BrokenPromiseError(check, detail))

    def _on_error(self, _loop: object, context: dict[str, Any]) -> None:
        self._fail("no unseen error", f"{context.get('message')}: {context.get('exception')!r}")

    # What the gateway's store has.

    def committed(self, store: Store, before: dict[Lane, int], readings: Sequence[Reading], events: Sequence[Event]) -> None:
        """The store committed records; it numbered them from `before` on, in order."""
        for lane, records in ((Lane.READINGS, readings), (Lane.EVENTS, events)):
            for offset, record in enumerate(records):
                self._note(record, Number(store.epoch, lane.value, before[lane] + offset))

    def _note(self, record: Reading | Event, number: Number) -> None:
        if isinstance(record, Reading | Transition):
            self.numbered(_key(record), number)
            return
        # Nobody is promised a loss record or a result, but its number may be another's on a copy of the disk.
        keys = self._keys.setdefault(number, [])
        if (told := ("other", repr(record), 0)) not in keys:
            keys.append(told)

    def numbered(self, key: Key, number: Number) -> None:
        """A record has this number from now on."""
        self.model.numbered(key, number)
        keys = self._keys.setdefault(number, [])
        if key not in keys:
            keys.append(key)

    def _ready(self, host: EdgeHost) -> None:
        assert host.outbox is not None
        store = host.outbox._store
        self._epochs.pop(store.path.parent, None)
        self._learn(store)
        if host is self.edge and host.disk.folder in self._replaced:
            # Nobody can give back what was only on the disk that was taken away.
            fates, held = self._fates(), set(_held(store))
            self.model.excused |= {key for key in self.model.promised if key not in held and not self.model.done(key, fates)}
        self._replaced.discard(host.disk.folder)

    def _worked(self) -> None:
        """An outbox's thread has done something."""
        for host in (self.edge, self.copy):
            if host.outbox is None or host.disk.off:
                continue
            if host.outbox._is_sound:
                self._audit(host.outbox._store)

    def _audit(self, store: Store) -> None:
        """Every number is settled or in a block, and all of them are counted, in records and in bytes."""
        if self._audited.get(store.path) is store.lanes:
            return
        self._audited[store.path] = store.lanes
        self._learn(store)
        if _has_rotten(store):
            return
        for lane, account in store.lanes.items():
            settled = store._ledger.books[lane].settled
            rows = [
                (*split_key(key), last, size) for key, last, size in store._db.execute("SELECT key, last_seq, bytes FROM block")
            ]
            blocks = [(((first, last),), size) for of, first, last, size in rows if of is lane]
            still_open = [difference(span, settled) for span, _ in blocks]
            counted = {
                "settled": (account.acked + account.quarantined + account.lost, count(settled)),
                "held": (account.depth, sum(map(count, still_open))),
                "bytes": (account.bytes, sum(size for (_, size), left in zip(blocks, still_open, strict=True) if left)),
                "kept bytes": (
                    account.kept_bytes,
                    sum(size for (_, size), left in zip(blocks, still_open, strict=True) if not left),
                ),
            }
            wrong = {what: pair for what, pair in counted.items() if pair[0] != pair[1]}
            if wrong:
                self._fail("edge account", f"{lane}: (counted, found) {wrong}")

    def _learn(self, store: Store) -> None:
        """Note what the records of new blocks are called."""
        folder = store.path.parent
        if self._epochs.get(folder, store.epoch) != store.epoch:
            self.saw("new epoch")
        if self._epochs.get(folder) != store.epoch:
            self._epochs[folder] = store.epoch
            self._learned[folder] = dict.fromkeys(Lane, 0)
        learned = self._learned[folder]
        for lane, account in store.lanes.items():
            low = BASE[lane] + learned[lane]
            rows = store._db.execute("SELECT key, payload FROM block WHERE key > ? AND key < ?", (low, BASE[lane] + WIDTH))
            # What rot has reached the agent finds by itself, when it looks for it.
            with suppress(*DAMAGE):
                for key, payload in rows:
                    for offset, record in _records(lane, payload):
                        self._note(record, Number(store.epoch, lane.value, split_key(key)[1] + offset))
            learned[lane] = account.next_seq - 1


def _has_rotten(store: Store) -> bool:
    """Whether rot has reached a block: the agent finds it by itself, when it looks for it."""
    columns = ", ".join(Row.__struct_fields__).replace("size", "bytes")
    try:
        return not all(Row(*row).is_sound for row in store._db.execute(f"SELECT {columns} FROM block"))  # noqa: S608
    except DAMAGE:
        return True


def _key(record: Reading | Transition) -> Key:
    """What a record is whatever its number and whoever corrected its time."""
    match record:
        case Reading():
            number = record.values["x"]
            assert isinstance(number, int)
            return "reading", record.device, number
        case Transition():
            return "event", record.alarm, record.n


def _drained(host: EdgeHost) -> bool:
    if not host.running or host.outbox is None or host.committer is None:
        return False
    return not host.committer.unfinished and not any(account.depth for account in host.outbox.accounts.values())


def _records(lane: Lane, payload: bytes) -> list[tuple[int, Reading | Event]]:
    """The records of a block by their offset; none where one of them cannot be read."""
    try:
        if lane is Lane.EVENTS:
            return list(enumerate(decode_events(payload, decompress).events))
        return [pair for group in decode_readings(payload, decompress).groups for pair in group.readings()]
    except WireError:
        return []


def _held(store: Store) -> Iterator[Key]:
    for key, payload in store._db.execute("SELECT key, payload FROM block"):
        yield from (
            _key(record) for _, record in _records(split_key(key)[0], payload) if isinstance(record, Reading | Transition)
        )


@contextmanager
def opened(seed: object, limits: OutboxLimits | None = None) -> Iterator[World]:
    """A world in which nothing runs yet; nothing of it is left afterwards."""
    chance = random.Random(f"{seed}")  # noqa: S311 - a simulation
    loop = VirtualLoop(chance)
    memory = Path("/dev/shm")  # noqa: S108 - memory, and a folder of one's own in it
    folder = Path(mkdtemp(prefix="citynerve-sim-", dir=memory if memory.is_dir() else None))
    state = random.getstate()
    random.seed(f"{seed} of the product")
    world = World(chance, loop, folder, limits or OutboxLimits(reserve_bytes=RESERVE_BYTES))
    commit = Store.commit

    def observed(store: Store, readings: Any, events: Any, *rest: Any, **named: Any) -> Any:
        before, squeezed = {lane: account.next_seq for lane, account in store.lanes.items()}, store.squeezed
        result = commit(store, readings, events, *rest, **named)
        # Where room had to be made on a full disk, the events that tell of it were numbered before the others.
        world.committed(store, before, readings, events if store.squeezed == squeezed else ())
        return result

    try:
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(Store, "commit", observed))
            stack.enter_context(mock.patch.object(Store, "rescuing", _observed_rescue(world)))
            stack.enter_context(mock.patch("uuid.uuid4", side_effect=lambda: uuid.UUID(int=chance.getrandbits(128), version=4)))
            for name, value in _SMALL.items():
                stack.enter_context(mock.patch(name, value))
            try:
                yield world
            finally:
                loop.run_until_complete(_end(world))
    finally:
        world.cloud.close()
        for host in (world.edge, world.copy):
            host.disk.remove()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        random.setstate(state)
        rmtree(folder)


def _observed_rescue(world: World) -> Callable[[Store, int], AbstractContextManager[Ledger]]:
    """What a rescue carries over may have to go in the same transaction: the numbers it had are noted as they are given."""
    rescuing = Store.rescuing

    @contextmanager
    def observed(store: Store, now_ns: int) -> Iterator[Ledger]:
        with rescuing(store, now_ns) as ledger:
            yield ledger
            for lane in Lane:
                for key, payload in store._db.execute("SELECT key, payload FROM block"):
                    of, first = split_key(key)
                    for offset, record in _records(lane, payload) if of is lane else ():
                        if isinstance(record, Reading | Transition):
                            world.numbered(_key(record), Number(store.epoch, lane.value, first + offset))

    return observed


async def _end(world: World) -> None:
    await world.edge.end()
    await world.copy.end()
    await world.cloud.end()
