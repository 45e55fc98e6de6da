"""Confirmable messages on their way to devices: sent again until they are acknowledged (RFC 7252, clause 4.2)."""

import asyncio
import random
from collections.abc import Callable

import msgspec

__all__ = ["Patience", "Sending"]


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """ACK_TIMEOUT, ACK_RANDOM_FACTOR and MAX_RETRANSMIT (clause 4.8), and how long an answer may follow its acknowledgement."""

    first_s: float = 2.0
    factor: float = 1.5
    repeats: int = 4
    answer_s: float = 60.0


class Sending:
    """At most one message for each device. `lost` is told of a message that nothing came back for."""

    def __init__(self, patience: Patience, lost: Callable[[str, int], None]) -> None:
        self._patience = patience
        self._lost = lost
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def begin(self, device: str, message_id: int, send: Callable[[], None]) -> None:
        """Send now, and again at growing intervals until `acknowledged` or `end`."""
        first_s = self._patience.first_s * random.uniform(1, self._patience.factor)  # noqa: S311 (spreads repeats, keeps no secret)
        self._turn(device, message_id, send, first_s, self._patience.repeats)

    def acknowledged(self, device: str, message_id: int) -> None:
        """The device has the message, and will answer in its own time."""
        if device in self._timers:
            self._arm(device, self._patience.answer_s, lambda: self._give_up(device, message_id))

    def end(self, device: str) -> None:
        """The answer is there, or nobody waits for it."""
        timer = self._timers.pop(device, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Send nothing any more."""
        for device in list(self._timers):
            self.end(device)

    def _turn(self, device: str, message_id: int, send: Callable[[], None], wait_s: float, left: int) -> None:
        send()
        if left == 0:
            self._arm(device, wait_s, lambda: self._give_up(device, message_id))
        else:
            self._arm(device, wait_s, lambda: self._turn(device, message_id, send, 2 * wait_s, left - 1))

    def _arm(self, device: str, wait_s: float, then: Callable[[], None]) -> None:
        self.end(device)
        self._timers[device] = asyncio.get_running_loop().call_later(wait_s, then)

    def _give_up(self, device: str, message_id: int) -> None:
        self._timers.pop(device, None)
        self._lost(device, message_id)
