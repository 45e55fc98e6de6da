"""Sparkplug's topics: spBv1.0/GROUP/TYPE/NODE, and /DEVICE after it for what stands behind a node (clause 4.1)."""

from enum import StrEnum

import msgspec

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["NAMESPACE", "Kind", "Place", "node_topic", "parse_topic", "subscriptions"]

NAMESPACE = "spBv1.0"


class Kind(StrEnum):
    """The kinds of messages; a host's STATE has another form and is not heard here."""

    NBIRTH = "NBIRTH"
    NDEATH = "NDEATH"
    NDATA = "NDATA"
    NCMD = "NCMD"
    DBIRTH = "DBIRTH"
    DDEATH = "DDEATH"
    DDATA = "DDATA"
    DCMD = "DCMD"


_KINDS = frozenset(str(kind) for kind in Kind)


class Place(msgspec.Struct, frozen=True):
    """Whose message it is: `node` is GROUP/NODE, `device` is empty for the node itself."""

    kind: Kind
    node: str
    device: str = ""

    @property
    def address(self) -> str:
        """GROUP/NODE or GROUP/NODE/DEVICE."""
        return f"{self.node}/{self.device}" if self.device else self.node


def parse_topic(topic: str) -> Place:
    """The message's place. ParseError: unknown_message for a topic that is no Sparkplug B topic of a node or device."""
    levels = topic.split("/")
    about_device = len(levels) == 5
    if len(levels) not in (4, 5) or levels[0] != NAMESPACE or not all(levels) or levels[2] not in _KINDS:
        raise ParseError(Reason.UNKNOWN_MESSAGE, f"{topic[:100]!r} is no topic of an edge node or its devices")
    kind = Kind(levels[2])
    if kind.startswith("D") is not about_device:
        raise ParseError(Reason.UNKNOWN_MESSAGE, f"{kind} {'with' if about_device else 'without'} a device")
    return Place(kind, f"{levels[1]}/{levels[3]}", levels[4] if about_device else "")


def node_topic(kind: Kind, node: str, device: str = "") -> str:
    """The topic of a message about the node GROUP/NODE, or a device behind it."""
    group, name = node.split("/")
    return "/".join([NAMESPACE, group, kind, name, *([device] if device else [])])


def subscriptions(node: str) -> tuple[str, str]:
    """What to subscribe to for everything that a node and its devices say."""
    group, name = node.split("/")
    return f"{NAMESPACE}/{group}/+/{name}", f"{NAMESPACE}/{group}/+/{name}/+"
