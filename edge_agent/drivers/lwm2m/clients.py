"""The LwM2M clients of one link: who they are, what they are to tell of by themselves, and what is asked of them."""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from device_profiles.model import CommandSpec, Profile
from device_profiles.wires.lwm2m import Lwm2mWire
from device_profiles.wires.lwm2m_orders import ResourceValue
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import SetupError, profile_of
from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.operations import Operation, Request
from firmware_bridge.lwm2m.paths import Path, parse_path
from firmware_bridge.lwm2m.payloads import Format, encode_payload
from firmware_bridge.lwm2m.registrations import Registration
from firmware_bridge.lwm2m.registry import type_at

__all__ = ["Client", "clients_of", "order_of", "preferred", "watching"]

_AS_WRITTEN: Mapping[ResourceValue, Callable[[float], bool | int | float]] = {
    ResourceValue.BOOLEAN: lambda value: value == 1,
    ResourceValue.INTEGER: int,
    ResourceValue.FLOAT: float,
}
_LIKED = (Format.SENML_CBOR, Format.TLV, Format.OLD_TLV, Format.SENML_JSON, Format.JSON)
"""Formats that hold an instance, the shortest first."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One device. `instances` are the object instances that its profile reads."""

    device: DeviceConfig
    profile: Profile
    wire: Lwm2mWire
    instances: tuple[Path, ...]

    def missing(self, registration: Registration) -> list[Path]:
        """The instances that the device does not have, by its own word."""
        held = registration.objects.paths
        return [path for path in self.instances if path not in held and path[:1] not in held]


def clients_of(link: LinkConfig, catalog: Mapping[str, Profile]) -> dict[str, Client]:
    """The link's devices by endpoint name; SetupError where a profile does not fit."""
    return {device.address: _client(link, device, profile_of(link, device, catalog)) for device in link.devices}


def _client(link: LinkConfig, device: DeviceConfig, profile: Profile) -> Client:
    where = f"link {link.name}, device {device.id}: profile {profile.name}"
    wire = profile.wire.lwm2m
    if wire is None:
        raise SetupError(f"{where} does not speak LwM2M")
    for command in profile.commands.values():
        if flaw := _flaw(command):
            raise SetupError(f"{where}, command {command.name}: {flaw}")
    try:
        instances = dict.fromkeys(parse_path(field.item)[:2] for field in wire.items)
    except ParseError as error:
        raise SetupError(f"{where}: {error}") from error
    return Client(device=device, profile=profile, wire=wire, instances=tuple(instances))


def _flaw(command: CommandSpec) -> str:
    """Why the registry does not allow an order, empty where it does."""
    if command.resource is None:
        return ""
    letter = {ResourceValue.NONE: "E", ResourceValue.READ: "R"}.get(command.resource.type, "W")
    try:
        path = parse_path(command.resource.path)
    except ParseError as error:
        return str(error)
    row = type_at(path)
    if row is None and letter != "W":
        return ""  # an instance, or a maker's own resource
    if row is None:
        return f"{command.resource.path} is in no table, so there is no form to write it in"
    return "" if letter in row.operations else f"{command.resource.path} {row.name} allows {row.operations}, not {letter}"


def preferred(registration: Registration) -> int | None:
    """The content format for a whole instance: one that the device names, TLV for 1.0, else the device's own choice."""
    named = next((int(each) for each in _LIKED if each in registration.objects.formats), None)
    return int(Format.TLV) if named is None and registration.version == "1.0" else named


def watching(client: Client, registration: Registration, observed: frozenset[Path]) -> Iterator[Request]:
    """What makes the device tell of its instances by itself, those left out that it does so already."""
    until_s = registration.expires_s
    times = (("pmin", client.wire.notify_min_s), ("pmax", client.wire.notify_max_s))
    query = tuple(f"{name}={seconds}" for name, seconds in times if seconds)
    missing = client.missing(registration)
    for path in client.instances:
        if path in observed or path in missing:
            continue
        if query:
            yield Request(operation=Operation.ATTRIBUTES, path=path, until_s=until_s, query=query)
        yield Request(operation=Operation.OBSERVE, path=path, until_s=until_s, format=preferred(registration))


def order_of(command: CommandSpec, value: float, *, until_s: float, tag: int, content_format: int) -> Request:
    """The request that carries out a command. ParseError where the registry's type does not take the value."""
    order = command.resource
    assert order is not None  # noqa: S101 (the caller looked)
    path = parse_path(order.path)
    if order.type is ResourceValue.NONE:
        return Request(operation=Operation.EXECUTE, path=path, until_s=until_s, tag=tag)
    if order.type is ResourceValue.READ:
        return Request(operation=Operation.READ, path=path, until_s=until_s, tag=tag)
    said = _AS_WRITTEN[order.type](value)
    return Request(
        operation=Operation.REPLACE,
        path=path,
        until_s=until_s,
        tag=tag,
        format=content_format,
        payload=encode_payload(path, content_format, {path: said}),
    )
