"""Who is there: registration, update, de-registration and expiry (LwM2M 1.0, clause 5.3; 1.1 Core, clause 6.2).

Time is an argument, in seconds of any steady clock.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from enum import StrEnum

import msgspec

from firmware_bridge.coap import CoapMessage
from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.links import Objects, parse_objects
from firmware_bridge.lwm2m.messages import LOCATION_PATH, URI_PATH, URI_QUERY, answer, option_texts, text_option
from firmware_bridge.lwm2m.repeats import Repeats
from telemetry.reason import Reason

__all__ = ["AWAKE_S", "Change", "Event", "Registration", "Registrations"]

AWAKE_S = 93.0
"""How long a device in queue mode listens after it spoke: MAX_TRANSMIT_WAIT (RFC 7252, clause 4.8.2)."""

_DEFAULT_LIFETIME_S = 86_400  # 1.0, table 5.3.1
_VERSIONS = frozenset({"1.0", "1.1"})
_MAX_ENDPOINT = 128
_MAX_LIFETIME_S = 2**31 - 1


class Change(StrEnum):
    """What a message did to the table."""

    REGISTERED = "registered"
    UPDATED = "updated"
    LEFT = "left"
    REPEATED = "repeated"
    REFUSED = "refused"


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """One device: `peer` is where it last registered or updated from, at `updated_s`; at `heard_s` it last spoke at all."""

    endpoint: str
    location: str
    peer: str
    version: str
    lifetime_s: int
    binding: str
    queue_mode: bool
    objects: Objects
    updated_s: float
    heard_s: float

    @property
    def expires_s(self) -> float:
        """When it is forgotten, unless it updates before."""
        return self.updated_s + self.lifetime_s

    def awake(self, now_s: float) -> bool:
        """Whether it listens: always, but in queue mode only for a while after it spoke."""
        return not self.queue_mode or now_s - self.heard_s < AWAKE_S


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a message: the `answer` to send, what changed, and for whom; `reason` and `detail` where it was refused."""

    answer: CoapMessage
    change: Change
    registration: Registration | None = None
    reason: Reason | None = None
    detail: str = ""


