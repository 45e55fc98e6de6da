"""One gateway, one broker and one cloud on virtual time, with everything that may happen to them, and what must hold.

Every fault is a method; `calm` ends them all. `check` looks at what must hold at any instant, `settle` lets time pass until
nothing is owed any more, and `judge` compares the end with the reference model.
"""

import asyncio
import hashlib
import json
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from unittest import mock

from model import Fates, Loss, Model, Number
from sim_cloud import POISON, CloudHost
from sim_disk import SimDisk
from sim_edge import DEVICES, EdgeHost
from sim_loop import SimClock, VirtualLoop
from sim_net import Broker

from edge_agent.config import OutboxLimits
from edge_agent.outbox.outbox import Outbox
from edge_agent.outbox.store import Store, split_key
from edge_agent.uplink.compression import decompress
from telemetry.records import Cause, Event, Lane, Origin, Priority, Reading, Transition
from telemetry.wire import Ack, decode_events, decode_readings

__all__ = ["BrokenPromiseError", "World"]

_PATIENCE_S = 1800.0
"""Virtual time within which everything must be out once the faults have stopped."""


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
        self.disk = SimDisk(folder / "edge", chance)
        self.edge = EdgeHost(self.disk, self.broker, SimClock(loop), chance, limits, self.saw)
        self.edge.on_ready = self._edge_ready
        self._serial = 0
        self._open_alarms: list[Transition] = []
        self._keys: dict[Number, list[tuple[str, str, int]]] = {}
        self._acked: dict[tuple[str, str], int] = {}
        self._epoch = ""
        self._images: list[dict[str, bytes]] = []
        self._replaced = False
        loop.after_work = self._edge_worked
        loop.set_exception_handler(self._on_error)

    # The trace.

    def note(self, what: str, who: str, topic: str, payload: bytes) -> None:
        """One line of the trace."""
        self._trace.update(f"{self.loop.now:.9f} {what} {who} {topic} {hashlib.md5(payload).hexdigest()}\n".encode())  # noqa: S324

    def saw(self, what: str) -> None:
        """Something worth happening has happened."""
        self.seen[what] += 1
        self.note("saw", what, "", b"")

    def trace(self) -> str:
        return self._trace.hexdigest()

    # What devices do.

    def hear(self, count: int, *, poison: bool = False) -> None:
        """Some readings; one of poison cannot be stored by any cloud."""
        for _ in range(count):
            device, at_ns = self.chance.choice(DEVICES), self._next_ns()
            value = POISON if poison else self._serial
            reading = Reading(
                device=device, profile="cover_nbiot", profile_version=1, time_ns=at_ns, received_ns=at_ns, values={"x": value}
            )
            self.edge.hear(reading, (), lambda key=("reading", device, at_ns), value=value: self.model.promise(key, value))

    def alarm(self) -> None:
        """An alarm is raised, or one that was raised returns."""
        if self._open_alarms and self.chance.random() < 0.5:
            raised = self._open_alarms.pop(self.chance.randrange(len(self._open_alarms)))
            step = self._step(raised.device, raised.alarm, raised.n + 1, Cause.RETURN)
        else:
            device = self.chance.choice(DEVICES)
            step = self._step(device, f"{device}/cover_opened/{self._next_ns()}", 1, Cause.RAISE)
            self._open_alarms.append(step)
        self.edge.hear(None, (step,), lambda: self.model.promise(("event", step.alarm, step.n), step.cause))

    def _step(self, device: str, alarm: str, n: int, cause: Cause) -> Transition:
        at_ns = self._next_ns()
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

    def _next_ns(self) -> int:
        self._serial += 1
        return self.edge.clock.wall_ns() + self._serial

    # What happens to the gateway.

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
        self.disk.keep = self.chance.choice((0.0, 0.5, 0.9, 1.0))
        self.disk.cut_in = operations

    def keep_image(self) -> None:
        """Somebody makes a copy of the gateway's disk."""
        self._images.append(self.disk.image())

    def roll_back(self, down_s: float = 2.0) -> None:
        """The gateway's disk is replaced by an earlier copy of it."""
        if self._images:
            self._fell("disk rolled back", down_s)
            self.edge.crash(1.0)
            self.disk.power_on()
            self.disk.off = True
            self.disk.restore(self.chance.choice(self._images))
            self._replaced = True

    def rot(self, down_s: float = 2.0) -> None:
        """Bits of the database flip while the gateway is off."""
        self._fell("bits flipped", down_s)
        self.edge.crash(1.0)
        self.disk.power_on()
        self.disk.off = True
        self.disk.rot()

    def fill_disk(self, free: int = 0) -> None:
        """Nothing more can be written but `free` bytes."""
        self.saw("disk full")
        self.disk.free = free

    def free_disk(self) -> None:
        self.disk.free = None

    def fail_syncs(self, count: int = 1) -> None:
        """The disk refuses to sync."""
        self.saw("sync failed")
        self.disk.failing_syncs = count

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

    # The end of all faults.

    def calm(self) -> None:
        """Everything is repaired; what is lost stays lost."""
        line, cloud = self.edge.line, self.cloud
        for each in (line, cloud.line):
            each.up, each.silent, each.drops, each.doubles, each.reorders, each.breaks = True, False, 0.0, 0.0, 0.0, 0.0
        self.broker.forgets = 0.0
        self.disk.free, self.disk.failing_syncs, self.disk.cut_in = None, 0, None
        cloud.series.away = False
        if cloud.process is not None:
            cloud.process.dies_in = None
        self.edge.start()
        cloud.start()

    async def settle(self) -> None:
        """Let time pass until nothing is owed; BrokenPromiseError where that takes too long."""
        until = self.loop.now + _PATIENCE_S
        while not self._drained():
            self.check()
            if self.loop.now > until:
                raise BrokenPromiseError("liveness", f"not drained {_PATIENCE_S:.0f} s after the last fault: {self._debts()}")
            await asyncio.sleep(1.0)
        await asyncio.sleep(5.0)
        self.check()

    def _drained(self) -> bool:
        edge = self.edge
        if not edge.running or edge.outbox is None or edge.committer is None:
            return False
        return not edge.committer.unfinished and not any(account.depth for account in edge.outbox.accounts.values())

    def _debts(self) -> str:
        if self.edge.outbox is None:
            return "the agent does not run"
        return f"{dict(self.edge.outbox.accounts)}, {self.edge.counts}"

    # What must hold.

    def check(self) -> None:
        """Raise the first thing that went wrong."""
        if self.problems:
            raise self.problems[0]
        for program, error in (("agent", self.edge.failure), ("cloud", self.cloud.failure)):
            if error is not None:
                raise BrokenPromiseError("keeps running", f"the {program} ended: {error!r}") from error
        if self.cloud.series.went_back:
            raise BrokenPromiseError("live state", f"went back: {self.cloud.series.went_back}")

    def judge(self) -> None:
        """Compare the end with the model."""
        fates = self._fates()
        broken = self.model.broken(fates)
        if broken:
            told = [(key, self.model.numbers.get(key)) for key in broken[:3]]
            raise BrokenPromiseError("kept promise", f"{len(broken)} of {len(self.model.promised)} lost: {told}")
        self._judge_cloud_accounts()

    def _judge_cloud_accounts(self) -> None:
        for epoch, lane, watermark, ranges, stored, quarantined, lost in self.cloud.rows(
            "SELECT epoch, lane, watermark, ranges, stored, quarantined, lost FROM lanes"
        ):
            done = watermark + sum(high - low + 1 for low, high in _json(ranges))
            if stored + quarantined + lost != done:
                raise BrokenPromiseError("cloud account", f"{lane} of {epoch}: {stored} + {quarantined} + {lost} is not {done}")
            [(rows,)] = self.cloud.rows("SELECT count(*) FROM quarantine WHERE epoch = ? AND lane = ?", epoch, lane)
            if rows != quarantined:
                raise BrokenPromiseError("cloud account", f"{lane} of {epoch}: {rows} rows in quarantine, {quarantined} counted")

    def _fates(self) -> Fates:
        stored: dict[tuple[str, str, int], object] = {
            ("reading", device, at_ns): value for (device, _, at_ns), value in self.cloud.series.values.items()
        }
        stored |= {
            ("event", alarm, n): Cause(cause) for alarm, n, cause in self.cloud.rows("SELECT alarm, n, cause FROM transitions")
        }
        quarantined = {Number(*row) for row in self.cloud.rows("SELECT epoch, lane, seq FROM quarantine")}
        losses = [Loss(*row) for row in self.cloud.rows("SELECT epoch, lane, seq_from, seq_to, reason FROM losses")]
        return Fates(stored, quarantined, losses)

    def _on_ack(self, ack: Ack) -> None:
        """What an acknowledgement says must be in both stores by now, before it leaves."""
        found = self.cloud.rows(
            "SELECT watermark, ranges FROM lanes WHERE epoch = ? AND lane = ? AND gateway = ?",
            ack.epoch,
            ack.lane.value,
            ack.gateway,
        )
        watermark, ranges = (found[0][0], _json(found[0][1])) if found else (0, [])
        held = [(0, watermark), *ranges]
        for low, high in [(1, ack.cumulative), *ack.ranges]:
            if low <= high and not any(a <= low and high <= b for a, b in held):
                self._fail("durable before ack", f"{ack.lane} {low} to {high} acknowledged, committed are {held}")
        self._check_effects(ack)

    def _check_effects(self, ack: Ack) -> None:
        lane = (ack.epoch, ack.lane.value)
        fates: Fates | None = None
        for seq in range(self._acked.get(lane, 0) + 1, ack.cumulative + 1):
            for key in self._keys.get(Number(*lane, seq), ()):
                if key[0] == "reading" and (key[1], "x", key[2]) in self.cloud.series.values:
                    continue
                fates = fates or self._fates()
                if not self.model.done(key, fates) and key not in self.model.excused:
                    self._fail("durable before ack", f"{key}, number {seq} of {lane}, has no effect yet")
        self._acked[lane] = max(self._acked.get(lane, 0), ack.cumulative)

    def _fail(self, check: str, detail: str) -> None:
        self.problems.append(BrokenPromiseError(check, detail))

    def _on_error(self, _loop: object, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._fail("no unseen error", f"{context.get('message')}: {error!r}")

    # What the gateway's store has.

    def committed(self, store: Store, before: dict[Lane, int], readings: list[Reading], events: list[Event]) -> None:
        """The store committed records; it numbered them from `before` on, in order."""
        for offset, reading in enumerate(readings):
            self._number(("reading", reading.device, reading.time_ns), store.epoch, Lane.READINGS, before[Lane.READINGS] + offset)
        for offset, event in enumerate(events):
            if isinstance(event, Transition):
                self._number(("event", event.alarm, event.n), store.epoch, Lane.EVENTS, before[Lane.EVENTS] + offset)

    def _number(self, key: tuple[str, str, int], epoch: str, lane: Lane, seq: int) -> None:
        number = Number(epoch, lane.value, seq)
        self.model.numbered(key, number)
        keys = self._keys.setdefault(number, [])
        if key not in keys:
            keys.append(key)

    def _edge_ready(self, outbox: Outbox) -> None:
        held = self._learn(outbox._store)
        if self._replaced:
            self._replaced = False
            fates = self._fates()
            self.model.excused |= {key for key in self.model.promised if key not in held and not self.model.done(key, fates)}

    def _edge_worked(self, result: object) -> None:
        """The outbox's thread has done something; its result may be a store that takes the place of the former one."""
        if self.edge.outbox is None or self.disk.off:
            return
        store = result if isinstance(result, Store) else self.edge.outbox._store
        if store.epoch != self._epoch:
            self._learn(store)
        for lane, account in store.lanes.items():
            held = _held(store, lane)
            if held != account.depth:
                self._fail("edge account", f"{lane}: {account} says {account.depth} are held, {held} are")

    def _learn(self, store: Store) -> set[tuple[str, str, int]]:
        """Note what every held record is called now."""
        if self._epoch not in {"", store.epoch}:
            self.saw("new epoch")
        self._epoch = store.epoch
        held = set()
        for lane, first, payload in _blocks(store):
            if lane is Lane.EVENTS:
                events = decode_events(payload, decompress).events
                named = [
                    (("event", each.alarm, each.n), first + i) for i, each in enumerate(events) if isinstance(each, Transition)
                ]
            else:
                groups = decode_readings(payload, decompress).groups
                named = [
                    (("reading", each.device, each.time_ns), first + offset)
                    for group in groups
                    for offset, each in group.readings()
                ]
            for key, seq in named:
                self._number(key, store.epoch, lane, seq)
                held.add(key)
        return held


def _blocks(store: Store) -> Iterator[tuple[Lane, int, bytes]]:
    for key, payload in store._db.execute("SELECT key, payload FROM block"):
        yield *split_key(key), payload


def _held(store: Store, lane: Lane) -> int:
    rows = [(*split_key(key), last) for key, last in store._db.execute("SELECT key, last_seq FROM block")]
    return sum(last - first + 1 for of, first, last in rows if of is lane)


def _json(text: str) -> list[list[int]]:
    return list(json.loads(text))


@contextmanager
def opened(seed: object, limits: OutboxLimits | None = None) -> Iterator[World]:
    """A world with everything running soon; nothing of it is left afterwards."""
    chance = random.Random(f"{seed}")  # noqa: S311 - a simulation
    loop = VirtualLoop(chance)
    memory = Path("/dev/shm")  # noqa: S108 - memory, and a folder of one's own in it
    folder = Path(mkdtemp(prefix="citynerve-sim-", dir=memory if memory.is_dir() else None))
    state = random.getstate()
    random.seed(f"{seed} of the product")
    world = World(chance, loop, folder, limits or OutboxLimits())
    commit = Store.commit

    def observed(store: Store, readings: Any, events: Any, *rest: Any, **named: Any) -> Any:
        before = {lane: account.next_seq for lane, account in store.lanes.items()}
        result = commit(store, readings, events, *rest, **named)
        world.committed(store, before, readings, events)
        return result

    numbers = mock.patch("uuid.uuid4", side_effect=lambda: uuid.UUID(int=chance.getrandbits(128), version=4))
    try:
        with mock.patch.object(Store, "commit", observed), numbers:
            yield world
            loop.run_until_complete(_end(world))
    finally:
        world.cloud.close()
        world.disk.remove()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        random.setstate(state)
        rmtree(folder)


async def _end(world: World) -> None:
    await world.edge.end()
    await world.cloud.end()
