"""Where drivers hand in what they hear: the pipeline, the memory of each device, the counters."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec

from device_profiles.model import Profile
from edge_agent.alarms.conditions import has_stale
from edge_agent.alarms.engine import Judged, judge_silence
from edge_agent.alarms.state import DeviceState, pack, unpack
from edge_agent.alarms.zones import Zone
from edge_agent.committer import Committer, Entry
from edge_agent.config import DeviceConfig
from edge_agent.frames import FrameRings, frame_reading
from edge_agent.heard import Heard, Verdict
from edge_agent.outbox.clocks import ClockStamp
from edge_agent.outbox.outbox import OversizedError
from edge_agent.pipeline import Memory, Work, process
from edge_agent.pipeline.normalise import MAX_AT_ONCE
from edge_agent.pipeline.reclock import reclocked, sane
from edge_agent.refusals import Refusals
from edge_agent.timekeeper import Timekeeper
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import CommandResult, ContractError, Reading
from telemetry.wire import DeviceDeclaration

__all__ = ["Desk", "DeskCounts"]

MAX_ADMITTED = 10_000
"""Devices that listeners may let in by themselves."""

_GUEST = "+"
"""Begins the name under which an admitted device is remembered; no id begins with it."""

_CLOCK = "@clock"
"""The name under which the clock is remembered; no id begins so, either."""

_OWN_TIME_NS = 1_000_000
"""A reading whose time is this near to its reception has the gateway's time, not the device's."""


class DeskCounts(msgspec.Struct):
    """What was handed in since the start. `heard` = `committed` + `held_back` + `refused` + what is under way.

    `snapshots` are readings that were committed once more, so that the cloud sees the present before a long backlog.
    """

    heard: int = 0
    committed: int = 0
    held_back: int = 0
    refused: int = 0
    transitions: int = 0
    snapshots: int = 0


class _Device(msgspec.Struct):
    config: DeviceConfig
    profile: Profile
    memory: Memory
    offset_ns: int
    """The clock's offset by which the memory's times were told."""
    alive_ns: int
    """Monotonic clock when last heard, or when the agent came to know the device."""
    was_heard: bool = False
    own_time: bool = True
    """Whether its readings have the gateway's time, since it tells none."""
    latest: tuple[Reading, ClockStamp] | None = None
    """The newest reading that was committed, and the stamp of its times."""


