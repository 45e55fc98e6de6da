"""The MQTT topics of the contract, made and read in one place.

gw/{gateway}/up/{events|readings}   batches, QoS 1
gw/{gateway}/up/hello               the handshake after each connect
gw/{gateway}/down/{ack|command|config}
gw/{gateway}/status                 retained, with a will
"""

from enum import StrEnum

from telemetry.records import Lane, check_id

__all__ = ["Channel", "all_gateways", "channel", "parse"]


class Channel(StrEnum):
    """What a topic carries."""

    EVENTS = "up/events"
    READINGS = "up/readings"
    HELLO = "up/hello"
    ACK = "down/ack"
    COMMAND = "down/command"
    CONFIG = "down/config"
    STATUS = "status"

    @classmethod
    def of_lane(cls, lane: Lane) -> "Channel":
        """The channel that carries one lane's batches."""
        return cls.EVENTS if lane is Lane.EVENTS else cls.READINGS


def channel(gateway: str, what: Channel) -> str:
    """The topic of one gateway's channel."""
    return f"gw/{check_id(gateway, 'gateway')}/{what}"


def all_gateways(what: Channel) -> str:
    """The subscription that hears one channel of every gateway."""
    return f"gw/+/{what}"


def parse(topic: str) -> tuple[str, Channel] | None:
    """The gateway and channel of a topic, or None where it is not one of ours."""
    root, _, rest = topic.partition("/")
    gateway, _, tail = rest.partition("/")
    try:
        return (check_id(gateway, "gateway"), Channel(tail)) if root == "gw" else None
    except ValueError:
        return None
