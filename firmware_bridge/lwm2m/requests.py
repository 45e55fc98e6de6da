"""What the server asks of a device, and what it makes of the answers (LwM2M 1.0, clause 5.4 and 5.5; RFC 7641).

One request is under way with a device at a time (RFC 7252, clause 4.7: NSTART is 1); others wait in a bounded line, for a
device in queue mode until it wakes.
"""

import hashlib
from collections import Counter, deque

import msgspec
from msgspec.structs import replace

from firmware_bridge.coap import CoapMessage
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.lwm2m.messages import BLOCK2, OBSERVE, option_number
from firmware_bridge.lwm2m.operations import Answered, Operation, Request, flaw_of
from firmware_bridge.lwm2m.paths import Path, format_path
from firmware_bridge.lwm2m.payloads import decode_payload
from firmware_bridge.lwm2m.registrations import Registration
from firmware_bridge.lwm2m.under_way import UnderWay
from firmware_bridge.lwm2m.values import Reading
from telemetry.reason import Reason

__all__ = ["Requests", "fresh", "readings_in"]

_FRESH_AFTER_S = 128.0  # RFC 7641, clause 3.4


class _Observation(msgspec.Struct, kw_only=True):
    request: Request
    sequence: int | None
    at_s: float


class _Line:
    """What waits for one device, what is under way, and what it was asked to tell by itself."""

    def __init__(self) -> None:
        self.waiting: deque[Request] = deque()
        self.under_way: UnderWay | None = None
        self.observations: dict[bytes, _Observation] = {}


def fresh(before: int, before_s: float, sequence: int, now_s: float) -> bool:
    """Whether a notification is newer than the last one (RFC 7641, clause 3.4); numbers have 24 bits and start over."""
    forward = before < sequence and sequence - before < 2**23
    return forward or (before > sequence and before - sequence > 2**23) or now_s > before_s + _FRESH_AFTER_S


