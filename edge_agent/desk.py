"""Where drivers hand in what they hear: the pipeline, the memory of each device, the counters."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec

from device_profiles.model import Profile
from edge_agent.alarms.conditions import has_stale
from edge_agent.alarms.engine import judge_silence
from edge_agent.alarms.state import DeviceState, pack, unpack
from edge_agent.committer import Committer, Entry
from edge_agent.config import DeviceConfig
from edge_agent.heard import Heard, Verdict
from edge_agent.pipeline import Memory, Work, process
from edge_agent.refusals import Refusals
from telemetry.clock import SECOND_NS, Clock
from telemetry.reason import Reason
from telemetry.records import ContractError, Event
from telemetry.wire import DeviceDeclaration

__all__ = ["Desk", "DeskCounts"]

MAX_ADMITTED = 10_000
"""Devices that listeners may let in by themselves."""

_GUEST = "+"
"""Begins the name under which an admitted device is remembered; no id begins with it."""


class DeskCounts(msgspec.Struct):
    """What was handed in since the start. `heard` = `committed` + `held_back` + `refused` + what is under way."""

    heard: int = 0
    committed: int = 0
    held_back: int = 0
    refused: int = 0
    transitions: int = 0


class _Device(msgspec.Struct):
    config: DeviceConfig
    profile: Profile
    memory: Memory
    alive_ns: int
    """Monotonic clock when last heard, or when the agent came to know the device."""
    heard_ns: int | None = None
    """Wall clock when last heard."""


class Desk:
    """The agent's side of `edge_agent.heard.Inlet`."""

    def __init__(self, clock: Clock, catalog: Mapping[str, Profile], committer: Committer) -> None:
        self._clock = clock
        self._catalog = catalog
        self._committer = committer
        self._devices: dict[str, _Device] = {}
        self._stored: dict[str, DeviceState] = {}
        self._admitted = 0
        self.refusals = Refusals(clock)
        self.counts = DeskCounts()
        self.on_admitted: Callable[[], None] = lambda: None
        """Called when a device was admitted: the cloud must hear of it before it hears its readings."""

    @property
    def clock(self) -> Clock:
        return self._clock

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Take over what the outbox remembers: the devices' alarms, and who was admitted. Before the first `enrol`."""
        guests: list[DeviceConfig] = []
        for device, data in states.items():
            try:
                if device.startswith(_GUEST):
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
            self._devices[config.id] = _Device(config, profile, memory, self._clock.monotonic_ns())

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
        done = self._committer.put(entry)
        done.add_done_callback(partial(self._count_stored, verdict, len(entry.events)))
        # A driver that stops waiting does not take back what it handed in.
        await asyncio.shield(done)
        return verdict

    def _judge(self, heard: Heard, device: _Device) -> tuple[Verdict, Entry | None]:
        """Run the pipeline and remember the outcome; what has to be stored, if anything.

        A reading held back that moved no alarm has nothing that must survive a crash: judged again it gives the same.
        """
        try:
            work = process(Work(heard=heard, memory=device.memory))
        except ContractError as error:
            self.refuse(heard.device, Reason.INVALID, str(error))
            return Verdict.REFUSED, None
        device.alive_ns, device.heard_ns = self._clock.monotonic_ns(), heard.received_ns
        for doubt in work.doubts:
            self.refuse(heard.device, doubt.reason, doubt.detail)
        if work.reading is None:
            return Verdict.REFUSED, None
        moved = work.memory.alarms.rules != device.memory.alarms.rules
        device.memory = work.memory
        verdict = Verdict.COMMITTED if work.send else Verdict.HELD_BACK
        if not work.send and not moved:
            return verdict, None
        return verdict, Entry(
            device=heard.device,
            reading=work.reading if work.send else None,
            events=work.transitions,
            state=pack(work.memory.alarms) if heard.profile.alarms else None,
        )

    def _count_stored(self, verdict: Verdict, transitions: int, done: "asyncio.Future[None]") -> None:
        if done.cancelled() or done.exception() is not None:
            self._count(Verdict.REFUSED)
            return
        self.counts.transitions += transitions
        self._count(verdict)

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
        guest = Entry(device=f"{_GUEST}{device.id}", state=msgspec.msgpack.encode(device))
        self._committer.put(guest, awaited=False, has_room=False)
        self.on_admitted()

    # What the wiring calls.

    async def watch_silence(self) -> None:
        """Judge, now, the rules about silence of every device that has some."""
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        for name, device in list(self._devices.items()):
            if not any(has_stale(rule.when) for rule in device.profile.alarms.values()):
                continue
            silent_s = (now_ns - device.alive_ns) / SECOND_NS
            judged = judge_silence(device.profile, device.memory.alarms, name, silent_s, wall_ns)
            if judged.state == device.memory.alarms:
                continue
            # Room first, and no waiting between judging and handing over: see Committer.reserve.
            await self._committer.reserve()
            judged = judge_silence(device.profile, device.memory.alarms, name, silent_s, wall_ns)
            device.memory = msgspec.structs.replace(device.memory, alarms=judged.state)
            self._committer.put(Entry(device=name, events=judged.transitions, state=pack(judged.state)), awaited=False)
            self.counts.transitions += len(judged.transitions)

    async def record(self, device: str, event: Event) -> None:
        """Put an event of the agent's own, a command's result, on disk."""
        await self._committer.reserve()
        await asyncio.shield(self._committer.put(Entry(device=device, events=(event,))))

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
        return {name: device.heard_ns for name, device in self._devices.items()}

    def open_alarms(self) -> list[str]:
        """The ids of the occurrences whose condition still holds."""
        return [
            f"{name}/{rule}/{state.onset_ns}"
            for name, device in self._devices.items()
            for rule, state in device.memory.alarms.rules.items()
            if state.active
        ]
