"""Where a city and an agent find each other, and the agent's side of it as TOML."""

import json
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from simulators.listener import Address, parse_address
from simulators.scenario import DeviceSpec, LinkSpec
from simulators.ways import WAYS, Driver

__all__ = ["Endpoints", "link_table", "links_toml"]


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Where the agent listens, by link name, and the broker that devices publish to. A listener that is not named
    is written into the agent's config as port 0, and called at its usual port."""

    listeners: Mapping[str, Address] = {}
    broker: str = "mqtt://127.0.0.1:1883"

    def listener(self, link: str, driver: Driver) -> Address:
        """Where to call the agent's listener of that link."""
        return self.listeners.get(link) or ("127.0.0.1", WAYS[driver].port or 0)


def link_table(
    link: LinkSpec, devices: Iterable[DeviceSpec], places: Mapping[str, str], endpoints: Endpoints
) -> dict[str, object]:
    """One link of an agent's config: name, driver, the driver's own options, and its devices."""
    return {
        "name": link.name,
        "driver": str(link.driver),
        **_options(link, places, endpoints),
        "devices": [_device_table(device) for device in devices if device.link == link.name],
    }


def _options(link: LinkSpec, places: Mapping[str, str], endpoints: Endpoints) -> dict[str, object]:
    match link.driver:
        case Driver.MQTT:
            return {"broker": endpoints.broker}
        case Driver.MODBUS_TCP | Driver.MODBUS_RTU_TCP:
            host, port = parse_address(places[link.name])
            return {"host": host, "port": port}
        case _ if WAYS[link.driver].port is not None:
            host, port = endpoints.listeners.get(link.name, ("127.0.0.1", 0))
            return {"host": host, "port": port, **(_pushing(link) if link.driver is Driver.CARRIER else {})}
        case _:
            # A pty has no parity, and is not opened with one.
            return {"port": places[link.name], "parity": "N"}


def _pushing(link: LinkSpec) -> dict[str, object]:
    """A carrier's link: the platform that is simulated, and the file that is to hold its token."""
    return {"platform": "onenet", "secret_file": f"{link.name}.token"}


def _device_table(device: DeviceSpec) -> dict[str, object]:
    table: dict[str, object] = {"id": device.id, "profile": device.profile, "address": device.address}
    if device.name:
        table["name"] = device.name
    table["position"] = [device.longitude, device.latitude]
    if device.component_code:
        table["component_code"] = device.component_code
    return table


def links_toml(links: Sequence[Mapping[str, object]]) -> str:
    """The tables as TOML text: `[[links]]` with `[[links.devices]]` below each."""
    blocks = []
    for link in links:
        blocks.append(_block("links", {key: value for key, value in link.items() if key != "devices"}))
        devices = link["devices"]
        assert isinstance(devices, list)  # noqa: S101 (link_table made it)
        blocks += (_block("links.devices", device) for device in devices)
    return "\n".join(blocks)


def _block(name: str, table: Mapping[str, object]) -> str:
    # JSON's strings, numbers and lists of numbers are TOML's as well.
    lines = (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items())
    return "\n".join([f"[[{name}]]", *lines, ""])
