"""Messages that come again: a confirmable one is sent until it is answered, and changes nothing the second time."""

from collections import OrderedDict

import msgspec

from firmware_bridge.coap import CoapMessage

__all__ = ["EXCHANGE_S", "Repeats", "Taken"]

EXCHANGE_S = 247.0
"""So long the same message id of the same peer is the same message (RFC 7252, clause 4.8.2)."""


class Taken(msgspec.Struct, kw_only=True):
    """A message that came. `answer` is what it got, None while that is still to be found."""

    at_s: float
    fingerprint: int
    answer: CoapMessage | None = None


class Repeats:
    """A bounded memory of what came; the oldest is forgotten first.

    A message that shares only its id with an earlier one is new: a device that was switched off begins to count anew.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: OrderedDict[tuple[str, int], Taken] = OrderedDict()

    def find(self, peer: str, message: CoapMessage, now_s: float) -> Taken | None:
        """What is known of the message, None where it is new."""
        known = self._taken.get((peer, message.message_id))
        if known is None or now_s - known.at_s >= EXCHANGE_S or known.fingerprint != _fingerprint(message):
            return None
        return known

    def note(self, peer: str, message: CoapMessage, now_s: float) -> Taken:
        """Remember a new message; its answer is to be put in when there is one."""
        key = (peer, message.message_id)
        taken = self._taken[key] = Taken(at_s=now_s, fingerprint=_fingerprint(message))
        self._taken.move_to_end(key)
        if len(self._taken) > self._most:
            self._taken.popitem(last=False)
        return taken


def _fingerprint(message: CoapMessage) -> int:
    options = tuple((option.number, option.raw) for option in message.options)
    return hash((message.type, message.code, message.token, options, message.payload))
