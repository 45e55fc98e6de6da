"""One sensor: what was heard of it, what of it is new, and when its characteristics are due."""

import asyncio
from collections.abc import Mapping

from device_profiles.model import Profile
from device_profiles.wires.ble import BTHOME, GATT, RADIO, BleWire
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import SetupError, profile_of
from edge_agent.drivers.ble.radio import Radio
from firmware_bridge.ble.advertising import Advertisement, service_data
from firmware_bridge.ble.bthome import NAMES, SERVICE, parse_bthome
from firmware_bridge.ble.gatt import CHARACTERISTICS, parse_value
from firmware_bridge.errors import ParseError
from telemetry.clock import SECOND_NS
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason

__all__ = ["Items", "Sighting", "Station", "read_characteristics", "station_of"]

_READ_S = 15.0
"""How long one sensor may hold the adapter for its characteristics."""

Items = tuple[dict[str, object], dict[str, Reason]]


class Station:
    """`hear` gives back what is worth reading: data that this round has not brought yet."""

    def __init__(self, device: DeviceConfig, profile: Profile, wire: BleWire) -> None:
        self.device = device
        self.profile = profile
        self.wire = wire
        self._last: bytes | None = None
        self._heard = False
        self._asked_ns: int | None = None
        self._advertises = any(not field.item.startswith(GATT) for field in wire.items)

    def begin_round(self) -> None:
        """What was heard in an earlier round counts again: the sensor still lives."""
        self._last, self._heard = None, False

    def hear(self, said: Advertisement, received_ns: int) -> "Sighting | None":
        """What an advertisement brings that is new."""
        self._heard = True
        data = said.service_data.get(SERVICE)
        if not self._advertises or (data is not None and data == self._last) or (data is None and self._last is not None):
            return None
        self._last = data if data is not None else b""
        return Sighting(self, data, said.rssi_dbm, received_ns)

    def is_due(self, now_ns: int, *, unheard_too: bool) -> bool:
        """Whether to connect now; if so, the next time is `poll_s` later. `unheard_too` is for passive listening, which hears
        nothing but BTHome."""
        due = self._asked_ns is None or now_ns - self._asked_ns >= self.wire.poll_s * SECOND_NS
        if not (self.wire.characteristics and due and (self._heard or unheard_too)):
            return False
        self._asked_ns = now_ns
        return True


class Sighting:
    """One advertisement that waits to be read. `unknown` is the object id at which reading ended, after `items`."""

    def __init__(self, station: Station, data: bytes | None, rssi_dbm: int | None, received_ns: int) -> None:
        self.station = station
        self.raw = data or b""
        self.received_ns = received_ns
        self.unknown: int | None = None
        self.frames = () if data is None else (RawFrame("ble-advertisement", service_data(SERVICE, data)),)
        """The part of the advertisement that was read, as it is on the air: adapters do not hand on the rest."""
        self._data = data
        self._rssi_dbm = rssi_dbm

    def items(self) -> Items:
        """Names and values, and what cannot be read. ParseError where the advertisement as a whole cannot."""
        items: dict[str, object] = {} if self._rssi_dbm is None else {f"{RADIO}rssi_dbm": self._rssi_dbm}
        if self._data is None:
            return items, {}
        said = parse_bthome(self._data)
        self.unknown = said.unknown
        items |= {BTHOME + name: value for name, value in said.items.items()}
        return items, {BTHOME + name: reason for name, reason in said.unreadable.items()}


async def read_characteristics(radio: Radio, station: Station) -> Items:
    """The values of a sensor's characteristics; one that it does not have is missing. ConnectionError, TimeoutError."""
    items: dict[str, object] = {}
    unreadable: dict[str, Reason] = {}
    async with asyncio.timeout(_READ_S), radio.connect(station.device.address) as connection:
        for name in station.wire.characteristics:
            try:
                items[GATT + name] = parse_value(name, await connection.read(CHARACTERISTICS[name].uuid))
            except KeyError:
                unreadable[GATT + name] = Reason.MISSING
            except ParseError as error:
                unreadable[GATT + name] = error.reason
    return items, unreadable


def station_of(link: LinkConfig, device: DeviceConfig, catalog: Mapping[str, Profile]) -> Station:
    """The sensor with its profile; SetupError where it cannot be heard on this link."""
    profile = profile_of(link, device, catalog)
    where = f"link {link.name}, device {device.id}: profile {profile.name}"
    if profile.wire.ble is None:
        raise SetupError(f"{where} does not speak Bluetooth")
    for field in profile.wire.ble.items:
        name = field.item.partition(".")[2]
        known = name in CHARACTERISTICS if field.item.startswith(GATT) else name.partition(".")[0] in NAMES or name == "rssi_dbm"
        if not known:
            raise SetupError(f"{where} reads {field.item}, which nothing here knows")
    return Station(device, profile, profile.wire.ble)
