"""A client that acknowledges a publication only once its readings are committed.

aiomqtt has no word for it; paho, which it is built on, has (`manual_ack_set`, `ack`). What is not acknowledged the broker sends
again after a reconnect, if it keeps the session: with a `client_id` it does. A broker lets only so many publications be under way
unacknowledged (mosquitto 20) and keeps the next ones itself, bounded by its own configuration (mosquitto 1000): a busy agent
slows its broker down, and what the broker then drops only the broker can count.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable

import aiomqtt

from edge_agent.heard import Verdict

__all__ = ["QUEUE", "AckingClient", "Receipt", "Receipts", "counting_queue"]

QUEUE = 1000
"""Messages received and not yet looked at; what does not fit is counted as an overflow."""

client_logger = logging.getLogger(f"{__name__}.client")
client_logger.setLevel(logging.ERROR)  # it warns of every message that the queue has no room for; we count them


class AckingClient(aiomqtt.Client):
    """`acknowledge` sends the PUBACK of one message; nothing else does."""

    def acknowledge_by_hand(self) -> None:
        """From now on nothing is acknowledged by itself; before connecting."""
        self._client.manual_ack_set(on=True)

    def acknowledge(self, message: aiomqtt.Message) -> None:
        """Tell the broker that it may forget the message; QoS 0 has nothing to be told."""
        if message.qos:
            self._client.ack(message.mid, message.qos)


class Receipt:
    """One message's way to its acknowledgement."""

    def __init__(self, message: aiomqtt.Message, settled: Callable[[], None]) -> None:
        self.message = message
        self.done = False
        self._settled = settled
        self._pending = 0

    def follow(self, tasks: Iterable[asyncio.Task[Verdict]]) -> None:
        """Acknowledge when all of them have ended with a verdict; at once where there are none."""
        waited = list(tasks)
        self._pending = len(waited)
        for task in waited:
            task.add_done_callback(self._one_ended)
        if not waited:
            self._finish()

    def _one_ended(self, task: asyncio.Task[Verdict]) -> None:
        # A cancelled commit may not have happened: the broker keeps the message for the next run.
        if not task.cancelled() and task.exception() is None:
            self._pending -= 1
            if not self._pending:
                self._finish()

    def _finish(self) -> None:
        self.done = True
        self._settled()


class Receipts:
    """The receipts of one connection. PUBACKs go out in the order in which the messages came (MQTT 3.1.1, 4.6)."""

    def __init__(self, client: AckingClient) -> None:
        self._client = client
        self._open: deque[Receipt] = deque()
        self.closed = False

    def take(self, message: aiomqtt.Message) -> Receipt:
        """The receipt of a message that came just now."""
        receipt = Receipt(message, self._send)
        self._open.append(receipt)
        return receipt

    def _send(self) -> None:
        while self._open and self._open[0].done:
            receipt = self._open.popleft()
            if not self.closed:
                self._client.acknowledge(receipt.message)


def counting_queue(overflow: Callable[[aiomqtt.Message], None]) -> type[asyncio.Queue[aiomqtt.Message]]:
    """aiomqtt drops what does not fit; this queue says so before it does."""

    class CountingQueue(asyncio.Queue[aiomqtt.Message]):
        def put_nowait(self, item: aiomqtt.Message) -> None:
            if self.full():
                overflow(item)
            super().put_nowait(item)

    return CountingQueue