class Requests:
    """Requests of all devices. Each has at most `most_waiting` in its line and `most_observed` observations.

    Whoever keeps the registrations calls `forget` for a device that registered, left or ran out; so there are never more lines
    than devices.

    With a `secret` nobody can guess a token, which is all that protects a dialogue without DTLS (RFC 7252, clause 5.3.1);
    without one tokens are numbers from `first_token` on. `refused` counts what was not taken, expired, or was not to be
    believed.
    """

    def __init__(self, *, first_token: int = 1, most_waiting: int = 16, most_observed: int = 32, secret: bytes = b"") -> None:
        self.refused: Counter[Reason] = Counter()
        self._most_waiting = most_waiting
        self._most_observed = most_observed
        self._lines: dict[str, _Line] = {}
        self._next = first_token
        self._secret = secret

    def ask(self, registration: Registration, request: Request) -> Refused | None:
        """Put a request in the device's line; a Refused (queue_full, not_allowed, bad_field) where it cannot stand there."""
        line = self._lines.get(registration.endpoint)
        refusal = flaw_of(request)
        if refusal is None and line is not None and len(line.waiting) >= self._most_waiting:
            refusal = Refused(reason=Reason.QUEUE_FULL, detail=f"{len(line.waiting)} requests wait already")
        if refusal is None and request.operation is Operation.OBSERVE and self._observed(line) >= self._most_observed:
            refusal = Refused(reason=Reason.QUEUE_FULL, detail=f"{self._most_observed} observations already")
        if refusal is not None:
            self.refused[refusal.reason] += 1
            return refusal
        self._lines.setdefault(registration.endpoint, _Line()).waiting.append(request)
        return None

    def _observed(self, line: _Line | None) -> int:
        """Observations that stand, are under way, or wait."""
        if line is None:
            return 0
        asked = [*line.waiting, *([line.under_way.request] if line.under_way else [])]
        return len(line.observations) + sum(each.operation is Operation.OBSERVE for each in asked)

    def due(self, registration: Registration, now_s: float) -> CoapMessage | None:
        """The next message to send to the device: None while it sleeps, one is under way, or nothing waits."""
        line = self._lines.get(registration.endpoint)
        if line is None or not registration.awake(now_s):
            return None
        if (asked := line.under_way) is not None:
            if asked.sent:
                return None
            line.under_way = replace(asked, sent=True)
            return asked.message(registration.objects.root)
        while line.waiting:
            request = line.waiting.popleft()
            if request.until_s <= now_s:
                self.refused[Reason.EXPIRED] += 1
                continue
            token, message_id = self._named()
            if request.operation is Operation.CANCEL:
                token = _ended(line, request.path) or token
            line.under_way = UnderWay(request=request, token=token, message_id=message_id)
            return line.under_way.message(registration.objects.root)
        return None

    def _named(self) -> tuple[bytes, int]:
        """The token and the id of the next message."""
        number, message_id = self._next.to_bytes(8, "big"), self._next & 0xFFFF
        self._next = (self._next + 1) % 2**32
        secret = hashlib.blake2b(number, key=self._secret, digest_size=8).digest()
        return secret if self._secret else number[-4:], message_id

    def under_way(self, endpoint: str) -> Request | None:
        """What the device was asked and has not answered yet."""
        line = self._lines.get(endpoint)
        return None if line is None or line.under_way is None else line.under_way.request

    def observed(self, endpoint: str, told_since_s: float) -> frozenset[Path]:
        """The paths that the device tells of by itself, and has since then, or that it is still to be asked to."""
        line = self._lines.get(endpoint)
        if line is None:
            return frozenset()
        standing = [each.request.path for each in line.observations.values() if each.at_s >= told_since_s]
        asked = [*line.waiting, *([line.under_way.request] if line.under_way else [])]
        return frozenset((*standing, *(each.path for each in asked if each.operation is Operation.OBSERVE)))

    def owner(self, token: bytes) -> str | None:
        """The device whose observation has this token, None where there is none: for a message from an unknown address."""
        return next((endpoint for endpoint, line in self._lines.items() if token in line.observations), None)

    def give_up(self, endpoint: str, message_id: int) -> Request | None:
        """The device does not answer the message of that id: what it was asked, None where it is not under way any more."""
        line = self._lines.get(endpoint)
        if line is None or line.under_way is None or line.under_way.message_id != message_id:
            return None
        request, line.under_way = line.under_way.request, None
        return request

    def withdraw(self, endpoint: str, tag: int) -> None:
        """Do not ask what waits under this tag; what is under way cannot be called back."""
        line = self._lines.get(endpoint)
        if line is not None:
            line.waiting = deque(request for request in line.waiting if request.tag != tag)

    def expire(self, now_s: float) -> list[tuple[str, Request]]:
        """Requests whose time is over, waiting or unanswered, by device; they are counted and forgotten."""
        over: list[tuple[str, Request]] = []
        for endpoint, line in self._lines.items():
            late = [request for request in line.waiting if request.until_s <= now_s]
            if late:
                line.waiting = deque(request for request in line.waiting if request.until_s > now_s)
            if line.under_way is not None and line.under_way.request.until_s <= now_s:
                late.append(line.under_way.request)
                line.under_way = None
            over += ((endpoint, request) for request in late)
        self.refused[Reason.EXPIRED] += len(over)
        return over

    def forget(self, endpoint: str) -> list[Request]:
        """The device left or registered anew: its observations are over (1.0, clause 5.5). Gives what was not answered."""
        line = self._lines.pop(endpoint, None)
        if line is None:
            return []
        return [*([line.under_way.request] if line.under_way else []), *line.waiting]

    def received(self, endpoint: str, message: CoapMessage, now_s: float) -> Answered | Refused | None:
        """What a device's message answers. None for a bare acknowledgement: the answer comes by itself.

        Refused: wrong_transaction (no such token; a confirmable message is then reset), late (an older notification than the
        last), device_exception (a reset).
        """
        line = self._lines.get(endpoint)
        found = self._matched(endpoint, line, message, now_s) if line is not None else _stranger(message)
        if isinstance(found, Refused):
            self.refused[found.reason] += 1
        return found

    def _matched(self, endpoint: str, line: _Line, message: CoapMessage, now_s: float) -> Answered | Refused | None:
        under_way = line.under_way
        if message.code == "0.00":
            if under_way is None or message.message_id != under_way.message_id or message.type not in {"ACK", "RST"}:
                return _stranger(message)
            if message.type == "ACK":
                return None
            line.under_way = None
            return Refused(reason=Reason.DEVICE_EXCEPTION, detail=f"{format_path(under_way.request.path)}: reset")
        if message.code.startswith("0."):
            return Refused(reason=Reason.UNKNOWN_MESSAGE, detail=f"{message.code} is a request")
        if under_way is not None and message.token == under_way.token:
            return self._taken(endpoint, line, under_way, message, now_s)
        observation = line.observations.get(message.token)
        if observation is None:
            return _stranger(message)
        return _notified(endpoint, line, observation, message, now_s)

    def _taken(
        self, endpoint: str, line: _Line, asked: UnderWay, message: CoapMessage, now_s: float
    ) -> Answered | Refused | None:
        """An answer, or a part of it: None where another part is due."""
        line.under_way = None
        whole = asked.take(message, self._named)
        if isinstance(whole, Refused):
            return whole
        if isinstance(whole, UnderWay):
            line.under_way = whole
            return None
        self._observe(line, asked, whole, now_s)
        return _answered(endpoint, asked.request, whole, notification=False)

    def _observe(self, line: _Line, asked: UnderWay, message: CoapMessage, now_s: float) -> None:
        """An observation stands if the device agreed to it: a success that carries the option."""
        sequence = option_number(message, OBSERVE)
        if asked.request.operation is Operation.OBSERVE and message.code.startswith("2.") and sequence is not None:
            _ended(line, asked.request.path)
            line.observations[message.token] = _Observation(request=asked.request, sequence=sequence, at_s=now_s)


