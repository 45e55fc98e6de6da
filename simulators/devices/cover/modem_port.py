"""A serial port with an NB-IoT modem behind it, driven for datagrams: the I/O of `firmware_bridge.nbiot`."""

import asyncio
from collections.abc import Callable, Iterator

import serial
import serial_asyncio_fast

from firmware_bridge.errors import Refused
from firmware_bridge.nbiot.machine import Modem, ModemConfig, Received, Said, StateChanged, Write
from firmware_bridge.nbiot.steps import State
from telemetry.clock import SECOND_NS, Clock

__all__ = ["ModemPort"]

_READ_BYTES = 1024
_LOOK_S = 0.25
"""So long after something was asked to be sent the machine's own time is looked at, at the latest."""
_REOPEN_S = 1.0


class ModemPort:
    """Opens the port, keeps the modem on the network, sends and receives. `heard` takes each datagram that came.

    `refused` is what the machine made of noise and of the modem's refusals, counted. A port that goes away is opened again.
    """

    def __init__(
        self, path: str, config: ModemConfig, clock: Clock, heard: Callable[[bytes], None], baudrate: int = 9600
    ) -> None:
        self._path = path
        self._config = config
        self._clock = clock
        self._heard = heard
        self._baudrate = baudrate
        self._writer: asyncio.StreamWriter | None = None
        self._modem = Modem(config)
        self.ready = asyncio.Event()
        self.refused = 0
        self.starts = 0

    def send(self, payload: bytes) -> None:
        """Send a datagram as soon as the modem can; in turn. What it cannot take is counted as refused."""
        self._do(self._modem.send(payload))

    @property
    def facts(self) -> dict[str, object]:
        """What the modem said of itself and of the network."""
        return dict(self._modem.facts)

    async def run(self) -> None:
        """Drive the modem until cancelled."""
        while True:
            try:
                reader, self._writer = await serial_asyncio_fast.open_serial_connection(url=self._path, baudrate=self._baudrate)
                self.starts += 1
                await self._drive(reader)
            except (OSError, serial.SerialException):
                self.refused += 1
            finally:
                self.ready.clear()
                if self._writer is not None:
                    self._writer.transport.abort()
                    self._writer = None
            self._modem = Modem(self._config)
            await asyncio.sleep(_REOPEN_S)

    async def _drive(self, reader: asyncio.StreamReader) -> None:
        self._do(self._modem.start())
        while True:
            data = b""
            try:
                async with asyncio.timeout(self._patience_s()):
                    data = await reader.read(_READ_BYTES)
                if not data:
                    return  # unplugged
            except TimeoutError:
                pass
            now_ns = self._clock.monotonic_ns()
            self._do(self._modem.feed(data, now_ns) if data else self._modem.tick(now_ns))

    def _patience_s(self) -> float:
        due_ns = self._modem.due_ns
        left_s = _LOOK_S if due_ns is None else (due_ns - self._clock.monotonic_ns()) / SECOND_NS
        return max(0.0, min(_LOOK_S, left_s))

    def _do(self, said: Iterator[Said]) -> None:
        for each in said:
            match each:
                case Write(data=data):
                    if self._writer is not None:
                        self._writer.write(data)
                case Received(payload=payload):
                    self._heard(payload)
                case Refused():
                    self.refused += 1
                case StateChanged():
                    pass
        if self._modem.state in {State.READY, State.SENDING, State.READING}:
            self.ready.set()
        else:
            self.ready.clear()
