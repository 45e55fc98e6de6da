"""Devices on one pair of wires, as one pty whose other end the agent opens: what each says there, well or badly."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from simulators.deeds import How
from simulators.devices.base import Device
from simulators.pty_line import PtyLine

__all__ = ["PtyBus"]

_FLOOD_S, _WATCH_S = 0.02, 0.2
_FLOOD_BYTES = 24

Member = TypeVar("Member", bound=Device)


class PtyBus(Generic[Member]):
    """A line and its devices. A subclass hears what the agent says, and gives what is to be answered to `put`."""

    def __init__(self, devices: Sequence[Member]) -> None:
        self.devices = devices
        self.line = PtyLine()
        self._tasks: asyncio.TaskGroup | None = None

    async def start(self) -> str:
        """Begin to listen; the path that the agent opens."""
        self.line.start()
        return self.line.path

    async def close(self) -> None:
        """Unplug the line."""
        self.line.close()

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """The line is alive: start what a device does by itself."""

    def hear(self, data: bytes) -> None:
        """Handle what the agent put on the line."""
        raise NotImplementedError

    def late_s(self, device: Member) -> float:
        """So late that nobody waits any more."""
        raise NotImplementedError

    async def run(self) -> None:
        """Live until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._chatter())
            self.begin(tasks)
            while True:
                self.hear(await self.line.read())

    def put(self, device: Member, frame: bytes, stranger: Callable[[], bytes]) -> bool:
        """Say `frame` as the device behaves now, `stranger` being the same in another's name; whether it is understood."""
        how = device.misbehaves(device.clock.wall_ns())
        match how:
            case How.SILENT:
                return False
            case How.NOISE:
                frame = device.noise.spoil(frame)
            case How.CUT:
                frame = frame[: len(frame) // 2]
            case How.WRONG_UNIT:
                frame = stranger()
            case How.LATE | How.FLOOD | None:
                pass
        understood = how in {None, How.FLOOD}
        device.account.spoiled += not understood
        if how is How.LATE and self._tasks is not None:
            self._tasks.create_task(self._write_later(self.late_s(device), frame))
        else:
            self.line.write(frame)
        return understood

    async def _write_later(self, seconds: float, frame: bytes) -> None:
        await asyncio.sleep(seconds)
        self.line.write(frame)

    async def _chatter(self) -> None:
        """A device with a stuck transmitter talks into everybody's frames."""
        while True:
            loud = [device for device in self.devices if device.misbehaves(device.clock.wall_ns()) is How.FLOOD]
            for device in loud:
                self.line.write(device.noise.garbage(_FLOOD_BYTES))
            await asyncio.sleep(_FLOOD_S if loud else _WATCH_S)
