"""What the user is promised, as a model that knows nothing of how it is done.

A record is promised once its commit returned. In the end each one is stored, or quarantined with a reason, or declared
lost with a reason; a number under which it was only moved into a later epoch counts for nothing.
"""

from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

from telemetry.reason import Reason

__all__ = ["Fates", "Loss", "Model", "Number"]

Key = tuple[str, str, int]
"""What a record is by its content: ("reading", device, event time) or ("event", alarm, n)."""


class Number(NamedTuple):
    """What a record is called on its way."""

    epoch: str
    lane: str
    seq: int


class Loss(NamedTuple):
    """A row of the cloud's losses."""

    epoch: str
    lane: str
    low: int
    high: float
    reason: str

    def covers(self, number: Number) -> bool:
        return (self.epoch, self.lane) == number[:2] and self.low <= number.seq <= self.high and bool(self.reason)


class Fates(NamedTuple):
    """What the cloud's stores say has become of records."""

    stored: Mapping[Key, object]
    quarantined: Set[Number]
    losses: Iterable[Loss]


class Model:
    """`excused` are records whose only copy was taken away by somebody who replaced the disk under it."""

    def __init__(self) -> None:
        self.promised: dict[Key, object] = {}
        self.numbers: dict[Key, list[Number]] = {}
        self.excused: set[Key] = set()

    def numbered(self, key: Key, number: Number) -> None:
        """The outbox gave a record a number; it may be one of several in its life."""
        if number not in self.numbers.setdefault(key, []):
            self.numbers[key].append(number)

    def promise(self, key: Key, value: object) -> None:
        """The commit of a record returned."""
        self.promised[key] = value

    def done(self, key: Key, fates: Fates) -> bool:
        """Whether nothing is owed for a record any more."""
        if key in fates.stored:
            return fates.stored[key] == self.promised.get(key, fates.stored[key])
        numbers = self.numbers.get(key, [])
        lost = [loss for loss in fates.losses if loss.reason != Reason.RENUMBERED]
        return any(number in fates.quarantined or any(loss.covers(number) for loss in lost) for number in numbers)

    def broken(self, fates: Fates) -> list[Key]:
        """The promises that were not kept."""
        return [key for key in self.promised if key not in self.excused and not self.done(key, fates)]
