"""The dialogue with the LwM2M clients of one listener: datagrams in, readings on, datagrams out.

The message layer is spoken here and not by the CoAP library of the other driver: that acknowledges a notification before
anybody has looked at it, and here it is acknowledged once its values are committed.
"""

import secrets
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from device_profiles.model import CommandSpec
from edge_agent.drivers.base import Deliveries, Tally
from edge_agent.drivers.lwm2m.asking import Asking
from edge_agent.drivers.lwm2m.clients import Client
from edge_agent.drivers.lwm2m.intake import Intake
from edge_agent.drivers.lwm2m.orders import Ending, Order
from edge_agent.drivers.lwm2m.sending import Patience
from firmware_bridge.coap import CoapMessage, parse_coap
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.lwm2m.blocks import Assembly
from firmware_bridge.lwm2m.messages import URI_PATH, acknowledge, answer, encode_coap, option_texts, reset, unknown_option
from firmware_bridge.lwm2m.operations import Answered, Request
from firmware_bridge.lwm2m.paths import format_path
from firmware_bridge.lwm2m.registrations import Change, Event, Registration, Registrations
from firmware_bridge.lwm2m.repeats import Repeats
from firmware_bridge.lwm2m.requests import readings_in
from telemetry.clock import SECOND_NS, Clock
from telemetry.reason import Reason

__all__ = ["Lwm2mServer"]

_MOST_REPEATS = 4096


