"""Which topic is whose: the devices of a link by what they publish, and a payload as the readings of its devices."""

from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.model import Profile
from device_profiles.wires.mqtt import ADDRESS, Form, MqttTopic, MqttWire, Presence, Several
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import SetupError, profile_of
from firmware_bridge.errors import Refused
from firmware_bridge.publications import decode_publication, elements, parse_publication
from firmware_bridge.sparkplug.topics import subscriptions
from firmware_bridge.values import Decoded
from telemetry.reason import Reason

__all__ = ["Publisher", "Route", "Routes", "publisher_of", "read_route", "subscription"]


class Publisher(msgspec.Struct, frozen=True, kw_only=True):
    """One device and what it publishes."""

    device: DeviceConfig
    profile: Profile
    wire: MqttWire

    @property
    def node(self) -> str:
        """GROUP/NODE of a Sparkplug device."""
        return "/".join(self.device.address.split("/")[:2])


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One topic in one form; `parts` says by address whose it is, one device or several that share it."""

    form: Form
    each: Several | None
    parts: dict[str, tuple[Publisher, MqttTopic]]

    @property
    def source(self) -> str:
        """Whom to blame for a payload that cannot be read: its only device, or nobody."""
        return next(iter(self.parts.values()))[0].device.id if len(self.parts) == 1 else ""


class Routes:
    """Every topic of a link's devices. Where the address is a whole level of a topic the subscription takes every address, so
    that a device nobody listed is counted rather than unheard."""

    def __init__(self, publishers: list[Publisher]) -> None:
        self.publishers = publishers
        self.readings: dict[str, list[Route]] = {}
        self.presence: dict[str, list[tuple[Publisher, Presence]]] = {}
        self.answers: set[str] = set()
        self.subscriptions: set[str] = set()
        for publisher in publishers:
            self._add(publisher)

    def _add(self, publisher: Publisher) -> None:
        address = publisher.device.address
        for topic in publisher.wire.topics:
            self._route(_at(topic.topic, address), publisher, topic)
            self.subscriptions.add(subscription(topic.topic, address))
        for presence in publisher.wire.presence:
            self.presence.setdefault(_at(presence.topic, address), []).append((publisher, presence))
            self.subscriptions.add(subscription(presence.topic, address))
        if publisher.wire.sparkplug:
            self.subscriptions.update(subscriptions(publisher.node))
        for spec in publisher.profile.commands.values():
            if spec.publish is not None and spec.publish.answer is not None:
                self.answers.add(_at(spec.publish.answer.topic, address))

    def _route(self, name: str, publisher: Publisher, topic: MqttTopic) -> None:
        routes = self.readings.setdefault(name, [])
        part = (publisher, topic)
        for route in routes:
            if (route.form, route.each) == (topic.form, topic.each):
                route.parts[publisher.device.address] = part
                return
        routes.append(Route(form=topic.form, each=topic.each, parts={publisher.device.address: part}))


def _at(topic: str, address: str) -> str:
    return topic.replace(ADDRESS, address)


def subscription(topic: str, address: str) -> str:
    """The filter for a topic: any address where the address is one level."""
    if "/" in address:
        return _at(topic, address)
    return "/".join("+" if level == ADDRESS else level for level in topic.split("/"))


def read_route(route: Route, payload: bytes, received_ns: int | None) -> Iterator[tuple[Publisher, Decoded] | Refused]:
    """The readings in a payload, and what of it is nobody's. `received_ns` is None for a payload that is not of now.

    ParseError where the payload as a whole cannot be read.
    """
    parsed = parse_publication(route.form, payload)
    if route.each is None:
        told = False
        for publisher, topic in route.parts.values():
            for decoded in decode_publication(publisher.profile, topic, parsed, publisher.device.address, received_ns):
                told = True
                yield publisher, decoded
        if not told:
            yield Refused(reason=Reason.UNKNOWN_DEVICE, detail="nothing in it is of a device of this link")
        return
    for address, element in elements(parsed, route.each):
        part = route.parts.get(address or "")
        if part is None:
            yield Refused(reason=Reason.UNKNOWN_DEVICE, detail=f"{address!r} is nobody's")
            continue
        for decoded in decode_publication(part[0].profile, part[1], element, address or "", received_ns):
            yield part[0], decoded


def publisher_of(link: LinkConfig, device: DeviceConfig, catalog: Mapping[str, Profile]) -> Publisher:
    """The device with its profile; SetupError where it cannot publish on this link."""
    profile = profile_of(link, device, catalog)
    where = f"link {link.name}, device {device.id}"
    if profile.wire.mqtt is None:
        raise SetupError(f"{where}: profile {profile.name} does not publish on MQTT")
    if not device.address or any(sign in device.address for sign in "+#\0"):
        raise SetupError(f"{where}: address {device.address!r}, want a part of a topic without + and #")
    if profile.wire.mqtt.sparkplug and device.address.count("/") not in (1, 2):
        raise SetupError(f"{where}: address {device.address!r}, want GROUP/NODE or GROUP/NODE/DEVICE of Sparkplug")
    return Publisher(device=device, profile=profile, wire=profile.wire.mqtt)
