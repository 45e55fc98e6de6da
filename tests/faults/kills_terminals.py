"""The device side of a fleet: vehicle terminals that report, wait for the answer, and write down what they were told.

A terminal believes an answer (0x8001, result 0) and forgets the report; what has no answer it sends again after it has
reconnected. So everything written down here was promised, and must be found at the end.
"""

import asyncio
import struct
from collections import deque
from pathlib import Path

from firmware_bridge.jt808.frames import Frame, Jt808Framer, encode_frame
from firmware_bridge.jt808.location import encode_location
from telemetry.clock import SECOND_NS

__all__ = ["ALARM_EVERY", "ALARM_LASTS", "Relay", "alarm_at"]

_GENERAL_ANSWER, _LOCATION = 0x8001, 0x0200
_SOS = 1 << 0  # JT/T 808-2013, table 24: emergency
_MILEAGE = 0x01  # additional item: DWORD, 1/10 km
ALARM_EVERY, ALARM_LASTS = 12, 5
"""In reports: how often the button is pressed, and for how many reports it stays down."""
_WINDOW = 24
"""Reports under way, of all terminals of a relay."""


def alarm_at(number: int) -> bool:
    """Whether the emergency button is down in a terminal's report of this number, which begins at 0."""
    return number % ALARM_EVERY >= ALARM_EVERY - ALARM_LASTS


class Relay:
    """The terminals of one gateway behind one connection. Report `number` of a terminal is of `base_ns` + `number` seconds
    and has its number as the mileage.

    `told` is the file of what was answered, a line "phone number" each; a report counts only once it is in there.
    """

    def __init__(self, port: int, phones: list[str], base_ns: int, told: Path, rate: float) -> None:
        self._port = port
        self._phones = phones
        self._base_ns = base_ns
        self._rate = rate
        self._next = dict.fromkeys(phones, 0)
        self._again: deque[tuple[str, int]] = deque()
        self._under_way: deque[tuple[int, str, int]] = deque()
        self._room = asyncio.Semaphore(_WINDOW)
        self._serial = 0
        self._told = told.open("a", encoding="ascii")
        self._open = True
        self.answered = 0
        self.refused: list[str] = []
        self._news = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Reports that have no answer yet."""
        return len(self._again) + len(self._under_way)

    def hush(self) -> None:
        """No new reports; those without an answer go on being sent."""
        self._open = False

    async def next_answer(self) -> None:
        """Returns when something was told, after it was written down."""
        self._news.clear()
        await self._news.wait()

    async def all_answered(self) -> None:
        """Returns when no report waits for its answer; comes about only after `hush`."""
        while self.waiting:
            await self.next_answer()

    async def run(self) -> None:
        """Connect, report, reconnect, until cancelled or hushed with everything answered."""
        try:
            while self._open or self.waiting:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                try:
                    await self._session(reader, writer)
                finally:
                    writer.transport.abort()
        finally:
            self._told.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._again.extendleft((phone, number) for _, phone, number in reversed(self._under_way))
        self._under_way.clear()
        self._room = asyncio.Semaphore(_WINDOW)
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(self._speak(writer))
            await self._hear(reader)
            speaking.cancel()

    async def _speak(self, writer: asyncio.StreamWriter) -> None:
        while self._open or self._again:
            await self._room.acquire()
            phone, number = self._again.popleft() if self._again else self._fresh()
            self._serial = self._serial + 1 & 0xFFFF
            self._under_way.append((self._serial, phone, number))
            try:
                writer.write(encode_frame(_LOCATION, phone, self._serial, self._report(number)))
                await writer.drain()
            except OSError:
                return
            await asyncio.sleep(1 / self._rate)

    def _fresh(self) -> tuple[str, int]:
        phone = min(self._phones, key=self._next.__getitem__)
        number = self._next[phone]
        self._next[phone] += 1
        return phone, number

    def _report(self, number: int) -> bytes:
        return encode_location(
            latitude=31.2,
            longitude=121.5,
            time_ns=self._base_ns + number * SECOND_NS,
            alarm=_SOS if alarm_at(number) else 0,
            items=[(_MILEAGE, struct.pack(">I", number))],
        )

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        framer = Jt808Framer()
        while self._open or self.waiting:
            try:
                data = await reader.read(8192)
            except OSError:
                return
            if not data:
                return
            for frame in framer.feed(data):
                if isinstance(frame, Frame) and frame.message_id == _GENERAL_ANSWER:
                    self._take(frame)
            self._told.flush()
            self._news.set()

    def _take(self, frame: Frame) -> None:
        """Answers come in the order of the reports."""
        serial, _, result = struct.unpack_from(">HHB", frame.body)
        sent, phone, number = self._under_way.popleft()
        if serial != sent or result != 0:
            self.refused.append(f"{phone} report {number}, serial {sent}: answered {result} for serial {serial}")
            return
        self._told.write(f"{phone} {number}\n")
        self.answered += 1
        self._room.release()
