"""What one lane may send next: positions, credit and stall, without any I/O."""

from telemetry.clock import SECOND_NS
from telemetry.wire import Ack

__all__ = ["LaneWindow"]


class LaneWindow:
    """The sender's side of one lane.

    `cumulative` is what the cloud has, `sent` the last record put on the link since the last (re)start, `credit` how
    many records beyond `cumulative` the cloud takes. Acknowledgements may be lost, doubled or out of order.
    """

    def __init__(self, retransmit_s: float) -> None:
        self._patience_ns = round(retransmit_s * SECOND_NS)
        self.cumulative = 0
        self.sent = 0
        self.credit = 0
        self.welcomed = False
        """Whether the cloud answered this connection's hello."""
        self._server_ns = 0
        self._progress_ns = 0

    def restart(self) -> None:
        """A new connection: nothing counts as sent until the cloud has said where it stands."""
        self.sent, self.credit, self.welcomed, self._server_ns = self.cumulative, 0, False, 0

    def on_ack(self, ack: Ack, now_ns: int) -> None:
        """Take the cloud's word; only the newest one speaks for the credit."""
        if ack.cumulative > self.cumulative or ack.ranges or not self.welcomed:
            self._progress_ns = now_ns
        self.cumulative = max(self.cumulative, ack.cumulative)
        self.sent = max(self.sent, self.cumulative)
        if ack.server_ns >= self._server_ns:
            self._server_ns, self.credit = ack.server_ns, ack.credit
        self.welcomed = True

    def may_send(self, last_seq: int) -> bool:
        """Whether a batch that ends at `last_seq` fits the credit; one batch does while nothing else is under way."""
        if not self.welcomed or self.credit <= 0:
            return False
        return last_seq - self.cumulative <= self.credit or self.sent == self.cumulative

    def on_sent(self, last_seq: int, now_ns: int) -> None:
        """A batch up to `last_seq` is on the link."""
        if self.sent == self.cumulative:
            self._progress_ns = now_ns
        self.sent = max(self.sent, last_seq)

    def stalled(self, now_ns: int) -> bool:
        """Whether records are under way, or the credit is used up, and nothing has moved for too long."""
        waiting = self.sent > self.cumulative or (self.welcomed and self.credit <= 0)
        return waiting and now_ns - self._progress_ns >= self._patience_ns

    def rewind(self, now_ns: int) -> None:
        """Send again from the first record not acknowledged, and believe the next word on credit whatever its time: the
        cloud may have come back with its clock set back."""
        self.sent, self._progress_ns, self._server_ns = self.cumulative, now_ns, 0