def _ended(line: _Line, path: Path) -> bytes | None:
    """The token of the observation of `path`, which is over."""
    token = next((token for token, each in line.observations.items() if each.request.path == path), None)
    if token is not None:
        del line.observations[token]
    return token


def _notified(endpoint: str, line: _Line, observation: _Observation, message: CoapMessage, now_s: float) -> Answered | Refused:
    sequence = option_number(message, OBSERVE)
    if sequence is None or not message.code.startswith("2."):  # RFC 7641, clause 4.2: the device has ended it
        del line.observations[message.token]
    elif observation.sequence is not None and not fresh(observation.sequence, observation.at_s, sequence, now_s):
        return Refused(reason=Reason.LATE, detail=f"notification {sequence} after {observation.sequence}")
    else:
        observation.sequence, observation.at_s = sequence, now_s
        if (option_number(message, BLOCK2) or 0) & 8:  # more than it can tell at once: the whole is read, in its own time
            read = replace(observation.request, operation=Operation.READ)
            if read not in line.waiting:
                line.waiting.appendleft(read)
            return _answered(endpoint, observation.request, replace(message, code="2.03", payload=b""), notification=True)
    return _answered(endpoint, observation.request, message, notification=True)


def _stranger(message: CoapMessage) -> Refused:
    return Refused(
        reason=Reason.WRONG_TRANSACTION, detail=f"token {message.token.hex() or 'none'} answers nothing that was asked"
    )


def _answered(endpoint: str, request: Request, message: CoapMessage, *, notification: bool) -> Answered:
    readings: tuple[Reading, ...] = ()
    refused = None
    if message.code == "2.05" and request.operation is not Operation.DISCOVER:
        try:
            readings = readings_in(request.path, message)
        except ParseError as error:
            refused = Refused.of(error, message.payload)
    return Answered(
        endpoint=endpoint,
        request=request,
        code=message.code,
        readings=readings,
        payload=message.payload,
        notification=notification,
        refused=refused,
    )


def readings_in(path: Path, message: CoapMessage) -> tuple[Reading, ...]:
    """The values of a message about `path`. ParseError as `decode_payload`, and missing: it does not name its format."""
    if message.content_format is None:  # the sources name no default
        raise ParseError(Reason.MISSING, "a payload without its content format")
    return decode_payload(path, message.content_format, message.payload)
