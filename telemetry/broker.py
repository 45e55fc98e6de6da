"""How a broker is named, and which MQTT is spoken to it."""

from enum import IntEnum
from typing import NamedTuple
from urllib.parse import urlsplit

__all__ = ["BrokerAddress", "MqttVersion", "VersionChoice", "broker_address"]


class MqttVersion(IntEnum):
    """The protocol level in the CONNECT packet (MQTT 3.1.1 and 5.0, clause 3.1.2.2)."""

    V311 = 4
    V5 = 5


_VERSIONS = {"version=3.1.1": MqttVersion.V311, "version=5": MqttVersion.V5}


class BrokerAddress(NamedTuple):
    """Where a broker is, whether TLS is spoken, and the only version to speak where the address states one."""

    host: str
    port: int
    tls: bool = False
    version: MqttVersion | None = None


class VersionChoice:
    """MQTT 5 first, because it says why it refuses; 3.1.1 where a broker does not know it. What once worked is kept.

    `only` is the version that the broker's address states; there is no choice then.
    """

    def __init__(self, only: MqttVersion | None = None) -> None:
        self.current = only or MqttVersion.V5
        self._fixed = only is not None
        self._proven = False

    def connected(self) -> None:
        """The broker took `current`."""
        self._proven = True

    def failed(self, *, refused: bool) -> bool:
        """No connection came about; whether the next try speaks the other version.

        `refused`: the broker answered and said no. Old brokers drop a greeting that they do not know without a word,
        so until a version is known to work every failure may mean that.
        """
        if self._fixed or (self._proven and not refused):
            return False
        self._proven = False
        self.current = MqttVersion.V311 if self.current is MqttVersion.V5 else MqttVersion.V5
        return True


def broker_address(url: str) -> BrokerAddress:
    """`mqtt://host[:port]` or `mqtts://host[:port]`, with `?version=5` or `?version=3.1.1` where only that one will do.

    ValueError otherwise. Secrets have no place in it.
    """
    parts = urlsplit(url)
    version = _VERSIONS.get(parts.query)
    unsound = parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or parts.path not in {"", "/"} or parts.username
    if unsound or (parts.query and version is None) or parts.hostname is None:
        raise ValueError(f"{url!r}: want mqtt://host:port or mqtts://host:port, without a user name")
    tls = parts.scheme == "mqtts"
    return BrokerAddress(parts.hostname, parts.port or (8883 if tls else 1883), tls, version)
