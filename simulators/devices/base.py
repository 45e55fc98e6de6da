"""What all simulated devices share: a body, an account, manners, and things that happen to them."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import msgspec

from device_profiles.model import Profile
from device_profiles.quantities import MetricType
from simulators.actions import ACTIONS
from simulators.deeds import GENERAL, Deed, How
from simulators.faults import Noise
from simulators.physics import Body
from simulators.scenario import DeviceSpec
from simulators.shapes import ordinary
from telemetry.clock import SECOND_NS, Clock
from telemetry.records import Value

__all__ = ["Account", "Calling", "Device", "Line", "Runnable", "Surroundings"]

_FLOOD_S = 0.02


class Account(msgspec.Struct, kw_only=True):
    """What a device did. `spoken`: readings handed over, each counted once however often it was sent; for polled
    devices, sweeps in which every register of the model was answered. `confirmed`: those that were answered with success
    (always 0 where the language has no answer). `overflow`: readings given up because the memory was full,
    `requests`: answered requests of a polled device, `spoiled`: messages that a misbehaving device sent damaged."""

    spoken: int = 0
    confirmed: int = 0
    refused: int = 0
    resent: int = 0
    overflow: int = 0
    requests: int = 0
    spoiled: int = 0


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a device is told about the run it is part of."""

    clock: Clock
    seed: int
    speed: float = 1.0
    born_ns: int


class Runnable(Protocol):
    """Something that lives until it is cancelled."""

    async def run(self) -> None: ...


class Line(Runnable, Protocol):
    """What carries the devices that an agent calls: a port, or a line that several share."""

    async def start(self) -> str:
        """Begin to listen; where the agent calls, as `HOST:PORT` or the path of a line."""
        ...

    async def close(self) -> None:
        """Stop listening; harmless when it has stopped."""
        ...


class Device:
    """The part of a device that has no language: subclasses speak."""

    def __init__(self, spec: DeviceSpec, profile: Profile, around: Surroundings) -> None:
        self.spec = spec
        self.profile = profile
        self.clock = around.clock
        self.speed = around.speed
        self.account = Account()
        self.seed = f"{around.seed}/{spec.id}"
        self.body = Body(self.seed, ordinary(profile), around.born_ns, around.speed)
        self.noise = Noise(f"{self.seed}/noise", flip=0.6, stray=0.6)
        self._how: tuple[How, int | None] | None = None
        self._woken = asyncio.Event()

    def act(self, do: str, args: Mapping[str, Value], now_ns: int) -> None:
        """Let something happen at `now_ns`; the scenario has checked that this kind can do it."""
        until_ns = self._until(args, now_ns)
        match do:
            case "set":
                self.body.pin(str(args["metric"]), self._typed(str(args["metric"]), args["value"]), until_ns)
            case "free":
                self.body.free(str(args["metric"]))
            case "misbehave":
                self._how = (How(str(args["how"])), until_ns)
            case "behave":
                self._how = None
            case _:
                self._apply(ACTIONS[self.spec.kind][do], until_ns)
        if self._deed(do).wakes:
            self._woken.set()

    def misbehaves(self, now_ns: int) -> How | None:
        """How the device misbehaves now, None while it behaves."""
        if self._how is None or (self._how[1] is not None and now_ns >= self._how[1]):
            return None
        return self._how[0]

    def values(self, now_ns: int) -> dict[str, Value]:
        """Every metric's value now, in the type of the vocabulary."""
        return {name: self._typed(name, value) for name, value in self.body.values(now_ns).items()}

    def speak(self, now_ns: int) -> object:
        """What the device would say now, in its own language; ParseError where a value has no form in it."""
        raise NotImplementedError

    async def wait(self, due_ns: int) -> bool:
        """Wait until `due_ns` of the monotonic clock, or less when something is to be reported at once; True for the latter."""
        left_s = (due_ns - self.clock.monotonic_ns()) / SECOND_NS
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def following(self, due_ns: int) -> int:
        """When to speak next by itself: `due_ns` while it is still to come, else the next of its own beat."""
        behind_ns = self.clock.monotonic_ns() - due_ns
        return due_ns if behind_ns < 0 else due_ns + (behind_ns // self.interval_ns + 1) * self.interval_ns

    def lasting(self, seconds: float) -> float:
        """Real seconds for so many of the scenario's."""
        return seconds / self.speed

    @property
    def interval_ns(self) -> int:
        """How often the device speaks by itself, in real nanoseconds."""
        return round(self.lasting(self.spec.interval_s) * SECOND_NS)

    def _deed(self, do: str) -> Deed:
        return GENERAL[do] if do in GENERAL else ACTIONS[self.spec.kind][do]

    def _apply(self, deed: Deed, until_ns: int | None) -> None:
        for metric, value in deed.pins.items():
            if metric in self.profile.metrics:
                self.body.pin(metric, self._typed(metric, value), until_ns)
        for metric in deed.frees:
            self.body.free(metric)

    def _until(self, args: Mapping[str, Value], now_ns: int) -> int | None:
        lasts = args.get("for_s")
        return now_ns + round(self.lasting(float(lasts)) * SECOND_NS) if isinstance(lasts, (int, float)) else None

    def _typed(self, metric: str, value: Value) -> Value:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            match self.profile.metrics[metric].type:
                case MetricType.INTEGER:
                    return round(value)
                case MetricType.FLOAT:
                    return float(value)
                case MetricType.BOOLEAN | MetricType.STRING:
                    return value
        return value


class Calling(Device):
    """A device that calls the agent, or a broker, by itself."""

    async def run(self) -> None:
        """Live until cancelled."""
        raise NotImplementedError

    def keep_now(self, now_ns: int, *, event: bool) -> None:
        """Keep what is to be said of this moment; `event`: something has just happened."""
        raise NotImplementedError

    async def keep_beat(self) -> None:
        """Keep what is to be said on the device's own beat, at once when something happens, almost without end while it
        floods, and not while it is silent."""
        due, event = self.clock.monotonic_ns(), False
        while True:
            now_ns = self.clock.wall_ns()
            how = self.misbehaves(now_ns)
            if how is not How.SILENT:
                self.keep_now(now_ns, event=event)
            due = min(self.following(due), self.clock.monotonic_ns() + self.interval_ns)  # the beat may have become quicker
            flood_due = self.clock.monotonic_ns() + round(_FLOOD_S * SECOND_NS)
            event = await self.wait(flood_due if how is How.FLOOD else due)
