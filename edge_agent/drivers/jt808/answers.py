"""The answers that are due on one JT/T 808 connection: in the order of the frames, each when its readings are committed."""

import asyncio

import msgspec

from edge_agent.drivers.jt808.caller import Caller
from edge_agent.heard import Verdict
from firmware_bridge.jt808.answers import general_answer_body
from firmware_bridge.jt808.frames import Frame, encode_frame
from firmware_bridge.jt808.reassembly import Missing

__all__ = ["FAILED", "OK", "UNSUPPORTED", "WRONG", "Answer", "Answers", "SessionLimits"]

OK, FAILED, WRONG, UNSUPPORTED = 0, 1, 2, 3  # 0x8001, result
GENERAL = 0x8001


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection may take: answers outstanding, seconds of silence before what was begun is given up and before
    the connection is, seconds for the terminal to take an answer and to give one, refusals in a row and bytes without one sound
    frame."""

    outstanding: int = 256
    quiet_s: float = 30.0
    idle_s: float = 600.0
    drain_s: float = 30.0
    answer_s: float = 15.0
    refusals: int = 20
    noise_bytes: int = 64 * 1024


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is due: `body` as it is, or the general answer once every reading of `verdicts` is committed."""

    to: Frame | Missing
    message_id: int = GENERAL
    body: bytes | None = None
    result: int = OK
    verdicts: tuple["asyncio.Task[Verdict]", ...] = ()


class Answers:
    """A bounded queue: when the terminal is further ahead of its answers than that, whoever puts the next one waits."""

    def __init__(self, caller: Caller, limits: SessionLimits) -> None:
        self._caller = caller
        self._drain_s = limits.drain_s
        self._queue: asyncio.Queue[Answer | None] = asyncio.Queue(limits.outstanding)

    async def put(self, answer: Answer | None) -> None:
        """Queue an answer; None for the last."""
        await self._queue.put(answer)

    async def send_all(self, writer: asyncio.StreamWriter) -> None:
        """Send each answer when its readings are committed, in order; a terminal that takes none is let go."""
        listening = True
        while (answer := await self._queue.get()) is not None:
            verdicts = [await verdict for verdict in answer.verdicts]
            if not listening:
                continue
            writer.write(self._encode(answer, verdicts))
            try:
                async with asyncio.timeout(self._drain_s):
                    await writer.drain()
            except (TimeoutError, OSError):
                listening = False
                writer.transport.abort()

    def _encode(self, answer: Answer, verdicts: list[Verdict]) -> bytes:
        to, body = answer.to, answer.body
        if body is None and isinstance(to, Frame):
            unusable = bool(verdicts) and all(verdict is Verdict.REFUSED for verdict in verdicts)
            body = general_answer_body(to.serial, to.message_id, WRONG if unusable else answer.result)
        serial = self._caller.take_serials()
        return encode_frame(answer.message_id, to.phone, serial, body or b"", 2019 if to.version == 2019 else 2013)