class _Refusal(Exception):  # noqa: N818 (it never leaves this module)
    def __init__(self, code: str, reason: Reason, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason
        self.detail = detail


class Registrations:
    """A bounded table of devices. A full one refuses newcomers with 5.03; `refused` counts every refusal by its reason.

    `known` says who may register; others get 4.03. A location is told to the device alone, and whoever names it is taken for
    the device: with a `secret` of its own each time the server starts, nobody can guess one, and none of an earlier run is
    another device's now.
    """

    def __init__(
        self,
        *,
        most: int = 10_000,
        most_repeats: int = 1024,
        known: Callable[[str], bool] | None = None,
        secret: bytes = b"",
    ) -> None:
        self.refused: Counter[Reason] = Counter()
        self._most = most
        self._known = known
        self._secret = secret
        self._by_endpoint: dict[str, Registration] = {}
        self._endpoints: dict[str, str] = {}
        self._answered = Repeats(most_repeats)
        self._next_location = 1

    def __len__(self) -> int:
        return len(self._by_endpoint)

    def get(self, endpoint: str) -> Registration | None:
        """The device's registration, None where it has none."""
        return self._by_endpoint.get(endpoint)

    def heard(self, endpoint: str, now_s: float) -> None:
        """The device said something else, an answer or a notification: in queue mode it listens for a while."""
        if found := self._by_endpoint.get(endpoint):
            self._by_endpoint[endpoint] = msgspec.structs.replace(found, heard_s=now_s)

    def expire(self, now_s: float) -> list[Registration]:
        """The registrations that have run out; they are forgotten."""
        over = [each for each in self._by_endpoint.values() if each.expires_s <= now_s]
        for each in over:
            self._forget(each)
        return over

    def handle(self, message: CoapMessage, peer: str, now_s: float) -> Event:
        """Take a request to /rd. A message that comes again within 247 s gets the same answer, and changes nothing."""
        before = self._answered.find(peer, message, now_s)
        if before is not None and before.answer is not None:
            return Event(answer=before.answer, change=Change.REPEATED)
        event = self._handled(message, peer, now_s)
        self._answered.note(peer, message, now_s).answer = event.answer
        return event

    def _handled(self, message: CoapMessage, peer: str, now_s: float) -> Event:
        try:
            return self._changed(message, peer, now_s)
        except _Refusal as refusal:
            code, reason, detail = refusal.code, refusal.reason, refusal.detail
        except ParseError as error:
            code, reason, detail = "4.00", error.reason, error.detail
        self.refused[reason] += 1
        return Event(answer=answer(message, code), change=Change.REFUSED, reason=reason, detail=detail)

    def _changed(self, message: CoapMessage, peer: str, now_s: float) -> Event:
        match message.code, option_texts(message, URI_PATH):
            case "0.02", ["rd"]:
                return self._register(message, peer, now_s)
            case "0.02" | "0.03", ["rd", location]:  # drafts of 1.0 updated by PUT
                return self._update(message, self._at(location, now_s), peer, now_s)
            case "0.04", ["rd", location]:
                leaving = self._at(location, now_s)
                self._forget(leaving)
                return Event(answer=answer(message, "2.02"), change=Change.LEFT, registration=leaving)
            case _, ["rd", *_]:
                raise _Refusal("4.05", Reason.UNKNOWN_MESSAGE, f"{message.code} of a registration")
            case _:
                raise _Refusal("4.04", Reason.UNKNOWN_MESSAGE, f"{message.code} of a path that is none of LwM2M's")

    def _register(self, message: CoapMessage, peer: str, now_s: float) -> Event:
        query = _query(message)
        endpoint = query.get("ep", "")
        if not endpoint or len(endpoint) > _MAX_ENDPOINT or not endpoint.isprintable():
            raise _Refusal("4.00", Reason.BAD_FIELD, f"an endpoint name {endpoint[:40]!r}")
        if query.get("lwm2m") not in _VERSIONS:
            raise _Refusal("4.12", Reason.UNSUPPORTED_VERSION, f"{endpoint}: LwM2M {query.get('lwm2m', 'of no version')[:20]}")
        if self._known is not None and not self._known(endpoint):
            raise _Refusal("4.03", Reason.UNKNOWN_DEVICE, f"nobody here is called {endpoint!r}")
        if endpoint not in self._by_endpoint and len(self) >= self._most:
            raise _Refusal("5.03", Reason.QUEUE_FULL, f"{endpoint}: {len(self)} devices are registered")
        binding = query.get("b", "U")
        new = Registration(
            endpoint=endpoint,
            location=self._location(),
            peer=peer,
            version=query["lwm2m"],
            lifetime_s=_lifetime(query, _DEFAULT_LIFETIME_S),
            binding=_binding(binding),
            queue_mode="Q" in binding or "Q" in query,
            objects=parse_objects(message.payload),
            updated_s=now_s,
            heard_s=now_s,
        )
        if old := self._by_endpoint.get(endpoint):  # the same name again: the old one is over
            self._forget(old)
        self._keep(new)
        options = (text_option(LOCATION_PATH, "rd"), text_option(LOCATION_PATH, new.location))
        return Event(answer=answer(message, "2.01", options), change=Change.REGISTERED, registration=new)

    def _location(self) -> str:
        number = self._next_location.to_bytes(8, "big")
        self._next_location += 1
        return hashlib.blake2b(number, key=self._secret, digest_size=6).hexdigest()

    def _update(self, message: CoapMessage, old: Registration, peer: str, now_s: float) -> Event:
        query = _query(message)
        binding = query.get("b")
        new = msgspec.structs.replace(
            old,
            peer=peer,
            lifetime_s=_lifetime(query, old.lifetime_s),
            binding=old.binding if binding is None else _binding(binding),
            # In 1.1 the mode is told at registration alone; in 1.0 it is a letter of the binding.
            queue_mode=old.queue_mode if binding is None or old.version != "1.0" else "Q" in binding,
            objects=parse_objects(message.payload) if message.payload else old.objects,
            updated_s=now_s,
            heard_s=now_s,
        )
        self._keep(new)
        return Event(answer=answer(message, "2.04"), change=Change.UPDATED, registration=new)

    def _at(self, location: str, now_s: float) -> Registration:
        endpoint = self._endpoints.get(location)
        if endpoint is None:
            raise _Refusal("4.04", Reason.UNKNOWN_DEVICE, "a location that no device has: it has to register")
        found = self._by_endpoint[endpoint]
        if found.expires_s <= now_s:  # `expire` has yet to say so; the device has to register again
            raise _Refusal("4.04", Reason.EXPIRED, f"{endpoint}: its lifetime of {found.lifetime_s} s is over")
        return found

    def _keep(self, registration: Registration) -> None:
        self._by_endpoint[registration.endpoint] = registration
        self._endpoints[registration.location] = registration.endpoint

    def _forget(self, registration: Registration) -> None:
        del self._by_endpoint[registration.endpoint]
        del self._endpoints[registration.location]


def _query(message: CoapMessage) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in option_texts(message, URI_QUERY):
        name, _, value = text.partition("=")
        if name in found:
            raise ParseError(Reason.BAD_FIELD, f"{name[:20]!r} stands in the query twice")
        found[name] = value
    return found


def _lifetime(query: dict[str, str], default: int) -> int:
    text = query.get("lt")
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and 0 < int(text) <= _MAX_LIFETIME_S):
        raise ParseError(Reason.BAD_FIELD, f"a lifetime of {text[:20]!r}")
    return int(text)


def _binding(text: str) -> str:
    """The letters of 1.0 (U, S, Q) and 1.1 (U, T, S, N)."""
    if not text or not set(text) <= set("UTSNQ") or len(set(text)) != len(text):
        raise ParseError(Reason.BAD_FIELD, f"a binding of {text[:20]!r}")
    return text
