"""How much may be under way at once: so much that the link is never idle, so little that an alarm never waits long.

What is on the link cannot be overtaken any more. So the bytes that wait for their PUBACK are kept to what the link
carries in about a second, measured by how much longer a PUBACK takes than the quickest one of this connection.
"""

from telemetry.clock import SECOND_NS

__all__ = ["Pace"]

_LEAST = 4 * 1024
_MOST = 512 * 1024
_FIRST = 16 * 1024
"""Two seconds of 64 kbit/s: what an alarm may wait before anything has been measured."""
_LONG_NS = SECOND_NS
_SHORT_NS = SECOND_NS // 2
_MOST_MESSAGES = 16
"""Fewer than the client sends on its own accord without a PUBACK (paho: 20): none may wait inside it unmeasured."""
_MOST_MEMORY = 512 * 1024
"""Uncompressed bytes of what is under way."""
_LEAST_CHUNK = 512
_HEADERS = 64
"""Of MQTT, TCP and IP around one message."""


class Pace:
    """The bytes of one connection. Times are the monotonic clock's, in nanoseconds; sizes are of the payload as sent.

    `rate_bits_s` is what the link must not be asked to exceed, 0 where that is not known.
    """

    def __init__(self, rate_bits_s: int = 0) -> None:
        self._byte_ns = 8 * SECOND_NS / rate_bits_s if rate_bits_s else 0.0
        self._free_ns = 0.0
        """When the link will have carried all that it was given, by the configured rate."""
        self.most = _FIRST
        self._shrunk_ns = 0
        self._quickest_ns: int | None = None
        self._waiting_ns = 0
        """Since when a PUBACK has been missing while something waits for one."""
        self.under_way = 0
        self.messages = 0
        self.memory = 0
        self.delay_ns = 0
        """How long the last message stood in a queue before it was on its way."""

    @property
    def chunk(self) -> int:
        """The most bytes that one message should have: less than a second of the link."""
        chunk = self.most // 2
        if self._byte_ns:
            chunk = min(chunk, round(SECOND_NS / self._byte_ns) - _HEADERS)
        return max(_LEAST_CHUNK, chunk)

    def wait_ns(self, now_ns: int) -> int | None:
        """How long the next batch has to wait: 0 when it may go, None until something has its PUBACK."""
        if self.under_way >= self.most or self.messages >= _MOST_MESSAGES or self.memory >= _MOST_MEMORY:
            return None
        return max(0, round(self._free_ns) - now_ns)

    def on_sent(self, size: int, now_ns: int, memory: int = 0) -> None:
        """A message of `size` bytes went out; `memory` is what it holds until its PUBACK."""
        if not self.messages:
            self._waiting_ns = now_ns
        self._free_ns = max(self._free_ns, now_ns) + (size + _HEADERS) * self._byte_ns
        self.under_way += size
        self.messages += 1
        self.memory += memory

    def on_puback(self, size: int, sent_ns: int, now_ns: int, memory: int = 0) -> None:
        """The broker has the message that was sent at `sent_ns`."""
        took_ns = now_ns - sent_ns
        self._quickest_ns = took_ns if self._quickest_ns is None else min(self._quickest_ns, took_ns)
        self.delay_ns = took_ns - self._quickest_ns
        if self.delay_ns > _LONG_NS and sent_ns >= self._shrunk_ns:
            # What is under way already was sent by the old measure and says nothing of the new one.
            self.most, self._shrunk_ns = max(_LEAST, self.most // 2), now_ns
        elif self.delay_ns < _SHORT_NS and 2 * self.under_way >= self.most:
            self.most = min(_MOST, self.most + size)
        self.under_way -= size
        self.messages -= 1
        self.memory -= memory
        self._waiting_ns = now_ns

    def silent_ns(self, now_ns: int) -> int:
        """For how long nothing had its PUBACK although something waits for one."""
        return now_ns - self._waiting_ns if self.messages else 0
