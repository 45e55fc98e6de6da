"""The agent's configuration as values; what is in here has been checked."""

from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

__all__ = [
    "Admit",
    "AgentConfig",
    "CoapOptions",
    "DeviceConfig",
    "DriverName",
    "Jt808Options",
    "LinkConfig",
    "ModbusTcpOptions",
    "MqttOptions",
    "Options",
    "OutboxLimits",
    "SerialOptions",
    "broker_address",
]


class DriverName(StrEnum):
    """The driver of a link, as `driver = "..."` names it."""

    MODBUS_TCP = "modbus_tcp"
    MODBUS_RTU = "modbus_rtu"
    SERIAL = "serial"
    COAP = "coap"
    MQTT = "mqtt"
    JT808 = "jt808"


class Admit(StrEnum):
    """Which vehicle terminals a listener lets in."""

    LISTED = "listed"
    ANY = "any"


class ModbusTcpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A Modbus TCP server that the agent polls."""

    host: str
    port: int = 502


class SerialOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A serial line, for Modbus RTU and for plain serial devices; eight data bits. `parity` is N, E or O."""

    port: str
    baudrate: int = 9600
    parity: str = "N"
    stopbits: int = 1


class CoapOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A CoAP listener; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 5683


class MqttOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The broker that devices publish to, as `mqtt://host:port`; it need not be the uplink's."""

    broker: str
    username: str = ""
    password_file: Path | None = None


class Jt808Options(msgspec.Struct, frozen=True, kw_only=True):
    """A JT/T 808 listener; port 0 takes a free one. `default_profile` is what a terminal that nobody listed gets."""

    host: str = "127.0.0.1"
    port: int = 7611
    admit: Admit = Admit.LISTED
    default_profile: str = ""
    require_auth: bool = True


Options = ModbusTcpOptions | SerialOptions | CoapOptions | MqttOptions | Jt808Options


class DeviceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One device behind a link.

    `address` is what its link knows it by: a Modbus or serial unit number, the identity in a document, a topic part,
    a JT/T 808 phone number. `position` is (longitude, latitude), WGS-84 degrees.
    """

    id: str
    profile: str
    address: str
    name: str = ""
    position: tuple[float, float] | None = None
    component_code: str = ""


class LinkConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One way to reach devices, and the devices there; `options` is the struct that belongs to `driver`."""

    name: str
    driver: DriverName
    devices: tuple[DeviceConfig, ...]
    options: Options


class OutboxLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The outbox's quota in bytes of payload, and how long a group commit may wait for more company."""

    max_bytes: int = 512 * 1024 * 1024
    commit_s: float = 1.0
    linger_ms: int = 30


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an agent needs to know before it connects to anything."""

    gateway: str
    data_dir: Path
    broker: str
    username: str = ""
    password_file: Path | None = None
    profile_dirs: tuple[Path, ...] = ()
    links: tuple[LinkConfig, ...] = ()
    outbox: OutboxLimits = OutboxLimits()
    status_s: float = 60.0
    retransmit_s: float = 10.0


def broker_address(url: str) -> tuple[str, int, bool]:
    """Host, port and whether to use TLS of `mqtt://host[:port]` or `mqtts://host[:port]`; ValueError otherwise."""
    parts = urlsplit(url)
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or parts.path not in {"", "/"} or parts.username:
        raise ValueError(f"{url!r}: want mqtt://host:port or mqtts://host:port, without a user name")
    tls = parts.scheme == "mqtts"
    return parts.hostname, parts.port or (8883 if tls else 1883), tls
