"""What LwM2M devices are asked: to tell of their instances by themselves, and to carry out orders.

A device is sent one message at a time, and none while it sleeps: what is asked then waits until it speaks.
"""

import math
import secrets
from collections import deque
from collections.abc import Callable

import msgspec

from device_profiles.model import CommandSpec
from edge_agent.drivers.lwm2m.clients import Client, order_of, preferred, watching
from edge_agent.drivers.lwm2m.orders import Ending, Order
from edge_agent.drivers.lwm2m.sending import Patience, Sending
from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.messages import encode_coap
from firmware_bridge.lwm2m.operations import Answered, Operation, Request
from firmware_bridge.lwm2m.paths import format_path
from firmware_bridge.lwm2m.payloads import Format
from firmware_bridge.lwm2m.registrations import Registration
from firmware_bridge.lwm2m.requests import Requests
from telemetry.reason import Reason
from telemetry.records import Outcome

__all__ = ["Asking"]

_MOST_WAITING = 48
"""Requests in one device's line: those to watch its instances, and orders."""
_OVERDUE = 1.5
_MOST_ORDERS = 16
"""Orders that wait for one device that is not registered."""


class Asking:
    """The requests to all devices. `find` gives a device's registration while it can be reached, None otherwise; `refuse`
    counts what went wrong, by endpoint; `send` puts a datagram on its way. Times are monotonic seconds."""

    def __init__(
        self,
        find: Callable[[str], Registration | None],
        refuse: Callable[[str, Reason, str], None],
        send: Callable[[bytes, str], None],
        now_s: Callable[[], float],
        patience: Patience,
    ) -> None:
        self.requests = Requests(first_token=secrets.randbits(16), most_waiting=_MOST_WAITING, secret=secrets.token_bytes(16))
        self.timeouts = 0
        self._find = find
        self._refuse = refuse
        self._send = send
        self._now_s = now_s
        self._sending = Sending(patience, self._lost)
        self._silent: set[str] = set()
        self._orders: dict[int, Order] = {}
        self._held: dict[str, deque[Order]] = {}
        self._last_tag = 0

    def close(self) -> None:
        """Send nothing any more."""
        self._sending.close()

    def watch(self, client: Client, registration: Registration, *, doubtful: bool = False) -> None:
        """Ask the device to tell of its instances, where it does not do so yet, or not any more: it was to tell something
        every `notify_max_s`, and has not for half as long again. `doubtful` asks it for all of them."""
        longest_s = client.wire.notify_max_s * _OVERDUE or math.inf
        since_s = math.inf if doubtful else self._now_s() - longest_s
        observed = self.requests.observed(registration.endpoint, since_s)
        for request in watching(client, registration, observed):
            self.ask(registration, request)

    def ask(self, registration: Registration, request: Request) -> None:
        """Put a request of our own into the device's line."""
        refusal = self.requests.ask(registration, request)
        if refusal is not None:
            self._refuse(registration.endpoint, refusal.reason, refusal.detail)

    async def carry_out(self, client: Client, command: CommandSpec, value: float, good_s: float) -> Ending:
        """Order it as soon as the device listens; what came of it, `good_s` seconds from now at the latest."""

        def build(order: Order, form: int) -> Request:
            return order_of(command, value, until_s=order.until_s, tag=order.tag, content_format=form)

        return (await self.follow(client, build, good_s))[0]

    async def follow(
        self, client: Client, build: Callable[[Order, int], Request], good_s: float
    ) -> tuple[Ending, Answered | None]:
        """Ask what `build` makes as soon as the device listens; how that ended, and what the device said."""
        self._last_tag += 1
        order = Order(client, build, self._now_s() + good_s, self._last_tag)
        endpoint = client.device.address
        self._orders[order.tag] = order
        try:
            self._place(order)
            return await order.ending(), order.answer
        finally:
            del self._orders[order.tag]
            self.requests.withdraw(endpoint, order.tag)
            if order in self._held.get(endpoint, ()):
                self._held[endpoint].remove(order)

    def speaks(self, endpoint: str) -> None:
        """The device said something, so it listens: send what waits for it."""
        self._silent.discard(endpoint)
        for order in self._held.pop(endpoint, ()):
            self._place(order)
        self.pump(endpoint)

    def pump(self, endpoint: str) -> None:
        """Send the next request, if the device listens and one waits."""
        registration = self._find(endpoint)
        if registration is None or endpoint in self._silent:
            return
        message = self.requests.due(registration, self._now_s())
        if message is None:
            return
        asked = self.requests.under_way(endpoint)
        if asked is not None and asked.tag in self._orders:
            self._orders[asked.tag].sent = True
        data, peer = encode_coap(message), registration.peer
        self._sending.begin(endpoint, message.message_id, lambda: self._send(data, peer))

    def acknowledged(self, endpoint: str, message_id: int) -> None:
        """The device has the request, and will answer in its own time."""
        self._sending.acknowledged(endpoint, message_id)

    def answered(self, endpoint: str, found: Answered) -> None:
        """The device answered a request."""
        self._sending.end(endpoint)
        request, code = found.request, found.code
        order = self._orders.get(request.tag)
        if order is None:
            return
        order.answer = found
        if code == "4.15" and request.operation is Operation.REPLACE and order.other_format is None:
            order.other_format = Format.TEXT
            self._place(order)
        else:
            path = format_path(request.path)
            order.settle(None if code.startswith("2.") else Reason.DEVICE_EXCEPTION, f"{path}: {code}")

    def otherwise(self, endpoint: str, request: Request) -> bool:
        """Ask for the same in the device's own choice of format; False where that was done."""
        registration = self._find(endpoint)
        if registration is None or request.format is None:
            return False
        self.ask(registration, msgspec.structs.replace(request, format=None))
        return True

    def reset(self, endpoint: str, request: Request, detail: str) -> None:
        """The device did not understand what it was asked."""
        self._sending.end(endpoint)
        self._settle(request, Reason.DEVICE_EXCEPTION, detail)

    def anew(self, client: Client, registration: Registration) -> None:
        """A device that registers knows of nothing that was before: orders wait on, and its instances are watched again."""
        for order in self._interrupted(registration.endpoint):
            self._place(order)
        self.watch(client, registration)
        self.speaks(registration.endpoint)

    def gone(self, endpoint: str) -> None:
        """The device left, or its lifetime is over; its orders wait until it comes back."""
        self._silent.discard(endpoint)
        for order in self._interrupted(endpoint):
            self._place(order)

    def tick(self) -> None:
        """Give up what is not worth asking any more; call it about once a second."""
        now_s = self._now_s()
        for endpoint, request in self.requests.expire(now_s):
            if self.requests.under_way(endpoint) is None:
                self._sending.end(endpoint)
            self._settle(request, Reason.TIMEOUT, f"{format_path(request.path)}: no answer in time")
            self.pump(endpoint)
        for order in [order for held in self._held.values() for order in held if order.until_s <= now_s]:
            order.settle(Reason.EXPIRED, "")

    def _place(self, order: Order) -> None:
        endpoint = order.client.device.address
        registration = self._find(endpoint)
        if registration is None:
            held = self._held.setdefault(endpoint, deque())
            if len(held) >= _MOST_ORDERS:
                order.end(Ending(Outcome.REFUSED, Reason.QUEUE_FULL, f"{_MOST_ORDERS} orders wait for it to register"))
            else:
                held.append(order)
            return
        liked = order.other_format if order.other_format is not None else preferred(registration)
        form = int(Format.TLV if liked is None else liked)
        try:
            request = order.build(order, form)
        except ParseError as error:
            order.end(Ending(Outcome.REFUSED, error.reason, error.detail))
            return
        refusal = self.requests.ask(registration, request)
        if refusal is not None:
            order.end(Ending(Outcome.REFUSED, refusal.reason, refusal.detail))
        self.pump(endpoint)

    def _lost(self, endpoint: str, message_id: int) -> None:
        """Nothing came back: the device sleeps, or is gone. It is asked nothing more before it speaks."""
        request = self.requests.give_up(endpoint, message_id)
        if request is None:
            return
        self.timeouts += 1
        self._silent.add(endpoint)
        self._settle(request, Reason.TIMEOUT, f"{format_path(request.path)}: no answer")
        registration = self._find(endpoint)
        if not request.tag and registration is not None:
            self.ask(registration, request)

    def _settle(self, request: Request, reason: Reason, detail: str) -> None:
        """The end of an order; requests of our own have none."""
        if request.tag in self._orders:
            self._orders[request.tag].settle(reason, detail)

    def _interrupted(self, endpoint: str) -> list[Order]:
        """End the dialogue; the orders that were not sent."""
        self._sending.end(endpoint)
        asked = self.requests.under_way(endpoint)
        if asked is not None:
            self._settle(asked, Reason.INTERRUPTED, "the device began anew before it answered")
        tags = [request.tag for request in self.requests.forget(endpoint) if request is not asked]
        held = self._held.pop(endpoint, deque())
        return [*(self._orders[tag] for tag in tags if tag in self._orders), *held]