class Desk:
    """The agent's side of `edge_agent.heard.Inlet`."""

    def __init__(
        self, clock: Timekeeper, catalog: Mapping[str, Profile], committer: Committer, zones: Mapping[str, Zone] | None = None
    ) -> None:
        self._clock = clock
        self._zones = zones or {}
        self._catalog = catalog
        self._committer = committer
        self._devices: dict[str, _Device] = {}
        self._stored: dict[str, DeviceState] = {}
        self._admitted = 0
        self.refusals = Refusals(clock)
        self.counts = DeskCounts()
        self.frames = FrameRings()
        self.on_admitted: Callable[[], None] = lambda: None
        """Called when a device was admitted: the cloud must hear of it before it hears its readings."""

    @property
    def clock(self) -> Timekeeper:
        return self._clock

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Take over what the outbox remembers: the clock, the devices' alarms, who was admitted. Before the first `enrol`."""
        guests: list[DeviceConfig] = []
        for device, data in states.items():
            try:
                if device == _CLOCK:
                    self._clock.recall(data)
                elif device.startswith(_GUEST):
                    guests.append(msgspec.msgpack.decode(data, type=DeviceConfig))
                else:
                    self._stored[device] = unpack(data)
            except msgspec.MsgspecError as error:
                self.refuse(device, Reason.CORRUPT, f"stored state: {error}", data)
        # Readings of theirs may still wait in the outbox, and the cloud takes them from declared devices only.
        self.enrol(guests)
        self._admitted = len(guests)

    def enrol(self, devices: Iterable[DeviceConfig]) -> None:
        """Make devices known; those whose profile the catalog lacks are refused."""
        for config in devices:
            profile = self._catalog.get(config.profile)
            if profile is None:
                self.refuse(config.id, Reason.UNKNOWN_PROFILE, f"{config.profile!r}")
                continue
            memory = Memory(alarms=self._stored.pop(config.id, DeviceState()))
            self._devices[config.id] = _Device(
                config, profile, memory, offset_ns=self._clock.stamp.offset_ns, alive_ns=self._clock.monotonic_ns()
            )

    # What drivers call.

    async def accept(self, heard: Heard) -> Verdict:
        """Judge and store one reading; see `Inlet.accept`."""
        self.counts.heard += 1
        device = self._devices.get(heard.device)
        if device is None:
            self._count(Verdict.REFUSED)
            self.refuse(heard.device, Reason.UNKNOWN_DEVICE, "not in the configuration")
            return Verdict.REFUSED
        await self._committer.reserve()
        verdict, entry = self._judge(heard, device)
        if entry is None:
            self._committer.give_back()
            self._count(verdict)
            return verdict
        done = self._committer.put(entry, awaited=heard.awaited)
        done.add_done_callback(partial(self._note_stored, device, verdict, entry))
        if not heard.awaited:
            return verdict
        try:
            # A driver that stops waiting does not take back what it handed in.
            await asyncio.shield(done)
        except OversizedError:
            return Verdict.REFUSED
        return verdict

    def _judge(self, heard: Heard, device: _Device) -> tuple[Verdict, Entry | None]:
        """Run the pipeline and remember the outcome; what has to be stored, if anything.

        A reading held back that moved no alarm has nothing that must survive a crash: judged again it gives the same.
        """
        stamp = self._clock.stamp
        received_ns = self._clock.present(heard.received_ns)
        if received_ns != heard.received_ns:
            heard = msgspec.structs.replace(heard, received_ns=received_ns)
        memory = self._recalled(device, heard)
        try:
            work = process(Work(heard=heard, memory=memory, vouched=self._clock.is_vouched, zones=self._zones))
        except ContractError as error:
            self.refuse(heard.device, Reason.INVALID, str(error))
            return Verdict.REFUSED, None
        device.alive_ns, device.was_heard = self._clock.monotonic_ns(), True
        for doubt in work.doubts:
            self.refuse(heard.device, doubt.reason, doubt.detail)
        if work.reading is None:
            return Verdict.REFUSED, None
        moved = work.memory.alarms.rules != device.memory.alarms.rules or work.memory.alarms.held != device.memory.alarms.held
        device.memory = work.memory
        device.own_time = not _is_told(work.reading.time_ns, heard.decoded.time_ns)
        self.frames.keep(heard, work.reading.time_ns)
        frames = None
        if device.config.frames:
            frames = frame_reading(heard, device.profile, work.reading.time_ns, self.frames.counts)
        verdict = Verdict.COMMITTED if work.send else Verdict.HELD_BACK
        if not work.send and not moved and frames is None:
            return verdict, None
        return verdict, Entry(
            device=heard.device,
            stamp=stamp,
            reading=work.reading if work.send else None,
            frames=frames,
            events=self.frames.evidence(work.transitions),
            state=pack(work.memory.alarms) if heard.profile.alarms else None,
        )

    def _recalled(self, device: _Device, heard: Heard | None = None) -> Memory:
        """What is remembered of a device, in the time that holds now; `heard` is what it is to be judged by."""
        by_ns, device.offset_ns = self._clock.stamp.offset_ns - device.offset_ns, self._clock.stamp.offset_ns
        if by_ns:
            device.memory = reclocked(device.memory, device.profile, by_ns, own_time=device.own_time)
        if heard is not None:
            comparable = self._clock.is_vouched or heard.decoded.time_ns is None
            device.memory = sane(device.memory, device.profile, heard.received_ns, own_time=comparable)
        return device.memory

    def _note_stored(self, device: _Device, verdict: Verdict, entry: Entry, done: "asyncio.Future[None]") -> None:
        error = None if done.cancelled() else done.exception()
        if isinstance(error, OversizedError):
            self.refuse(entry.device, error.reason, str(error))
        if done.cancelled() or error is not None:
            self._count(Verdict.REFUSED)
            return
        self.counts.transitions += len(entry.events)
        self._count(verdict)
        reading, last = entry.reading, device.latest
        if reading is not None and (last is None or _is_newer(reading, entry.stamp, last)):
            device.latest = (reading, entry.stamp)

    def _count(self, verdict: Verdict) -> None:
        match verdict:
            case Verdict.COMMITTED:
                self.counts.committed += 1
            case Verdict.HELD_BACK:
                self.counts.held_back += 1
            case Verdict.REFUSED:
                self.counts.refused += 1

    def refuse(self, source: str, reason: Reason, detail: str, raw: bytes = b"") -> None:
        """Count what could not be used; see `Inlet.refuse`."""
        self.refusals.add(source, reason, detail, raw)

    def admit(self, device: DeviceConfig) -> None:
        """Make known a device that a listener let in; see `Inlet.admit`."""
        if device.id in self._devices:
            return
        if self._admitted >= MAX_ADMITTED:
            self.refuse(device.id, Reason.QUEUE_FULL, f"{MAX_ADMITTED} devices have been admitted already")
            return
        self._admitted += 1
        self.enrol([device])
        guest = Entry(device=f"{_GUEST}{device.id}", stamp=self._clock.stamp, state=msgspec.msgpack.encode(device))
        self._committer.put(guest, awaited=False, has_room=False)
        self.on_admitted()

    # What the wiring calls.

    async def watch_silence(self) -> None:
        """Judge, now, the rules about silence of every device that has some, and the readings that waited long enough."""
        for name, device in list(self._devices.items()):
            waits = bool(device.memory.alarms.held)
            if not waits and not any(has_stale(rule.when) for rule in device.profile.alarms.values()):
                continue
            if self._silence(name, device).state == device.memory.alarms:
                continue
            # Room first, and no waiting between judging and handing over: see Committer.reserve.
            await self._committer.reserve()
            judged = self._silence(name, device)
            device.memory = msgspec.structs.replace(device.memory, alarms=judged.state)
            entry = Entry(device=name, stamp=self._clock.stamp, events=judged.transitions, state=pack(judged.state))
            self._committer.put(entry, awaited=False)
            self.counts.transitions += len(judged.transitions)

    def _silence(self, name: str, device: _Device) -> Judged:
        """How long a device is silent is the monotonic clock's matter: the wall clock may jump as it likes."""
        silent_s = (self._clock.monotonic_ns() - device.alive_ns) / SECOND_NS
        state = self._recalled(device).alarms
        return judge_silence(device.profile, state, name, silent_s, self._clock.wall_ns(), zones=self._zones)

    async def record(self, device: str, result: CommandResult) -> None:
        """Put a command's result on disk."""
        await self._committer.reserve()
        result = msgspec.structs.replace(result, time_ns=self._clock.present(result.time_ns))
        await asyncio.shield(self._committer.put(Entry(device=device, stamp=self._clock.stamp, events=(result,))))

    async def snapshot(self) -> int:
        """Commit the latest reading of each device once more; returns how many there were, when all are on disk.

        They are at the head of the lane then, where they pass a long backlog. They have their own time and series
        again, so the store is the same with them and without.
        """
        latest = [(name, *device.latest) for name, device in self._devices.items() if device.latest is not None]
        done: asyncio.Future[None] | None = None
        for name, reading, stamp in latest:
            await self._committer.reserve()
            done = self._committer.put(Entry(device=name, stamp=stamp, reading=reading))
        if done is not None:
            # Entries are committed in the order in which they are handed over.
            await asyncio.shield(done)
        self.counts.snapshots += len(latest)
        return len(latest)

    def remember_clock(self) -> None:
        """Store what the clock needs after a restart, where there is news."""
        state = self._clock.memory()
        if state is not None:
            # Once in ten minutes at most: it needs no room.
            self._committer.put(Entry(device=_CLOCK, stamp=self._clock.stamp, state=state), awaited=False, has_room=False)

    def device(self, name: str) -> DeviceConfig | None:
        """A known device."""
        found = self._devices.get(name)
        return found.config if found else None

    def declarations(self) -> list[DeviceDeclaration]:
        """Every known device, as a hello states it."""
        return [
            DeviceDeclaration(
                device=name,
                profile=device.profile.name,
                profile_version=device.profile.version,
                kind=device.profile.kind,
                name=device.config.name,
                position=device.config.position,
                component_code=device.config.component_code,
            )
            for name, device in self._devices.items()
        ]

    def last_heard(self) -> dict[str, int | None]:
        """When each known device was last heard, wall clock in ns; None for those not heard since the start."""
        ahead_ns = self._clock.wall_ns() - self._clock.monotonic_ns()
        return {name: device.alive_ns + ahead_ns if device.was_heard else None for name, device in self._devices.items()}

    def open_alarms(self) -> list[str]:
        """The ids of the occurrences whose condition still holds."""
        return [
            f"{name}/{rule}/{state.onset_ns}"
            for name, device in self._devices.items()
            for rule, state in device.memory.alarms.rules.items()
            if state.active
        ]


def _is_told(time_ns: int, told_ns: int | None) -> bool:
    """Whether a reading's time is what the device said, but for the nanoseconds that keep an instant's readings apart."""
    return told_ns is not None and 0 <= time_ns - told_ns < MAX_AT_ONCE


def _has_own_time(reading: Reading) -> bool:
    return abs(reading.time_ns - reading.received_ns) < _OWN_TIME_NS


def _is_newer(reading: Reading, stamp: ClockStamp, last: tuple[Reading, ClockStamp]) -> bool:
    """Whether a reading is not before the last one, though the clock may have been set in between."""
    before, its_stamp = last
    if _has_own_time(reading) and _has_own_time(before):
        return reading.time_ns - stamp.offset_ns >= before.time_ns - its_stamp.offset_ns
    return _has_own_time(reading) is not _has_own_time(before) or reading.time_ns >= before.time_ns
