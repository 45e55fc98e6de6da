"""Putting the packets of a cut message together again, within bounds (HJ 212-2017, clause 6.3.2 and annex C, table C.50)."""

import msgspec

from firmware_bridge.errors import Refused
from firmware_bridge.hj212.segment import PACKETS, Item, Packet
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason

__all__ = ["Reassembler"]

_Sender = tuple[str, str, str, int]
_ITEM_BYTES = 128
"""What an item costs beside its text: packets of many short items are bounded too."""


class _Partial:
    """The packets that came of one message.

    Packets of one message share QN in most loggers; in the standard's own example each has its own, and only DataTime
    holds them together. So either is enough.
    """

    def __init__(self, packet: Packet, now_ns: int) -> None:
        self.sender = _sender(packet)
        self.answer_wanted = packet.answer_wanted
        self.started_ns = self.latest_ns = now_ns
        self.data_time = packet.value("DataTime")
        self.names: set[str] = set()
        self.packets: dict[int, Packet] = {}
        self.bytes = 0

    def owns(self, packet: Packet) -> bool:
        if _sender(packet) != self.sender:
            return False
        data_time = packet.value("DataTime")
        same_time = data_time is not None and data_time == self.data_time
        return packet.qn in self.names or same_time

    def add(self, packet: Packet, number: int, now_ns: int) -> int:
        """Keep a packet; how many bytes that adds."""
        self.latest_ns = now_ns
        self.names |= {packet.qn} if packet.qn else set()
        self.data_time = self.data_time or packet.value("DataTime")
        size = sum(len(item.name) + len(item.value) + _ITEM_BYTES for item in packet.items) + _ITEM_BYTES
        self.packets[number] = packet
        self.bytes += size
        return size

    def whole(self) -> Packet:
        """The message of all packets; what each packet says again of the others is said once."""
        first = self.packets[min(self.packets)]
        seen: set[tuple[str, str]] = set()
        groups: list[tuple[Item, ...]] = []
        for _, packet in sorted(self.packets.items()):
            for group in packet.cp:
                if len(group) == 1 and "-" not in group[0].name:
                    field = (group[0].name, group[0].value)
                    if field in seen:
                        continue
                    seen.add(field)
                groups.append(group)
        deviations = dict.fromkeys(d for _, packet in sorted(self.packets.items()) for d in packet.deviations)
        flaws = tuple(flaw for _, packet in sorted(self.packets.items()) for flaw in packet.flaws)
        flag = None if first.flag is None else first.flag & ~PACKETS
        return msgspec.structs.replace(
            first,
            flag=flag,
            pnum=None,
            pno=None,
            cp=tuple(groups),
            deviations=tuple(deviations),
            flaws=flaws,
            parts=tuple(packet for _, packet in sorted(self.packets.items())),
        )


def _sender(packet: Packet) -> _Sender:
    return packet.mn, packet.st, packet.cn, packet.pnum or 0


class Reassembler:
    """Holds at most `max_messages` unfinished messages, none longer than `max_age_s` nor of more than `max_packets`
    packets, and `max_bytes` of their items in all.

    When something must go it is the oldest; each message given up is reported once as refused, reason
    reassembly_limit, by the call that gave it up (`add`, where it is the packet's own) or the next `expire`.
    """

    def __init__(
        self,
        *,
        max_messages: int = 32,
        max_packets: int = 256,
        max_bytes: int = 4 * 1024 * 1024,
        max_age_s: float = 120.0,
    ) -> None:
        self._max_messages, self._max_packets, self._max_bytes = max_messages, max_packets, max_bytes
        self._max_age_ns = round(max_age_s * SECOND_NS)
        self._partials: list[_Partial] = []
        self._bytes = 0
        self._given_up: list[Refused] = []

    @property
    def held_bytes(self) -> int:
        """Bytes held now, items and what they cost."""
        return self._bytes

    def add(self, packet: Packet, now_ns: int) -> Packet | Refused | None:
        """The whole message once its last packet has come, None until then; a message that was not cut itself.

        Refused: missing or bad_field for packet numbers that are not there or outside their total, reassembly_limit for a
        message that alone is too large. Messages that had to make room are handed out by `expire`.
        """
        if packet.pnum is None:
            return packet
        if packet.pno is None:
            return Refused(reason=Reason.MISSING, detail=f"PNUM {packet.pnum} without PNO")
        if not 1 <= packet.pno <= packet.pnum:
            return Refused(reason=Reason.BAD_FIELD, detail=f"packet {packet.pno} of {packet.pnum}")
        if packet.pnum > self._max_packets:
            detail = f"a message of {packet.pnum} packets, want at most {self._max_packets}"
            return Refused(reason=Reason.REASSEMBLY_LIMIT, detail=detail)
        return self._keep(packet, packet.pno, now_ns)

    @property
    def unfinished(self) -> int:
        """Messages of which packets are missing."""
        return len(self._partials)

    def settle(self, now_ns: int, quiet_s: float, *, answer_wanted: bool) -> list[Packet]:
        """The messages of which nothing was heard for `quiet_s`, as far as they came; `answer_wanted` are those whose sender
        may wait for an answer to each packet before it sends the next one.

        Each packet begins with DataTime (table C.50), so what came is true without the rest; a message without it is not
        among them.
        """
        quiet_ns = round(quiet_s * SECOND_NS)
        dated = [p for p in self._partials if p.data_time is not None and p.answer_wanted is answer_wanted]
        settled = [p for p in dated if now_ns - p.latest_ns >= quiet_ns]
        for partial in settled:
            self._forget(partial)
        return [partial.whole() for partial in settled]

    def expire(self, now_ns: int) -> list[Refused]:
        """Give up what is too old; everything given up since the last call."""
        for partial in [p for p in self._partials if now_ns - p.started_ns > self._max_age_ns]:
            self._give_up(partial, f"older than {self._max_age_ns / SECOND_NS:g} s")
        given_up, self._given_up = self._given_up, []
        return given_up

    def _keep(self, packet: Packet, number: int, now_ns: int) -> Packet | Refused | None:
        partial = next((p for p in self._partials if p.owns(packet)), None)
        if partial is not None and number in partial.packets:
            if _said(partial.packets[number]) == _said(packet):
                return None
            self._give_up(partial, "its sender began it again")
            partial = None
        if partial is None:
            partial = _Partial(packet, now_ns)
            self._partials.append(partial)
        self._bytes += partial.add(packet, number, now_ns)
        if len(partial.packets) == packet.pnum:
            self._forget(partial)
            return partial.whole()
        return self._make_room(partial)

    def _make_room(self, newest: _Partial) -> Refused | None:
        while len(self._partials) > self._max_messages or self._bytes > self._max_bytes:
            oldest = self._partials[0]
            self._give_up(oldest, f"more than {self._max_messages} messages or {self._max_bytes} bytes unfinished")
            if oldest is newest:
                return self._given_up.pop()
        return None

    def _forget(self, partial: _Partial) -> None:
        self._partials.remove(partial)
        self._bytes -= partial.bytes

    def _give_up(self, partial: _Partial, why: str) -> None:
        self._forget(partial)
        mn, _, cn, total = partial.sender
        detail = f"message {cn} of {mn[:32]}, {len(partial.packets)} of {total} packets: {why}"
        self._given_up.append(Refused(reason=Reason.REASSEMBLY_LIMIT, detail=detail))
        del self._given_up[: -self._max_messages]


def _said(packet: Packet) -> list[tuple[str, str]]:
    return [(item.name, item.value) for item in packet.items]
