"""What was asked of the terminals on one JT/T 808 connection, and which of their messages answers it.

An answer names the serial of the request: the header's own serial is the sender's counter. 0x0107 and 0x0702 name none, so they
answer the oldest request of their kind.
"""

import asyncio
from collections.abc import Sequence

from firmware_bridge.jt808.frames import Frame
from firmware_bridge.jt808.messages import GeneralAnswer, LocationAnswer, Message, Other

__all__ = ["Request", "Requests"]

_GENERAL_ANSWER = 0x0001
_ANSWERS_WITHOUT_SERIAL = frozenset({0x0107, 0x0702})


class Request:
    """One message under way, in one frame or several, until `result` or `answer` is there or the connection is `lost`.

    `result` is the general answer's (0 done) where that ends it; `answer` the message that was asked for. `confirmed` are the
    serials of packets that the terminal confirmed.
    """

    def __init__(self, phone: str, message_id: int, wanted: int, first_serial: int, frames: Sequence[bytes]) -> None:
        self.phone, self.message_id, self.wanted = phone, message_id, wanted
        self.frames = frames
        self.serials = [first_serial + number & 0xFFFF for number in range(len(frames))]
        self.confirmed: set[int] = set()
        self.result: int | None = None
        self.answer: Message | None = None
        self.lost = False
        self._changed = asyncio.Event()

    @property
    def ended(self) -> bool:
        return self.result is not None or self.answer is not None or self.lost

    @property
    def confirmed_whole(self) -> bool:
        """Whether the terminal confirmed the message's last packet."""
        return self.serials[-1] in self.confirmed

    def unconfirmed(self, sent: int) -> int:
        """How many of the first `sent` packets wait for an answer."""
        return sent - len(self.confirmed)

    def confirm(self, serial: int, result: int) -> None:
        self.confirmed.add(serial)
        if result != 0 or (self.wanted == _GENERAL_ANSWER and self.confirmed_whole):
            self.result = result
        self._changed.set()

    def complete(self, answer: Message) -> None:
        self.answer = answer
        self._changed.set()

    def lose(self) -> None:
        self.lost = True
        self._changed.set()

    async def change(self, within_s: float) -> bool:
        """Wait until something is heard of it; False when nothing was for so long."""
        if self.ended:
            return True
        try:
            async with asyncio.timeout(within_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class Requests:
    """The requests under way on one connection, at most `most`."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._open: list[Request] = []

    @property
    def full(self) -> bool:
        return len(self._open) >= self._most

    def open(self, request: Request) -> None:
        self._open.append(request)

    def close(self, request: Request) -> None:
        self._open.remove(request)

    def lose_all(self) -> None:
        """The connection is gone."""
        for request in self._open:
            request.lose()

    def hear(self, frame: Frame, message: Message) -> None:
        """Give what a terminal said to the request that it answers, where there is one."""
        if isinstance(message, GeneralAnswer):
            for request in self._of(frame):
                if request.message_id == message.ack_message_id and message.ack_serial in request.serials:
                    request.confirm(message.ack_serial, message.result)
                    return
            return
        serial = _answered_serial(message)
        for request in self._of(frame):
            by_kind = serial is None and frame.message_id in _ANSWERS_WITHOUT_SERIAL
            if request.wanted == frame.message_id and (by_kind or serial in request.serials):
                request.complete(message)
                return

    def packets(self, frame: Frame, first_serial: int, numbers: Sequence[int]) -> list[bytes]:
        """The packets that a terminal wants again (0x0005), byte for byte as they were."""
        for request in self._of(frame):
            if request.serials[0] == first_serial:
                return [request.frames[number - 1] for number in numbers if 0 < number <= len(request.frames)]
        return []

    def _of(self, frame: Frame) -> list[Request]:
        return [request for request in self._open if request.phone == frame.phone and not request.ended]


def _answered_serial(message: Message) -> int | None:
    match message:
        case LocationAnswer():
            return message.ack_serial
        case Other():
            serial = message.fields.get("ack_serial")
            return serial if isinstance(serial, int) else None
        case _:
            return None
