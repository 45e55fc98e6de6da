"""One connection of a simulated vehicle terminal: frames out, answers in, and what the platform wants besides."""

import asyncio
from typing import TYPE_CHECKING

from firmware_bridge.jt808.frames import Frame, Jt808Framer
from simulators.deeds import How
from simulators.devices.vehicle import bodies

if TYPE_CHECKING:
    from simulators.devices.vehicle.vehicle import Vehicle

__all__ = ["Session", "UnansweredError"]

_TRIES = 3
_CHUNK = 65536
_MOST_ORDERS = 64
_LATE_S = 20.0
"""Longer than a platform waits for the answer to an order."""


class UnansweredError(Exception):
    """The platform did not answer, or said no: hang up and begin again later."""


class Session:
    """One connection: frames out, answers in, matched by serial number."""

    def __init__(self, vehicle: "Vehicle", reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer_s: float) -> None:
        self._vehicle = vehicle
        self._reader = reader
        self._writer = writer
        self._answer_s = answer_s
        self._waiting: dict[int, asyncio.Future[bodies.Answer]] = {}
        self._due: asyncio.Queue[Frame] = asyncio.Queue(_MOST_ORDERS)

    async def ask(self, message_id: int, body: bytes) -> bodies.Answer:
        """Send, and send again the same bytes with growing patience (T(n+1) = T(n) * (n + 1), clause 5); the answer."""
        frame = self._vehicle.frame(message_id, body)
        serial = self._vehicle.serial
        answer = self._waiting[serial] = asyncio.get_running_loop().create_future()
        patience_s = self._answer_s
        try:
            for attempt in range(1, _TRIES + 1):
                await self._send(frame)
                try:
                    async with asyncio.timeout(patience_s):
                        return await asyncio.shield(answer)
                except TimeoutError:
                    self._vehicle.account.resent += attempt < _TRIES
                    patience_s *= attempt + 1
            raise UnansweredError(f"no answer to {message_id:#06x}")
        finally:
            del self._waiting[serial]

    async def listen(self) -> None:
        """Match answers until the platform hangs up; what it wants besides goes to `obey`."""
        framer = Jt808Framer()
        while data := await self._reader.read(_CHUNK):
            for frame in framer.feed(data):
                if isinstance(frame, Frame):
                    self._hear(frame)
        raise EOFError("the platform hung up")

    async def obey(self) -> None:
        """Do what the platform wants, one order after the other; ends the connection where the terminal starts anew."""
        vehicle = self._vehicle
        while True:
            frame = await self._due.get()
            told = vehicle.orders.hear(frame.message_id, frame.serial, frame.body, frame.packet)
            how = vehicle.misbehaves(vehicle.clock.wall_ns())
            if how is How.SILENT:
                continue
            if how is How.LATE:
                await asyncio.sleep(vehicle.lasting(_LATE_S))
            for message_id, body in told.answers:
                await self._send(vehicle.frame(message_id, body))
            if told.restarts:
                raise UnansweredError("starts anew")

    def _hear(self, frame: Frame) -> None:
        answer = bodies.read_answer(frame.message_id, frame.body)
        if answer is None:
            if not self._due.full():  # a terminal that is told too much at once does not hear the rest
                self._due.put_nowait(frame)
            return
        waiting = self._waiting.get(answer.serial)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def _send(self, frame: bytes) -> None:
        vehicle = self._vehicle
        match vehicle.misbehaves(vehicle.clock.wall_ns()):
            case How.NOISE:
                vehicle.account.spoiled += 1
                self._writer.write(vehicle.noise.spoil(frame))
            case How.CUT:
                vehicle.account.spoiled += 1
                self._writer.write(frame[: len(frame) // 2])
                await self._writer.drain()
                raise ConnectionAbortedError("cut within a frame")
            case _:
                self._writer.write(frame)
        await self._writer.drain()
