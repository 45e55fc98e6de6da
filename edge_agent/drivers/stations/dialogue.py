"""One connection of a station: what a language makes of its bytes, and the reading and answering that all have in common."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec

from device_profiles.model import Profile
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import Deliveries, SetupError, profile_of
from edge_agent.heard import Heard, Verdict
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.values import Decoded
from telemetry.clock import Clock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason

__all__ = ["Caller", "Dialogue", "Framer", "Reply", "Session", "Station", "StationLimits", "known_stations"]

_READ_BYTES = 8192

FrameT = TypeVar("FrameT")
CutT_co = TypeVar("CutT_co", covariant=True)


class StationLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a listener and each of its connections may take.

    Seconds: until a known station has spoken, between two sound frames of one, of quiet before half a frame is given up
    and before a station that waits with half a message is told to go on, and for it to take an answer. Besides: answers
    outstanding, refusals in a row, and bytes without one sound frame.
    """

    connections: int = 2000
    greeting_s: float = 60.0
    idle_s: float = 7500.0  # stations report every hour, and may miss one
    quiet_s: float = 15.0
    linger_s: float = 1.0
    drain_s: float = 30.0
    outstanding: int = 64
    refusals: int = 20
    noise_bytes: int = 64 * 1024


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """A station that may speak, and what its messages mean."""

    device: DeviceConfig
    profile: Profile


def known_stations(link: LinkConfig, catalog: Mapping[str, Profile], wire: str) -> dict[str, Station]:
    """The link's stations by address; SetupError where a profile does not speak `wire`."""
    stations = {}
    for device in link.devices:
        profile = profile_of(link, device, catalog)
        if getattr(profile.wire, wire) is None:
            raise SetupError(f"link {link.name}, device {device.id}: profile {profile.name} does not speak {wire}")
        stations[device.address] = Station(device=device, profile=profile)
    return stations


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that go back once every reading of `verdicts` is committed, held back, or refused for good."""

    data: bytes
    verdicts: tuple["asyncio.Task[Verdict]", ...] = ()


class Framer(Protocol[CutT_co]):
    """Cuts a stream into frames; a quiet line ends what was begun."""

    def feed(self, data: bytes) -> Sequence[CutT_co | Refused]: ...

    def idle(self) -> Sequence[CutT_co | Refused]: ...


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """What a dialogue needs to know: who calls, from which address, what password it must know (None for any), and where
    its readings go."""

    peer: str
    secret: str | None
    deliveries: Deliveries
    clock: Clock
    limits: StationLimits

    def __repr__(self) -> str:
        # The password is not to end up in a log.
        return f"Caller({self.peer})"


class Dialogue(ABC, Generic[FrameT]):
    """One connection in one language."""

    def __init__(self, framer: Framer[FrameT], caller: Caller) -> None:
        self.framer = framer
        self.clock = caller.clock
        self.limits = caller.limits
        self.secret = caller.secret
        self._deliveries = caller.deliveries
        self._peer = caller.peer
        self._spoken: dict[str, None] = {}

    @property
    def source(self) -> str:
        """Who is blamed for what cannot be read: the station, where only one has spoken, otherwise the peer's address."""
        return next(iter(self._spoken)) if len(self._spoken) == 1 else self._peer

    @property
    @abstractmethod
    def lingers(self) -> bool:
        """Whether a message is not whole whose sender may be waiting."""

    @abstractmethod
    async def take(self, frame: FrameT, received_ns: int) -> Sequence[Reply]:
        """Act on a sound frame. ParseError where it is not to be believed, or comes from nobody we know."""

    @abstractmethod
    async def overdue(self, *, ended: bool = False) -> Sequence[Reply]:
        """What is to be done and said now that nothing came for a while, or will ever come, and a message is not whole.
        ParseError where such a message is of no use; it is forgotten then."""

    @abstractmethod
    def shown(self, raw: bytes) -> bytes:
        """Refused bytes as the account may show them: without passwords."""

    def refuse(self, reason: Reason, detail: str, raw: bytes = b"") -> None:
        """Count what could not be used."""
        self._deliveries.refuse(self.source, reason, detail, self.shown(raw))

    def greet(self, station: Station) -> None:
        """Note that a station has spoken here."""
        self._spoken[station.device.id] = None

    async def hand_over(
        self, station: Station, decoded: Sequence[Decoded], received_ns: int, frame: RawFrame
    ) -> tuple["asyncio.Task[Verdict]", ...]:
        """Give readings on, in order; the tasks end with their verdicts. `frame` made the message whole."""
        heard = [
            Heard(
                device=station.device.id,
                profile=station.profile,
                received_ns=received_ns,
                decoded=each,
                frames=(frame,),
                source=self._peer,
            )
            for each in decoded
        ]
        return tuple([await self._deliveries.hand_over(each) for each in heard])


