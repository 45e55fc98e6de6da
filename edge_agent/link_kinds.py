"""The kinds of links: for each driver what it is told, which language it needs, and how it addresses a device."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypedDict

import msgspec

from device_profiles.toml_table import Table
from telemetry.broker import broker_address

__all__ = [
    "LINK_KINDS",
    "Admit",
    "BleOptions",
    "CarrierOptions",
    "CoapOptions",
    "DriverName",
    "HydrologyOptions",
    "Jt808Options",
    "LinkKind",
    "ModbusTcpOptions",
    "MqttOptions",
    "Options",
    "SerialOptions",
    "StationOptions",
    "read_broker",
]


class DriverName(StrEnum):
    """The driver of a link, as `driver = "..."` names it."""

    MODBUS_TCP = "modbus_tcp"
    MODBUS_RTU = "modbus_rtu"
    MODBUS_RTU_TCP = "modbus_rtu_tcp"
    SERIAL = "serial"
    DLT645 = "dlt645"
    CJT188 = "cjt188"
    COAP = "coap"
    LWM2M = "lwm2m"
    CARRIER = "carrier"
    MQTT = "mqtt"
    JT808 = "jt808"
    HJ212 = "hj212"
    SL651 = "sl651"
    BLE = "ble"


class Admit(StrEnum):
    """Which vehicle terminals a listener lets in."""

    LISTED = "listed"
    ANY = "any"


class ModbusTcpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A Modbus TCP server that the agent polls, or a serial server that carries RTU frames."""

    host: str
    port: int = 502


class SerialOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A serial line, for Modbus RTU, meters and plain serial devices; eight data bits. `parity` is N, E or O."""

    port: str
    baudrate: int = 9600
    parity: str = "N"
    stopbits: int = 1


class CoapOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A CoAP listener, plain or of an LwM2M server; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 5683


class CarrierOptions(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP listener for a carrier's pushes; port 0 takes a free one. `secret_file` holds OneNET's token, or what CTWing's
    push address ends in."""

    host: str = "127.0.0.1"
    port: int = 8190
    platform: str = "onenet"
    secret_file: Path | None = None


class MqttOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The broker that devices publish to, as `mqtt://host:port`; it need not be the uplink's. With a `client_id` of its own the
    broker keeps for the agent what comes while it is away, and sends again what was not committed."""

    broker: str
    username: str = ""
    password_file: Path | None = None
    client_id: str = ""


class Jt808Options(msgspec.Struct, frozen=True, kw_only=True):
    """A JT/T 808 listener; port 0 takes a free one. `default_profile` is what a terminal that nobody listed gets."""

    host: str = "127.0.0.1"
    port: int = 7611
    admit: Admit = Admit.LISTED
    default_profile: str = ""
    require_auth: bool = True


class StationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A TCP listener that stations connect to and report by themselves; port 0 takes a free one. A station whose messages
    do not have the password in `password_file`, where there is one, is refused."""

    host: str = "127.0.0.1"
    port: int = 0
    password_file: Path | None = None


class HydrologyOptions(StationOptions, frozen=True, kw_only=True):
    """The same for SL 651, on UDP, too, where `udp` says so. A station that was answered is told to stay online, or to go
    and save its battery."""

    udp: bool = False
    stay_online: bool = True


class BleOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A Bluetooth adapter: `scan_s` of listening in every `every_s`. `passive` hears sensors without asking them anything, where
    kernel and adapter can."""

    adapter: str = ""
    scan_s: float = 10.0
    every_s: float = 60.0
    passive: bool = False


Options = (
    ModbusTcpOptions | SerialOptions | CoapOptions | CarrierOptions | MqttOptions | Jt808Options | StationOptions | BleOptions
)


class LinkKind(msgspec.Struct, frozen=True):
    """One kind of link. `wire` is the part of a profile's `wire` that the driver needs, `address` a range of unit numbers
    or the form of a text, `wanted` what to write instead of a wrong one; `read` takes the options off a link's table. With
    `numeric`, an address that is a number may be written as one."""

    wire: str
    address: range | re.Pattern[str]
    wanted: str
    read: Callable[[Table, Path], Options]
    numeric: bool = False


def read_broker(table: Table) -> str:
    """The address of a broker."""
    return table.checked("broker", broker_address, "mqtt://host:port or mqtts://host:port")


def _modbus_tcp(table: Table, _folder: Path) -> ModbusTcpOptions:
    return ModbusTcpOptions(host=table.text("host"), port=table.integer("port", 502, low=1, high=65535))


def _serial(table: Table, _folder: Path, *, baudrate: int = 9600, parity: str = "N") -> SerialOptions:
    return SerialOptions(
        port=table.text("port"),
        baudrate=table.integer("baudrate", baudrate, low=50, high=4_000_000),
        parity=table.choice("parity", ("N", "E", "O"), parity),
        stopbits=table.integer("stopbits", 1, low=1, high=2),
    )


def _meter(table: Table, folder: Path) -> SerialOptions:
    # DL/T 645-2007, 5.2.3, and CJ/T 188: even parity; 2400 baud is what meters leave the factory with.
    return _serial(table, folder, baudrate=2400, parity="E")


def _coap(table: Table, _folder: Path) -> CoapOptions:
    return CoapOptions(**_listener(table, 5683))


def _carrier(table: Table, folder: Path) -> CarrierOptions:
    platform = table.choice("platform", ("onenet", "ctwing"))
    # The token may be agreed with the platform later: the driver says what it lacks, and looks again until it is there.
    file = table.text("secret_file", "")
    if platform == "onenet" and not file:
        table.wrong("secret_file", "is missing", "the file that holds the token agreed with OneNET, alone")
    return CarrierOptions(**_listener(table, 8190), platform=platform, secret_file=folder / file if file else None)


def _mqtt(table: Table, folder: Path) -> MqttOptions:
    return MqttOptions(
        broker=read_broker(table),
        username=table.text("username", ""),
        password_file=table.file("password_file", folder),
        client_id=table.text("client_id", ""),
    )


def _jt808(table: Table, _folder: Path) -> Jt808Options:
    return Jt808Options(
        **_listener(table, 7611),
        admit=Admit(table.choice("admit", list(Admit), "listed")),
        default_profile=table.text("default_profile", ""),
        require_auth=table.flag("require_auth", default=True),
    )


def _station(table: Table, folder: Path) -> StationOptions:
    return StationOptions(**_listener(table, 9212), password_file=table.file("password_file", folder))


def _hydrology(table: Table, folder: Path) -> HydrologyOptions:
    return HydrologyOptions(
        **_listener(table, 9651),
        password_file=table.file("password_file", folder),
        udp=table.flag("udp", default=False),
        stay_online=table.flag("stay_online", default=True),
    )


def _ble(table: Table, _folder: Path) -> BleOptions:
    return BleOptions(
        adapter=table.text("adapter", ""),
        scan_s=table.number("scan_s", 10.0, low=1, high=600),
        every_s=table.number("every_s", 60.0, low=1, high=86400),
        passive=table.flag("passive", default=False),
    )


class _Listener(TypedDict):
    host: str
    port: int


def _listener(table: Table, usual: int) -> _Listener:
    return {"host": table.text("host", "127.0.0.1"), "port": table.integer("port", usual, low=0, high=65535)}


# Modbus over Serial Line V1.02, 2.2: 0 is broadcast, 248 to 255 are reserved.
_UNIT = (range(1, 248), "a unit number from 1 to 247")
_TOPIC_PART = (re.compile(r"[^\s/+#]{1,64}(/[^\s/+#]{1,64}){0,3}"), "the device's part of the topic, without + # and spaces")
_SAYS = (re.compile(r"[^\s/]{1,64}"), "what the device says it is, up to 64 characters without spaces")

LINK_KINDS: Mapping[DriverName, LinkKind] = {
    DriverName.MODBUS_TCP: LinkKind("modbus", *_UNIT, _modbus_tcp),
    DriverName.MODBUS_RTU: LinkKind("modbus", *_UNIT, _serial),
    DriverName.MODBUS_RTU_TCP: LinkKind("modbus", *_UNIT, _modbus_tcp),
    DriverName.SERIAL: LinkKind(
        "serial",
        re.compile(r"[0-9A-Za-z]{1,16}"),
        "the address the device says, up to 16 letters and digits",
        _serial,
        numeric=True,
    ),
    DriverName.DLT645: LinkKind("dlt645", re.compile(r"\d{12}"), "the meter's address, 12 digits", _meter),
    DriverName.CJT188: LinkKind("cjt188", re.compile(r"[0-9A-F]{14}"), "the meter's address, 14 digits", _meter),
    DriverName.COAP: LinkKind("coap", *_SAYS, _coap),
    DriverName.LWM2M: LinkKind("lwm2m", *_SAYS, _coap),
    DriverName.CARRIER: LinkKind("carrier", *_SAYS, _carrier),
    DriverName.MQTT: LinkKind("mqtt", *_TOPIC_PART, _mqtt),
    # JT/T 808-2019, 4.4.3: BCD[10]; BCD[6] before.
    DriverName.JT808: LinkKind("jt808", re.compile(r"\d{1,20}"), "the terminal's phone number, up to 20 digits", _jt808),
    # HJ 212-2017, 6.3.2: up to 24 hex digits; loggers are found with other letters, shorter and longer.
    DriverName.HJ212: LinkKind(
        "hj212", re.compile(r"[0-9A-Za-z_-]{4,32}"), "the station's MN, 4 to 32 letters, digits, _ and -", _station
    ),
    DriverName.SL651: LinkKind("sl651", re.compile(r"[0-9A-F]{10}"), "the station's address, 10 digits", _hydrology),
    DriverName.BLE: LinkKind(
        "ble", re.compile(r"([0-9A-F]{2}:){5}[0-9A-F]{2}"), "the sensor's address as AA:BB:CC:DD:EE:FF", _ble
    ),
}
