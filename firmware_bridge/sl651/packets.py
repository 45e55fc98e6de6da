"""Putting a message together from its packets, within bounds (SL 651-2014, clause 6.3, mode M3)."""

import msgspec

from firmware_bridge.errors import Refused
from firmware_bridge.sl651.frames import ETX, Frame
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason

__all__ = ["Reassembler"]

_Key = tuple[str, int, int]
_PACKET_BYTES = 128
"""What an entry costs beside its body: packets with empty bodies are bounded too."""


class _Partial:
    """The packets that came of one message."""

    def __init__(self, frame: Frame, now_ns: int) -> None:
        self.frame, self.started_ns = frame, now_ns
        self.bodies: dict[int, bytes] = {}

    def size(self) -> int:
        return sum(len(body) + _PACKET_BYTES for body in self.bodies.values())


class Reassembler:
    """Holds at most `max_messages` unfinished messages and `max_bytes` of their packets, none longer than `max_age_s`.

    When something must go it is the oldest. A packet that comes again with other bytes begins its message anew. Each message
    given up is reported once by `expire`, reason reassembly_limit.
    """

    def __init__(self, *, max_messages: int = 32, max_bytes: int = 4 * 1024 * 1024, max_age_s: float = 300.0) -> None:
        self._max_messages, self._max_bytes = max_messages, max_bytes
        self._max_age_ns = round(max_age_s * SECOND_NS)
        self._partials: dict[_Key, _Partial] = {}
        self._bytes = 0
        self._given_up: list[Refused] = []

    @property
    def held_bytes(self) -> int:
        """Bytes held now, packets and their entries."""
        return self._bytes

    def add(self, frame: Frame, now_ns: int) -> Frame | None:
        """The whole message once its last packet has come, None until then; a frame after STX is whole itself.

        A whole message is the first packet's frame with all bodies in order, `packet` None and no `raw`.
        """
        if frame.packet is None:
            return frame
        total, number = frame.packet
        key = (frame.station, frame.function, total)
        partial = self._partials.get(key)
        if partial is not None and partial.bodies.get(number, frame.body) != frame.body:
            self._give_up(key, "its sender began it again")
            partial = None
        if partial is None:
            partial = self._partials[key] = _Partial(frame, now_ns)
        if number not in partial.bodies:
            partial.bodies[number] = frame.body
            self._bytes += len(frame.body) + _PACKET_BYTES
        if len(partial.bodies) == total:
            return self._finish(key, frame)
        while len(self._partials) > self._max_messages or self._bytes > self._max_bytes:
            self._give_up(next(iter(self._partials)), f"more than {self._max_messages} messages or {self._max_bytes} bytes")
        return None

    def expire(self, now_ns: int) -> list[Refused]:
        """Give up what is too old; everything given up since the last call, the latest `max_messages` of it."""
        for key, partial in list(self._partials.items()):
            if now_ns - partial.started_ns > self._max_age_ns:
                self._give_up(key, f"older than {self._max_age_ns / SECOND_NS:g} s")
        given_up, self._given_up = self._given_up, []
        return given_up

    def missing(self, station: str, function: int, total: int) -> list[int]:
        """The packets still wanted of a message, for the centre to ask for with NAK; none where nothing of it is held."""
        partial = self._partials.get((station, function, total))
        return [] if partial is None else [number for number in range(1, total + 1) if number not in partial.bodies]

    def _finish(self, key: _Key, last: Frame) -> Frame:
        partial = self._partials.pop(key)
        self._bytes -= partial.size()
        body = b"".join(partial.bodies[number] for number in range(1, key[2] + 1))
        return msgspec.structs.replace(last, body=body, packet=None, end=ETX, raw=b"")

    def _give_up(self, key: _Key, why: str) -> None:
        partial = self._partials.pop(key)
        self._bytes -= partial.size()
        detail = f"function {key[1]:#04x} of {key[0]}, {len(partial.bodies)} of {key[2]} packets: {why}"
        self._given_up.append(Refused(reason=Reason.REASSEMBLY_LIMIT, detail=detail))
        del self._given_up[: -self._max_messages]
