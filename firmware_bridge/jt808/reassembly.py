"""Putting the packets of a sub-packaged message together again, within bounds (JT/T 808-2013 and -2019, clause 4.4.3)."""

import msgspec

from firmware_bridge.errors import Refused
from firmware_bridge.jt808.frames import Frame
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason

__all__ = ["Missing", "Reassembler"]


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A message whose packets `packets` have not come: what a resend request (0x8003) names."""

    phone: str
    message_id: int
    first_serial: int
    packets: tuple[int, ...]
    version: int


_Key = tuple[str, int, int]
_PACKET_BYTES = 128
"""What an entry costs beside its body: packets with empty bodies are bounded too."""


class _Partial:
    """The packets that came of one message."""

    def __init__(self, frame: Frame, total: int, now_ns: int) -> None:
        self.first, self.total, self.started_ns = frame, total, now_ns
        self.bodies: dict[int, bytes] = {}
        self.first_serial = 0

    def add(self, frame: Frame, number: int) -> int:
        """Keep a packet; how many bytes that adds. A packet that came already adds none."""
        if number in self.bodies:
            return 0
        self.bodies[number] = frame.body
        self.first_serial = frame.serial - number + 1 & 0xFFFF
        return len(frame.body) + _PACKET_BYTES

    def size(self) -> int:
        return sum(map(len, self.bodies.values())) + _PACKET_BYTES * len(self.bodies)


class Reassembler:
    """Holds at most `max_messages` unfinished messages and `max_bytes` of their bodies, none longer than `max_age_s`.

    When something must go it is the oldest; each message given up is reported once as refused, reason
    reassembly_limit, by the call that gave it up (`add` or `expire`).
    """

    def __init__(self, *, max_messages: int = 32, max_bytes: int = 4 * 1024 * 1024, max_age_s: float = 120.0) -> None:
        self._max_messages, self._max_bytes = max_messages, max_bytes
        self._max_age_ns = round(max_age_s * SECOND_NS)
        self._partials: dict[_Key, _Partial] = {}
        self._bytes = 0
        self._given_up: list[Refused] = []

    @property
    def held_bytes(self) -> int:
        """Bytes held now, bodies and their entries."""
        return self._bytes

    def add(self, frame: Frame, now_ns: int) -> Frame | Refused | None:
        """The whole message once its last packet has come, None until then; a message that is not sub-packaged itself.

        Refused: bad_field for a packet number outside its total, reassembly_limit for a message that alone is too
        large. Messages that had to make room are handed out by `expire`.
        """
        if frame.packet is None:
            return frame
        total, number = frame.packet
        if not 1 <= number <= total:
            return Refused(reason=Reason.BAD_FIELD, detail=f"packet {number} of {total}", raw=frame.raw)
        if total == 1:
            return msgspec.structs.replace(frame, packet=None)
        partial = self._partial(frame, total, number, now_ns)
        self._bytes += partial.add(frame, number)
        if len(partial.bodies) == total:
            return self._finish(self._key(partial), partial)
        return self._make_room(partial)

    def expire(self, now_ns: int) -> list[Refused]:
        """Give up what is too old; everything given up since the last call."""
        for key, partial in list(self._partials.items()):
            if now_ns - partial.started_ns > self._max_age_ns:
                self._give_up(key, partial, f"older than {self._max_age_ns / SECOND_NS:g} s")
        given_up, self._given_up = self._given_up, []
        return given_up

    def missing(self) -> list[Missing]:
        """What is still wanted of each unfinished message, oldest first."""
        return [
            Missing(
                phone=p.first.phone,
                message_id=p.first.message_id,
                first_serial=p.first_serial,
                packets=tuple(n for n in range(1, p.total + 1) if n not in p.bodies)[:255],
                version=p.first.version,
            )
            for p in self._partials.values()
        ]

    def _key(self, partial: _Partial) -> _Key:
        return partial.first.phone, partial.first.message_id, partial.total

    def _partial(self, frame: Frame, total: int, number: int, now_ns: int) -> _Partial:
        """The message `frame` belongs to: packets have consecutive serials, so one that does not fit begins anew."""
        key = (frame.phone, frame.message_id, total)
        partial = self._partials.get(key)
        if partial is not None and number in partial.bodies and partial.bodies[number] != frame.body:
            self._give_up(key, partial, "its sender began it again")
            partial = None
        if partial is None:
            partial = self._partials[key] = _Partial(frame, total, now_ns)
        return partial

    def _finish(self, key: _Key, partial: _Partial) -> Frame:
        del self._partials[key]
        self._bytes -= partial.size()
        body = b"".join(partial.bodies[number] for number in range(1, partial.total + 1))
        return msgspec.structs.replace(
            partial.first, body=body, declared_length=len(body), packet=None, serial=partial.first_serial, raw=b""
        )

    def _make_room(self, newest: _Partial) -> Refused | None:
        while len(self._partials) > self._max_messages or self._bytes > self._max_bytes:
            key, oldest = next(iter(self._partials.items()))
            refused = self._give_up(key, oldest, f"more than {self._max_messages} messages or {self._max_bytes} bytes unfinished")
            if oldest is newest:
                return self._given_up.pop() if self._given_up[-1] is refused else refused
        return None

    def _give_up(self, key: _Key, partial: _Partial, why: str) -> Refused:
        del self._partials[key]
        self._bytes -= partial.size()
        detail = f"message {key[1]:#06x} of {key[0]}, {len(partial.bodies)} of {partial.total} packets: {why}"
        refused = Refused(reason=Reason.REASSEMBLY_LIMIT, detail=detail, raw=b"")
        self._given_up.append(refused)
        del self._given_up[: -self._max_messages]
        return refused