class Lwm2mServer:
    """Who is there, what they say, and what is asked of them. `send` puts a datagram on its way to `host:port`."""

    def __init__(  # noqa: PLR0917 (wired once, in the driver)
        self,
        clients: Mapping[str, Client],
        deliveries: Deliveries,
        intake: Intake,
        tally: Tally,
        clock: Clock,
        send: Callable[[bytes, str], None],
        patience: Patience,
    ) -> None:
        self._clients = clients
        self._deliveries = deliveries
        self._intake = intake
        self._tally = tally
        self._clock = clock
        self._send = send
        self._registrations = Registrations(
            most=len(clients), most_repeats=_MOST_REPEATS, known=clients.__contains__, secret=secrets.token_bytes(16)
        )
        self._asking = Asking(self._reachable, self._refuse_device, send, self._now_s, patience)
        self._repeats = Repeats(_MOST_REPEATS)
        self._assembly = Assembly()
        self._at: dict[str, str] = {}  # endpoint by the address where it last registered or updated from
        self._peers: dict[str, str] = {}  # and the other way round

    def close(self) -> None:
        """Send nothing any more."""
        self._asking.close()

    async def carry_out(self, client: Client, command: CommandSpec, value: float, good_s: float) -> Ending:
        """Order it as soon as the device listens; what came of it, `good_s` seconds from now at the latest."""
        return await self._asking.carry_out(client, command, value, good_s)

    async def follow(
        self, client: Client, build: Callable[[Order, int], Request], good_s: float
    ) -> tuple[Ending, Answered | None]:
        """Ask what `build` makes as soon as the device listens; how that ended, and what the device said."""
        return await self._asking.follow(client, build, good_s)

    def tick(self) -> None:
        """Forget whose lifetime is over, and what is not worth asking any more; call it about once a second."""
        for gone in self._registrations.expire(self._now_s()):
            self._refuse_device(gone.endpoint, Reason.EXPIRED, f"its lifetime of {gone.lifetime_s} s is over")
            self._leave(gone)
        self._asking.tick()
        self._tally.timeouts = self._asking.timeouts

    def take(self, data: bytes, peer: str) -> None:
        """A datagram of `peer`, written `host:port`."""
        try:
            message = parse_coap(data)
            path = option_texts(message, URI_PATH)
        except ParseError as error:
            self._refuse(peer, error.reason, f"no CoAP message: {error}", data)
            return
        if message.code == "0.00" or not message.code.startswith("0."):
            self._told(message, peer)
        elif message.type not in {"CON", "NON"}:
            self._refuse(peer, Reason.BAD_FIELD, f"a request {message.code} of type {message.type}")
        elif (option := unknown_option(message)) is not None:
            self._refuse(peer, Reason.UNKNOWN_MESSAGE, f"{message.code} with the option {option}, which is not known here")
            self._send(encode_coap(answer(message, "4.02")), peer)
        else:
            self._asked(message, path, peer)

    def _asked(self, message: CoapMessage, path: list[str], peer: str) -> None:
        try:
            whole, part = self._assembly.take(message, peer, self._now_s())
        except ParseError as error:
            self._refuse(peer, error.reason, error.detail)
            return
        if part is not None:
            if part.code.startswith("4."):
                self._refuse(peer, Reason.REASSEMBLY_LIMIT, f"a request in blocks: {part.code}")
            self._send(encode_coap(part), peer)
        elif whole is not None and (whole.code, path) == ("0.02", ["dp"]):
            self._sent(whole, peer)
        elif whole is not None:
            self._registering(self._registrations.handle(whole, peer, self._now_s()), peer)

    # Registration, update, leave.

    def _registering(self, event: Event, peer: str) -> None:
        self._send(encode_coap(event.answer), peer)
        if event.reason is not None:
            self._refuse(peer, event.reason, f"{event.answer.code}: {event.detail}")
        who = event.registration
        if who is None:
            self._once_more(event, peer)
            return
        if event.change is Change.LEFT:
            self._leave(who)
            return
        self._move(who)
        client = self._clients[who.endpoint]
        self._tally.absent.discard(client.device.id)
        if event.change is Change.REGISTERED:
            self._tally.connections += 1
            for path in client.missing(who):
                self._refuse_device(who.endpoint, Reason.MISSING, f"it registers no {format_path(path)}")
            self._asking.anew(client, who)
        else:
            self._asking.watch(client, who)
            self._asking.speaks(who.endpoint)

    def _once_more(self, event: Event, peer: str) -> None:
        """A registration that comes again was not answered in time; or it is that of a device which was switched off meanwhile
        and counts its messages from the same number again. Then it knows of no observation."""
        registration = self._reachable(self._at.get(peer, ""))
        if event.change is Change.REPEATED and event.answer.code == "2.01" and registration is not None:
            self._asking.watch(self._clients[registration.endpoint], registration, doubtful=True)
            self._asking.speaks(registration.endpoint)

    def _move(self, registration: Registration) -> None:
        self._at.pop(self._peers.pop(registration.endpoint, ""), None)
        other = self._at.get(registration.peer)
        if other is not None:  # a network gives an address to the next device as soon as it is free
            del self._peers[other]
        self._at[registration.peer] = registration.endpoint
        self._peers[registration.endpoint] = registration.peer

    def _leave(self, registration: Registration) -> None:
        self._at.pop(self._peers.pop(registration.endpoint, ""), None)
        self._tally.absent.add(self._clients[registration.endpoint].device.id)
        self._asking.gone(registration.endpoint)

    def _reachable(self, endpoint: str) -> Registration | None:
        registration = self._registrations.get(endpoint)
        return registration if registration is not None and self._peers.get(endpoint) == registration.peer else None

    # Values that nobody asked for: Send of LwM2M 1.1 (Core, clause 6.4.7).

    def _sent(self, message: CoapMessage, peer: str) -> None:
        known = self._repeats.find(peer, message, self._now_s())
        if known is not None:
            if known.answer is not None:
                self._send(encode_coap(known.answer), peer)
            return
        endpoint = self._at.get(peer)
        if endpoint is None:
            self._refuse(peer, Reason.UNKNOWN_DEVICE, "a Send from an address where nobody is registered")
            self._send(encode_coap(answer(message, "4.03")), peer)
            return
        self._registrations.heard(endpoint, self._now_s())
        if self._intake.full:
            self._tally.overflows += 1
            self._send(encode_coap(answer(message, "5.03")), peer)
            return
        taken = self._repeats.note(peer, message, self._now_s())

        def reply(code: str) -> None:
            taken.answer = answer(message, code)
            self._send(encode_coap(taken.answer), peer)

        self._take_send(endpoint, message, reply, peer)
        self._asking.speaks(endpoint)

    def _take_send(self, endpoint: str, message: CoapMessage, reply: Callable[[str], None], peer: str) -> None:
        try:
            readings = readings_in((), message)
        except ParseError as error:
            self._refuse(self._clients[endpoint].device.id, error.reason, f"Send: {error}", message.payload)
            reply("4.00")
            return
        # Resources that the profile does not read are none of the device's mistakes; values that cannot be used are.
        client = self._clients[endpoint]
        then: Callable[[bool], None] = lambda useful: reply("2.04" if useful else "4.00")  # noqa: E731 - named for its type
        self._intake.take(client, readings, then, awaited=True, said=message, peer=peer)

    # Answers and notifications.

    def _told(self, message: CoapMessage, peer: str) -> None:
        endpoint = self._at.get(peer) or self._requests_owner(message)
        if endpoint is None:
            # No reset: a device that registered before this agent was started would end its observations, and be silent
            # until its next update. Without an answer it registers anew.
            self._refuse(peer, Reason.UNKNOWN_DEVICE, f"{message.type} {message.code} from where nobody is registered")
            return
        known = self._repeats.find(peer, message, self._now_s()) if message.type == "CON" else None
        if known is not None:
            if known.answer is not None:
                self._send(encode_coap(known.answer), peer)
            return
        if message.code != "0.00" and self._intake.full:
            self._tally.overflows += 1  # not acknowledged, so it comes again
            return
        asked = self._asking.requests.under_way(endpoint)
        found = self._asking.requests.received(endpoint, message, self._now_s())
        self._registrations.heard(endpoint, self._now_s())
        if found is None:
            self._asking.acknowledged(endpoint, message.message_id)
            if message.type == "CON":  # a part of an answer
                self._send(encode_coap(acknowledge(message)), peer)
        elif isinstance(found, Refused):
            self._disbelieved(endpoint, asked, found, message, peer)
        else:
            self._answered(endpoint, found, message, peer)
        self._asking.speaks(endpoint)

    def _requests_owner(self, message: CoapMessage) -> str | None:
        """Whose observation it is that tells something from another address: nobody else knows its token."""
        return self._asking.requests.owner(message.token) if message.token else None

    def _disbelieved(self, endpoint: str, asked: Request | None, found: Refused, message: CoapMessage, peer: str) -> None:
        self._refuse_device(endpoint, found.reason, found.detail)
        if asked is not None and self._asking.requests.under_way(endpoint) is not asked:
            self._asking.reset(endpoint, asked, found.detail)
        if message.type == "CON":
            old = found.reason is Reason.LATE
            self._send(encode_coap(acknowledge(message) if old else reset(message)), peer)

    def _answered(self, endpoint: str, found: Answered, message: CoapMessage, peer: str) -> None:
        taken = self._repeats.note(peer, message, self._now_s()) if message.type == "CON" else None

        def done(_useful: bool = True) -> None:  # noqa: FBT001, FBT002 (called back)
            if taken is not None:
                taken.answer = acknowledge(message)
                self._send(encode_coap(taken.answer), peer)

        if not found.notification:
            self._asking.answered(endpoint, found)
        if found.code == "2.05" and found.refused is None:
            client, awaited = self._clients[endpoint], taken is not None
            whole = replace(message, payload=found.payload)  # of a payload in blocks the message has the last one only
            self._intake.take(client, found.readings, done, awaited=awaited, said=whole, peer=peer)
        else:
            self._unreadable(endpoint, found)
            done()

    def _unreadable(self, endpoint: str, found: Answered) -> None:
        """An answer without values: counted, unless nothing else was to be expected, or asking otherwise may help."""
        request, refused = found.request, found.refused
        what = f"{request.operation.name.lower()} {format_path(request.path)}"
        if refused is not None:
            self._deliveries.refuse(self._clients[endpoint].device.id, refused.reason, f"{what}: {refused.detail}", refused.raw)
        elif found.code.startswith("2.") or request.tag:
            return
        elif found.code != "4.06" or not self._asking.otherwise(endpoint, request):
            self._refuse_device(endpoint, Reason.DEVICE_EXCEPTION, f"{what}: {found.code}")

    def _refuse_device(self, endpoint: str, reason: Reason, detail: str) -> None:
        self._deliveries.refuse(self._clients[endpoint].device.id, reason, detail)

    def _refuse(self, peer: str, reason: Reason, detail: str, raw: bytes = b"") -> None:
        endpoint = self._at.get(peer)
        self._deliveries.refuse(peer if endpoint is None else self._clients[endpoint].device.id, reason, detail, raw)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / SECOND_NS
