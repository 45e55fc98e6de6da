"""The sender's book of one lane: what the cloud has, what is on its way, and what goes next. No I/O."""

from bisect import bisect_left, bisect_right, insort

import msgspec

from edge_agent.uplink.ranges import Ranges, first_gap
from telemetry.clock import SECOND_NS
from telemetry.wire import Ack

__all__ = ["SMALL_BACKLOG", "LaneWindow"]

SMALL_BACKLOG = 1000
"""So few records are no history: they go in their order."""
_MANY_RANGES = 64
"""So many gaps are enough: the cloud's account of a lane must stay short."""
_MOST_FLIGHTS = 512
_FIRST_FLIGHTS = 64
_FEW_FLIGHTS = 4
"""Batches that may wait for the cloud's word: one more for each word that comes, half as many where none does. A cloud
that cannot keep up drops what comes on top, and must not be given all of it again at once (Chiu and Jain, 1989)."""
_MOST_CUTS = 4096


class _Flight(msgspec.Struct):
    """A batch on its way; `number` counts them. `landed_ns`: when the broker had it, None before."""

    first_seq: int
    last_seq: int
    number: int
    landed_ns: int | None = None


class LaneWindow:
    """The sender's side of one lane; `retransmit_s` is how long it waits for the cloud's word.

    `cumulative` and the ranges `settled` above it are what the cloud has by its own word, `live_from` is where history
    ends, and `credit` is how many records beyond those that are done the cloud takes. Acknowledgements may be lost,
    doubled or out of order: each only adds to what is settled. The answer to a hello may also take away (`forgotten`).
    """

    def __init__(self, retransmit_s: float, given: int = 0) -> None:
        self._patience_ns = round(retransmit_s * SECOND_NS)
        self.cumulative = 0
        self.given = given
        """No record above it was ever put on a link by this machine."""
        self.settled = Ranges()
        self.credit = 0
        self.welcomed = False
        """Whether the cloud answered a hello of this connection."""
        self.live_from = 0
        self.generation = 0
        """Grows whenever what was known is not any more: what somebody read before then must not be noted after it."""
        self._absent = Ranges()
        """Above `cumulative`, neither settled nor in the outbox: declared lost."""
        self._flying = Ranges()
        self._flights: dict[int, _Flight] = {}
        self._room = _FIRST_FLIGHTS
        """Batches that may wait for the cloud's word at present."""
        self._halved_ns = 0
        self._numbers = 0
        self._newest_settled = 0
        self._cuts: list[int] = []
        """Records after which a batch must end, because the cloud refused one that went beyond."""
        self._server_ns = 0
        self._floor_ns = 0
        """What the cloud said before this is of a cloud that is no more."""
        self._progress_ns = 0
        self._asked_ns = 0
        self._probed_ns = 0
        """When a batch last went again because nothing moved."""
        self._probe_due = False
        """Whether that batch is still to go: it waits for no other, for those may all be lost."""
        self._doubtful = False
        """The cloud seems to know less than before; only the answer to a hello is believed in that."""

    @property
    def in_flight(self) -> int:
        """Records that were sent and are not settled; those of a batch that is settled in part count as well."""
        return sum(flight.last_seq - flight.first_seq + 1 for flight in self._flights.values())

    def restart(self, now_ns: int) -> None:
        """A new connection: nothing counts as sent, and nothing goes until the cloud has said where it stands."""
        self._flights.clear()
        self._flying, self._absent = Ranges(), Ranges()
        self.credit, self.welcomed, self.live_from = 0, False, 0
        self._probe_due = False
        self._server_ns = self._floor_ns = 0
        self._progress_ns = self._asked_ns = now_ns
        self.generation += 1

    # What the cloud says.

    def believes(self, ack: Ack) -> bool:
        """Whether an acknowledgement speaks of the cloud as it is now, as far as one can tell."""
        return ack.server_ns >= self._floor_ns

    def forgotten(self, answer: Ack, cumulative: int, done: int) -> bool:
        """Whether the cloud knows less than it has said: it was restored from a copy. `answer` is to a hello.

        `cumulative` and `done`, a number of records, are what the outbox has heard of the cloud in all its life.
        """
        if answer.server_ns < self._server_ns:
            return False  # overtaken by a later word
        known = Ranges([(1, answer.cumulative), *answer.ranges])
        if answer.cumulative < max(cumulative, self.cumulative) or sum(high - low + 1 for low, high in known) < done:
            return True
        return any(not known.covers(low, high) for low, high in self.settled)

    def rewind(self, answer: Ack) -> None:
        """Go back to where the cloud says that it is."""
        self.cumulative, self.settled, self._absent = answer.cumulative, Ranges(), Ranges()
        self._flights.clear()
        self._flying = Ranges()
        self._server_ns = self._floor_ns = answer.server_ns
        self.live_from = 0
        self.generation += 1

    def on_ack(self, ack: Ack, now_ns: int) -> None:
        """Take the cloud's word; only the newest one speaks for the credit."""
        news = ack.cumulative - self.cumulative
        if news < 0 and ack.server_ns > self._server_ns:
            self._doubtful = True
        self.cumulative = max(self.cumulative, ack.cumulative)
        for low, high in [*ack.ranges, *((seq, seq) for seq, _ in ack.quarantined)]:
            news = max(news, self.settled.add(max(low, self.cumulative + 1), high))
        for each in (self.settled, self._absent):
            each.remove(1, self.cumulative)
        if ack.server_ns >= self._server_ns:
            self._server_ns, self.credit = ack.server_ns, ack.credit
        if news > 0:
            self._progress_ns = now_ns
            self._forget_settled()

    def on_welcome(self, ack: Ack, next_seq: int, depth: int, now_ns: int) -> None:
        """The cloud answered a hello: decide where history ends. `depth` records are held; the hello said `next_seq`."""
        if not self.welcomed:
            self._progress_ns = now_ns
        self.welcomed = True
        self._floor_ns = min(self._floor_ns, ack.server_ns)
        behind = self.run(max(self.cumulative + 1, self.live_from), next_seq - 1)
        if behind is None or min(depth, next_seq - behind[0]) <= SMALL_BACKLOG:
            return
        head = self.settled.highest + 1 if len(ack.ranges) >= _MANY_RANGES else next_seq
        self.live_from = max(self.live_from, head)

    def on_refused(self, first_seq: int, last_seq: int) -> bool:
        """The cloud cannot take a batch as a whole: send its halves. False where that batch is not under way."""
        flight = self._flights.get(first_seq)
        if flight is None or flight.last_seq != last_seq or first_seq == last_seq or len(self._cuts) >= _MOST_CUTS:
            return False
        middle = (first_seq + last_seq) // 2
        if middle not in self._cuts:
            insort(self._cuts, middle)
        self._drop(flight)
        return True

    # What goes out.

    def run(self, low: int, high: int) -> tuple[int, int] | None:
        """The first records from `low` to `high` that may go in one batch: not settled, not under way, held."""
        found = first_gap(max(low, self.cumulative + 1), high, self.settled, self._flying, self._absent)
        if found is None:
            return None
        at = bisect_left(self._cuts, found[0])
        return (found[0], min(found[1], self._cuts[at])) if at < len(self._cuts) else found

    def may_send(self, count: int) -> bool:
        """Whether a batch of so many records fits the credit; one batch does while nothing else is under way."""
        if not self.welcomed or self.credit <= 0:
            return False
        if self._probe_due:
            return True
        if len(self._flights) >= self._room:
            return False
        in_flight = self.in_flight
        return not in_flight or in_flight + count <= self.credit

    def on_sent(self, first_seq: int, last_seq: int) -> None:
        """A batch is on the link."""
        self.given = max(self.given, last_seq)
        self._probe_due = False
        self._numbers += 1
        self._flights[first_seq] = _Flight(first_seq, last_seq, self._numbers)
        self._flying.add(first_seq, last_seq)

    def on_landed(self, first_seq: int, last_seq: int, now_ns: int) -> None:
        """The broker has a batch; from now on the cloud's word is waited for."""
        flight = self._flights.get(first_seq)
        if flight is not None and flight.last_seq == last_seq:
            flight.landed_ns = now_ns

    def on_absent(self, first_seq: int, last_seq: int) -> None:
        """The outbox does not hold these records any more."""
        self._absent.add(max(first_seq, self.cumulative + 1), last_seq)

    # What does not come.

    def retransmit(self, now_ns: int) -> int:
        """Let go again what must have been lost on the way; how many batches that is.

        A batch that a later one overtook goes again once patience is over. Where nothing at all moves, the oldest goes
        alone: it moves the lane again, or the cloud is not there.
        """
        late = [it for it in self._flights.values() if it.landed_ns is not None and now_ns - it.landed_ns >= self._patience_ns]
        lost = [flight for flight in late if flight.number < self._newest_settled]
        if not lost and late and now_ns - max(self._progress_ns, self._probed_ns) >= self._patience_ns:
            lost, self._probed_ns, self._probe_due = [min(late, key=lambda flight: flight.number)], now_ns, True
        if lost and now_ns - self._halved_ns >= self._patience_ns:
            self._room, self._halved_ns = max(_FEW_FLIGHTS, self._room // 2), now_ns
        for flight in lost:
            self._drop(flight)
        return len(lost)

    def should_ask(self, now_ns: int) -> bool:
        """Whether to say hello again, at most once in `retransmit_s`: nothing moves, no credit, or the cloud went back."""
        stuck = bool(self._flights) or self.credit <= 0
        since_ns = self._asked_ns if self._doubtful else max(self._progress_ns, self._asked_ns)
        if not self.welcomed or not (stuck or self._doubtful) or now_ns - since_ns < self._patience_ns:
            return False
        self._asked_ns, self._doubtful = now_ns, False
        # The cloud may have come back with its clock set back: believe its next answer whatever its time.
        self._server_ns = 0
        return True

    def _drop(self, flight: _Flight) -> None:
        del self._flights[flight.first_seq]
        self._flying.remove(flight.first_seq, flight.last_seq)

    def _forget_settled(self) -> None:
        for flight in list(self._flights.values()):
            if self.settled.covers(max(flight.first_seq, self.cumulative + 1), flight.last_seq):
                self._newest_settled = max(self._newest_settled, flight.number)
                self._room = min(_MOST_FLIGHTS, self._room + 1)
                self._drop(flight)
        del self._cuts[: bisect_right(self._cuts, self.cumulative)]
        self._cuts = [seq for seq in self._cuts if not any(self.settled.covers(it, it) for it in (seq, seq + 1))]
