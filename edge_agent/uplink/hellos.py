"""The hellos of one connection, and which word of the cloud answers which."""

from collections.abc import Mapping

import msgspec

from telemetry.records import Lane
from telemetry.wire import Ack, Hello

__all__ = ["Asked", "Hellos"]

_MOST = 16


class Asked(msgspec.Struct, eq=False):
    """A hello: when it was sent by the monotonic clock, where its lanes ended, how long the first answer took, and for
    which lanes there is one."""

    sent_ns: int
    next_seqs: Mapping[Lane, int]
    took_ns: int = 0
    answered: set[Lane] = msgspec.field(default_factory=set)


class Hellos:
    """Remembers the last hellos by their `sent_ns`, which the cloud repeats in its answers."""

    def __init__(self) -> None:
        self._asked: dict[int, Asked] = {}

    def unused(self, wall_ns: int) -> int:
        """A `sent_ns` that no hello of this connection has: the wall clock may have been set back."""
        while wall_ns in self._asked:
            wall_ns += 1
        return wall_ns

    def sent(self, hello: Hello, now_ns: int) -> None:
        """A hello is about to go out."""
        self._asked[hello.sent_ns] = Asked(now_ns, {lane: span.next_seq for lane, span in hello.lanes.items()})
        while len(self._asked) > _MOST:
            del self._asked[next(iter(self._asked))]

    def heard(self, ack: Ack, now_ns: int) -> None:
        """A word of the cloud came in: if it is a first answer, note how long it took, before anything else delays it."""
        asked = self._asked.get(ack.answers)
        if asked is not None and not asked.took_ns:
            asked.took_ns = now_ns - asked.sent_ns

    def answered_by(self, ack: Ack) -> Asked | None:
        """The hello that a word answers for the first time for its lane."""
        asked = self._asked.get(ack.answers)
        return None if asked is None or ack.lane in asked.answered else asked

    def are_meant_by(self, ack: Ack) -> bool:
        """Whether a word is for this connection: it answers one of these hellos, or none. Another may be a copy's."""
        return not ack.answers or ack.answers in self._asked

    def is_latest(self, asked: Asked) -> bool:
        """Whether no hello was sent after this one: nothing old can answer it, whatever the cloud's clock says."""
        return asked is next(reversed(self._asked.values()))
