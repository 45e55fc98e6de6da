"""A modem on a serial port as a channel: opens the port for each message and lets the dialog lead."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import serial
import serial_asyncio_fast

from cloud.notify.config import ChannelConfig
from cloud.notify.messages import Message, fit
from cloud.notify.results import Failure, SendResult
from cloud.notify.sms_modem.dialog import Dialog, Phase
from cloud.notify.sms_modem.pdu import MOST_PARTS, PART_UNITS, submits

__all__ = ["SmsModem"]

_Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_READ_BYTES = 4096
# The network takes a part in 3 to 6 s (unverified); a modem may wait for it for a minute: 27.005 sets no bound.
_TAKES_FACTOR = 4
# A phone that is on confirms within seconds; one that is off, perhaps tomorrow: the message is sent all the same.
_REPORT_S = 5.0
_ANSWERS = 8


class SmsModem:
    """One SMS of up to four parts to the number that `message.to` names."""

    def __init__(self, config: ChannelConfig, report_s: float = _REPORT_S) -> None:
        self._config = config
        self._report_s = report_s
        self.longest_s = config.timeout_s * (_ANSWERS + MOST_PARTS * (1 + _TAKES_FACTOR)) + report_s

    async def send(self, message: Message, now_ns: int) -> SendResult:
        """One attempt; never raises for the world's faults."""
        del now_ns
        text = fit(message, MOST_PARTS * PART_UNITS * 2 - 2 * MOST_PARTS, "utf-16-be")
        try:
            # The same message has the same reference: a phone that got half of it puts a repeat in its place.
            dialog = Dialog(submits(message.to, text, int(message.key[:2], 16)))
        except ValueError as error:
            return SendResult(failure=Failure.FORMAT, detail=str(error))
        try:
            async with self._opened() as line:
                await self._talk(dialog, line)
        except (OSError, serial.SerialException) as error:
            return _broken(dialog, error)
        return dialog.result()

    async def _talk(self, dialog: Dialog, line: _Line) -> None:
        reader, writer = line
        writer.write(dialog.start())
        while not dialog.over:
            try:
                async with asyncio.timeout(self._patience_s(dialog.phase)):
                    data = await reader.read(_READ_BYTES)
            except TimeoutError:
                writer.write(dialog.silent())
                continue
            if not data:
                raise OSError("the port was closed")
            writer.write(dialog.feed(data))

    def _patience_s(self, phase: Phase) -> float:
        match phase:
            case Phase.WRITTEN:
                return self._config.timeout_s * _TAKES_FACTOR
            case Phase.REPORTING:
                return self._report_s
            case _:
                return self._config.timeout_s

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[_Line]:
        reader, writer = await serial_asyncio_fast.open_serial_connection(
            url=self._config.device, baudrate=self._config.baudrate, exclusive=True
        )
        try:
            yield reader, writer
        finally:
            # Not close(): that drains first, which never ends on a line that takes nothing.
            if not writer.transport.is_closing():
                writer.transport.abort()
            with contextlib.suppress(OSError, serial.SerialException):
                await writer.wait_closed()


def _broken(dialog: Dialog, error: Exception) -> SendResult:
    """The port went away: whether the message did so before it, only the dialog's phase can tell."""
    doubt = dialog.phase in {Phase.WRITTEN, Phase.TAKEN} or bool(dialog.references)
    if dialog.phase is Phase.REPORTING:
        return SendResult(vendor_code="CMGS", detail="taken; then the port was lost")
    failure = Failure.UNKNOWN_AFTER_TIMEOUT if doubt else Failure.NETWORK
    return SendResult(failure=failure, detail=f"{type(error).__name__}: {error}"[:300])
