"""What simulated stations share that dial the gateway and report by themselves: they measure, remember, call, and hand over
one report after the other, each again until it is answered."""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence

import msgspec

from device_profiles.model import Profile
from simulators.attempt import attempt
from simulators.deeds import How
from simulators.devices.base import Calling, Surroundings
from simulators.devices.memory import Kept, Memory
from simulators.listener import Address, close_quietly
from simulators.scenario import DeviceSpec

__all__ = ["CallingStation", "Report"]

log = logging.getLogger(__name__)

_MEMORY = 1000
_ANSWER_S = 10.0
_TRIES = 3
_RETRY_FIRST_S, _RETRY_MOST_S = 1.0, 30.0
_CHUNK = 65536


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One message, ready to go, in as many frames as it takes. `key` is what an answer to it has in it, `answers` how many
    are to come."""

    frames: tuple[bytes, ...]
    key: str
    answers: int = 1


class _UnansweredError(Exception):
    """The gateway did not answer: hang up and begin again later."""


class CallingStation(Calling):
    """Measures every `interval_s`, and at once when something happens; what is not answered stays in its memory."""

    def __init__(
        self, spec: DeviceSpec, profile: Profile, around: Surroundings, target: Callable[[], Address], answer_s: float = _ANSWER_S
    ) -> None:
        super().__init__(spec, profile, around)
        self._target = target
        self._answer_s = answer_s
        self._memory: Memory[Report] = Memory(_MEMORY)
        self._talked = False
        self._due: tuple[str, int] = ("", 0)
        self._answered = asyncio.Event()

    @abstractmethod
    def measure(self, now_ns: int, *, event: bool) -> Sequence[Report]:
        """What there is to report as of `now_ns`; `event` where something has just happened."""

    @abstractmethod
    def new_framer(self) -> Callable[[bytes], Sequence[object]]:
        """A function from bytes off a new connection to frames, and whatever is none."""

    @abstractmethod
    def hear(self, frame: object) -> tuple[str, bytes]:
        """The key of what a frame answers, "" where it is no answer; and what must be said to it, nothing mostly."""

    def greeting(self) -> bytes:
        """What is said on a new connection before any report."""
        return b""

    async def run(self) -> None:
        """Live until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.keep_beat())
            group.create_task(self._stay_connected())

    def address_now(self) -> str:
        """The address to report by: its own, unless the station has been told to take another's name."""
        own = self.spec.address
        if self.misbehaves(self.clock.wall_ns()) is not How.WRONG_UNIT:
            return own
        return own[:-1] + ("1" if own[-1] != "1" else "2")

    def keep_now(self, now_ns: int, *, event: bool) -> None:
        for report in self.measure(now_ns, event=event):
            self._memory.keep(report, event=event)
        self.account.overflow = self._memory.overflow

    async def _stay_connected(self) -> None:
        patience_s = _RETRY_FIRST_S
        while True:
            try:
                await attempt(self._connect())
            except (OSError, EOFError, TimeoutError, _UnansweredError) as error:
                event = {"event": "sim.station.offline", "device": self.spec.id, "error": repr(error)}
                log.debug("offline", extra=event)
            patience_s = _RETRY_FIRST_S if self._talked else min(2 * patience_s, _RETRY_MOST_S)
            await asyncio.sleep(self.lasting(patience_s))

    async def _connect(self) -> None:
        self._talked = False
        reader, writer = await asyncio.open_connection(*self._target())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(reader, writer))
                writer.write(self.greeting())
                await self._talk(writer)
        except* (OSError, EOFError, TimeoutError, _UnansweredError) as errors:
            raise _UnansweredError(repr(errors.exceptions[0])) from errors
        finally:
            await close_quietly(writer)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cut = self.new_framer()
        while data := await reader.read(_CHUNK):
            for frame in cut(data):
                key, said = self.hear(frame)
                if said:
                    writer.write(said)
                if key and key == self._due[0]:
                    self._due = (key, self._due[1] - 1)
                    if self._due[1] <= 0:
                        self._answered.set()
        raise EOFError("the gateway hung up")

    async def _talk(self, writer: asyncio.StreamWriter) -> None:
        while True:
            (kept,) = await self._memory.oldest()
            if self.misbehaves(self.clock.wall_ns()) is How.LATE:
                # Its modem is dead and its memory fills; all comes at once, long after the fact.
                await asyncio.sleep(self.lasting(_RETRY_FIRST_S))
                continue
            await self._hand_over(writer, kept)
            self._talked = True

    async def _hand_over(self, writer: asyncio.StreamWriter, kept: Kept[Report]) -> None:
        """Send a report, and the same bytes again while nobody answers."""
        self._due = (kept.message.key, kept.message.answers)
        self._answered.clear()
        for _ in range(_TRIES):
            kept.sent += 1
            self.account.spoken += kept.sent == 1
            self.account.resent += kept.sent > 1
            for frame in kept.message.frames:
                await self._send(writer, frame)
            try:
                async with asyncio.timeout(self._answer_s):
                    await self._answered.wait()
            except TimeoutError:
                continue
            self.account.confirmed += 1
            self._memory.done(kept)
            return
        raise _UnansweredError(f"no answer to {kept.message.key}")

    async def _send(self, writer: asyncio.StreamWriter, frame: bytes) -> None:
        match self.misbehaves(self.clock.wall_ns()):
            case How.NOISE:
                self.account.spoiled += 1
                writer.write(self.noise.spoil(frame))
            case How.CUT:
                self.account.spoiled += 1
                writer.write(frame[: len(frame) // 2])
                await writer.drain()
                raise ConnectionAbortedError("cut within a frame")
            case _:
                writer.write(frame)
        await writer.drain()