class Session(Generic[FrameT]):
    """Reads one connection and answers it, in the order of its frames.

    Reading never waits for a commit; answers do. A bounded queue stands between the two: when the station is further ahead
    of its answers than that, the connection is no longer read and TCP slows the station down.
    """

    def __init__(self, dialogue: Dialogue[FrameT], limits: StationLimits) -> None:
        self._dialogue = dialogue
        self._limits = limits
        self._replies: asyncio.Queue[Reply | None] = asyncio.Queue(limits.outstanding)
        self._until_s = asyncio.get_running_loop().time() + limits.greeting_s
        self._refusals = 0
        self._noise = 0
        self.greeted = False

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve the connection until either end has had enough; closes it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._answer_all(writer))
                await self._read_all(reader)
                await self._take(self._dialogue.framer.idle())
                await self._settle(ended=True)
                await self._replies.put(None)
        finally:
            # What a station does not take any more must not keep the agent from stopping.
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _read_all(self, reader: asyncio.StreamReader) -> None:
        quiet_s = 0.0
        while (patience_s := self._patience_s()) > 0:
            try:
                async with asyncio.timeout(patience_s):
                    data = await reader.read(_READ_BYTES)
            except TimeoutError:
                quiet_s += patience_s
                await self._settle(ended=False)
                if quiet_s >= self._limits.quiet_s:
                    quiet_s = 0.0
                    await self._take(self._dialogue.framer.idle())
                continue
            except OSError:
                return
            if not data:
                return
            quiet_s = 0.0
            self._noise += len(data)
            await self._take(self._dialogue.framer.feed(data))
            if self._refusals >= self._limits.refusals or self._noise > self._limits.noise_bytes:
                self._dialogue.refuse(Reason.BAD_START, "cut off: nothing of use")
                return

    def _patience_s(self) -> float:
        """How long to wait for bytes; a sound frame, and nothing else, buys time."""
        left_s = self._until_s - asyncio.get_running_loop().time()
        return min(self._limits.linger_s if self._dialogue.lingers else self._limits.quiet_s, left_s)

    async def _take(self, items: Sequence[FrameT | Refused]) -> None:
        received_ns = self._dialogue.clock.wall_ns()
        for item in items:
            if self._refusals >= self._limits.refusals:
                return
            if isinstance(item, Refused):
                self._refusals += 1
                self._dialogue.refuse(item.reason, item.detail, item.raw)
                continue
            try:
                replies = await self._dialogue.take(item, received_ns)
            except ParseError as error:
                self._refusals += 1
                self._dialogue.refuse(error.reason, str(error))
                continue
            self._refusals = self._noise = 0
            self._until_s = asyncio.get_running_loop().time() + self._limits.idle_s
            self.greeted = True
            await self._answer(replies)

    async def _settle(self, *, ended: bool) -> None:
        try:
            await self._answer(await self._dialogue.overdue(ended=ended))
        except ParseError as error:
            self._dialogue.refuse(error.reason, str(error))

    async def _answer(self, replies: Sequence[Reply]) -> None:
        for reply in replies:
            await self._replies.put(reply)

    async def _answer_all(self, writer: asyncio.StreamWriter) -> None:
        """Send each answer when its readings are committed, in order; a station that takes none is let go."""
        listening = True
        while (reply := await self._replies.get()) is not None:
            for verdict in reply.verdicts:
                await verdict
            if not listening:
                continue
            writer.write(reply.data)
            try:
                async with asyncio.timeout(self._limits.drain_s):
                    await writer.drain()
            except (TimeoutError, OSError):
                listening = False
                writer.transport.abort()
